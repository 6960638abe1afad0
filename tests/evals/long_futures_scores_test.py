"""Similarity by bar and stability by stretch, worked out by hand."""

import dataclasses

import numpy as np
import pytest

from mars_jax.evals import market_bars
from mars_jax.evals import similarity
from mars_jax.evals import stability


def _bars(**values):
  """Bars of ones, but for the values given."""
  shape = np.shape(next(iter(values.values())))
  names = [field.name for field in dataclasses.fields(market_bars.Bars)]
  return market_bars.Bars(
    **{
      name: np.array(values.get(name, np.ones(shape)), float) for name in names
    }
  )


def test_the_overlap_is_the_sum_of_lesser_shares():
  real = np.linspace(0, 1, 101)  # Outer bins reach beyond .01 and .99.
  assert similarity.overlap(real, real) == pytest.approx(1)
  assert similarity.overlap(real, real + 5) == pytest.approx(0.06, abs=0.02)
  half = similarity.overlap(real, np.concatenate([real, np.full(101, 0.505)]))
  assert half == pytest.approx(0.5, abs=0.06)
  constant = np.full(10, 3.0)
  assert similarity.overlap(constant, np.array([3, 3, 2, 4])) == 0.5
  assert np.isnan(similarity.overlap(real[:9], real))
  assert np.isnan(similarity.overlap(real, np.array([np.nan])))


def test_classes_are_cut_at_terciles_and_chosen_by_vote():
  real = np.arange(12.0)
  assert similarity.accuracy(real, np.tile(real, (3, 1))) == 1
  assert similarity.accuracy(real, real[None, ::-1]) == pytest.approx(1 / 3)
  # Two of three futures decide; one that is not known does not count.
  votes = np.stack([real, real, real[::-1], np.full(12, np.nan)])
  assert similarity.accuracy(real, votes) == 1
  assert similarity.accuracy(real, votes[3:]) == 0
  real[:3] = np.nan
  assert np.isnan(similarity.accuracy(real, votes))


def test_the_statistics_of_a_bar():
  found = similarity.measures(
    _bars(
      last=[[1.0, np.e, np.e**3]],
      new=[[4, 0, 2]],
      trades=[[1, 0, 1]],
      buys=[[3, 0, 1]],
      sent_volume=[[10, 0, 4]],
    )
  )
  expected = {
    "mean order volume": [2.5, np.nan, 2],
    "aggressive order ratio": [0.25, np.nan, 0.5],
    "buy order ratio": [0.75, np.nan, 0.5],
    "1-bar return": [np.nan, 1, 2],
    "2-bar return": [np.nan, np.nan, 3],
    "5-bar return": [np.nan] * 3,
  }
  for name, values in expected.items():
    np.testing.assert_allclose(found[name][0], values, err_msg=name)


def test_futures_are_compared_where_the_day_is_known():
  rng = np.random.default_rng(0)
  spread = rng.normal(size=(2, 40))
  real = spread.copy()
  real[1, 20:] = np.nan
  futures = np.repeat(spread, 3, axis=0)
  futures[3:, 20:] = 1e9  # Where there is no day.
  found = similarity.compare(_bars(spread=real), _bars(spread=futures))
  assert found["spread"].overlap == pytest.approx(1)
  assert found["spread"].accuracy == 1
  assert found["spread"].largest == pytest.approx(1 / 3)
  assert found["volatility"].largest == 1  # All alike.
  assert found["spread"].overlap_ceiling == pytest.approx((1, 0))
  alone = similarity.compare(_bars(spread=real), _bars(spread=spread))
  assert np.isnan(alone["spread"].accuracy_ceiling).all()
  assert len(found) == 10


def test_stretches_of_the_horizon_are_held_against_the_day():
  day = _bars(
    spread=[[2, 4, 4, 4, 5, 7, 9]],  # The last bar fills no stretch.
    events=[[10, 30, 10, 10, 10, 10, 10]],
    trades=[[1, 3, 1, 1, 5, 5, 0]],
  )
  real = _bars(spread=[[4, 4, np.nan, np.nan]])
  generated = _bars(
    spread=[[5, 5, 5, 8], [6, 6, 7, 7]], events=np.full((2, 4), 100)
  )
  found = stability.compute(day, real, generated, 2, seconds=5)
  spread = found["spread"]
  assert (spread.low, spread.high) == (3, 6)
  assert spread.mean == [5.5, 6.75] and spread.is_outside == [False, True]
  assert spread.error == pytest.approx([0.5, 0.25])
  np.testing.assert_array_equal(spread.real, [4, np.nan])
  rate = found["rate"]
  assert (rate.low, rate.high, rate.mean) == (2, 4, [20, 20])
  assert found["trades"].low == 0.1 and found["trades"].high == 0.5
  assert found["trades"].mean == [0.01, 0.01]
