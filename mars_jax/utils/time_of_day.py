"""Times of day: nanoseconds since midnight, timestamps and text."""

import re

import numpy as np

from mars_jax import types


def timestamps(time: np.ndarray) -> types.Timestamp:
  """Returns int64 nanoseconds since midnight as pairs of int32."""
  seconds, nanoseconds = np.divmod(np.asarray(time), types.NANOSECONDS)
  return types.Timestamp(
    seconds=seconds.astype(np.int32), nanoseconds=nanoseconds.astype(np.int32)
  )


def nanoseconds(time: types.Timestamp) -> np.ndarray:
  """Returns moments as int64 nanoseconds since midnight."""
  seconds = np.asarray(time.seconds, np.int64)
  return seconds * types.NANOSECONDS + np.asarray(time.nanoseconds)


def parse_clock(text: str, *, named: str) -> int:
  """Returns a time of day, as 14:30:00.5, in nanoseconds.

  Args:
    text: the time.
    named: what the error calls it.

  Raises:
    ValueError: if it is none.
  """
  if not re.fullmatch(r"\d\d:\d\d:\d\d(\.\d+)?", text):
    raise ValueError(f"{named} is no time like 14:30:00")
  hours, minutes, seconds = text.split(":")
  minutes = int(hours) * 60 + int(minutes)
  return round((minutes * 60 + float(seconds)) * types.NANOSECONDS)


def clock_text(nanoseconds: int) -> str:
  """Returns a time of day as HH:MM:SS.mmm."""
  milliseconds = int(nanoseconds) // 1_000_000
  seconds, milliseconds = divmod(milliseconds, 1000)
  minutes, seconds = divmod(seconds, 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}"
