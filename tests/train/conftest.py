"""Fixtures of several files of tests of training."""

import pytest

from tests.support.train import tiny_run


@pytest.fixture(scope="session")
def dataset():
  """Returns the data of a tiny run: two markets, of a day each."""
  return tiny_run.dataset()
