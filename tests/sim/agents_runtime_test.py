"""Agents that follow scripts, hand-worked: when they act, what they see."""

import chex
import jax
import numpy as np
import pytest

from mars_jax import sim
from mars_jax import types
from mars_jax.lob import venues
from mars_jax.sim import agents
from mars_jax.sim import pretrade
from mars_jax.tokens import vocab
from tests.support.sim import scripted_market

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
Kind = types.OrderKind
_refused = jax.jit(pretrade.is_rejected, static_argnames="rules")


def test_orders_come_their_delay_after_the_wake_up_ties_by_agent():
  two = (
    scripted_market.rest(BID, 990, slot=0),
    scripted_market.rest(BID, 991, slot=1),
  )
  scripts = {
    1: [(150, scripted_market.rest(ASK, 1010))],
    0: [(150, *two)],
    scripted_market.SLOW: [
      (120, scripted_market.rest(BID, 989)),
      (125, scripted_market.rest(BID, 988, slot=1)),
    ],
  }
  _, kept, _ = scripted_market.simulate(scripts)
  assert scripted_market.sequence(kept, 7) == [
    (100, -1),
    (150, 0),
    (150, 0),
    (150, 1),
    (170, scripted_market.SLOW),
    (175, scripted_market.SLOW),
    (200, -1),
  ]
  assert scripted_market.of(kept, 0) == [
    (Kind.LIMIT, 990, 2),
    (Kind.LIMIT, 991, 2),
  ]


def test_of_one_moment_are_messages_then_the_plan_then_those_that_wake_up():
  scripts = {
    0: [(200, scripted_market.rest(BID, 990))],
    scripted_market.SLOW: [(150, scripted_market.rest(BID, 989))],
  }
  _, kept, seen = scripted_market.simulate(scripts)
  assert scripted_market.sequence(kept, 4) == [
    (100, -1),
    (200, scripted_market.SLOW),
    (200, -1),
    (200, 0),
  ]
  # It saw the plan of that moment, as the last event.
  assert scripted_market.milliseconds(seen.seen.time)[0, 0] == 200


def test_who_wakes_up_between_a_message_and_the_plan_sees_the_message():
  scripts = {
    0: [(150, scripted_market.rest(BID, 1000, 4))],
    1: [(140,), (150,), (150.5, scripted_market.rest(ASK, 1000, 2))],
  }
  last, kept, scripts = scripted_market.simulate(scripts)
  assert scripted_market.sequence(kept, 4) == [
    (100, -1),
    (150, 0),
    (150.5, 1),
    (200, -1),
  ]
  assert scripted_market.milliseconds(scripts.seen.time)[1, :3].tolist() == [
    100,
    100,
    150,
  ]
  best = scripts.seen.snapshot.price[1, :3, BID, 0]
  # At the same moment it could not know yet.
  assert best.tolist() == [999, 999, 1000]
  assert last.agents.accounts.inventory[:2].tolist() == [2, -2]


def test_nobody_wakes_up_at_once_again_nor_before_the_start():
  begun = scripted_market.begin(scripted_market.patient())
  assert scripted_market.milliseconds(begun.agents.wake).tolist() == [0, 0, 0]
  scripts = {
    0: [
      (150, scripted_market.rest(BID, 990)),
      (20, scripted_market.rest(BID, 991, slot=1)),
    ]
  }
  _, kept, _ = scripted_market.simulate(scripts)
  assert scripted_market.sequence(kept, 3)[1:] == [(150, 0), (150.001, 0)]


def _view_at(kept, moment):
  """What was to see at a moment: of the last event until then, or the start."""
  times = scripted_market.milliseconds(kept.event.time)
  i = np.flatnonzero(times <= moment)[-1]
  row = jax.tree.map(lambda x: x[i], kept)
  return (
    times[i],
    int(row.event.mid),
    row.event.snapshot.price[:, :1].tolist(),
    row.event.report.traded,
    sim.money.to_int(row.agents.accounts.cash[scripted_market.SLOW]),
    int(row.agents.accounts.inventory[scripted_market.SLOW]),
    row.agents.orders.volume[scripted_market.SLOW].tolist(),
    row.agents.orders.price[scripted_market.SLOW].tolist(),
  )


def test_who_sees_late_sees_the_market_and_itself_as_they_were_then():
  wakes = [200, 299.999999, 300, 455, 700.5, 812]
  buy = agents.order(Kind.MARKET, BID, volume=2, slot=2)
  scripts = {
    scripted_market.SLOW: [
      (wakes[0], buy, scripted_market.rest(BID, 980, 6)),
      (wakes[1], agents.order(Kind.MODIFY, price=981, volume=4)),
      (wakes[2], buy),
      *((time, buy) for time in wakes[3:]),
    ]
  }
  last, kept, scripts = scripted_market.simulate(
    scripts, scripted_market.moves()
  )
  assert last.agents.stale.tolist() == [0, 0, 0]
  assert last.agents.accounts.bought[scripted_market.SLOW] == 10
  for i, time in enumerate(wakes):
    view = jax.tree.map(lambda x, i=i: x[scripted_market.SLOW, i], scripts.seen)
    found = (
      scripted_market.milliseconds(view.time),
      int(view.mid),
      view.snapshot.price[:, :1].tolist(),
      sim.money.to_int(view.account.cash),
      int(view.account.inventory),
      view.orders.volume.tolist(),
      view.orders.price.tolist(),
    )
    expected = list(_view_at(kept, time - 100))
    del expected[3]
    assert found == tuple(expected), time


def test_views_from_before_the_start_or_forgotten_are_counted_stale():
  before = {scripted_market.SLOW: [(99.999999,), (100,)]}
  last, _, scripts = scripted_market.simulate(before)
  assert last.agents.stale.tolist() == [0, 0, 1]
  assert scripted_market.milliseconds(scripts.seen.time)[
    scripted_market.SLOW, :2
  ].tolist() == [0, 0]
  # Four views are kept: of 202, 203, 204 and 205 at the end.
  burst = {
    0: [
      (200 + i, scripted_market.rest(BID, 990, slot=i % 3)) for i in range(3)
    ],
    1: [
      (203 + i, scripted_market.rest(BID, 990, slot=i % 3)) for i in range(3)
    ],
    scripted_market.SLOW: [(200.5,), (299,), (303.5,)],
  }
  last, _, scripts = scripted_market.simulate(burst)
  assert scripted_market.milliseconds(scripts.seen.time)[
    scripted_market.SLOW, :3
  ].tolist() == [100, 202, 203]
  assert last.agents.stale.tolist() == [0, 0, 1]


def test_a_full_outbox_loses_the_last_messages_and_counts_them():
  first = [scripted_market.rest(BID, 980 + i, slot=i) for i in range(2)]
  more = [scripted_market.rest(BID, 990 + i, slot=2) for i in range(3)]
  last, kept, _ = scripted_market.simulate(
    {scripted_market.SLOW: [(110, *first), (120, *more), (165, *more)]}
  )
  assert last.agents.dropped.tolist() == [0, 0, 3]
  prices = [
    price for _, price, _ in scripted_market.of(kept, scripted_market.SLOW)
  ]
  assert prices == [980, 981, 990]
  # Of the next three there was room for two: their slot is taken.
  assert last.agents.rejected.tolist() == [0, 0, 2]


_GOOD = scripted_market.rest(BID, 990, 4, slot=1)
_BAD = {
  "off its tick": scripted_market.rest(ASK, 1_012, slot=0),
  "an odd lot": scripted_market.rest(BID, 990, 3, slot=0),
  "above the limit": scripted_market.rest(ASK, 1_105, slot=0),
  "below the limit": scripted_market.rest(BID, 899, slot=0),
  "of no volume": scripted_market.rest(BID, 990, 0, slot=0),
  "of less than none": scripted_market.rest(BID, 990, -2, slot=0),
  "of more than a side can hold": scripted_market.rest(
    BID, 990, 2**31 - 2, slot=0
  ),
  "in a slot that is taken": scripted_market.rest(BID, 980, 4, slot=1),
  "in a slot that is not there": scripted_market.rest(BID, 980, 4, slot=3),
  "in a slot before the first": scripted_market.rest(BID, 980, 4, slot=-1),
  "a cancel in an empty slot": agents.cancel(0),
  "a cancel in a slot that is not there": agents.cancel(3),
  "a cancel of nothing": agents.order(Kind.CANCEL, volume=0, slot=1),
  "a modify in an empty slot": agents.order(
    Kind.MODIFY, price=980, volume=2, slot=2
  ),
  "a modify off the lot": agents.order(
    Kind.MODIFY, price=980, volume=3, slot=1
  ),
  "a modify beyond the limit": agents.order(
    Kind.MODIFY, price=800, volume=2, slot=1
  ),
}


def test_what_is_refused_leaves_the_market_as_it_was_and_is_counted():
  good, kept, _ = scripted_market.simulate(
    {0: [(150, _GOOD)]}, scripted_market.RANDOM
  )
  names = list(_BAD)
  rows = [names[i : i + 3] for i in range(0, len(names), 3)]
  assert len(rows) == scripted_market.WAKES - 1
  script = [(150, _GOOD)]
  script += [
    (151 + i, *(_BAD[name] for name in row)) for i, row in enumerate(rows)
  ]
  bad, others, _ = scripted_market.simulate({0: script}, scripted_market.RANDOM)
  assert bad.agents.rejected.tolist() == [len(names), 0, 0]
  chex.assert_trees_all_equal(kept.event, others.event)
  chex.assert_trees_all_equal(kept.agents.accounts, others.agents.accounts)
  chex.assert_trees_all_equal(good.market.exchange, bad.market.exchange)
  chex.assert_trees_all_equal(good.pending, bad.pending)


@pytest.mark.parametrize(
  ("kind", "price", "volume", "is_refused"),
  [
    (Kind.LIMIT, 2**30 - 1, 1, False),
    (Kind.LIMIT, 2**30, 1, True),
    (Kind.IOC, -(2**31), 1, True),
    (Kind.IOC, 1000, 2**31 - 1, False),
    (Kind.MARKET, 2**31 - 1, 2**31 - 1, False),
    (Kind.LIMIT, 1000, 2**31 - 1 - 30, False),
    (Kind.LIMIT, 1000, 2**31 - 30, True),
  ],
)
def test_what_would_overflow_the_book_is_refused(
  kind, price, volume, is_refused
):
  order = agents.order(kind, BID, price=price, volume=volume)
  start = scripted_market.start()  # With bids of 30 lots.
  found = _refused(
    order, start.market.clock, start.market.exchange, rules=venues.CONTINUOUS
  )
  assert bool(found) == is_refused


def test_in_a_break_nothing_is_taken_and_the_model_waits():
  rare = np.array(
    [scripted_market.order_index(vocab.KIND_BID, -9, 2, interval=8)] * 2
  )
  scripts = {
    0: [(1_900, _GOOD), (2_000, agents.cancel(1)), (2_999.9, agents.cancel(1))],
    1: [(3_000, _GOOD)],
    scripted_market.SLOW: [
      (1_940, _GOOD),
      (1_950, scripted_market.rest(BID, 980)),
    ],
  }
  last, kept, _ = scripted_market.simulate(scripts, rare)
  assert last.agents.rejected.tolist() == [2, 0, 1]
  assert scripted_market.sequence(kept, 7) == [
    (800, -1),
    (1_600, -1),
    (1_900, 0),
    (1_990, scripted_market.SLOW),
    (3_000, 1),
    (3_400, -1),
    (4_200, -1),
  ]


def test_accounts_and_slots_follow_fills_cancels_and_modifies():
  rows = [
    (110, agents.order(Kind.MARKET, BID, volume=12, slot=2)),
    (
      120,
      scripted_market.rest(BID, 1000, 8, slot=0),
      scripted_market.rest(ASK, 1002, 6, slot=1),
    ),
    (140, agents.order(Kind.CANCEL, volume=2, slot=0)),
    (150, agents.order(Kind.MODIFY, price=1001, volume=4, slot=1)),
  ]
  other = [(130, agents.order(Kind.IOC, ASK, price=1000, volume=3))]
  # In a slot that is taken, but it does not rest; it meets the agent's own bid.
  rows.append((155, agents.order(Kind.MARKET, ASK, volume=2, slot=0)))
  last, _, scripts = scripted_market.simulate({0: [*rows, (160,)], 1: other})
  accounts = last.agents.accounts
  # 10 at 1001 and 2 at 1003; then 3 bought of the other at 1000.
  spent = 10 * 1001 + 2 * 1003 + 3 * 1000
  cash = sim.money.to_int(accounts.cash).tolist()
  assert cash == [-spent, 3000, 0, spent - 3000]
  assert accounts.inventory.tolist() == [15, -3, 0, -12]
  seen = jax.tree.map(lambda x: x[0, 5], scripts.seen)
  assert seen.orders.volume.tolist() == [1, 4, 0]
  assert seen.orders.price[:2].tolist() == [1000, 1001]
  assert int(seen.account.inventory) == 15


def test_an_agent_that_only_wakes_up_changes_nothing():
  kept = scripted_market.simulate(
    {0: [(i * 10,) for i in range(6)], scripted_market.SLOW: [(50,)]},
    scripted_market.RANDOM,
  )[1]
  state = scripted_market.begin(
    scripted_market.RANDOM, config=scripted_market.QUIET
  )
  until = scripted_market.moments(scripted_market.NEVER - 1000)
  _, (event, exchange) = scripted_market.roll(
    scripted_market.RANDOM, state, until, config=scripted_market.QUIET
  )
  # Without agents fills are not listed.
  event = event.replace(report=event.report.replace(fills=None))
  report = kept.event.report.replace(fills=None)
  chex.assert_trees_all_equal(event, kept.event.replace(report=report))
  chex.assert_trees_all_equal(exchange.book, kept.book)
  assert int(event.report.traded.sum()) > 0


def test_a_large_buy_moves_the_mid():
  _, quiet, _ = scripted_market.simulate({}, scripted_market.RANDOM)
  buy = agents.order(Kind.MARKET, BID, volume=14)
  _, kept, _ = scripted_market.simulate({0: [(0, buy)]}, scripted_market.RANDOM)
  assert kept.event.mid[0] == 1001
  assert kept.event.order.owner[0] == 0
  assert (kept.event.mid[1:] != quiet.event.mid[:-1]).any()


def test_a_plan_that_an_order_overtakes_keeps_its_time_and_its_price():
  buy = agents.order(Kind.MARKET, BID, volume=14)
  _, kept, _ = scripted_market.simulate({0: [(150, buy)]})
  assert scripted_market.sequence(kept, 4) == [
    (100, -1),
    (150, 0),
    (200, -1),
    (300, -1),
  ]
  assert kept.event.mid[:4].tolist() == [1000, 1001, 1001, 1001]
  assert kept.event.order.price[2:4].tolist() == [1000 - 9, 1001 - 9]


def test_a_market_that_has_stopped_goes_on_as_if_it_had_not():
  wakes = [
    (130 + 150 * i, scripted_market.rest(BID, 985, slot=i % 3))
    for i in range(6)
  ]
  scripts = {0: wakes, scripted_market.SLOW: wakes}
  _, kept, seen = scripted_market.simulate(scripts, scripted_market.moves())
  stopped, before, _ = scripted_market.simulate(
    scripts, scripted_market.moves(), until=scripted_market.BEGIN + 400
  )
  number = int(before.event.is_event.sum())
  assert (
    3 < number < scripted_market.NUM_EVENTS - 4
  )  # More steps idle than views are kept.
  assert (scripted_market.milliseconds(before.clock) <= 400).all()
  going = sim.resume(stopped, fns=scripted_market.FNS)
  last, after = scripted_market.roll(
    scripted_market.moves(),
    going,
    scripted_market.moments(scripted_market.NEVER - 1000),
  )
  last, after = jax.device_get((last, after))
  left = scripted_market.NUM_EVENTS - number
  joined = jax.tree.map(
    lambda x, y: np.concatenate([x[:number], y[:left]]), before, after
  )
  chex.assert_trees_all_equal(joined.event, kept.event)
  chex.assert_trees_all_equal(joined.agents.accounts, kept.agents.accounts)
  known = int(seen.next[scripted_market.SLOW])
  chex.assert_trees_all_equal(
    jax.tree.map(lambda x: x[scripted_market.SLOW, :known], seen.seen),
    jax.tree.map(
      lambda x: x[scripted_market.SLOW, :known],
      scripted_market.scripts_of(last).seen,
    ),
  )
