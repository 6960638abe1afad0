"""Stylized facts, of markets that have them or lack them, and by hand."""

import math

import numpy as np
import pytest

from mars_jax.evals import stylized_facts as facts_lib


def _prices(returns):
  """Prices of log-returns `[P, n]`; the first bar is the one left out."""
  padded = np.pad(returns, [(0, 0), (2, 0)])
  return 100 * np.exp(np.cumsum(padded, axis=1))


def _compute(returns, volume=None):
  price = _prices(returns)
  volume = np.ones_like(price) if volume is None else volume
  return facts_lib.compute(price, price, volume)


@pytest.fixture(scope="module")
def gaussian():
  return np.random.default_rng(0).normal(0, 1e-3, (60, 200))


@pytest.fixture(scope="module")
def garch():
  """Returns of a GARCH(1, 1), and volumes that grow with its variance."""
  rng = np.random.default_rng(1)
  noise = rng.standard_normal((60, 400))
  variance, x = np.full(60, 1e-6), np.zeros(60)
  found, variances = [], []
  for step in range(noise.shape[1]):
    variance = 0.03e-6 + 0.2 * x**2 + 0.77 * variance
    x = np.sqrt(variance) * noise[:, step]
    found.append(x)
    variances.append(variance)
  return np.stack(found, 1), np.stack(variances, 1)


def test_a_gaussian_walk_has_no_fact_but_the_absence_of_memory(gaussian):
  volume = np.random.default_rng(7).exponential(size=(60, 202))
  found = _compute(gaussian, volume)
  assert found.num_returns == gaussian.size
  assert abs(found.kurtosis[0]) < 0.1 and abs(found.skew[0]) < 0.05
  assert np.abs(found.volatility).max() < 0.05
  assert 0.6 < found.fano < 1.4
  holds = found.holds()
  assert holds.pop("absence of autocorrelation")
  del holds["intermittency"]  # By chance, near 1.
  assert set(holds.values()) == {False}


def test_volatility_that_persists_is_found(garch):
  returns, variance = garch
  volume = np.pad(variance, [(0, 0), (2, 0)], mode="edge")
  holds = _compute(returns, volume).holds()
  for name in (
    *("heavy tails", "intermittency", "volatility clustering"),
    *("slow decay", "volume and volatility", "conditional heavy tails"),
    *("absence of autocorrelation", "aggregational Gaussianity"),
  ):
    assert holds[name], name
  assert not holds["leverage"] and not holds["gain/loss asymmetry"]


def test_the_bounce_between_bid_and_ask_is_a_negative_lag():
  side = np.random.default_rng(2).choice([99.0, 101.0], (20, 300))
  found = facts_lib.autocorrelation(side)
  assert found[0] == pytest.approx(-0.5, abs=0.05)
  assert np.abs(found[1:]).max() < 0.06


def test_falls_that_bring_volatility_are_leverage():
  rng = np.random.default_rng(3)
  noise, x, found = rng.standard_normal((40, 300)), np.zeros(40), []
  for step in range(noise.shape[1]):
    x = 1e-3 * np.where(x < 0, 2.0, 1.0) * noise[:, step]
    found.append(x)
  assert facts_lib.leverage(_prices(np.stack(found, 1)))[0] < -0.1


def test_returns_start_from_the_second_bar():
  price = np.exp([[9.0, 0, 1, 3, 6]])
  np.testing.assert_allclose(facts_lib.returns(price), [[1, 2, 3]])
  np.testing.assert_allclose(facts_lib.returns(price, 2), [[3, 5]])
  price[0, 2] = 0  # No price.
  np.testing.assert_allclose(facts_lib.returns(price), [[np.nan, np.nan, 3]])


def test_correlations_pool_paths_without_joining_them():
  x = np.array([[1.0, 2, 3], [5, 5, np.nan]])
  pairs = [(1, 2), (2, 3), (5, 5)]
  expected = np.corrcoef(np.array(pairs).T)[0, 1]
  assert facts_lib.lagged(x, x, [1])[0] == pytest.approx(expected)
  # A negative lag: y is earlier.
  y = x + 10
  forward, backward = (
    facts_lib.lagged(x, y, [1])[0],
    facts_lib.lagged(y, x, [-1]),
  )
  assert forward == pytest.approx(backward[0])
  assert np.isnan(facts_lib.lagged(x, x, [2, 3, 7])).all()


def test_moments_are_those_without_bias():
  returns = np.array([[0.01, -0.02, 0.03, 0.0, 0.01]])
  x = returns[0] - returns.mean()
  n, deviation = 5, x.std(ddof=1)
  z = x / deviation
  skew = n / ((n - 1) * (n - 2)) * (z**3).sum()
  kurtosis = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * (z**4).sum()
  kurtosis -= 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))
  price = _prices(returns)
  assert facts_lib.skew(price)[0] == pytest.approx(skew)
  assert facts_lib.kurtosis(price)[0] == pytest.approx(kurtosis)
  # Larger returns are left out: of the skewness above 0.05, of both above 0.5.
  price = _prices(np.c_[returns, [[0.2]]])
  assert facts_lib.skew(price)[0] == pytest.approx(skew)
  price = _prices(np.c_[returns, [[0.7]]])
  assert facts_lib.kurtosis(price)[0] == pytest.approx(kurtosis)


def test_large_returns_are_counted_by_window():
  returns = np.full((1, 180), 1e-4)
  returns[0, :2] = 0.1  # Both in the first of three windows.
  found = facts_lib.fano(_prices(returns))
  counts = np.array([2, 0, 0])
  assert found == pytest.approx(counts.var(ddof=1) / counts.mean())


def test_a_pattern_of_the_day_is_no_conditional_tail():
  rng = np.random.default_rng(4)
  pattern = np.where(np.arange(60) % 10 == 0, 8.0, 1.0)
  returns = 1e-3 * pattern * rng.standard_normal((200, 60))
  found = _compute(returns)
  assert found.kurtosis[0] > 2
  assert abs(found.conditional_kurtosis[0]) < 0.15
  # Shifted, where the paths begin at another time of day.
  price = _prices(returns)
  price[100:, 1:-10] = price[100:, 11:]
  price[100:, -10:] = np.nan
  shift = np.repeat([0, 10], 100)
  found = facts_lib.conditional_kurtosis(price, shift)
  assert abs(found[0]) < 0.15


def test_scales_by_hand():
  returns = np.random.default_rng(5).normal(0, 1e-3, (2, 30))
  fine, coarse = [], []
  for path in returns:
    ends = range(4, len(path))
    fine.append([sum(map(abs, path[t - 4 : t + 1])) for t in ends])
    coarse.append([abs(sum(path[t - 4 : t + 1])) for t in ends])
  for lag in (3, -3):
    pairs = [
      (f[t], c[t + lag])
      for f, c in zip(fine, coarse, strict=True)
      for t in range(len(f))
      if 0 <= t + lag < len(f)
    ]
    expected = np.corrcoef(np.array(pairs).T)[0, 1]
    found = facts_lib.timescale(_prices(returns))
    assert found[10 + lag] == pytest.approx(expected)
  whole = _compute(returns)
  assert whole.asymmetry[2] == pytest.approx(found[13] - found[7])


def test_volumes_go_with_the_return_from_their_bar():
  returns = np.random.default_rng(6).normal(0, 1e-3, (1, 50))
  volume = np.zeros((1, 52))
  volume[0, 1:49] = np.abs(returns[0, 2:])  # Foretells two bars ahead.
  found = facts_lib.volume_volatility(_prices(returns), volume)
  assert found[1] == pytest.approx(1)
  assert abs(found[0]) < 0.5


@pytest.mark.parametrize("num_bars", [0, 1, 2, 3, 7])
def test_too_little_data_is_not_known(num_bars):
  price = np.full((1, num_bars), 100.0)
  found = facts_lib.compute(price, price, price)
  assert set(found.holds().values()) == {None}
  assert all(
    np.isnan(value).all()
    for name, value in vars(found).items()
    if name != "num_returns"
  )
  assert facts_lib.errors(price, price, price) is None


def test_errors_are_those_of_other_paths(gaussian):
  price = _prices(gaussian[:20])
  found = facts_lib.errors(price, price, np.ones_like(price), num_samples=20)
  expected = 1 / math.sqrt(gaussian[:20].size)
  np.testing.assert_allclose(found.autocorrelation_last, expected, rtol=0.6)
  assert found.summary()["num_returns"] == gaussian[:20].size
