"""Settings and fixtures of every test: on the CPU, no rank promotion unseen."""

import jax
import pytest

from mars_jax.data import samples

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")


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
