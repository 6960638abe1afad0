"""Tests of times of day: text, nanoseconds, pairs of int32."""

import numpy as np
import pytest

from mars_jax.utils import time_of_day


def test_text_and_nanoseconds():
  nanoseconds = time_of_day.parse_clock("14:30:00.25", named="start")
  assert nanoseconds == ((14 * 60 + 30) * 60 + 0.25) * 10**9
  assert time_of_day.clock_text(nanoseconds) == "14:30:00.250"


@pytest.mark.parametrize("text", ["14:30", "4:30:00", "14:30:00.", "noon"])
def test_what_is_no_time_is_an_error_that_names_it(text):
  with pytest.raises(ValueError, match="start is no time like 14:30:00"):
    time_of_day.parse_clock(text, named="start")


def test_timestamps_lose_nothing():
  time = np.array([0, 1, 999_999_999, 86_399_999_999_999])
  pairs = time_of_day.timestamps(time)
  assert pairs.seconds.dtype == pairs.nanoseconds.dtype == np.int32
  assert pairs.seconds.tolist() == [0, 0, 0, 86_399]
  np.testing.assert_array_equal(time_of_day.nanoseconds(pairs), time)
