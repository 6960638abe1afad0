"""The kinds of agent of ABIDES, asked what they do in a moment made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import types
from mars_jax.sim import agents
from tests.support.sim import agent_observations

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL

pytestmark = pytest.mark.usefixtures("quick_compilation")


class TestValue:
  def _acted(self, fundamental, observation, **fields):
    agent = agents.value.make(fundamental=fundamental, noise=0.0, **fields)
    state, _ = agent.init(
      observation.key, agent_observations.observation(time=90)
    )
    return agent.act(state, observation)

  @pytest.mark.parametrize(
    ("fundamental", "side", "price"),
    [(1000, BID, 1002), (999, ASK, 998), (1e5 + 0.4, BID, 1002)],
  )
  def test_trades_towards_what_it_knows(self, fundamental, side, price):
    seen = agent_observations.observation(resting=((BID, 900, 5),))
    state, action = self._acted(fundamental, seen, aggressive=1.0)
    assert agent_observations.sent(action)[0] == (
      CANCEL,
      ASK,
      0,
      agent_observations.ALL,
      0,
    )
    assert agent_observations.new(action) == [
      (LIMIT, side, price, int(state.volume), 0)
    ]
    assert 20 <= state.volume < 50

  def test_falls_short_of_the_other_side_by_up_to_twice_the_spread(self):
    agent = agents.value.make(fundamental=2000, noise=0.0, aggressive=0.0)
    seen = agent_observations.observation()
    state, _ = agent.init(seen.key, seen)
    _, action = agent_observations.many(agent, state, seen, 500)
    assert set(action.orders.price[:, 1]) == set(range(995, 1003))

  def test_an_empty_side_has_it_quote_its_estimate(self):
    _, action = self._acted(1234.4, agent_observations.observation(asks=()))
    assert agent_observations.new(action)[0][2] == 1234

  def test_follows_the_path(self):
    path = np.array([1000.0, 1010.0, 1020.0])
    fields = {"path_start": 95.0, "path_step": 4.0, "mean": 1000.0}
    state, _ = self._acted(
      path, agent_observations.observation(time=100), **fields
    )
    assert state.estimate == 10
    state, _ = self._acted(
      path, agent_observations.observation(time=200), **fields
    )
    assert state.estimate == 20

  def test_estimate_is_that_of_a_kalman_filter(self):
    num, mean, decay = 4000, 1000.0, np.exp(-0.02 * 10)
    agent = agents.value.make(
      fundamental=1060.0, mean=mean, reversion=0.02, volatility=3.0, noise=20.0
    )
    seen = agent_observations.observation(time=100)
    state, _ = agent.init(seen.key, agent_observations.observation(time=90))
    state = state.replace(estimate=jnp.float32(40), variance=jnp.float32(50))
    after, _ = agent_observations.many(agent, state, seen, num)
    before = 50 * decay**2 + 9 * (1 - decay**2) / 0.04
    gain = before / (before + 400)
    np.testing.assert_allclose(after.variance, (1 - gain) * before, rtol=1e-5)
    expected = 40 * decay + gain * (60 - 40 * decay)
    deviation = gain * 20 / np.sqrt(num)
    assert abs(after.estimate.mean() - expected) < 4 * deviation
    np.testing.assert_allclose(after.estimate.std(), gain * 20, rtol=0.05)

  def test_a_mean_reverting_path_has_the_variance_of_its_process(self):
    path = agents.value.mean_reverting(
      0, mean=1e5, num=20_000, reversion=0.5, volatility=2.0
    )
    assert path[0] == 1e5
    # Of 2**2 / (2 * 0.5), over some 5,000 independent values.
    assert abs(path.var() / 4.0 - 1) < 4 * np.sqrt(2 / 5000)
    assert abs(path.mean() - 1e5) < 4 * 2 / np.sqrt(5000)


def test_momentum_buys_what_rises_as_a_plain_computation_has_it():
  agent = agents.momentum.make(
    short=2, long=4, interval=3.0, is_poisson=False, volume=(7, 8)
  )
  seen = agent_observations.observation()
  state, wake = agent.init(seen.key, seen)
  assert agent_observations.seconds(wake) == 103
  act = jax.jit(agent.act)
  asks = [1002, 1004, 1006, 1003, 1001, 1000, 1000, 1000, 1005]
  notes = []
  for ask in asks:
    bid = ask - 4
    resting = ((ASK, 2000, 1),)
    now = agent_observations.observation(
      asks=((ask, 5),), bids=((bid, 5),), resting=resting
    )
    # A moment without asks is not noted, and has no order.
    gap = agent_observations.observation(
      asks=(), bids=((bid, 5),), resting=resting
    )
    same, action = act(state, gap)
    assert agent_observations.sent(action) == []
    state, action = act(same, now)
    notes.append((ask + bid) / 2)
    if len(notes) < 4:
      assert agent_observations.sent(action) == []
      continue
    buys = np.mean(notes[-2:]) >= np.mean(notes[-4:])
    side, price = (BID, ask) if buys else (ASK, bid)
    assert agent_observations.cancels(action) == [(0, agent_observations.ALL)]
    assert agent_observations.new(action) == [(LIMIT, side, price, 7, 0)]
