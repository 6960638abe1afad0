"""Histogram of the integers of a long stream.

Up to `capacity` distinct values are counted exactly. When there are more, all
lose low bits, one at a time, until as few values as that are left: of each, the
sign and the top m bits of its magnitude are kept, so that those of at most m
bits stay exact. These are the log-linear buckets of HdrHistogram
(https://hdrhistogram.org), which nest: a bucket of m bits is a union of buckets
of m + 1. A bucket counts as one value, its middle, which is within a share of
2**-m of every value in it.

The result is a function of the values alone, however they are split and in
whichever order the parts are added and merged: m is the most at which they fit.
"""

import dataclasses

import numpy as np

CAPACITY = 2**20
_ALL_BITS = 63  # Of the magnitude of an int64: no value is coarse.
_MIN_CAPACITY = 128  # Buckets of one bit: 0, -2**63 and 2 * 63 buckets.
_POWERS = 2 ** np.arange(_ALL_BITS)


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
  """Counts of integers.

  Attributes:
    values: int64 `[n]`, n <= capacity, ascending.
    counts: int64 `[n]`, how often each occurred, > 0.
    num_bits: m, at most 63, where all are exact.
    capacity: number of values that are kept distinct.
  """

  values: np.ndarray
  counts: np.ndarray
  num_bits: int
  capacity: int


def init(capacity: int = CAPACITY) -> Histogram:
  """Returns an empty histogram; capacity >= 128."""
  if capacity < _MIN_CAPACITY:
    raise ValueError(f"a capacity of {capacity} is less than {_MIN_CAPACITY}")
  nothing = np.zeros(0, np.int64)
  return Histogram(nothing, nothing, _ALL_BITS, capacity)


def add(hist: Histogram, values: np.ndarray) -> Histogram:
  """Returns the histogram with integers `[n]` added, any of int64.

  Raises:
    TypeError: if they are of a type that int64 does not hold, as floats are.
  """
  values = np.asarray(values).astype(np.int64, casting="safe")
  unique, counts = np.unique(values, return_counts=True)
  return merge(hist, Histogram(unique, counts, _ALL_BITS, hist.capacity))


def merge(one: Histogram, other: Histogram) -> Histogram:
  """Returns the histogram of the values of both.

  Raises:
    ValueError: if their capacities differ.
  """
  capacity = one.capacity
  if other.capacity != capacity:
    raise ValueError(f"capacities differ: {capacity} and {other.capacity}")
  num_bits = min(one.num_bits, other.num_bits)
  values = np.concatenate([one.values, other.values])
  counts = np.concatenate([one.counts, other.counts])
  order = np.argsort(values, kind="stable")  # Linear, of two sorted runs.
  values, counts = _coarsen(values[order], counts[order], num_bits)
  while len(values) > capacity:
    num_bits -= 1
    values, counts = _coarsen(values, counts, num_bits)
  return Histogram(values, counts, num_bits, capacity)


def _coarsen(
  values: np.ndarray, counts: np.ndarray, num_bits: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the buckets of ascending values, and their counts."""
  values, firsts = np.unique(_middle(values, num_bits), return_index=True)
  return values, np.add.reduceat(counts, firsts)


def _middle(values: np.ndarray, num_bits: int) -> np.ndarray:
  """Returns the middle of the bucket of each value.

  A middle is its own, and has the bucket of its values at any fewer bits. The
  magnitude of -2**63 is beyond int64 and wraps: that value stays as it is.
  """
  size = np.abs(values)
  width = np.searchsorted(_POWERS, size, side="right")  # Its bits.
  step = np.int64(1) << np.maximum(width - num_bits, 0)
  middle = (size & -step) + step // 2
  return np.where(values < 0, -middle, middle)
