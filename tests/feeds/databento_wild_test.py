"""Databento's records as its venues send them: clocks, prices, phases."""

import pytest

pytest.importorskip("databento_dbn")
pytest.importorskip("polars")

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.databento import reader
from tests.support.feeds.databento_days import BOOK
from tests.support.feeds.databento_days import pieces
from tests.support.feeds.databento_days import write
from tests.support.feeds.databento_writer import LAST
from tests.support.feeds.databento_writer import SNAPSHOT
from tests.support.feeds.databento_writer import START
from tests.support.feeds.databento_writer import record
from tests.support.oracles import plain_book

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SECOND = types.NANOSECONDS

# Crossed orders before an open, as (name, side, price, size).
PRE_OPEN = ((1, "A", 101, 5), (2, "B", 103, 3), (3, "B", 100, 9))


def verified(path):
  """The stream, the ground truth, and the replay of a file."""
  stream, truth = reader.read_checked(path)
  rules = replay.feed_rules(stream)
  return stream, truth, replay.verify(stream, truth, rules=rules)


def pre_open(**changes):
  """The records of `PRE_OPEN`."""
  return [record("A", *order, **changes) for order in PRE_OPEN]


def uncross(price=102, time=START + 900):
  """Order 1 sells 3 to order 2, neither the aggressor."""
  return pieces(
    record("T", 0, "N", price, 3, time=time),
    record("F", 1, "A", price, 3, time=time),
    record("F", 2, "B", price, 3, time=time),
    record("M", 1, "A", 101, 2, time=time),
    record("C", 2, "B", 103, 3, time=time),
  )


def taken(time=START + 2_000):
  """What the uncross leaves of order 1 is taken."""
  return pieces(
    record("T", 0, "B", 101, 2, time=time),
    record("F", 1, "A", 101, 2, time=time),
    record("C", 1, "A", 101, 2, time=time),
  )


def test_clock_that_steps_back_stays_and_is_counted(tmp_path):
  times = 0, 30, 20, 25, 40
  records = [
    record("A", i, "A", 101 + i, 1, time=START + time, ts_recv=START + 50)
    for i, time in enumerate(times)
  ]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert stream.order_id.tolist() == [0, 1, 2, 3, 4]
  assert (stream.time - stream.time[0]).tolist() == [0, 30, 30, 30, 40]
  assert stream.counts["clock_back"] == 2
  assert stream.counts["clock_ahead"] == 0


def test_event_far_after_its_receipt_does_not_stop_the_clock(tmp_path):
  records = [
    record("A", 1, "A", 101, 1),
    record("A", 2, "A", 102, 1, time=START + 3_600 * SECOND, ts_recv=START + 9),
    record("A", 3, "A", 103, 1, time=START + 20),
  ]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert (stream.time - stream.time[0]).tolist() == [0, 9, 20]
  assert stream.counts["clock_ahead"] == 1
  assert stream.counts["clock_back"] == 0


@pytest.mark.parametrize("dataset", ["GLBX.MDP3", "IFEU.IMPACT", "XEUR.EOBI"])
def test_futures_trade_at_zero_and_below(tmp_path, dataset):
  records = [
    record("A", 1, "A", 1, 5),
    record("A", 2, "B", -2, 5),
    record("A", 3, "A", 0, 5),
    record("C", 2, "B", -2, 5),
  ]
  stream = reader.read_checked(write(tmp_path, records, dataset=dataset))[0]
  assert stream.tick_size == 0.25
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 1, 5, 0),
    (LIMIT, BID, -2, 5, 1),
    (LIMIT, ASK, 0, 5, 2),
    (CANCEL, BID, -2, 5, 1),
  ]


@pytest.mark.parametrize("price", [0, -1])
def test_shares_trade_above_zero(tmp_path, price):
  path = write(
    tmp_path, [*BOOK, record("A", 9, "A", price, 1)], dataset="XNAS.ITCH"
  )
  with pytest.raises(events.DataError, match="row 4: price is not positive"):
    reader.read_checked(path)


def test_tick_of_prices_that_are_all_zero_is_asked_for(tmp_path):
  path = write(tmp_path, [record("A", 1, "A", 0, 1)])
  with pytest.raises(events.DataError, match="give the tick size"):
    reader.read_checked(path)
  assert reader.read_checked(path, tick_size=0.25)[0].price.tolist() == [0]


def test_price_far_below_zero_is_named(tmp_path):
  path = write(tmp_path, [*BOOK, record("A", 9, "A", -(2**30), 1)])
  with pytest.raises(events.DataError, match=r"row 4: price -268435456.0 is 2"):
    reader.read_checked(path)


@pytest.mark.parametrize("price", [101, 102, 103])
def test_crossed_orders_collect_until_the_exchange_matches_them(
  tmp_path, price
):
  records = [*pre_open(), *uncross(price), *taken()]
  stream, truth, result = verified(write(tmp_path, records))
  assert not result.mismatches
  assert result.auctions == [(3, price, 3)]
  assert result.checked == {"auctions": 1, "trades": 1, "orders": 1}
  assert truth.trades.is_auction.tolist() == [True, False]
  assert truth.trades.ask_id.tolist() == [0, 0]
  assert truth.trades.bid_id.tolist() == [1, 3]
  assert stream.is_market_event.all()
  counts = stream.counts
  assert (counts["collected"], counts["auction_trades"]) == (2, 1)
  assert counts["fills_without_trade"] == counts["hidden_trades"] == 0


def test_snapshot_may_be_crossed(tmp_path):
  start = pre_open(flags=SNAPSHOT)
  start[-1].flags |= LAST
  path = write(tmp_path, [*start, *uncross(), *taken()])
  _, _, result = verified(path)
  assert not result.mismatches
  assert result.auctions == [(3, 102, 3)]


def test_crossed_book_may_end_without_an_auction(tmp_path):
  records = [*pre_open(), record("C", 2, "B", 103, 3, time=START + 9)]
  records.append(record("A", 4, "B", 100, 1, time=START + 10))
  stream, _, result = verified(write(tmp_path, records))
  assert not result.mismatches
  assert result.auctions == [(4, 0, 0)]
  assert stream.counts["collected"] == 3


def test_auction_of_other_volume_than_the_exchange_s_is_a_mismatch(tmp_path):
  wrong = pieces(
    record("F", 1, "A", 102, 2, time=START + 9),
    record("F", 2, "B", 102, 2, time=START + 9),
    record("M", 1, "A", 101, 3, time=START + 9),
    record("M", 2, "B", 103, 1, time=START + 9),
  )
  _, _, result = verified(write(tmp_path, [*pre_open(), *wrong]))
  assert result.mismatches["auctions"] == 1


def test_fills_of_a_level_may_be_told_in_another_order(tmp_path):
  def day(names, sizes):
    asks = [record("A", 1, "A", 101, 2), record("A", 2, "A", 101, 1)]
    hits = zip(names, sizes, strict=True)
    fills = [record("F", name, "A", 101, size) for name, size in hits]
    gone = [record("C", 2, "A", 101, 1), record("C", 1, "A", 101, 2)]
    event = pieces(record("T", 0, "B", 101, 3), *fills, *gone)
    return verified(write(tmp_path, [*asks, *event]))[2]

  in_turn, swapped = day((1, 2), (2, 1)), day((2, 1), (1, 2))
  assert not in_turn.mismatches and not swapped.mismatches
  assert (in_turn.reordered, swapped.reordered) == (0, 1)


def test_fills_of_other_orders_than_the_first_are_a_mismatch(tmp_path):
  asks = [record("A", 1, "A", 101, 2), record("A", 2, "A", 101, 2)]
  event = pieces(
    record("T", 0, "B", 101, 2),
    record("F", 2, "A", 101, 2),
    record("C", 2, "A", 101, 2),
  )
  result = verified(write(tmp_path, [*asks, *event]))[2]
  assert result.mismatches["trades"] == 1
  assert result.reordered == 0


def test_trades_off_the_market_have_a_publisher_of_their_own(tmp_path):
  block = record("T", 0, "B", 101, 9, publisher_id=7)
  path = write(tmp_path, [block, *BOOK, block], dataset="IFEU.IMPACT")
  stream = reader.read_checked(path)[0]
  assert len(stream) == 3
  assert stream.counts["hidden_trades"] == 2
