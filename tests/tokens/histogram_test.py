"""Tests of counting a stream, in any order of parts."""

import collections
import pickle

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from mars_jax.tokens import bins
from mars_jax.tokens import histogram

SMALLEST = 128  # The least capacity.
INT64 = np.iinfo(np.int64)


def middle(value, num_bits):
  """The middle of a value's bucket, by its binary digits."""
  digits = f"{abs(value):b}"
  if len(digits) <= num_bits or value == INT64.min:
    return value
  num_lost = len(digits) - num_bits
  size = int(digits[:num_bits] + "1" + "0" * (num_lost - 1), 2)
  return size if value > 0 else -size


def count(values, capacity):
  """The most bits at which values fit, and their counts."""
  for num_bits in range(63, 0, -1):
    counts = collections.Counter(middle(int(v), num_bits) for v in values)
    if len(counts) <= capacity:
      return num_bits, dict(sorted(counts.items()))


def split_and_merge(values, seed, capacity=histogram.CAPACITY):
  """Histogram of values shuffled, split and merged at random."""
  rng = np.random.default_rng(seed)
  values = rng.permutation(values)
  cuts = np.sort(rng.integers(0, len(values) + 1, rng.integers(0, 9)))
  hists = []
  for part in np.split(values, cuts):
    hist = histogram.init(capacity)
    for batch in np.array_split(part, rng.integers(1, 4)):
      hist = histogram.add(hist, batch)
    hists.append(hist)
  while len(hists) > 1:
    one, other = (hists.pop(rng.integers(len(hists))) for _ in range(2))
    hists.append(histogram.merge(one, other))
  return hists[0]


def wide_values(seed, size):
  """Integers of all magnitudes, small ones often."""
  rng = np.random.default_rng(seed)
  return np.round(rng.normal(size=size) * 2 ** rng.uniform(0, 59, size)).astype(
    np.int64
  )


def check_equal(one, other):
  assert one.num_bits == other.num_bits
  np.testing.assert_array_equal(one.values, other.values)
  np.testing.assert_array_equal(one.counts, other.counts)


def test_few_values_are_counted_exactly():
  hist = histogram.add(histogram.init(), np.array([3, -1, 3], np.int32))
  hist = histogram.add(hist, np.array([INT64.min, 3, 0, INT64.max]))
  assert hist.values.tolist() == [INT64.min, -1, 0, 3, INT64.max]
  assert hist.counts.tolist() == [1, 1, 1, 3, 1]
  assert hist.values.dtype == hist.counts.dtype == np.int64


def test_no_values_are_the_neutral_element():
  empty = histogram.add(histogram.init(), np.zeros(0, np.int64))
  assert len(empty.values) == len(empty.counts) == 0
  hist = histogram.add(empty, np.array([5, 5]))
  check_equal(histogram.merge(hist, empty), hist)
  check_equal(histogram.merge(empty, hist), hist)


def test_of_a_value_too_many_all_lose_as_few_bits_as_needed():
  full = histogram.add(histogram.init(SMALLEST), np.arange(128))
  assert full.num_bits == 63
  # 128 is one too many even at 7 bits, the least that tell the others apart.
  hist = histogram.add(full, np.array([128]))
  assert hist.num_bits == 6
  assert hist.values.tolist() == [*range(64), *range(65, 128, 2), 130]
  assert hist.counts.tolist() == [1] * 64 + [2] * 32 + [1]
  # Here 7 bits are enough: those from 128 on share buckets of two.
  hist = histogram.add(histogram.init(SMALLEST), -np.arange(100, 230))
  assert hist.num_bits == 7
  middles = [*range(100, 128), *range(129, 230, 2)]
  assert (-hist.values[::-1]).tolist() == middles
  assert hist.counts[::-1].tolist() == [1] * 28 + [2] * 51


@hypothesis.given(
  values=numpy_st.arrays(
    np.int64,
    st.integers(0, 300),
    elements=st.integers(INT64.min, INT64.max),
    fill=st.nothing(),
  ),
  seed=st.integers(0, 2**32),
)
@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
def test_any_integers_are_counted_as_digit_by_digit(values, seed):
  hist = split_and_merge(values, seed, SMALLEST)
  num_bits, counts = count(values, SMALLEST)
  assert hist.num_bits == num_bits
  assert hist.values.tolist() == list(counts)
  assert hist.counts.tolist() == list(counts.values())


@hypothesis.given(
  values_seed=st.integers(0, 2**32),
  seed=st.integers(0, 2**32),
  capacity=st.sampled_from([128, 200, 1000]),
)
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
def test_order_and_partition_do_not_matter(values_seed, seed, capacity):
  values = wide_values(values_seed, 3_000)
  whole = histogram.add(histogram.init(capacity), values)
  check_equal(split_and_merge(values, seed, capacity), whole)
  assert whole.num_bits < 63
  assert len(whole.values) <= capacity
  assert whole.counts.sum() == len(values)


@pytest.mark.parametrize("capacity", [128, 1000, 4000])
def test_a_bucket_s_middle_is_within_its_error_of_all_its_values(capacity):
  values = np.unique(wide_values(0, 20_000))
  hist = histogram.add(histogram.init(capacity), values)
  # Buckets do not interleave: the counts tell which values are in each.
  middles = np.repeat(hist.values, hist.counts)
  scale = 2**hist.num_bits
  for value, middle_ in zip(values.tolist(), middles.tolist(), strict=True):
    assert abs(middle_ - value) * scale <= abs(value)
    if abs(value) < scale:
      assert middle_ == value


def test_one_bit_fits_the_least_capacity():
  powers = 2 ** np.arange(62)
  values = np.concatenate([powers, powers + powers // 2, powers + powers // 4])
  values = np.concatenate([values, -values, [0, INT64.min, INT64.max]])
  hist = histogram.add(histogram.init(SMALLEST), values)
  assert hist.num_bits == 1
  assert hist.counts.sum() == len(values)


def test_histograms_of_different_capacities_are_not_merged():
  with pytest.raises(ValueError, match="capacities differ: 128 and 129"):
    histogram.merge(histogram.init(128), histogram.init(129))


def test_a_capacity_that_may_not_be_kept_is_an_error():
  with pytest.raises(ValueError, match="127 is less than 128"):
    histogram.init(127)


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_what_int64_does_not_hold_is_an_error(dtype):
  with pytest.raises(TypeError, match="int64"):
    histogram.add(histogram.init(), np.ones(3, dtype))


def test_histograms_pass_between_processes():
  hist = histogram.add(histogram.init(SMALLEST), wide_values(1, 3_000))
  again = pickle.loads(pickle.dumps(hist))
  check_equal(again, hist)
  more = wide_values(2, 3_000)
  check_equal(histogram.add(again, more), histogram.add(hist, more))


@hypothesis.given(
  values=st.lists(
    st.one_of(st.integers(-3, 3), st.integers(-(2**31) + 1, 2**31 - 1)),
    min_size=1,
    max_size=60,
  ),
  num_bins=st.sampled_from([2, 8, 32]),
  seed=st.integers(0, 2**32),
)
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
def test_bins_of_a_stream_are_those_of_memory(values, num_bins, seed):
  values = np.array(values, np.int64)
  hist = split_and_merge(values, seed)
  streamed = bins.fit_counts(hist.values, hist.counts, num_bins)
  jax.tree.map(
    np.testing.assert_array_equal, streamed, bins.fit(values, num_bins)
  )


def test_edges_of_coarse_bins_are_within_the_error():
  rng = np.random.default_rng(0)
  values = np.round(rng.lognormal(12, 2, 20_000)).astype(np.int64)
  hist = split_and_merge(np.concatenate([values, -values]), 0, capacity=2_000)
  assert 5 <= hist.num_bits <= 10
  coarse = bins.fit_counts(hist.values, hist.counts, 32)
  exact = bins.fit(np.concatenate([values, -values]), 32)
  have, want = (x.edges.astype(np.int64) for x in (coarse, exact))
  assert (have != want).any()
  assert (np.abs(have - want) <= np.abs(want) * 2.0**-hist.num_bits).all()


@pytest.mark.parametrize("extreme", [2**31 - 1, -(2**31) + 1])
def test_coarse_bins_exceed_int32_where_their_values_do(extreme):
  values = np.concatenate([wide_values(0, 1_000) >> 40, [extreme]])
  hist = histogram.add(histogram.init(SMALLEST), values)
  assert hist.num_bits < 10
  bins.fit_counts(hist.values, hist.counts, 8)
  beyond = histogram.add(hist, np.array([extreme + np.sign(extreme)]))
  with pytest.raises(ValueError, match="exceed int32"):
    bins.fit_counts(beyond.values, beyond.counts, 8)
