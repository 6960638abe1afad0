"""Tests of the quantile bins: the rule, and invariants."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from mars_jax.tokens import bins

INT32_MAX = 2**31 - 1
_encode = jax.jit(bins.encode)
_decode = jax.jit(bins.decode)
_bounds = jax.jit(bins.bounds)


@pytest.fixture(autouse=True)
def strict_dtypes():
  with jax.numpy_dtype_promotion("strict"):
    yield


def encode(fitted, values):
  """The bins of values, as a NumPy array."""
  return np.asarray(_encode(fitted, np.asarray(values, np.int32)))


def decode_all(fitted, index):
  """All values that a bin can decode to, in order."""
  middles = (np.arange(bins.NUM_SAMPLES) + 0.5) / bins.NUM_SAMPLES
  index = np.full(middles.shape, index, np.int32)
  return np.asarray(_decode(fitted, index, middles.astype(np.float32)))


def num_used(fitted):
  """The number of bins that are not empty."""
  return int((fitted.edges < INT32_MAX).sum()) + 1


def test_bins_of_evenly_spread_values_have_equal_counts():
  fitted = bins.fit(np.random.default_rng(0).permutation(100), 4)
  assert fitted.edges.tolist() == [24, 49, 74]
  assert np.bincount(encode(fitted, np.arange(100))).tolist() == [25] * 4
  assert fitted.num_bins == 4


def test_value_more_frequent_than_a_bin_s_share_has_its_own_bin():
  values = np.concatenate([np.arange(1, 31), np.full(30, 100), [101, 102, 103]])
  fitted = bins.fit(values, 4)  # One bin's share is 63 / 4, less than 30.
  own = encode(fitted, [100])[0]
  assert encode(fitted, [99, 31, 30]).max() <= own
  assert set(decode_all(fitted, own).tolist()) == {100}
  assert encode(fitted, [101])[0] == own + 1
  # Of the three bins that are left, each gap has one, and the larger the third.
  assert fitted.edges.tolist() == [15, 30, 100]


def test_as_frequent_as_a_share_is_not_more_frequent():
  fitted = bins.fit(np.repeat([1, 2, 3, 4], [2, 1, 1, 4]), 4)
  # The share is 2: only 4 has its own bin, and 1 to 3 share three bins.
  assert fitted.edges.tolist() == [1, 2, 3]


def test_too_many_frequent_values_leave_bins_to_the_most_frequent():
  # 10 and 20 exceed the share of 21 / 3, and with three gaps need five bins.
  values = np.repeat([5, 10, 15, 20, 25], [2, 8, 2, 8, 1])
  fitted = bins.fit(values, 3)
  assert num_used(fitted) == 3
  # The first of the two has its own.
  assert encode(fitted, [5, 10, 15, 20, 25]).tolist() == [0, 1, 2, 2, 2]


def test_with_fewer_values_than_bins_the_last_bins_are_empty():
  fitted = bins.fit(np.array([7, -3, 7, 40]), 6)
  assert encode(fitted, [-3, 7, 40]).tolist() == [0, 1, 2]
  assert encode(fitted, [-INT32_MAX, INT32_MAX]).tolist() == [0, 2]
  for index in (2, 3, 4, 5):
    assert set(decode_all(fitted, index).tolist()) == {40}


def test_one_value_is_one_bin():
  fitted = bins.fit(np.array([5]), 3)
  assert encode(fitted, [-9, 5, 9]).tolist() == [0, 0, 0]
  assert set(decode_all(fitted, 0).tolist()) == {5}


def test_extremes_of_int32_are_encoded_and_decoded():
  values = np.array([-INT32_MAX, 0, INT32_MAX])
  fitted = bins.fit(values, 3)
  assert encode(fitted, values).tolist() == [0, 1, 2]
  assert [decode_all(fitted, b)[0] for b in range(3)] == values.tolist()
  assert encode(fitted, [-INT32_MAX - 1]).tolist() == [0]


@pytest.mark.parametrize("value", [2**31, -(2**31), 2**40])
def test_values_beyond_int32_are_an_error(value):
  with pytest.raises(ValueError, match="exceed int32"):
    bins.fit(np.array([0, value]), 4)


def test_no_values_are_an_error():
  with pytest.raises(ValueError, match="no values"):
    bins.fit(np.array([], np.int64), 4)
  with pytest.raises(ValueError, match="no values"):
    bins.fit_counts(np.array([], np.int64), np.array([], np.int64), 4)


def test_fit_counts_does_without_the_repeats():
  counts = np.array([96, 32, 400])
  fitted = bins.fit_counts(np.array([1, 2, 50]), counts, 2)
  jax.tree.map(
    np.testing.assert_array_equal,
    fitted,
    bins.fit(np.repeat([1, 2, 50], counts), 2),
  )
  billions = bins.fit_counts(np.array([1, 2, 50]), counts * 10**9, 2)
  jax.tree.map(np.testing.assert_array_equal, billions, fitted)


def test_bins_decode_to_their_values_by_frequency():
  fitted = bins.fit(np.repeat([1, 2, 50], [96, 32, 400]), 2)
  assert encode(fitted, [1, 2, 50]).tolist() == [0, 0, 1]
  values, counts = np.unique(decode_all(fitted, 0), return_counts=True)
  assert values.tolist() == [1, 2]
  assert counts.tolist() == [96, 32]  # Of 128 samples.
  edge = np.nextafter(np.float32(1), np.float32(0))
  ends = _decode(
    fitted, np.zeros(2, np.int32), np.array([0.0, edge], np.float32)
  )
  assert ends.tolist() == [1, 2]


def test_bounds_of_the_first_and_the_last_bin_are_far_away():
  fitted = bins.fit(np.arange(8), 4)
  low, high = _bounds(fitted, np.arange(4))
  assert low.tolist() == [-(2**29), 2, 4, 6]
  assert high.tolist() == [1, 3, 5, 2**29]


def test_bounds_of_empty_bins_are_those_of_the_last_bin_in_use():
  fitted = bins.fit(np.array([-4, 9]), 5)
  low, high = _bounds(fitted, np.arange(5))
  assert low.tolist() == [-(2**29)] + [-3] * 4
  assert high.tolist() == [-4] + [2**29] * 4


def check_bins(values, num_bins):
  """Asserts the invariants of the bins of any values."""
  fitted = bins.fit(values, num_bins)
  used = num_used(fitted)
  assert fitted.edges.shape == (num_bins - 1,)
  assert (np.diff(fitted.edges.astype(np.int64)) >= 0).all()
  assert used <= min(num_bins, len(np.unique(values)))

  have = encode(fitted, values)
  assert have.min() == 0 and have.max() == used - 1
  assert len(np.unique(have)) == used  # Only the last bins are empty.
  all_bins = np.minimum(np.arange(num_bins, dtype=np.int32), used - 1)
  decoded = encode(fitted, fitted.samples)
  assert (decoded == all_bins[:, None]).all()
  assert np.isin(fitted.samples, values).all()

  low, high = jax.device_get(_bounds(fitted, np.arange(num_bins)))
  is_near = np.abs(values) < 2**29
  assert (low[have] <= values)[is_near].all()
  assert (values <= high[have])[is_near].all()
  for bound in low, high:
    is_near = np.abs(bound) < 2**29
    assert (encode(fitted, bound) == all_bins)[is_near].all()


@hypothesis.given(
  values=st.lists(
    st.one_of(
      st.integers(-3, 3),
      st.integers(-(10**4), 10**4),
      st.integers(-INT32_MAX, INT32_MAX),
    ),
    min_size=1,
    max_size=60,
  ),
  num_bins=st.sampled_from([2, 3, 8, 32]),
)
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
def test_encode_gives_back_the_bin_of_what_was_decoded(values, num_bins):
  # Repeated to one length, so that there is one program a number of bins.
  check_bins(np.resize(np.array(values, np.int64), 60), num_bins)


@pytest.mark.parametrize("seed", range(3))
def test_random_heavy_tailed_values_fill_all_bins_evenly(seed):
  rng = np.random.default_rng(seed)
  values = np.round(rng.lognormal(6, 2, 5_000) / 10).astype(np.int64) * 10
  check_bins(values, 32)
  fitted = bins.fit(values, 32)
  unique, counts = np.unique(values, return_counts=True)
  share = len(values) / 32
  for value in unique[counts > share]:
    assert set(decode_all(fitted, encode(fitted, [value])[0])) == {value}
  # No bin of several values holds over two shares.
  sizes = np.bincount(encode(fitted, values), minlength=32)
  frequent = encode(fitted, unique[counts > share])
  assert (np.delete(sizes, frequent) <= 2 * share).all()


def test_encode_and_decode_take_any_shape_and_agree_with_one_by_one():
  fitted = bins.fit(np.arange(100) ** 2, 8)
  value = jnp.arange(24).reshape(2, 3, 4) * 400
  index = _encode(fitted, value)
  assert index.shape == value.shape
  assert index.dtype == jnp.int32
  assert index[1, 2, 3] == _encode(fitted, value[1, 2, 3])
  uniform = jnp.linspace(0, 0.99, 24).reshape(2, 3, 4)
  decoded = _decode(fitted, index, uniform)
  assert decoded.shape == value.shape
  assert decoded.dtype == jnp.int32
  one = _decode(fitted, index[1, 2, 3], uniform[1, 2, 3])
  assert decoded[1, 2, 3] == one
