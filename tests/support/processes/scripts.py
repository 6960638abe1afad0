"""Runs the launch scripts as their user does, but without their imports.

What the scripts import takes longer than what most of them do in a test, so
`run` forks them off a server that has imported it (`multiprocessing`, start
method forkserver). `start` starts an interpreter of its own, for what is to be
killed.
"""

import concurrent.futures
import functools
import multiprocessing
import multiprocessing.forkserver
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from unittest import mock

from tests.support import paths

_ENVIRONMENT = {
  "JAX_PLATFORMS": "cpu",
  "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # To compile quicker.
}
_IMPORTED = (
  "ml_collections.config_flags",
  "mars_jax.apps.experiment",
  "mars_jax.apps.forecasting",
  "mars_jax.data.prepare",
  "mars_jax.lmm.released.weights",
  "mars_jax.train.sweep",
  "mars_jax.train.trainer",
)
_SECONDS = 300  # That a script may take.


def start(script, *arguments):
  """Starts a script."""
  return subprocess.Popen(
    [sys.executable, f"launch/{script}.py", *arguments],
    cwd=paths.ROOT,
    env={**os.environ, **_ENVIRONMENT},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@functools.cache
def _server():
  """The context of processes that have what scripts import."""
  context = multiprocessing.get_context("forkserver")
  context.set_forkserver_preload(_IMPORTED)
  with mock.patch.dict(os.environ, _ENVIRONMENT):
    multiprocessing.forkserver.ensure_running()
  return context


def _execute(script, arguments, environment, folder):
  """Is the script, in a process of the server; its output goes to files."""
  os.environ.update(environment)
  for descriptor, name in ((1, "out"), (2, "err")):
    os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
  os.chdir(paths.ROOT)
  path = f"launch/{script}.py"
  sys.argv = [path, *arguments]
  sys.path.insert(0, str(paths.ROOT / "launch"))
  runpy.run_path(path, run_name="__main__")


def run(script, *arguments):
  """Runs a script to its end."""
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    args = script, arguments, {**os.environ, **_ENVIRONMENT}, folder
    process = _server().Process(target=_execute, args=args)
    process.start()
    process.join(_SECONDS)
    if process.exitcode is None:
      process.kill()
      raise TimeoutError(f"{script} {arguments} took more than {_SECONDS} s")
    out, err = ((folder / name).read_text() for name in ("out", "err"))
  command = script, *arguments
  return subprocess.CompletedProcess(command, process.exitcode, out, err)


def run_all(commands):
  """Runs scripts side by side, as many as there are cores."""
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(lambda command: run(*command), commands))
