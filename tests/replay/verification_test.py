"""Tests of verification: a tiny day, and planted mistakes."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("polars")

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.lob import venues
from mars_jax.replay import verification
from tests.support.replay import exact

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SHANGHAI = dataclasses.replace(venues.A_SHARES, lot=1)
SECOND = types.NANOSECONDS


def make_stream(rows, is_market_event=None, dtype=np.int32):
  """A stream of (second, kind, side, price, volume, id)."""
  time, *columns = np.array(rows, np.int64).T
  names = ("kind", "side", "price", "volume", "order_id")
  columns = dict(zip(names, columns, strict=True))
  wide = {name: columns.pop(name).astype(dtype) for name in names[2:4]}
  return events.EventStream(
    market="Test",
    instrument="XYZ",
    day="2020-01-02",
    time=time * SECOND,
    **{name: column.astype(np.int32) for name, column in columns.items()},
    **wide,
    is_market_event=np.ones(len(rows), bool)
    if is_market_event is None
    else is_market_event,
    tick_size=0.01,
    lot_size=1.0,
    counts={},
  )


# A call auction at 101 for 4 (the asks' 6 less 2), then a bid that takes 1.
NINE = 9 * 3_600
TINY = make_stream(
  [
    (NINE + 1_000, LIMIT, ASK, 101, 6, 0),
    (NINE + 1_001, LIMIT, BID, 102, 4, 1),
    (NINE + 1_900, LIMIT, BID, 101, 1, 2),
    (NINE + 1_901, LIMIT, BID, 99, 3, 3),
    (NINE + 1_902, CANCEL, BID, 99, 3, 3),
  ]
)
TRADES = events.Trades(
  event=np.array([2, 2]),
  is_auction=np.array([True, False]),
  bid_id=np.array([1, 2]),
  ask_id=np.array([0, 0]),
  price=np.array([101, 101]),
  volume=np.array([4, 1]),
)
LEVELS = events.Levels(
  num_events=np.array([2, 4]),
  price=np.array([[[101, 0], [0, 0]], [[101, 0], [99, 0]]]),
  volume=np.array([[[2, 0], [0, 0]], [[1, 0], [3, 0]]]),
)
CHECKS = events.GroundTruth(
  trades=TRADES,
  levels=LEVELS,
  orders=events.RestingOrders(*(np.array([x]) for x in (ASK, 101, 1, 0))),
  remaining=np.array([-1, -1, -1, -1, 0]),
)


def verified(stream=TINY, **changes):
  checks = dataclasses.replace(CHECKS, **changes)
  return replay.verify(stream, checks, rules=SHANGHAI)


def test_tiny_day_agrees_with_itself():
  result = verified()
  exact.assert_exact(
    result, trades=1, auctions=1, levels=2, remaining=1, orders=1
  )
  assert result.auctions == [(2, 101, 4)]
  assert (result.fills, result.traded_volume, result.last_price) == (1, 5, 101)
  assert (result.events, result.orders_left) == (5, 1)


def test_records_are_the_continuous_orders_with_the_book_round_them():
  _, records = replay.verify_and_record(
    TINY, CHECKS, rules=SHANGHAI, num_levels=1
  )
  assert records.order.id.tolist() == [2, 3, 3]  # Not those of the auction.
  # The auction leaves 2 at 101 and no bid; the last bid is 99, for a moment.
  assert records.mid_before.tolist() == [101, 101, 100]
  assert records.mid_after.tolist() == [101, 100, 101]
  assert records.traded.tolist() == [1, 0, 0]
  asks, bids = records.snapshot.volume[:, ASK], records.snapshot.volume[:, BID]
  assert asks.tolist() == [[1], [1], [1]]
  assert bids.tolist() == [[0], [3], [0]]


def test_gaps_are_told_of_one_session_only():
  # 70 s apart; then over the lunch break; then past the end of trading.
  seconds = [34_300, 34_370, 41_000, 47_000, 47_001, 53_900]
  rows = [(second, LIMIT, BID, 99, 1, i) for i, second in enumerate(seconds)]
  result = replay.verify(
    make_stream(rows), events.GroundTruth(), rules=SHANGHAI
  )
  assert (result.gaps, result.longest_gap) == (2, 6_630.0)
  assert result.crossed == 0


def changed(arrays, name, index, value):
  """Some of the checks, with one number of them changed."""
  array = getattr(arrays, name).copy()
  array[index] = value
  return dataclasses.replace(arrays, **{name: array})


@pytest.mark.parametrize(
  "kind, wrong",
  [
    ("auctions", {"trades": changed(TRADES, "price", 0, 102)}),
    ("auctions", {"trades": changed(TRADES, "volume", 0, 3)}),
    ("auctions", {"trades": changed(TRADES, "bid_id", 0, 2)}),
    ("trades", {"trades": changed(TRADES, "price", 1, 100)}),
    ("trades", {"trades": changed(TRADES, "volume", 1, 2)}),
    ("trades", {"trades": changed(TRADES, "ask_id", 1, 7)}),
    ("levels", {"levels": changed(LEVELS, "price", (0, ASK, 0), 102)}),
    ("levels", {"levels": changed(LEVELS, "volume", (1, BID, 0), 4)}),
    ("orders", {"orders": changed(CHECKS.orders, "volume", 0, 2)}),
    ("remaining", {"remaining": np.array([-1, -1, -1, -1, 1])}),
  ],
)
def test_one_wrong_number_of_the_feed_is_one_mismatch_in_words(kind, wrong):
  result = verified(**wrong)
  assert result.mismatches == {kind: 1}
  (example,) = result.examples
  assert example.startswith(f"{kind}: ")


def test_trade_at_another_event_is_missing_there_and_here():
  result = verified(trades=changed(TRADES, "event", 1, 3))
  assert result.mismatches == {"trades": 2}


def test_auction_that_the_schedule_does_not_have_is_a_mismatch():
  result = verified(trades=changed(TRADES, "event", 0, 3))
  assert result.mismatches == {"auctions": 2}
  assert "none after 3 events" in result.examples[1]


def test_id_that_the_feed_does_not_tell_fits_any():
  ids = changed(TRADES, "ask_id", slice(None), types.NO_ORDER)
  assert not verified(trades=ids).mismatches


def test_closing_auction_is_held_where_the_feed_tells_of_it():
  fifteen = 15 * 3_600
  stream = make_stream(
    [
      (fifteen - 100, LIMIT, ASK, 100, 5, 0),
      (fifteen - 90, LIMIT, BID, 100, 5, 1),
    ]
  )
  held = events.Trades(*(np.array([x]) for x in (2, True, 1, 0, 100, 5)))
  result = replay.verify(
    stream, events.GroundTruth(trades=held), rules=SHANGHAI
  )
  exact.assert_exact(result, auctions=1)
  assert result.auctions == [(2, 100, 5)]
  result = replay.verify(stream, events.GroundTruth(), rules=SHANGHAI)
  assert result.auctions == []
  assert result.orders_left == 2


def test_orders_that_the_rules_refuse_are_counted_by_reason():
  checks = events.GroundTruth(reference=100)
  result = replay.verify(TINY, checks, rules=venues.A_SHARES)
  assert result.rejected == {"off lot": 3, "unknown id": 1}


def test_capacities_grow_and_start_orders_are_not_matched_one_by_one(
  monkeypatch,
):
  monkeypatch.setattr(verification, "_CAPACITY", 2)
  monkeypatch.setattr(verification, "_MAX_FILLS", 1)
  rows = [(0, LIMIT, BID, 100 - i, 1, i) for i in range(7)]
  rows += [(1, LIMIT, BID, 50, 1, 7), (1, LIMIT, BID, 49, 1, 8)]
  rows += [(2, LIMIT, ASK, 90, 20, 9)]
  stream = make_stream(rows, is_market_event=np.arange(10) >= 7, dtype=np.int64)
  result = replay.verify(stream, events.GroundTruth(), rules=venues.CONTINUOUS)
  assert (result.fills, result.dropped, result.capacity) == (7, 0, 32)
  assert result.orders_left == 3


def test_stream_without_events_is_an_error():
  with pytest.raises(ValueError, match="Test XYZ 2020-01-02: no events"):
    verified(TINY[:0])
