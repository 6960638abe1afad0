"""Runs the launch scripts as their user does."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import jaxlib

ROOT = pathlib.Path(__file__).parent.parent
# XLA's older emitters compile several times as quickly what then runs slower;
# a jaxlib that does not know the flag would not start.
QUICK_XLA = (
  "--xla_cpu_use_fusion_emitters=false"
  if jaxlib.__version__.startswith("0.10.")
  else ""
)


def start(script, *arguments):
  """Starts a script."""
  return subprocess.Popen(
    [sys.executable, f"launch/{script}.py", *arguments],
    cwd=ROOT,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # To compile quicker.
      "XLA_FLAGS": QUICK_XLA,
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(script, *arguments):
  """Runs a script to its end."""
  with start(script, *arguments) as process:
    try:
      out, err = process.communicate(timeout=300)
    except BaseException:
      process.kill()
      raise
  return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_all(commands):
  """Runs scripts side by side, as many as there are cores."""
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(lambda command: run(*command), commands))
