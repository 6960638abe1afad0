"""Settings and fixtures of every test; tests/README.md is the guide."""

import os
import pathlib

import jaxlib

# Compiled programs are kept: for the other workers, for the scripts that tests
# start, and for the next run. XLA reads hints for features that the machine
# lacks in what it wrote itself, and would log an error for each.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
  pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# XLA's older emitters compile in half the time what then runs slower; a jaxlib
# that does not know the flag would not start.
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_cpu_use_fusion_emitters=false"
  if jaxlib.__version__.startswith("0.10.")
  else "",
)

import jax
import pytest

from mars_jax.feeds import samples
from tests.support.replay import chunks

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """Returns how the tests are spread over the workers of pytest-xdist."""
  from tests.support import scheduling  # Imports xdist, which is optional.

  return scheduling.ByModuleFixtures(config, log)


@pytest.fixture(scope="session")
def bitstamp_sample():
  """Returns the path of the sample's orders; skips without it."""
  return _fetched("Bitstamp", samples.bitstamp)


@pytest.fixture(scope="session")
def coinbase_sample():
  """Returns the folder of the sample's files; skips without it."""
  return _fetched("Coinbase", samples.coinbase)


def _fetched(name, fetch):
  try:
    return fetch()
  except ConnectionError as error:
    pytest.skip(f"needs the {name} sample: {error}")


@pytest.fixture(scope="module")
def small_chunks():
  """Quickens a module that replays short streams; see `chunks.small`."""
  with chunks.small():
    yield


@pytest.fixture(scope="module")
def quick_compilation():
  """Halves the time of a module with small programs that compile long.

  XLA leaves most of its optimizations out; what it compiles then runs slower.
  """
  before = jax.config.read("jax_disable_most_optimizations")
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", before)
