"""An exchange through its day, and `submit`, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.lob import submit
from mars_jax.lob import venues
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
Kind, Reason, Phase = types.OrderKind, types.Reason, rules_lib.Phase
A_SHARES = lob.PRESETS["shanghai"]
HALTS = rules_lib.Rules(halt=rules_lib.VolatilityHalt(1_000, 60))


def _at(time):
  hours, minutes, seconds = map(int, time.split(":"))
  return 3600 * hours + 60 * minutes + seconds


def _play(rules, *stream, reference=1_000):
  """Plays (time, kind, side, price, volume, id)."""
  times = [_at(time) for time, *_ in stream]
  messages = [python_exchange.Message(*rest) for _, *rest in stream]
  return exchanges.play(rules, messages, times, reference=reference)


class DayTest(parameterized.TestCase):
  def test_orders_collect_crossed_and_trade_at_one_price_when_the_call_ends(
    self,
  ):
    played = _play(
      A_SHARES,
      ("09:15:00", Kind.LIMIT, BID, 1_010, 300, 0),
      ("09:19:59", Kind.LIMIT, ASK, 990, 200, 1),
      ("09:25:00", Kind.NONE, ASK, 0, 0, 2),
    )
    self.assertEqual(played.rows(BID, 1), [(1_010, 300, 0)])
    self.assertEqual(played.rows(ASK, 1), [(990, 200, 1)])
    self.assertEqual(played.numbers(1), (0, 200, 0))
    # A surplus of bids: below 1010 a better bid would go unfilled.
    auctions = played.auctions
    self.assertEqual((auctions.price[2], auctions.volume[2]), (1_010, 200))
    self.assertEqual(played.auction_fills(ASK), [(1_010, 200, 1)])
    self.assertEqual(played.auction_fills(BID), [(1_010, 200, 0)])
    self.assertEqual(played.rows(BID), [(1_010, 100, 0)])
    self.assertEqual(played.exchanges.last_price[-1], 1_010)

  def test_nothing_is_taken_back_in_the_last_minutes_of_a_call(self):
    bid = (Kind.LIMIT, BID, 1_000, 200, 0)
    cancel = (Kind.CANCEL, BID, 0, 200, 0)
    played = _play(A_SHARES, ("09:15:00", *bid), ("09:19:59", *cancel))
    self.assertEqual(played.rows(BID), [])
    for time in ("09:20:00", "09:24:59"):
      played = _play(A_SHARES, ("09:15:00", *bid), (time, *cancel))
      self.assertEqual(played.reasons[-1], Reason.CLOSED)
      self.assertEqual(played.rows(BID), [(1_000, 200, 0)])

  def test_orders_that_an_auction_leaves_go_on_in_continuous_trading(self):
    played = _play(
      A_SHARES,
      ("09:16:00", Kind.LIMIT, BID, 1_000, 300, 0),
      ("09:17:00", Kind.LIMIT, ASK, 1_000, 100, 1),
      ("09:26:00", Kind.LIMIT, ASK, 1_000, 100, 2),  # In the break.
      ("09:30:00", Kind.IOC, ASK, 1_000, 100, 3),
    )
    self.assertEqual(played.reasons[2:], [Reason.CLOSED, Reason.ACCEPTED])
    self.assertEqual(played.fills(), [(1_000, 100, 0)])
    self.assertEqual(played.rows(BID), [(1_000, 100, 0)])

  def test_break_keeps_the_book_and_takes_nothing(self):
    played = _play(
      A_SHARES,
      ("11:29:59", Kind.LIMIT, BID, 1_000, 100, 0),
      ("11:30:00", Kind.LIMIT, ASK, 1_000, 100, 1),
      ("12:59:59", Kind.CANCEL, BID, 1_000, 100, 0),
      ("13:00:00", Kind.LIMIT, ASK, 1_000, 100, 2),
    )
    self.assertEqual(played.reasons[1:3], [Reason.CLOSED] * 2)
    self.assertEqual(played.fills(), [(1_000, 100, 0)])

  @parameterized.parameters(("shanghai", 1_003), ("shenzhen", 1_001))
  def test_closing_auction_ties_by_the_middle_or_the_latest_price(
    self, name, price
  ):
    played = _play(
      lob.PRESETS[name],
      ("14:00:00", Kind.LIMIT, ASK, 1_001, 100, 0),
      ("14:00:00", Kind.LIMIT, BID, 1_001, 100, 1),  # The latest price.
      ("14:57:00", Kind.LIMIT, ASK, 1_000, 100, 2),
      ("14:58:00", Kind.LIMIT, BID, 1_005, 100, 3),
      ("14:59:00", Kind.MARKET, BID, 0, 100, 4),
      ("15:00:00", Kind.LIMIT, BID, 1_000, 100, 5),
    )
    # From 1000 to 1005 all trade; (1000 + 1005) / 2, half a tick up, is 1003.
    self.assertEqual(played.auctions.price[5], price)
    self.assertEqual(played.auctions.volume[5], 100)
    self.assertEqual(played.reasons[4:], [Reason.CLOSED] * 2)
    self.assertEqual(played.exchanges.last_price[-1], price)

  def test_opening_auction_of_shenzhen_ties_by_the_previous_close(self):
    played = _play(
      lob.PRESETS["shenzhen"],
      ("09:16:00", Kind.LIMIT, ASK, 995, 100, 0),
      ("09:17:00", Kind.LIMIT, BID, 1_005, 100, 1),
      ("09:30:00", Kind.NONE, ASK, 0, 0, 2),
      reference=999,
    )
    self.assertEqual(played.auctions.price[2], 999)

  def test_auction_in_which_no_orders_meet_keeps_the_last_price(self):
    played = _play(
      A_SHARES,
      ("09:16:00", Kind.LIMIT, BID, 990, 100, 0),
      ("09:25:00", Kind.NONE, ASK, 0, 0, 1),
    )
    self.assertEqual(played.auctions.volume[1], 0)
    self.assertEqual(played.exchanges.last_price[-1], 1_000)

  def test_before_the_first_phase_the_venue_is_closed(self):
    played = _play(A_SHARES, ("09:14:59", Kind.LIMIT, BID, 1_000, 100, 0))
    self.assertEqual(played.reasons, [Reason.CLOSED])


class HaltTest(parameterized.TestCase):
  def _trade_at(self, time, price, id_):
    return (
      (time, Kind.LIMIT, ASK, price, 1, id_),
      (time, Kind.IOC, BID, price, 1, id_ + 1),
    )

  @parameterized.parameters(
    (1_099, False), (1_100, True), (901, False), (900, True)
  )
  def test_trade_ten_percent_away_halts(self, price, halts):
    played = _play(HALTS, *self._trade_at("10:00:00", price, 0))
    expected = _at("10:01:00") if halts else 0
    self.assertEqual(played.exchanges.resumes[-1], expected)

  def test_halt_begins_after_its_trade_and_ends_at_its_second(self):
    played = _play(
      HALTS,
      *self._trade_at("10:00:00", 1_100, 0),
      ("10:00:00", Kind.LIMIT, BID, 1_000, 1, 2),
      ("10:00:59", Kind.LIMIT, BID, 1_000, 1, 3),
      ("10:01:00", Kind.LIMIT, BID, 1_000, 1, 4),
    )
    halted, accepted = Reason.HALTED, Reason.ACCEPTED
    self.assertEqual(played.reasons[2:], [halted, halted, accepted])
    self.assertEqual(played.counts[halted], 2)

  def test_halted_market_takes_cancels(self):
    played = _play(
      HALTS,
      ("09:00:00", Kind.LIMIT, BID, 900, 5, 9),
      *self._trade_at("10:00:00", 1_100, 0),
      ("10:00:30", Kind.CANCEL, BID, 0, 5, 9),
    )
    self.assertEqual(played.reasons[-1], Reason.ACCEPTED)
    self.assertEqual(played.rows(BID), [])

  def test_next_halt_counts_from_the_price_at_which_the_last_began(self):
    played = _play(
      HALTS,
      *self._trade_at("10:00:00", 1_100, 0),
      *self._trade_at("10:02:00", 1_209, 2),  # 109 away from 1100.
      *self._trade_at("10:03:00", 1_210, 4),
    )
    self.assertEqual(played.exchanges.resumes[3], _at("10:01:00"))
    self.assertEqual(played.exchanges.resumes[5], _at("10:04:00"))
    self.assertEqual(played.exchanges.halt_price[5], 1_210)

  def test_last_of_its_trades_tells_whether_an_order_halts(self):
    played = _play(
      HALTS,
      ("10:00:00", Kind.LIMIT, ASK, 1_000, 1, 0),
      ("10:00:00", Kind.LIMIT, ASK, 1_150, 1, 1),
      ("10:00:00", Kind.LIMIT, ASK, 1_200, 1, 2),
      ("10:00:00", Kind.MARKET, BID, 0, 2, 3),
    )
    self.assertEqual(played.fills(), [(1_000, 1, 0), (1_150, 1, 1)])
    self.assertEqual(played.exchanges.halt_price[-1], 1_150)
    self.assertEqual(played.rows(ASK), [(1_200, 1, 2)])


class BoundaryTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.exchange = session.init(lob.init(2), reference=1_000)

  def _submit(self, *order, time="10:00:00", rules=A_SHARES):
    self.exchange, report = submit.submit(
      self.exchange, lob.make_order(*order), _at(time), rules=rules
    )
    return report

  def _rejected(self, *order, **kwargs):
    with self.assertRaises(lob.OrderRejected) as caught:
      self._submit(*order, **kwargs)
    error = caught.exception
    self.assertEqual(error.exchange.book.counts[error.reason], 1)
    self.assertEqual(error.report.reason, error.reason)
    return error

  def test_accepted_order_returns_the_market_and_the_report(self):
    report = self._submit(Kind.LIMIT, BID, 1_000, 100, 0)
    self.assertEqual(report.rested, 100)
    self.assertEqual(self.exchange.book.volume[BID, 0], 100)

  @parameterized.named_parameters(
    (
      "lot",
      (Kind.LIMIT, BID, 1_000, 150, 7),
      "multiple of the round lot, 100 lots",
    ),
    ("limit", (Kind.LIMIT, BID, 1_101, 100, 7), "limits.*900 to 1100 ticks"),
    ("unknown", (Kind.CANCEL, BID, 0, 100, 7), "no order with its id rests"),
    ("volume", (Kind.LIMIT, BID, 1_000, 0, 7), "not positive"),
    ("fill", (Kind.FOK, BID, 1_000, 100, 7), "the other side is empty"),
  )
  def test_rejection_says_what_to_do(self, order, sentence):
    error = self._rejected(*order)
    self.assertIsInstance(error, ValueError)
    self.assertRegex(
      str(error), f"^Rejected .* bid 7 of .* at 10:00:00: .*{sentence}"
    )

  def test_rejection_names_the_phase(self):
    error = self._rejected(Kind.IOC, BID, 1_000, 100, 7, time="09:16:40")
    self.assertRegex(str(error), "ioc bid 7 .*09:16:40.*phase call auction")

  def test_rejection_names_the_nearest_prices(self):
    rules = rules_lib.Rules(tick_bands=((0, 1), (100, 5)))
    error = self._rejected(Kind.LIMIT, ASK, 103, 1, 7, rules=rules)
    self.assertEqual(error.reason, Reason.OFF_TICK)
    self.assertRegex(str(error), "tick size there, 5; .* 100 and 105")

  def test_rejection_names_the_best_price(self):
    self._submit(Kind.LIMIT, ASK, 1_000, 100, 0)
    error = self._rejected(Kind.POST_ONLY, BID, 1_000, 100, 1)
    self.assertRegex(str(error), "post-only.*the best ask is 1000")

  def test_rejection_says_when_a_halt_ends(self):
    self._submit(Kind.LIMIT, ASK, 1_100, 1, 0, rules=HALTS)
    self._submit(Kind.LIMIT, BID, 1_100, 1, 1, rules=HALTS)
    error = self._rejected(Kind.LIMIT, BID, 1_000, 1, 2, rules=HALTS)
    self.assertRegex(str(error), "halted.*until 10:01:00")

  def test_order_that_pushes_another_out_leaves_its_market_in_the_error(self):
    for i in range(2):
      self._submit(Kind.LIMIT, BID, 1_000 - i, 100, i)
    error = self._rejected(Kind.LIMIT, BID, 1_001, 300, 2)
    self.assertEqual(error.reason, Reason.CAPACITY)
    self.assertRegex(str(error), "2 orders fit; 0 of 300 lots traded")
    self.assertEqual(error.exchange.book.id[BID].tolist(), [2, 0])

  def test_order_that_met_its_owner_says_what_it_traded(self):
    rules = rules_lib.Rules(self_trade=rules_lib.SelfTrade.CANCEL_NEWEST)
    self._submit(Kind.LIMIT, ASK, 1_000, 3, 0, 1, rules=rules)
    self._submit(Kind.LIMIT, ASK, 1_001, 3, 1, 0, rules=rules)
    error = self._rejected(Kind.LIMIT, BID, 1_001, 5, 2, 0, rules=rules)
    self.assertRegex(str(error), "same owner.*3 of 5 lots traded")
    self.assertEqual(error.exchange.last_price, 1_000)

  @parameterized.named_parameters(
    ("fraction", (Kind.LIMIT, BID, 100.5, 1, 0), "price is 100.5"),
    ("text", (Kind.LIMIT, BID, "100", 1, 0), "price is '100'"),
    ("side", (Kind.LIMIT, 2, 100, 1, 0), "side is 2"),
    ("truth", (Kind.LIMIT, True, 100, 1, 0), "side is True"),
    ("kind", (99, BID, 100, 1, 0), "kind is 99"),
    ("price", (Kind.LIMIT, BID, 2**30, 1, 0), "price is 1073741824"),
    ("volume", (Kind.LIMIT, BID, 100, 2**31, 0), "volume is 2147483648"),
    ("id", (Kind.LIMIT, BID, 100, 1, -1), "id is -1"),
    ("owner", (Kind.LIMIT, BID, 100, 1, 0, -2), "owner is -2"),
  )
  def test_what_cannot_be_an_order_is_refused(self, order, sentence):
    with self.assertRaisesRegex(ValueError, f"^{sentence}; give a"):
      lob.make_order(*order)

  def test_order_is_of_int32_scalars(self):
    order = lob.make_order(Kind.LIMIT, np.int64(BID), jnp.int32(100), 1, 0)
    for leaf in jax.tree.leaves(order):
      self.assertEqual((leaf.shape, leaf.dtype), ((), jnp.int32))
    self.assertEqual(order.owner, types.NO_OWNER)

  def test_order_of_an_int64_book_has_its_types(self):
    with jax.enable_x64():
      order = lob.make_order(
        Kind.LIMIT, BID, 10**12, 10**13, 0, dtype=jnp.int64
      )
      exchange = session.init(lob.init(2, dtype=jnp.int64), reference=10**12)
      exchange, report = submit.submit(
        exchange, order, 0, rules=venues.CONTINUOUS
      )
      self.assertEqual(int(report.rested), 10**13)
      self.assertEqual(int(exchange.book.price[BID, 0]), 10**12)
