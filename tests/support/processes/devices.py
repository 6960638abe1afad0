"""Programs on other devices than those of pytest's process."""

import os
import subprocess
import sys

from tests.support import paths


def start(program, *arguments, num_devices):
  """Starts a module of this folder on CPU devices, compiled quickly."""
  devices = f"--xla_force_host_platform_device_count={num_devices}"
  return subprocess.Popen(
    [sys.executable, "-m", f"tests.support.processes.{program}", *arguments],
    cwd=paths.ROOT,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "JAX_NUMPY_RANK_PROMOTION": "raise",
      "XLA_FLAGS": f"{devices} {os.environ['XLA_FLAGS']}",
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(*processes, expect=0):
  """Waits for programs, none of which outlives this."""
  try:
    outputs = [process.communicate(timeout=300)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  for process, output in zip(processes, outputs, strict=True):
    assert process.returncode == expect, output
