"""Tests of the statistics: by hand, and against SciPy."""

import math

import numpy as np
import pytest
import scipy.stats

from mars_jax.utils import stats


def _autoregressive(num_series, length, factor):
  """Series `[length, num_series]`: x_t = factor x_(t-1) + noise."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(length, num_series))
  x[0] /= math.sqrt(1 - factor**2)
  for t in range(1, length):
    x[t] += factor * x[t - 1]
  return x


def _coverage(series, block):
  """The share of intervals that hold the true mean, 0."""
  found = np.array([stats.mean_interval(x, block) for x in series.T])
  return np.mean(np.abs(found[:, 0]) < found[:, 1])


def test_the_interval_of_dependent_values_is_neither_too_narrow_nor_too_wide():
  series = _autoregressive(400, 4096, factor=0.9)
  # Three standard errors of a share of 400 are 0.033.
  assert _coverage(series, block=256) == pytest.approx(0.95, abs=0.033)
  # As if independent: too narrow by sqrt(1.9 / 0.1), to cover 0.347.
  assert _coverage(series, block=1) == pytest.approx(0.347, abs=0.08)


def test_the_interval_is_students_where_batches_are_equal():
  x = np.array([1.0, 3.0, 2.0, 6.0, 4.0, 8.0])  # Means 2, 4, 6.
  mean, half = stats.mean_interval(x, 2)
  assert mean == 4
  assert half == pytest.approx(4.302653 * 2 / math.sqrt(3))  # t of 2 degrees.


def test_no_value_is_left_out():
  mean, half = stats.mean_interval(np.arange(11.0), 3)
  assert mean == 5
  assert half > 0


def test_one_batch_tells_nothing_of_its_error():
  mean, half = stats.mean_interval(np.ones(7), 4)
  assert mean == 1
  assert math.isnan(half)


@pytest.mark.parametrize("values, block", [([], 1), ([[1.0]], 1), ([1.0], 0)])
def test_what_is_no_series_is_refused(values, block):
  with pytest.raises(ValueError, match="no series|must be >= 1"):
    stats.mean_interval(np.array(values), block)


def test_series_are_pooled_by_their_sizes():
  assert stats.pooled([(1.0, 0.4), (2.0, 0.2)], [300, 100]) == (
    pytest.approx(1.25),
    pytest.approx(math.hypot(0.3, 0.05)),
  )


def test_rows_come_in_blocks_that_go_round():
  rng = np.random.default_rng(0)
  rows = stats.bootstrap_rows(rng, 10, block=4)
  assert rows.shape == (10,)
  steps = np.diff(rows) % 10
  assert (np.delete(steps, [3, 7]) == 1).all()


def test_blocks_of_one_are_the_usual_bootstrap():
  rows = stats.bootstrap_rows(np.random.default_rng(3), 50)
  want = np.random.default_rng(3).integers(50, size=50)
  np.testing.assert_array_equal(rows, want)


def test_every_row_is_drawn_as_often_as_any_other():
  rng = np.random.default_rng(0)
  draws = [stats.bootstrap_rows(rng, 7, block=3) for _ in range(5_000)]
  counts = np.bincount(np.concatenate(draws), minlength=7)
  np.testing.assert_allclose(counts, 5_000, rtol=0.05)


def test_the_bootstrap_interval_is_that_of_scipy():
  values = np.random.default_rng(0).gamma(2.0, size=200)
  found = stats.bootstrap_interval(values, np.median, num_samples=4_000)
  want = scipy.stats.bootstrap(
    (values,),
    np.median,
    n_resamples=4_000,
    method="percentile",
    rng=np.random.default_rng(1),
  ).confidence_interval
  np.testing.assert_allclose(found, want, atol=0.03)


def test_the_block_bootstrap_is_as_wide_as_the_interval_of_batch_means():
  (series,) = _autoregressive(1, 4096, factor=0.9).T
  mean, half = stats.mean_interval(series, 256)
  low, high = stats.bootstrap_interval(series, np.mean, block=256)
  np.testing.assert_allclose((low, high), (mean - half, mean + half), atol=0.1)
  narrow = np.diff(stats.bootstrap_interval(series, np.mean))
  assert narrow < (high - low) / 2


def _gap(one, other):
  return float(np.abs(one.mean(axis=0) - other.mean(axis=0)).sum())


@pytest.mark.parametrize("shift", [0.0, 0.8, 1.5])
def test_the_permutation_test_is_that_of_scipy(shift):
  one, other = np.random.default_rng(5).normal(size=(2, 5))
  other += shift
  statistic, p_value = stats.permutation_test(
    one, other, _gap, num_shuffles=4_000
  )
  want = scipy.stats.permutation_test(
    (one, other),
    _gap,
    vectorized=False,
    alternative="greater",
    n_resamples=np.inf,  # All 252 divisions.
  )
  assert statistic == want.statistic
  deviation = math.sqrt(want.pvalue * (1 - want.pvalue) / 4_000)
  assert p_value == pytest.approx(want.pvalue, abs=4 * deviation + 1e-3)


def test_groups_of_rows_far_apart_have_the_least_p_value():
  one, other = np.random.default_rng(0).normal(size=(2, 20, 4))
  _, p_value = stats.permutation_test(one, other + 9, _gap)
  assert p_value == 1 / 1000
