"""The response to an order, worked out by hand."""

import numpy as np
import pytest

from mars_jax import types
from mars_jax.evals import response

_NUM, _LENGTH = 8, 12


def _future(moves, *, buys, traded=0):
  """Futures of `moves` ticks an order; `buys` of them are on the bid.

  Args:
    moves: `[S]` ticks, from the start to the end.
    buys: bool `[S, E]`.
    traded: lots of each.
  """
  steps = np.linspace(0, 1, _LENGTH + 1)
  order = types.Order(
    kind=np.full(buys.shape, types.OrderKind.LIMIT),
    side=np.where(buys, types.Side.BID, types.Side.ASK),
    price=np.zeros(buys.shape, int),
    volume=np.ones(buys.shape, int),
    id=np.zeros(buys.shape, int),
    owner=np.zeros(buys.shape, int),
  )
  return response.Future(
    mid=100 + np.round(np.outer(moves, steps) * 12),
    is_event=np.ones(buys.shape, bool),
    order=order,
    traded=np.full(buys.shape, traded),
  )


def _sides(share, seed):
  rng = np.random.default_rng(seed)
  return rng.random((_NUM, _LENGTH)) < share


def test_what_the_market_does_without_the_order_cancels():
  drift, up = np.arange(_NUM), 3
  sides = _sides(0.5, 0)
  futures = [_future(drift + x, buys=sides) for x in (0, up, -up)]
  found = response.reaction(*futures, volume=1.0, horizon=_LENGTH)
  assert found.lags == [0, 1, 2, 5, 10, 12]
  assert found.mid[0] == 0 and found.mid[-1] == 36
  assert found.error[-1] == 0
  assert found.buy[-1] == 36 and found.sell[-1] == -36
  # The same orders in all: nothing to find.
  assert set(found.shifts["new"]) == {0.0}
  assert set(found.p_values["new"]) == {1.0}
  assert np.isnan(found.shifts["trades"]).all()


def test_more_orders_of_the_same_side_are_a_positive_shift():
  more, fewer = _sides(0.9, 1), _sides(0.1, 2)
  futures = [
    _future(np.zeros(_NUM), buys=buys, traded=1)
    for buys in (_sides(0.5, 0), more, fewer)
  ]
  found = response.reaction(*futures, volume=1.0, horizon=_LENGTH)
  wanted = (more.mean() - fewer.mean()) / 2
  assert found.shifts["trades"][-1] == pytest.approx(wanted)
  assert found.p_values["trades"][-1] < 0.05
  swapped = response.reaction(
    futures[0], futures[2], futures[1], volume=1.0, horizon=_LENGTH
  )
  assert swapped.shifts["trades"][-1] == pytest.approx(-wanted)
  assert np.isnan(found.shifts["cancels"]).all()


def test_p_values_of_no_shift_are_uniform():
  p_values = []
  for seed in range(100):
    rng = np.random.default_rng(seed)
    total = np.full((2, 20), 30)
    pair = np.stack([rng.binomial(total, 0.5), total], axis=-1)
    p_values.append(response.shift(*pair, seed=seed)[1])
  # Below 0.1 with a probability of 0.1 each, within 4 deviations.
  assert abs(np.mean(np.array(p_values) < 0.1) - 0.1) < 4 * np.sqrt(0.09 / 100)


def test_the_share_that_remains_has_its_interval():
  sides = _sides(0.5, 0)
  futures = [_future(np.zeros(_NUM), buys=sides) for _ in range(3)]
  # Six ticks at once, of which a third is left.
  decay = np.linspace(6, 2, _LENGTH + 1)
  futures[1].mid[:] += decay
  futures[2].mid[:] -= decay
  found = response.reaction(*futures, volume=1.0, horizon=_LENGTH)
  assert found.remains == pytest.approx(1 / 3)
  assert found.remains_interval == pytest.approx((1 / 3, 1 / 3))
