"""Injected orders matter: to the price, and to the orders that follow."""

import jax
import numpy as np
import pytest

from mars_jax import demo
from mars_jax import lmm
from mars_jax import types
from mars_jax.apps import impact
from mars_jax.apps import start as start_lib
from mars_jax.feeds import registry
from tests.support.sim import synthetic_start

_NUM = 16  # Trajectories.


@pytest.fixture(scope="module")
def market(bitstamp_sample):
  stream = registry.read(bitstamp_sample)[:20_200]
  time = int(stream.time[20_000])
  model = lmm.load(demo.MODEL)
  return start_lib.load_start(stream, time, model, book_capacity=256)


def _compare(market, *, num_asks):
  """Futures with and without a buy of what the best asks hold."""
  asks = np.asarray(market.initial.market.exchange.book.volume[types.Side.ASK])
  return impact.compare(
    market.flow,
    jax.random.key(0),
    market.initial,
    config=market.sim_config(),
    injection=impact.Injection(
      side=types.Side.BID, volume=int(asks[:num_asks].sum()), after_s=0.25
    ),
    num_trajectories=_NUM,
    horizon_s=2.0,
    num_points=81,
  )


@pytest.fixture(scope="module")
def response(market):
  return _compare(market, num_asks=60)


@pytest.mark.slow
def test_nothing_changes_before_the_order(response):
  before = response.axis < 0.25
  np.testing.assert_array_equal(
    response.mid[0][:, before], response.mid[1][:, before]
  )


@pytest.mark.slow
def test_a_large_buy_moves_the_mid(response):
  # At once, in every future.
  at = np.searchsorted(response.axis, 0.25)
  assert (response.mid[1][:, at] > response.mid[0][:, at]).mean() > 0.9
  assert response.impact[at] > 5 * response.impact_error[at]


@pytest.mark.slow
def test_the_orders_that_follow_are_of_another_distribution(response):
  np.testing.assert_allclose(response.shares.sum(axis=1), 1.0)
  assert response.p_value < 0.01


@pytest.mark.slow
def test_a_smaller_order_moves_the_mid_less_and_compiles_nothing(
  market, response, caplog
):
  with jax.log_compiles():
    smaller = _compare(market, num_asks=20)
  assert "XLA compilation" not in caplog.text
  at = np.searchsorted(response.axis, 0.25)
  np.testing.assert_array_equal(smaller.mid[0], response.mid[0])
  assert 0 < smaller.impact[at] < response.impact[at]


def test_equal_groups_are_not_told_apart():
  rng = np.random.default_rng(1)
  p_values = []
  for _ in range(40):
    one, other = rng.poisson(3.0, (2, 20, 96))
    p_values.append(impact._test(one, other)[1])
  # Uniform: below 0.1 with a probability of 0.1 each, within 4 deviations.
  assert (np.array(p_values) < 0.1).mean() < 0.1 + 4 * np.sqrt(0.09 / 40)


def test_an_order_after_the_horizon_is_refused():
  market = synthetic_start.market()
  with pytest.raises(ValueError, match="horizon"):
    impact.compare(
      market.flow,
      jax.random.key(0),
      market.initial,
      config=market.sim_config(),
      injection=impact.Injection(types.Side.BID, 1, after_s=5.0),
      num_trajectories=2,
      horizon_s=3.0,
    )
