"""Agents that execute a volume: single moments, and whole runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import sim
from mars_jax import types
from mars_jax.sim import agents
from mars_jax.sim import clock
from tests.support.sim import agent_observations

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, MARKET = types.OrderKind.LIMIT, types.OrderKind.MARKET

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _acted(period, *, make=agents.twap.make, side=BID, seen=(), **fields):
  """The (cancels, new orders) of 100 lots in ten slices, in one period."""
  agent = make(side=side, volume=100, **fields)
  observation = agent_observations.observation(**dict(seen))
  state, _ = agent.init(observation.key, observation)
  state = state.replace(period=jnp.int32(period))
  _, action = jax.jit(agent.act)(state, observation)
  orders = [row[1:] for row in agent_observations.new(action)]
  assert {row[0] for row in agent_observations.new(action)} <= {LIMIT}
  return agent_observations.cancels(action), orders


class TestPassivePeriod:
  def test_puts_its_ratio_of_the_volume_at_the_best_bid(self):
    assert _acted(0) == ([], [(BID, 998, 90, 1)])
    assert _acted(0, passive_ratio=0.1) == ([], [(BID, 998, 10, 1)])
    assert _acted(0, side=ASK) == ([], [(ASK, 1002, 90, 1)])

  def test_leaves_the_queue_as_it_is_and_adds_what_is_missing(self):
    seen = {"resting": ((0, 0, 0), (BID, 998, 60)), "inventory": 5}
    assert _acted(2, seen=seen) == ([], [(BID, 998, 30, 2)])

  def test_takes_back_what_is_not_at_the_best_bid(self):
    resting = ((BID, 1000, 4), (BID, 997, 60), (BID, 998, 20))
    seen = {"resting": resting, "inventory": 16}
    # 64 are cancelled; of 84 to buy 20 rest.
    assert _acted(2, seen=seen) == ([(0, 4), (1, 60)], [(BID, 998, 64, 1)])

  def test_never_rests_more_than_is_left_to_buy(self):
    seen = {"resting": ((0, 0, 0), (BID, 998, 20)), "inventory": 70}
    assert _acted(8, seen=seen) == ([], [(BID, 998, 10, 2)])

  def test_takes_back_what_rests_beyond_its_ratio(self):
    seen = {"resting": ((BID, 998, 4), (BID, 998, 10)), "inventory": 10}
    taken = _acted(2, seen=seen, passive_ratio=0.1)
    assert taken == ([(0, 4)], [])

  def test_without_a_free_slot_the_last_order_goes_with_the_new_volume(self):
    resting = ((0, 0, 0), (BID, 998, 20), (BID, 998, 5), (BID, 998, 7))
    assert _acted(2, seen={"resting": resting, "inventory": 8}) == (
      [(3, 7)],
      [(BID, 998, 65, 3)],
    )

  def test_an_empty_side_is_a_tick_beyond_the_other(self):
    seen = {"bids": (), "mid": 1002}
    assert _acted(0, seen=seen) == ([], [(BID, 1001, 90, 1)])

  def test_is_skipped_for_a_ratio_of_zero(self):
    seen = {"resting": ((BID, 990, 4),)}
    assert _acted(0, seen=seen, passive_ratio=0.0) == ([], [])


class TestAggressivePeriod:
  def test_buys_what_is_missing_at_the_level(self):
    seen = {"resting": ((0, 0, 0), (BID, 998, 50)), "inventory": 13}
    late = functools.partial(_acted, 3, seen=seen)  # Of 20 by then.
    assert late() == ([], [(BID, 1002, 7, 0)])
    assert late(level=2) == ([], [(BID, 1004, 7, 0)])
    assert late(level=3) == ([], [(BID, 1004, 7, 0)])  # There are two.
    assert late(ticks=5) == ([], [(BID, 1007, 7, 0)])
    assert late(level=0) == ([], [])
    assert late(aggressive_ratio=0.05) == ([], [(BID, 1002, 5, 0)])

  def test_sells_at_the_level_of_the_bids(self):
    seen = {"inventory": -13}
    sells = functools.partial(_acted, 3, side=ASK, seen=seen)
    assert sells() == ([], [(ASK, 998, 7, 0)])
    assert sells(level=2) == ([], [(ASK, 997, 7, 0)])
    assert sells(ticks=5) == ([], [(ASK, 993, 7, 0)])

  def test_cancels_passive_orders_that_are_in_the_way(self):
    resting = ((0, 0, 0), (BID, 998, 2), (BID, 998, 85))
    seen = {"resting": resting, "inventory": 10}
    # Of 90 to buy 87 rest, and 10 are missing: 7 too many.
    assert _acted(3, seen=seen) == ([(1, 2), (2, 5)], [(BID, 1002, 10, 0)])

  def test_replaces_what_is_left_of_the_last_one(self):
    resting = ((BID, 1001, 4), (BID, 998, 60))
    seen = {"resting": resting, "inventory": 16}
    assert _acted(3, seen=seen) == ([(0, 4)], [(BID, 1002, 4, 0)])

  def test_does_nothing_ahead_of_the_schedule(self):
    resting = ((BID, 1001, 4), (BID, 998, 60))
    seen = {"resting": resting, "inventory": 20}
    assert _acted(3, seen=seen) == ([], [])

  def test_round_lots_are_padded_as_the_official_code_has_it(self):
    agent = agents.twap.make(
      side=BID, volume=1000, slices=4, duration=120.0, passive_s=20.0, ticks=5,
      passive_ratio=0.33, round_lot=100,
    )  # fmt: skip
    seen = agent_observations.observation(inventory=150)
    state, _ = agent.init(seen.key, seen)
    _, action = agent.act(state, seen)
    assert agent_observations.new(action) == [(LIMIT, BID, 998, 400, 1)]
    _, action = agent.act(state.replace(period=jnp.int32(1)), seen)
    # 250 are due: 100 are missing. Then 750 are due, 600 missing.
    assert agent_observations.new(action) == [(LIMIT, BID, 1007, 100, 0)]
    _, action = agent.act(state.replace(period=jnp.int32(5)), seen)
    assert agent_observations.new(action) == [(LIMIT, BID, 1007, 600, 0)]


def test_at_the_end_all_is_cancelled_and_the_agent_sleeps():
  agent = agents.twap.make(side=BID, volume=100, start=150.0)
  seen = agent_observations.observation(
    time=450, resting=((BID, 1002, 3), (BID, 998, 9))
  )
  state, wake = agent.init(seen.key, seen)
  assert agent_observations.seconds(wake) == 450
  state, action = agent.act(state, seen)
  assert agent_observations.cancels(action) == [(0, 3), (1, 9)]
  assert agent_observations.new(action) == []
  assert action.wake.seconds == clock.NEVER


def test_who_comes_late_begins_with_the_next_period():
  agent = agents.twap.make(side=BID, volume=100, start=50.0)
  seen = agent_observations.observation(
    time=100
  )  # 50 s into it: 55 is the next.
  state, wake = agent.init(seen.key, seen)
  assert (int(state.period), agent_observations.seconds(wake)) == (3, 105)


def test_vwap_follows_its_profile():
  profile = (1.0, 2.0, 0.0, 5.0)
  buys = functools.partial(
    _acted, make=agents.vwap.make, profile=profile, passive_ratio=0.0
  )
  for i, expected in enumerate((12, 38, 38, 100)):  # 12.5 and 37.5 rounded.
    assert buys(2 * i + 1) == ([], [(BID, 1002, expected, 0)])


@pytest.mark.parametrize(
  ("field", "reason"),
  [
    ({"side": 2}, "side"),
    ({"passive_s": 30.0}, "no passive period of 30.0 s"),
    ({"passive_ratio": 1.5}, "passive_ratio"),
    ({"delays": agents.Delays(observation=5 * 10**9)}, "shorter than its 5.0"),
  ],
)
def test_a_schedule_that_cannot_be_is_an_error(field, reason):
  with pytest.raises(ValueError, match=reason):
    agents.twap.make(**({"side": BID, "volume": 100} | field))


class TestPov:
  def test_executes_its_share_of_what_is_traded(self):
    agent = agents.pov.make(side=BID, volume=100, ratio=0.2, start=101.0)
    most = 2**31 - 1
    seen = agent_observations.observation(traded=most - 100)
    state, wake = agent.init(seen.key, seen)
    act = jax.jit(agent.act)
    assert agent_observations.seconds(wake) == 101
    sent = []
    for time, traded, inventory, resting in (
      (101, most - 90, 0, 0),  # Trades before it began do not count.
      (106, most - 48, 0, 0),  # 42 others: a quarter is 10.5.
      (111, most - 40, 8, 2),  # 8 of its own, and none other.
      (116, -(2**31) + 9, 10, 0),  # 2 of its own, and 48 others: round.
    ):
      rests = ((BID, 1002, resting),)
      seen = agent_observations.observation(
        time=time, traded=traded, inventory=inventory, resting=rests
      )
      state, action = act(state, seen)
      assert agent_observations.seconds(action.wake) == time + 5
      assert all(
        row[:3] == (LIMIT, BID, 1002) for row in agent_observations.new(action)
      )
      volume = [row[3] for row in agent_observations.new(action)]
      sent.append((agent_observations.cancels(action), volume))
    # 0.5 is owed throughout; at last 0.5 + 12.
    whole = [(0, agent_observations.ALL)]
    assert sent == [([], []), ([], [10]), (whole, [2]), ([], [12])]

  def test_ends_with_its_volume_and_its_time(self):
    agent = agents.pov.make(
      side=ASK, volume=10, ratio=0.5, duration=7.0, round_lot=2, level=2
    )
    seen = agent_observations.observation()
    state, _ = agent.init(seen.key, seen)
    seen = agent_observations.observation(time=105, traded=1000, inventory=-3)
    state, action = agent.act(state, seen)
    assert agent_observations.new(action) == [(LIMIT, ASK, 997, 6, 0)]
    assert agent_observations.seconds(action.wake) == 107
    seen = agent_observations.observation(
      time=107, traded=2000, inventory=-3, resting=((ASK, 997, 6),)
    )
    _, action = agent.act(state, seen)
    assert agent_observations.new(action) == []
    assert agent_observations.cancels(action) == [(0, agent_observations.ALL)]
    assert action.wake.seconds == clock.NEVER


_BOOK = ((ASK, 1001, 35), (ASK, 1002, 100), (BID, 999, 50))


def test_twap_in_a_static_book_keeps_its_schedule_and_executes_all():
  """L2-P0.9 of 100 lots from 110 on; somebody sells 70 at 150.

  Of these the 50 that rested first get theirs, and TWAP 20. So it has 10 after
  the first slice, 30 after the second, nothing to do in the third, and buys 10
  in each of the others: 80 in all at the asks, 35 of them at 1001.
  """
  twap = agents.twap.make(side=BID, volume=100, start=110.0, level=2)
  seller = agents.replay.make(
    seconds=[150], nanoseconds=[7], kind=[MARKET], side=[ASK], price=[0],
    volume=[70], slot=[0],
  )  # fmt: skip
  # The first order of the flow comes 1,800 s later.
  _, state, event, accounts = agent_observations.simulate(
    (twap, seller),
    lambda key: jnp.int32([0, 0, 0, 15]),
    _BOOK,
    interval=120_000_000,
    until=500,
    num_events=30,
  )
  names = {0: "limit", 1: "cancel", 2: "market"}
  found = [
    (
      int(event.time.seconds[i]),
      names[int(event.order.kind[i])],
      int(event.order.price[i]) * (event.order.kind[i] != MARKET),
      int(event.order.volume[i]),
      int(accounts.inventory[i, 0]),
    )
    for i in np.flatnonzero(event.is_event)
  ]
  expected = [
    (110, "limit", 999, 90, 0),
    (135, "limit", 1002, 10, 10),
    (150, "market", 0, 70, 30),
  ]
  for i in range(3, 10):
    expected += [
      (110 + 30 * i + 25, "cancel", 999, 10, 10 * i),
      (110 + 30 * i + 25, "limit", 1002, 10, 10 * i + 10),
    ]
  assert found == expected
  cash = sim.money.to_int(state.agents.accounts.cash)
  assert cash[0] == -(20 * 999 + 35 * 1001 + 45 * 1002)
  assert cash.sum() == 0
  assert state.agents.accounts.inventory.tolist() == [100, -70, -30]
  assert not state.agents.orders.volume.any()
  assert not state.agents.rejected.any()
