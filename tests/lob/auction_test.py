"""Call auctions, by hand and against plain Python."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import strategies as st

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import auction
from mars_jax.lob import rules as rules_lib
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
_CAPACITY = 8
_MIDDLE = rules_lib.AuctionTie.MIDDLE
_TICK_5 = ((-(2**30), 5),)
_BANDS = ((-(2**30), 1), (100, 5))

RULES = {
  "reference": rules_lib.Rules(),
  "middle": rules_lib.Rules(auction_tie=_MIDDLE),
  "reference, tick 5": rules_lib.Rules(tick_bands=_TICK_5),
  "middle, tick 5": rules_lib.Rules(auction_tie=_MIDDLE, tick_bands=_TICK_5),
  "reference, bands": rules_lib.Rules(tick_bands=_BANDS),
}


def _rest(asks, bids, rules, reference):
  """Returns an oracle with (price, volume) at rest, by arrival."""
  oracle = python_exchange.PythonExchange(rules, _CAPACITY, reference)
  for side, orders in ((ASK, asks), (BID, bids)):
    for i, (price, volume) in enumerate(orders):
      id_ = 10 * side + i
      row = python_exchange.Resting(price, volume, id_, types.NO_OWNER)
      oracle.sides[side].append(row)
    sign = 1 if side == ASK else -1
    oracle.sides[side].sort(key=lambda order, sign=sign: sign * order.price)
  return oracle


def _put_book(oracle, dtype=np.int32):
  """Returns the book of an oracle as a `lob.Book`."""
  book = jax.device_get(lob.init(_CAPACITY, dtype=dtype))
  leaves = {
    name: getattr(book, name).copy()
    for name in ("price", "volume", "id", "owner")
  }
  for side in (ASK, BID):
    for i, row in enumerate(oracle.rows(side)):
      for name, leaf in leaves.items():
        leaf[side, i] = getattr(row, name)
  return book.replace(**leaves)


@functools.partial(jax.jit, static_argnames="rules")
def _uncross(book, reference, *, rules):
  price = auction.find_price(book, reference=reference, rules=rules)
  return price, auction.uncross(book, reference=reference, rules=rules)


def _hold(asks, bids, *, rules="reference", reference=100, dtype=np.int32):
  """Returns an auction's price, book and outcome."""
  oracle = _rest(asks, bids, RULES[rules], reference)
  book = _put_book(oracle, dtype)
  reference = np.asarray(reference, dtype)
  got = _uncross(book, reference, rules=RULES[rules])
  indicated, (book, outcome) = jax.device_get(got)
  for number, told in zip(
    (outcome.price, outcome.volume, outcome.imbalance), indicated, strict=True
  ):
    assert number == told
  return outcome, book, oracle


def _list(columns, side):
  used = columns.volume[side] > 0
  fields = (columns.price, columns.volume, columns.id)
  return list(zip(*(x[side][used].tolist() for x in fields), strict=True))


class AuctionTest(parameterized.TestCase):
  def _assert_price(self, expected, *args, **kwargs):
    outcome, _, _ = _hold(*args, **kwargs)
    self.assertEqual(outcome.price, expected)
    return outcome

  def test_price_trades_the_most_volume(self):
    # At 99: min(5, 20) = 5; at 100: min(12, 20) = 12; at 101: min(18, 9) = 9.
    asks, bids = [(99, 5), (100, 7), (101, 6)], [(102, 9), (100, 11)]
    outcome = self._assert_price(100, asks, bids, reference=90)
    self.assertEqual((outcome.volume, outcome.imbalance), (12, 20 - 12))

  def test_orders_trade_by_price_then_time_at_the_one_price(self):
    outcome, book, _ = _hold(
      [(99, 5), (100, 4), (100, 3)], [(102, 3), (100, 4), (100, 4)]
    )
    # Of 12 lots asked and 11 bid, 11 trade at 100: the youngest ask keeps 1.
    self.assertEqual((outcome.price, outcome.volume), (100, 11))
    self.assertEqual(
      _list(outcome.fills, ASK), [(100, 5, 0), (100, 4, 1), (100, 2, 2)]
    )
    self.assertEqual(
      _list(outcome.fills, BID), [(100, 3, 10), (100, 4, 11), (100, 4, 12)]
    )
    self.assertEqual(_list(book, ASK), [(100, 1, 2)])
    self.assertEqual(_list(book, BID), [])

  def test_of_as_much_volume_the_least_imbalance_decides(self):
    # 10 trade from 99 to 105. The bid of 5 at 100 is left up to 100 alone.
    outcome = self._assert_price(
      101, [(99, 10)], [(105, 10), (100, 5)], reference=90
    )
    self.assertEqual(outcome.imbalance, 0)

  @parameterized.parameters(
    (90, 100), (100, 100), (103, 103), (105, 105), (120, 105)
  )
  def test_tie_goes_to_the_price_nearest_to_the_reference(
    self, reference, price
  ):
    # 10 trade and nothing is left over anywhere from 100 to 105.
    self._assert_price(price, [(100, 10)], [(105, 10)], reference=reference)

  @parameterized.parameters((104, 102), (105, 103), (101, 101), (100, 100))
  def test_tie_goes_to_the_middle_half_a_tick_up(self, highest, price):
    self._assert_price(
      price, [(100, 10)], [(highest, 10)], rules="middle", reference=0
    )

  @parameterized.parameters(
    ("reference, tick 5", 101, 100),
    ("reference, tick 5", 103, 105),
    ("reference, tick 5", 500, 110),
    ("middle, tick 5", 0, 105),
  )
  def test_price_is_on_a_coarse_grid(self, rules, reference, price):
    self._assert_price(
      price, [(100, 10)], [(110, 10)], rules=rules, reference=reference
    )

  def test_middle_is_that_of_prices_of_orders(self):
    # Nothing is left over from 101 to 105, but orders are at 105 alone.
    asks, bids = [(99, 10)], [(105, 10), (100, 5)]
    self._assert_price(105, asks, bids, rules="middle")
    # Of those of orders 98 and 102 leave 2 over, and none leaves less.
    asks, bids = [(97, 10), (102, 2)], [(103, 10), (98, 2)]
    self._assert_price(100, asks, bids, rules="middle")

  def test_middle_of_an_odd_range_is_half_a_coarse_tick_up(self):
    self._assert_price(105, [(100, 10)], [(105, 10)], rules="middle, tick 5")

  @parameterized.parameters((97, 97), (101, 100), (103, 105), (109, 110))
  def test_price_is_on_the_grid_of_its_band(self, reference, price):
    self._assert_price(
      price,
      [(95, 10)],
      [(110, 10)],
      rules="reference, bands",
      reference=reference,
    )

  def test_price_may_lie_strictly_between_those_of_orders(self):
    # The bid of 2 at 98 and the ask of 2 at 102 are left over where they count.
    asks, bids = [(97, 10), (102, 2)], [(103, 10), (98, 2)]
    outcome = self._assert_price(100, asks, bids, reference=100)
    self.assertEqual((outcome.volume, outcome.imbalance), (10, 0))
    self._assert_price(99, asks, bids, reference=0)
    self._assert_price(101, asks, bids, reference=200)

  def test_surplus_of_bids_drives_the_price_up_until_better_bids_are_filled(
    self,
  ):
    # 10 trade from 100 to 105, but below 105 a better bid would go unfilled.
    outcome = self._assert_price(105, [(100, 10)], [(105, 15)], reference=100)
    self.assertEqual(outcome.imbalance, 5)

  def test_surplus_of_asks_drives_the_price_down(self):
    outcome = self._assert_price(100, [(100, 15)], [(105, 10)], reference=105)
    self.assertEqual(outcome.imbalance, -5)

  @parameterized.parameters(
    (0, 100, 4), (100, 100, 4), (101, 101, -4), (999, 101, -4)
  )
  def test_imbalances_of_both_signs_tie_by_the_reference(
    self, reference, price, imbalance
  ):
    # At 100: 10 asked, 14 bid. At 101: 14 asked, 10 bid.
    outcome = self._assert_price(
      price,
      [(100, 10), (101, 4)],
      [(101, 10), (100, 4)],
      reference=reference,
    )
    self.assertEqual((outcome.volume, outcome.imbalance), (10, imbalance))

  @parameterized.parameters(
    dict(asks=[], bids=[]),
    dict(asks=[(100, 5)], bids=[]),
    dict(asks=[], bids=[(100, 5)]),
    dict(asks=[(101, 5)], bids=[(100, 5)]),
  )
  def test_where_no_orders_meet_nothing_happens(self, asks, bids):
    outcome, book, oracle = _hold(asks, bids)
    self.assertEqual(
      (outcome.price, outcome.volume, outcome.imbalance), (0,) * 3
    )
    for side in (ASK, BID):
      self.assertEqual(_list(outcome.fills, side), [])
      self.assertEqual(
        _list(book, side), [row[:3] for row in oracle.rows(side)]
      )

  def test_full_sides_leave_no_empty_slot_to_count(self):
    asks = [(100 + i, 1) for i in range(_CAPACITY)]
    bids = [(107 - i, 1) for i in range(_CAPACITY)]
    # At 103: 4 asked, 5 bid. At 104: 5 asked, 4 bid.
    outcome = self._assert_price(103, asks, bids, reference=0)
    self.assertEqual(outcome.volume, 4)

  def test_largest_volumes_do_not_overflow(self):
    outcome = self._assert_price(
      100, [(100, 2**31 - 1)], [(100, 2**30), (99, 2**30 - 1)]
    )
    self.assertEqual(outcome.volume, 2**30)
    self.assertEqual(outcome.imbalance, 2**30 - (2**31 - 1))

  def test_farthest_prices_do_not_overflow(self):
    far = 2**30 - 1
    asks, bids = [(-far, 5)], [(far, 5)]
    self._assert_price(77, asks, bids, reference=77)
    self._assert_price(0, asks, bids, rules="middle")

  def test_int64_book(self):
    price, volume = 10**12, 10**13
    with jax.enable_x64():
      outcome, book, _ = _hold(
        [(price, volume)],
        [(price + 9, volume), (price, 1)],
        reference=price + 4,
        dtype=np.int64,
      )
    self.assertEqual((outcome.price, outcome.volume), (price + 4, volume))
    self.assertEqual(_list(book, BID), [(price, 1, 11)])

  def test_outcome_is_int32(self):
    _, outcome = _uncross(
      _put_book(_rest([(100, 1)], [(100, 1)], RULES["reference"], 100)),
      jnp.int32(100),
      rules=RULES["reference"],
    )[1]
    for leaf in jax.tree.leaves(outcome):
      self.assertEqual(leaf.dtype, jnp.int32)


_ORDERS = st.lists(
  st.tuples(st.integers(18, 23), st.integers(1, 9)), max_size=_CAPACITY
)


@pytest.mark.parametrize("name", RULES)
@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(asks=_ORDERS, bids=_ORDERS, reference=st.integers(80, 125))
def test_any_book_is_uncrossed_as_by_trying_every_price(
  name, asks, bids, reference
):
  scale = 1 if name in ("reference", "middle") else 5
  shift = 80 if scale == 1 else 0
  asks, bids = (
    [(shift + scale * price, volume) for price, volume in orders]
    for orders in (asks, bids)
  )
  outcome, book, oracle = _hold(asks, bids, rules=name, reference=reference)
  expected = oracle.uncross()
  assert (outcome.price, outcome.volume, outcome.imbalance) == expected[:3]
  for side in (ASK, BID):
    assert _list(outcome.fills, side) == expected.fills[side]
    assert _list(book, side) == [row[:3] for row in oracle.rows(side)]
    assert outcome.fills.volume[side].sum() == outcome.volume
  ask, bid = book.price[:, 0]
  assert not (book.volume[:, 0] > 0).all() or bid < ask
  if outcome.volume:
    better = [p for p, _, _ in _list(book, BID) if p > outcome.price]
    better += [p for p, _, _ in _list(book, ASK) if p < outcome.price]
    assert not better
