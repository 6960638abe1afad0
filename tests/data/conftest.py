"""Fixtures of several files of tests of data.

They import what needs polars, which not all of these tests do.
"""

import pytest

from tests.support.replay import chunks


@pytest.fixture(scope="session")
def captures(tmp_path_factory):
  """Returns the folder of two captured days and a broken one."""
  from tests.support.data import captured_days

  return captured_days.write(tmp_path_factory.mktemp("captures"))


@pytest.fixture(scope="session")
def data_set(captures, tmp_path_factory):
  """Returns a data set of these, and its folder."""
  from tests.support.data import captured_days

  out = tmp_path_factory.mktemp("data")
  todo = captured_days.jobs(captures, "day0.csv", "day1.csv", "broken.csv")
  with chunks.small():
    return captured_days.build(out, todo), out
