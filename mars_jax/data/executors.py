"""Executors of jobs: this process, all cores, a cluster.

All are `concurrent.futures.Executor`s, and the work is the same function.
"""

import collections.abc
import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from typing import Any

import jax

LOCAL = "local"  # A scheduler of Dask that is started here, to try it out.


class InlineExecutor(concurrent.futures.Executor):
  """Runs each task in this process, at once."""

  def submit(
    self, fn: collections.abc.Callable[..., Any], /, *args, **kwargs
  ) -> concurrent.futures.Future:
    """Runs a task; its future is done."""
    future = concurrent.futures.Future()
    try:
      future.set_result(fn(*args, **kwargs))
    except Exception as error:
      future.set_exception(error)
    return future


@contextlib.contextmanager
def executor(
  *, workers: int = 1, scheduler: str | None = None, timeout: float = 30.0
) -> collections.abc.Iterator[concurrent.futures.Executor]:
  """Yields an executor.

  Args:
    workers: processes on this machine; one is this process itself.
    scheduler: the address of a Dask scheduler (docs.dask.org/en/stable/
      deploying.html: SLURM, Kubernetes, SSH, the clouds) whose workers see the
      input and the output under the paths of this machine; or `LOCAL`, for one
      on this machine with as many `workers`.
    timeout: seconds to wait for the scheduler.

  Raises:
    ImportError: if there is a scheduler, but not the extra `scale`.
    OSError: if it cannot be reached.
  """
  if scheduler is not None:
    with _dask_client(scheduler, workers, timeout) as client:
      yield client.get_executor()
  elif workers > 1:
    pool = concurrent.futures.ProcessPoolExecutor(
      workers,
      mp_context=multiprocessing.get_context("spawn"),
      initializer=_start_worker,
    )
    try:
      yield pool
    finally:
      pool.shutdown(cancel_futures=True)
  else:
    yield InlineExecutor()


@contextlib.contextmanager
def _dask_client(scheduler, workers, timeout):
  """Yields a client of a scheduler with workers on CPUs."""
  try:
    import distributed
  except ModuleNotFoundError as error:
    raise ImportError(
      "a Dask scheduler needs distributed: pip install 'mars-jax[scale]'"
    ) from error

  class StayOnCpu(distributed.WorkerPlugin):
    def setup(self, worker):
      stay_on_cpu()

  with contextlib.ExitStack() as stack:
    if scheduler == LOCAL:
      cluster = distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None
      )
      scheduler = stack.enter_context(cluster)
    client = stack.enter_context(distributed.Client(scheduler, timeout=timeout))
    client.register_plugin(StayOnCpu())  # Of workers that join later, too.
    yield client


def _start_worker() -> None:
  """Keeps a worker on the CPU, ending with its parent."""
  stay_on_cpu()

  def follow():
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()


def stay_on_cpu() -> None:
  """Makes JAX use the CPU, before its first use.

  Replaying a day is one small step after another, which no accelerator is quick
  at, and a process that takes one keeps most of its memory.
  """
  jax.config.update("jax_platforms", "cpu")
