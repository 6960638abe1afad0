"""Each kind of agent, asked what it does in a moment made by hand."""

import jax
import numpy as np
import pytest

from mars_jax import types
from mars_jax.sim import agents
from mars_jax.sim import clock
from tests.support.sim import agent_observations

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
MARKET = types.OrderKind.MARKET
NONE = types.OrderKind.NONE

pytestmark = pytest.mark.usefixtures("quick_compilation")


class TestReplay:
  TIMES = ((99, 0), (100, 5), (100, 5), (100, 600), (101, 0))

  def _agent(self):
    seconds, nanoseconds = np.array(self.TIMES).T
    return agents.replay.make(
      seconds=seconds,
      nanoseconds=nanoseconds,
      kind=np.array([LIMIT, LIMIT, CANCEL, MARKET, LIMIT]),
      side=np.array([ASK, BID, ASK, BID, BID]),
      price=np.array([1005, 995, 0, 0, 996]),
      volume=np.array([1, 2, 3, 4, 5]),
      slot=np.array([0, 1, 1, 0, 2]),
    )

  def test_sends_each_order_at_its_time_and_skips_those_of_the_past(self):
    agent = self._agent()
    observation = agent_observations.observation()
    state, wake = agent.init(observation.key, observation)
    assert state.skipped == 1
    sent = []
    for _ in range(3):
      now = wake
      state, action = agent.act(state, observation.replace(time=now))
      soonest = clock.add(now, 1000)  # As the simulator has it.
      wake = clock.later(action.wake, soonest)
      sent += [
        (
          (int(now.seconds), int(now.nanoseconds)),
          agent_observations.sent(action),
        )
      ]
    assert sent == [
      ((100, 5), [(LIMIT, BID, 995, 2, 1), (CANCEL, ASK, 0, 3, 1)]),
      ((100, 1005), [(MARKET, BID, 0, 4, 0)]),
      ((101, 0), [(LIMIT, BID, 996, 5, 2)]),
    ]
    assert action.wake.seconds == clock.NEVER

  def test_orders_out_of_time_are_an_error(self):
    order = dict.fromkeys(("kind", "side", "price", "volume", "slot"), [0, 0])
    with pytest.raises(ValueError, match="order 1 comes before"):
      agents.replay.make(seconds=[5, 4], nanoseconds=[0, 0], **order)


class TestNoise:
  def test_draws_as_the_official_tables_have_it(self):
    num = 8000
    agent = agents.noise.make(interval=2.0)
    seen = agent_observations.observation(resting=((BID, 990, 5000),))
    _, action = agent_observations.many(agent, (), seen, num)
    first, second = (
      jax.tree.map(lambda x, i=i: x[:, i], action.orders) for i in (0, 1)
    )
    is_new = second.kind == LIMIT
    assert ((first.kind == CANCEL) == ~is_new).all()
    kinds = [
      (second.side[is_new] == BID).sum(),
      (second.side[is_new] == ASK).sum(),
    ]
    agent_observations.assert_shares(
      [*kinds, (~is_new).sum()], [0.4, 0.4, 0.2], num
    )
    offsets = second.price[is_new] - 1000
    agent_observations.assert_shares(
      [(offsets == i).sum() for i in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5)],
      [0.2, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025],
      is_new.sum(),
    )
    volumes = np.where(is_new, second.volume, first.volume)
    agent_observations.assert_shares(
      [(volumes == i).sum() for i in (100, 200, 500, 1000, 2000)],
      [0.5, 0.3, 0.15, 0.025, 0.025],
      num,
    )
    sleeps = action.wake.seconds - 100 + action.wake.nanoseconds / 1e9
    assert 1.0 <= sleeps.min() < 1.01
    assert 2.99 < sleeps.max() <= 3.0
    # A uniform on 1 to 3 has a variance of 1/3.
    assert abs(sleeps.mean() - 2.0) < 4 * np.sqrt(1 / 3 / num)

  def test_cancels_the_nearest_of_its_orders_up_to_the_volume(self):
    agent = agents.noise.make(
      buy=0.0, sell=0.0, cancel=1.0, offsets=((2, 1.0),), volumes=((7, 1.0),)
    )
    resting = ((BID, 990, 5), (0, 0, 0), (ASK, 1005, 90))
    _, action = agent.act((), agent_observations.observation(resting=resting))
    assert agent_observations.sent(action) == [(CANCEL, ASK, 0, 7, 2)]
    _, action = agent.act((), agent_observations.observation())
    assert agent_observations.sent(action) == []

  def test_takes_its_farthest_order_back_where_no_slot_is_free(self):
    agent = agents.noise.make(
      buy=1.0, sell=0.0, cancel=0.0, offsets=((-1, 1.0),), volumes=((7, 1.0),)
    )
    resting = ((BID, 998, 5), (BID, 990, 6))
    new = (LIMIT, BID, 999, 7)
    _, action = agent.act(
      (), agent_observations.observation(resting=resting, slots=3)
    )
    assert agent_observations.sent(action) == [(*new, 2)]
    _, action = agent.act(
      (), agent_observations.observation(resting=resting, slots=2)
    )
    assert agent_observations.cancels(action) == [(1, agent_observations.ALL)]
    assert agent_observations.new(action) == [(*new, 1)]

  def test_starts_and_ends_when_told(self):
    agent = agents.noise.make(start=150.5, end=160.0)
    seen = agent_observations.observation(time=100)
    assert agent_observations.seconds(agent.init(seen.key, seen)[1]) == 150.5
    _, action = agent.act((), agent_observations.observation(time=159.9))
    assert action.wake.seconds == clock.NEVER

  def test_tables_that_do_not_add_up_are_an_error(self):
    with pytest.raises(ValueError, match="offsets"):
      agents.noise.make(offsets=((1, 0.5),))


def test_zero_intelligence_sends_orders_at_its_rates():
  num = 8000
  agent = agents.zero_intelligence.make(
    limit=[2.0, 1.0],
    market=0.5,
    cancel=[0.1, 0.3],
    volume=[[3], [4], [9]],
    count=2,
  )
  # Asks of its own at 1 and 5 ticks from the best bid, 998.
  seen = agent_observations.observation(
    resting=((ASK, 999, 5), (0, 0, 0), (ASK, 1003, 6))
  )
  # Half of 2 * (2 + 1 + 0.5), and 0.3 for each of two orders and a third.
  bound = 3.5 + 0.9
  state, _ = agent.init(seen.key, seen)
  np.testing.assert_allclose(state, bound, rtol=1e-6)
  _, action = agent_observations.many(agent, state, seen, num)
  first, second = (
    jax.tree.map(lambda x, i=i: x[:, i], action.orders) for i in (0, 1)
  )
  rates = {
    (CANCEL, 0): 0.1,
    (CANCEL, 2): 0.3,
    (MARKET, ASK): 0.25,
    (MARKET, BID): 0.25,
    (LIMIT, ASK, 999): 1.0,
    (LIMIT, ASK, 1000): 0.5,
    (LIMIT, BID, 1001): 1.0,
    (LIMIT, BID, 1000): 0.5,
  }
  counts = [
    ((first.kind == CANCEL) & (first.id == key[1])).sum()
    if key[0] == CANCEL
    else (
      (second.kind == key[0])
      & (second.side == key[1])
      & (key[0] == MARKET or second.price == key[-1])
    ).sum()
    for key in rates
  ]
  agent_observations.assert_shares(
    counts, np.array([*rates.values()]) / bound, num
  )
  assert (second.volume[second.kind == LIMIT] == 3).all()
  assert (second.volume[second.kind == MARKET] == 4).all()
  assert (second.id[second.kind == LIMIT] == 1).all()
  both = (first.kind != NONE) & (second.kind != NONE)
  assert not both.any()
  sleeps = action.wake.seconds - 100 + action.wake.nanoseconds / 1e9
  mean = 1 / bound  # And the standard deviation of an exponential.
  assert abs(sleeps.mean() - mean) < 4 * mean / np.sqrt(num)


class TestMarketMaker:
  def _quotes(self, observation, **fields):
    agent = agents.market_maker.make(
      levels=2, volume=10, half_spread=1.5, spacing=3, skew=0.5, limit=25,
      **fields,
    )  # fmt: skip
    _, action = agent.act((), observation)
    return action, [row[1:4] for row in agent_observations.new(action)]

  def test_quotes_a_ladder_on_both_sides(self):
    _, quotes = self._quotes(agent_observations.observation())
    assert quotes == [
      (ASK, 1002, 10), (ASK, 1005, 10), (BID, 998, 10), (BID, 995, 10),
    ]  # fmt: skip

  def test_cancels_all_of_it_first(self):
    resting = ((ASK, 1005, 3), (0, 0, 0), (BID, 995, 4), (BID, 990, 4))
    action, quotes = self._quotes(
      agent_observations.observation(resting=resting)
    )
    assert agent_observations.cancels(action) == [
      (0, agent_observations.ALL),
      (2, agent_observations.ALL),
      (3, agent_observations.ALL),
    ]
    assert [row[0] for row in agent_observations.sent(action)] == [
      CANCEL
    ] * 3 + [LIMIT] * 4
    assert [row[4] for row in agent_observations.new(action)] == [0, 1, 2, 3]
    assert len(quotes) == 4

  def test_who_owns_quotes_lower_and_keeps_to_the_limit(self):
    # The middle is 1000 - 0.5 * 3; 22 lots fit until the limit of 25.
    _, quotes = self._quotes(agent_observations.observation(inventory=3))
    assert quotes == [
      (ASK, 1000, 10), (ASK, 1003, 10), (BID, 997, 10), (BID, 994, 10),
    ]  # fmt: skip
    _, quotes = self._quotes(agent_observations.observation(inventory=-9))
    assert quotes == [
      (ASK, 1006, 10), (ASK, 1009, 6), (BID, 1001, 10), (BID, 1000, 10),
    ]  # fmt: skip
    _, quotes = self._quotes(agent_observations.observation(inventory=25))
    assert {side for side, _, _ in quotes} == {ASK}

  def test_too_few_slots_and_too_long_delays_are_errors(self):
    agent = agents.market_maker.make(levels=3)
    with pytest.raises(ValueError, match="6 slots"):
      agent.act((), agent_observations.observation())
    with pytest.raises(ValueError, match="shorter than its 1.0 s"):
      agents.market_maker.make(delays=agents.Delays(10**9))
