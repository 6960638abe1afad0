"""Kinds of order, allocation and self-trade rules, by hand."""

import jax
import numpy as np
import pytest
from absl.testing import absltest
from absl.testing import parameterized

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
Kind, Reason = types.OrderKind, types.Reason
PRO_RATA = rules_lib.Allocation.PRO_RATA
NEWEST = rules_lib.SelfTrade.CANCEL_NEWEST
OLDEST = rules_lib.SelfTrade.CANCEL_OLDEST
PLAIN = rules_lib.Rules()
ME, YOU = 0, 1


def _ask(price, volume, id_, owner=types.NO_OWNER):
  return python_exchange.Message(Kind.LIMIT, ASK, price, volume, id_, owner)


def _bid(price, volume, id_, owner=types.NO_OWNER):
  return python_exchange.Message(Kind.LIMIT, BID, price, volume, id_, owner)


def _send(kind, side, price, volume, id_, owner=types.NO_OWNER):
  return python_exchange.Message(kind, side, price, volume, id_, owner)


class KindsTest(parameterized.TestCase):
  def test_market_order_trades_at_any_price_and_drops_what_is_left(self):
    played = exchanges.play(
      PLAIN,
      [_ask(101, 3, 0), _ask(500, 2, 1), _send(Kind.MARKET, BID, 0, 10, 2)],
    )
    self.assertEqual(played.fills(), [(101, 3, 0), (500, 2, 1)])
    self.assertEqual(played.numbers(), (5, 0, 0))
    self.assertEqual(played.reports.last_price[2], 500)
    self.assertEqual(played.reasons[-1], Reason.ACCEPTED)
    self.assertEqual(played.rows(BID), [])

  @parameterized.parameters(Kind.MARKET, Kind.IOC)
  def test_order_that_cannot_rest_is_dropped_in_an_empty_book(self, kind):
    played = exchanges.play(PLAIN, [_send(kind, BID, 100, 10, 0)])
    self.assertEqual(played.numbers(), (0, 0, 0))
    self.assertEqual(played.counts, {Reason.ACCEPTED: 1})
    self.assertEqual(played.rows(BID), [])

  def test_immediate_or_cancel_trades_up_to_its_price_and_never_rests(self):
    played = exchanges.play(
      PLAIN,
      [_bid(100, 3, 0), _bid(99, 4, 1), _send(Kind.IOC, ASK, 100, 5, 2)],
    )
    self.assertEqual(played.fills(), [(100, 3, 0)])
    self.assertEqual(played.numbers(), (3, 0, 0))  # 2 of the 5 are dropped.
    self.assertEqual(played.rows(ASK), [])
    self.assertEqual(played.rows(BID), [(99, 4, 1)])

  def test_fill_or_kill_trades_all_of_it_over_several_prices(self):
    played = exchanges.play(
      PLAIN,
      [_ask(100, 5, 0), _ask(101, 5, 1), _send(Kind.FOK, BID, 101, 8, 2)],
    )
    self.assertEqual(played.fills(), [(100, 5, 0), (101, 3, 1)])
    self.assertEqual(played.rows(ASK), [(101, 2, 1)])

  def test_fill_or_kill_that_lacks_one_lot_changes_nothing(self):
    played = exchanges.play(
      PLAIN,
      [
        _ask(100, 5, 0),
        _ask(101, 3, 1),
        _ask(102, 9, 2),  # Beyond its price.
        _send(Kind.FOK, BID, 101, 9, 3),
      ],
    )
    self.assertEqual(played.reasons[-1], Reason.NOT_FILLABLE)
    self.assertEqual(played.numbers(), (0, 0, 0))
    self.assertEqual(played.rows(ASK), [(100, 5, 0), (101, 3, 1), (102, 9, 2)])

  def test_post_only_rests_a_tick_away_and_is_rejected_at_the_price(self):
    played = exchanges.play(
      PLAIN,
      [
        _ask(100, 5, 0),
        _send(Kind.POST_ONLY, BID, 99, 4, 1),
        _send(Kind.POST_ONLY, BID, 100, 4, 2),
      ],
    )
    self.assertEqual(played.rows(BID), [(99, 4, 1)])
    self.assertEqual(played.numbers(1), (0, 4, 0))
    self.assertEqual(played.reasons[1:], [Reason.ACCEPTED, Reason.WOULD_CROSS])

  @parameterized.parameters(
    dict(volume=4, side=BID, cancelled=4, left=[(100, 6, 0)]),
    dict(volume=10, side=BID, cancelled=10, left=[]),
    dict(volume=99, side=BID, cancelled=10, left=[]),
    dict(volume=4, side=ASK, cancelled=4, left=[(100, 6, 0)]),
  )
  def test_cancel_by_id_takes_off_at_most_what_rests_whatever_its_side_says(
    self, volume, side, cancelled, left
  ):
    played = exchanges.play(
      PLAIN, [_bid(100, 10, 0), _send(Kind.CANCEL, side, 7, volume, 0)]
    )
    self.assertEqual(played.numbers(), (0, 0, cancelled))
    self.assertEqual(played.rows(BID), left)

  @parameterized.parameters(Kind.CANCEL, Kind.MODIFY)
  def test_what_names_no_resting_order_is_counted(self, kind):
    played = exchanges.play(
      PLAIN, [_bid(100, 10, 0), _send(kind, BID, 100, 10, 5)]
    )
    self.assertEqual(played.reasons[-1], Reason.UNKNOWN_ID)
    self.assertEqual(played.exchanges.book.unknown[-1], 1)
    self.assertEqual(played.rows(BID), [(100, 10, 0)])

  @parameterized.parameters(
    Kind.LIMIT,
    Kind.CANCEL,
    Kind.MARKET,
    Kind.IOC,
    Kind.FOK,
    Kind.POST_ONLY,
    Kind.MODIFY,
  )
  def test_order_without_volume_is_rejected(self, kind):
    played = exchanges.play(
      PLAIN,
      [
        _ask(100, 10, 0),
        _send(kind, ASK, 100, 0, 0),
        _send(kind, BID, 100, -3, 1),
      ],
    )
    self.assertEqual(played.reasons[1:], [Reason.NO_VOLUME] * 2)
    self.assertEqual(played.rows(ASK), [(100, 10, 0)])

  def test_padding_is_not_counted(self):
    played = exchanges.play(PLAIN, [_send(Kind.NONE, BID, 100, 10, 0)])
    self.assertEqual(played.counts, {})
    self.assertEqual(played.rows(BID), [])


class ModifyTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("less", PLAIN, 100, 3, [(100, 3, 0), (100, 5, 1)], (0, 0, 2)),
    ("as_much", PLAIN, 100, 5, [(100, 5, 0), (100, 5, 1)], (0, 0, 0)),
    ("more", PLAIN, 100, 6, [(100, 5, 1), (100, 6, 0)], (0, 6, 5)),
    ("worse", PLAIN, 99, 5, [(100, 5, 1), (99, 5, 0)], (0, 5, 5)),
    ("better", PLAIN, 101, 9, [(101, 9, 0), (100, 5, 1)], (0, 9, 5)),
    (
      "less_where_that_loses_priority",
      rules_lib.Rules(reduce_keeps_priority=False),
      100,
      3,
      [(100, 5, 1), (100, 3, 0)],
      (0, 3, 5),
    ),
  )
  def test_modify_to(self, rules, price, volume, expected, numbers):
    played = exchanges.play(
      rules,
      [
        _bid(100, 5, 0),
        _bid(100, 5, 1),
        _send(Kind.MODIFY, BID, price, volume, 0),
      ],
    )
    self.assertEqual(played.rows(BID), expected)
    self.assertEqual(played.numbers(), numbers)

  def test_modify_that_crosses_trades_and_rests_with_what_is_left(self):
    played = exchanges.play(
      PLAIN,
      [_ask(101, 5, 0), _bid(100, 4, 1), _send(Kind.MODIFY, BID, 101, 7, 1)],
    )
    self.assertEqual(played.fills(), [(101, 5, 0)])
    self.assertEqual(played.numbers(), (5, 2, 4))
    self.assertEqual(played.rows(BID), [(101, 2, 1)])

  def test_modify_of_the_other_side_names_no_order(self):
    played = exchanges.play(
      PLAIN, [_bid(100, 5, 0), _send(Kind.MODIFY, ASK, 101, 5, 0)]
    )
    self.assertEqual(played.reasons[-1], Reason.UNKNOWN_ID)
    self.assertEqual(played.rows(BID), [(100, 5, 0)])

  def test_modify_on_a_full_side_loses_nothing(self):
    full = [_ask(100 + i, 5, i) for i in range(exchanges.CAPACITY)]
    played = exchanges.play(PLAIN, [*full, _send(Kind.MODIFY, ASK, 200, 7, 0)])
    self.assertEqual(played.reasons[-1], Reason.ACCEPTED)
    expected = [(101 + i, 5, 1 + i) for i in range(exchanges.CAPACITY - 1)]
    self.assertEqual(played.rows(ASK), [*expected, (200, 7, 0)])


class CapacityTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.full = [_bid(100 - i, 5, i) for i in range(exchanges.CAPACITY)]
    self.last = 100 - exchanges.CAPACITY + 1

  def test_better_order_pushes_out_the_worst(self):
    played = exchanges.play(PLAIN, [*self.full, _bid(101, 3, 50)])
    self.assertEqual(played.reasons[-1], Reason.CAPACITY)
    self.assertEqual(played.numbers(), (0, 3, 5))  # The 5 are of the worst.
    self.assertEqual(played.rows(BID)[0], (101, 3, 50))
    self.assertEqual(played.rows(BID)[-1], (self.last + 1, 5, 4))
    self.assertEqual(played.exchanges.book.dropped[-1], 1)

  def test_order_that_is_itself_the_worst_does_not_rest(self):
    played = exchanges.play(PLAIN, [*self.full, _bid(self.last, 3, 50)])
    self.assertEqual(played.reasons[-1], Reason.CAPACITY)
    self.assertEqual(played.numbers(), (0, 0, 0))
    self.assertLen(played.rows(BID), exchanges.CAPACITY)

  def test_order_of_a_full_side_that_trades_needs_no_room(self):
    played = exchanges.play(
      PLAIN, [*self.full, _ask(101, 3, 50), _bid(101, 3, 51)]
    )
    self.assertEqual(played.counts, {Reason.ACCEPTED: exchanges.CAPACITY + 2})


class ProRataTest(parameterized.TestCase):
  def _fill(self, volumes, volume, price=100, **rules):
    rules = rules_lib.Rules(allocation=PRO_RATA, **rules)
    asks = [_ask(100, volume, i) for i, volume in enumerate(volumes)]
    played = exchanges.play(rules, [*asks, _bid(price, volume, 50)])
    self.assertEqual(played.numbers()[0], volume)
    filled = {id_: volume for _, volume, id_ in played.fills()}
    return [filled.get(i, 0) for i in range(len(volumes))]

  def test_orders_of_a_price_share_by_volume(self):
    self.assertEqual(self._fill([10, 20, 30], 30), [5, 10, 15])

  def test_what_rounding_leaves_goes_to_the_oldest(self):
    # 7 of 61: 10 * 7 / 61 = 1.1, 20 * 7 / 61 = 2.3, 31 * 7 / 61 = 3.6.
    self.assertEqual(self._fill([10, 20, 31], 7), [1 + 1, 2, 3])

  def test_top_order_goes_first_and_does_not_share_the_rest(self):
    # 10 - 6 = 4 of 20 are left: 10 * 4 / 20 = 2 each.
    self.assertEqual(self._fill([6, 10, 10], 10, top_order=True), [6, 2, 2])

  def test_top_order_may_take_it_all(self):
    self.assertEqual(self._fill([6, 10, 10], 4, top_order=True), [4, 0, 0])

  def test_share_below_the_minimum_is_nothing_but_the_rest_goes_by_time(self):
    # 20 - 5 = 15 of 30 are left: 2 / 2 = 1 is below 3, 8 / 2 = 4, 20 / 2 = 10.
    # That leaves 15 - 14 = 1, which goes to the oldest of the three.
    shares = self._fill([5, 2, 8, 20], 20, top_order=True, min_allocation=3)
    self.assertEqual(shares, [5, 1, 4, 10])

  def test_share_of_just_the_minimum_counts(self):
    # 20 - 5 = 15 of 30 are left: 24 / 2 = 12, 6 / 2 = 3.
    shares = self._fill([5, 24, 6], 20, top_order=True, min_allocation=3)
    self.assertEqual(shares, [5, 12, 3])

  def test_where_all_shares_are_below_the_minimum_all_goes_by_time(self):
    shares = self._fill([3, 3, 3], 5, top_order=True, min_allocation=3)
    self.assertEqual(shares, [3, 2, 0])  # 3 first, then 2 * 3 / 6 = 1 each.

  def test_largest_volumes_do_not_overflow(self):
    volumes = [2**30, 2**29, 2**28]
    whole = sum(volumes)
    # Each share v * (whole - 1) / whole is v - 1, which leaves 2 to the oldest.
    self.assertEqual(self._fill(volumes, whole - 1), [2**30, 2**29, 2**28 - 1])

  def test_better_price_is_filled_before_the_last_is_shared(self):
    played = exchanges.play(
      rules_lib.Rules(allocation=PRO_RATA),
      [_ask(100, 10, 0), _ask(99, 4, 1), _ask(100, 30, 2), _bid(100, 24, 3)],
    )
    # 20 are left for 40 at 100: a half of each.
    self.assertEqual(played.fills(), [(99, 4, 1), (100, 5, 0), (100, 15, 2)])
    self.assertEqual(played.rows(ASK), [(100, 5, 0), (100, 15, 2)])


class SelfTradeTest(parameterized.TestCase):
  def _play(self, self_trade, last, asks=None, **rules):
    asks = asks or [
      _ask(100, 5, 0, YOU),
      _ask(100, 6, 1, ME),
      _ask(101, 7, 2, YOU),
    ]
    rules = rules_lib.Rules(self_trade=self_trade, **rules)
    return exchanges.play(rules, [*asks, last])

  def test_off_lets_an_owner_trade_with_itself(self):
    played = self._play(rules_lib.SelfTrade.OFF, _bid(101, 8, 3, ME))
    self.assertEqual(played.fills(), [(100, 5, 0), (100, 3, 1)])

  def test_cancel_newest_drops_the_rest_of_the_arriving_order(self):
    played = self._play(NEWEST, _bid(101, 8, 3, ME))
    self.assertEqual(played.fills(), [(100, 5, 0)])
    self.assertEqual(played.numbers(), (5, 0, 0))
    self.assertEqual(played.reasons[-1], Reason.SELF_TRADE)
    self.assertEqual(played.rows(ASK), [(100, 6, 1), (101, 7, 2)])
    self.assertEqual(played.rows(BID), [])

  def test_cancel_newest_spares_an_order_that_ends_before_its_owners(self):
    played = self._play(NEWEST, _bid(101, 5, 3, ME))
    self.assertEqual(played.fills(), [(100, 5, 0)])
    self.assertEqual(played.reasons[-1], Reason.ACCEPTED)

  def test_cancel_oldest_cancels_the_resting_order_and_goes_on(self):
    played = self._play(OLDEST, _bid(101, 8, 3, ME))
    self.assertEqual(played.fills(), [(100, 5, 0), (101, 3, 2)])
    self.assertEqual(played.numbers(), (8, 0, 6))
    self.assertEqual(played.reasons[-1], Reason.ACCEPTED)
    self.assertEqual(played.rows(ASK), [(101, 4, 2)])

  def test_cancel_oldest_spares_what_the_order_does_not_reach(self):
    played = self._play(OLDEST, _bid(101, 5, 3, ME))
    self.assertEqual(played.numbers(), (5, 0, 0))
    self.assertEqual(played.rows(ASK), [(100, 6, 1), (101, 7, 2)])

  @parameterized.parameters(NEWEST, OLDEST)
  def test_orders_of_nobody_trade_with_each_other(self, self_trade):
    played = self._play(self_trade, _bid(100, 4, 3), asks=[_ask(100, 5, 0)])
    self.assertEqual(played.fills(), [(100, 4, 0)])

  @parameterized.named_parameters(
    ("newest_up_to_its_own", NEWEST, 5, Reason.ACCEPTED, (5, 0, 0)),
    ("newest_beyond", NEWEST, 6, Reason.NOT_FILLABLE, (0, 0, 0)),
    ("oldest_of_all_others", OLDEST, 12, Reason.ACCEPTED, (12, 0, 6)),
    ("oldest_beyond", OLDEST, 13, Reason.NOT_FILLABLE, (0, 0, 0)),
  )
  def test_fill_or_kill_does_not_count_its_owners_orders_with_cancel(
    self, self_trade, volume, reason, numbers
  ):
    played = self._play(self_trade, _send(Kind.FOK, BID, 101, volume, 3, ME))
    self.assertEqual(played.reasons[-1], reason)
    self.assertEqual(played.numbers(), numbers)

  @parameterized.parameters(NEWEST, OLDEST)
  def test_post_only_against_its_owners_orders_alone_is_rejected(self, rule):
    played = self._play(
      rule,
      _send(Kind.POST_ONLY, BID, 100, 4, 3, ME),
      asks=[_ask(100, 5, 0, ME)],
    )
    self.assertEqual(played.reasons[-1], Reason.WOULD_CROSS)
    self.assertEqual(played.rows(ASK), [(100, 5, 0)])

  def test_modify_into_its_owners_order_is_taken_back_and_dropped(self):
    played = self._play(
      NEWEST,
      _send(Kind.MODIFY, BID, 100, 4, 1, ME),
      asks=[_ask(100, 5, 0, ME), _bid(99, 4, 1, ME)],
    )
    self.assertEqual(played.reasons[-1], Reason.SELF_TRADE)
    self.assertEqual(played.numbers(), (0, 0, 4))
    self.assertEqual(played.rows(BID), [])

  def test_pro_rata_newest_stops_at_the_price_of_its_owners_order(self):
    asks = [_ask(99, 4, 0, YOU), _ask(100, 5, 1, YOU), _ask(100, 5, 2, ME)]
    played = self._play(
      NEWEST, _bid(100, 6, 3, ME), asks, allocation=PRO_RATA, min_allocation=2
    )
    self.assertEqual(played.fills(), [(99, 4, 0)])
    self.assertEqual(played.reasons[-1], Reason.SELF_TRADE)

  def test_pro_rata_oldest_shares_among_the_others(self):
    asks = [
      _ask(100, 2, 0, YOU),
      _ask(100, 9, 1, ME),
      _ask(100, 8, 2, YOU),
      _ask(100, 8, 3, YOU),
    ]
    played = self._play(
      OLDEST, _bid(100, 6, 4, ME), asks, allocation=PRO_RATA, top_order=True
    )
    # The top order's 2; of the 4 left, 8 * 4 / 16 = 2 each.
    self.assertEqual(played.fills(), [(100, 2, 0), (100, 2, 2), (100, 2, 3)])
    self.assertEqual(played.numbers(), (6, 0, 9))


class WideTest(absltest.TestCase):
  def test_book_of_int64_holds_prices_and_volumes_beyond_int32(self):
    price, volume = 10**12, 10**13
    with jax.enable_x64():
      played = exchanges.play(
        rules_lib.Rules(allocation=PRO_RATA),
        [
          _ask(price, volume, 0),
          _ask(price, 3 * volume, 1),
          _bid(price + 1, 2 * volume, 2),
        ],
        reference=price,
        dtype=np.int64,
      )
    half = volume // 2  # 2 of 4 for each.
    self.assertEqual(played.fills(), [(price, half, 0), (price, 3 * half, 1)])
    self.assertEqual(played.reports.last_price[2], price)
    self.assertEqual(played.exchanges.last_price[-1], price)
    self.assertEqual(played.rows(ASK), [(price, half, 0), (price, 3 * half, 1)])
