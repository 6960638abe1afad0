"""Settings and fixtures of every test: on the CPU, no rank promotion unseen."""

import functools
import os
import pathlib

# What is compiled is kept: for the other workers, for the scripts that tests
# start, and for the next run. XLA takes hints of its own in what it reads for
# features that the machine lacks, and would log an error of each.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
  pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import pytest
from xdist import scheduler

from mars_jax.feeds import samples
from tests.support import paths

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")


class _Scheduling(scheduler.LoadScopeScheduling):
  """Sends tests that share a fixture of their module to one worker.

  Else every worker that got one of them would make it, and many of these train
  a model or start scripts.
  """

  def _split_scope(self, nodeid):
    file = nodeid.partition("::")[0]
    return file if _has_module_fixtures(file) else nodeid


@functools.cache
def _has_module_fixtures(file):
  return 'scope="module"' in (paths.ROOT / file).read_text()


def pytest_xdist_make_scheduler(config, log):
  """Has the tests distributed by the above."""
  return _Scheduling(config, log)


@pytest.fixture(scope="session")
def bitstamp_sample():
  """The path of the sample's orders; skips where it cannot be had."""
  try:
    return samples.bitstamp()
  except ConnectionError as error:
    pytest.skip(f"needs the Bitstamp sample: {error}")


@pytest.fixture(scope="module")
def quick_compilation():
  """Halves the time of a module whose programs are small and compile long."""
  before = jax.config.read("jax_disable_most_optimizations")
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", before)
