"""Tests of the Databento reader, on files that `databento-dbn` encodes."""

import numpy as np
import pytest

pytest.importorskip("databento_dbn")
pytest.importorskip("polars")


from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.databento import parse
from mars_jax.feeds.databento import reader
from mars_jax.lob import venues
from tests.support.feeds import databento_writer as writer
from tests.support.feeds.databento_days import BOOK
from tests.support.feeds.databento_days import pieces
from tests.support.feeds.databento_days import read_rows
from tests.support.feeds.databento_days import write
from tests.support.feeds.databento_writer import LAST
from tests.support.feeds.databento_writer import SNAPSHOT
from tests.support.feeds.databento_writer import START
from tests.support.feeds.databento_writer import record
from tests.support.oracles import plain_book

pytestmark = pytest.mark.usefixtures("small_chunks")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SECOND = types.NANOSECONDS
UNDEFINED = 2**63 - 1


@pytest.mark.parametrize("by_fill", [False, True])
def test_what_is_read_is_what_was_sent(tmp_path, by_fill):
  market = writer.Market(by_fill=by_fill, snapshot=40).run(1_500)
  stream, checks = reader.read_checked(write(tmp_path, market.records))
  assert plain_book.rows(stream) == market.events
  assert stream.is_market_event.tolist() == [
    i >= 40 for i in range(len(stream))
  ]
  assert checks.remaining.tolist() == market.left
  trades = checks.trades
  taker = stream.order_id[trades.event]
  is_buy = stream.side[trades.event] == BID
  assert (np.where(is_buy, trades.bid_id, trades.ask_id) == taker).all()
  maker = np.where(is_buy, trades.ask_id, trades.bid_id)
  columns = (trades.event, trades.price, trades.volume, maker)
  fills = zip(*(column.tolist() for column in columns), strict=True)
  assert list(fills) == market.fills
  counts = stream.counts
  assert counts["start_orders"] == 40
  assert counts["records"] == len(market.records)
  assert counts["fills"] == counts["trades"] == len(market.fills) > 200
  assert counts["modifies"] > 200
  assert counts["hidden_trades"] == counts["unseen"] == 0


def test_replay_has_no_mismatch(tmp_path):
  market = writer.Market(snapshot=40).run(700)
  stream, checks = reader.read_checked(write(tmp_path, market.records))
  result = replay.verify(stream, checks, rules=venues.PRESETS[stream.rules])
  assert not result.mismatches
  assert set(result.checked) == {"trades", "remaining", "orders"}
  assert result.fills == len(market.fills)
  assert result.orders_left == sum(len(market.book.rows(s)) for s in (0, 1))


def test_market_day_time_and_units(tmp_path):
  stream = reader.read_checked(write(tmp_path, BOOK))[0]
  assert stream.name == "GLBX.MDP3 ESH4 2024-03-05"
  assert stream.time.tolist() == [52_200 * SECOND] * 3
  assert (stream.tick_size, stream.lot_size) == (0.25, 1.0)
  assert stream.rules == "continuous"


def test_tick_is_what_all_prices_are_multiples_of(tmp_path):
  path = write(tmp_path, [BOOK[0], record("A", 4, "A", 105, 1)])
  stream = reader.read_checked(path)[0]  # At 25.25 and 26.25.
  assert (stream.tick_size, stream.price.tolist()) == (0.25, [101, 105])
  path = write(tmp_path, [record("A", 4, "A", 104, 1)])
  assert reader.read_checked(path)[0].tick_size == 26.0
  stream = reader.read_checked(path, tick_size=0.01)[0]
  assert (stream.tick_size, stream.price.tolist()) == (0.01, [2_600])
  with pytest.raises(events.DataError, match="row 1: price 26.0 is off the"):
    reader.read_checked(path, tick_size=0.03)
  for bad in (0.0, -1.0, 1.5e-9):
    with pytest.raises(ValueError, match="no multiple of 1e-9"):
      reader.read_checked(path, tick_size=bad)


def test_trades_of_one_event_are_one_order_with_its_remainder(tmp_path):
  sweep = pieces(
    record("T", 0, "B", 101, 10),
    record("F", 1, "A", 101, 10),
    record("T", 0, "B", 102, 4),
    record("F", 2, "A", 102, 4),
    record("C", 1, "A", 101, 10),
    record("M", 2, "A", 102, 6),
  )
  rows, is_market_event, left = read_rows(tmp_path, sweep)
  assert rows == [(LIMIT, BID, 102, 14, 3)]
  assert (is_market_event, left) == ([True], [-1])
  sweep = sweep[:-1] + pieces(
    record("C", 2, "A", 102, 4), record("A", 4, "B", 103, 5)
  )
  sweep[-3].flags = 0
  rows, *_ = read_rows(tmp_path, sweep)
  assert rows == [(LIMIT, BID, 103, 19, 3)]


def test_fills_told_one_by_one_are_one_order(tmp_path):
  records = []
  for name, price, size in ((1, 101, 10), (2, 102, 4)):
    records += pieces(
      record("T", 0, "B", price, size),
      record("F", name, "A", price, size),
      record("C", name, "A", price, size),
    )
  rows, *_ = read_rows(tmp_path, [*records, record("A", 4, "B", 102, 5)])
  assert rows == [(LIMIT, BID, 102, 19, 3)]
  later = record("A", 4, "B", 102, 5, time=START + 1)
  rows, *_ = read_rows(tmp_path, [*records, later])
  assert rows == [(LIMIT, BID, 102, 14, 3), (LIMIT, BID, 102, 5, 4)]
  below = record("A", 4, "B", 100, 5)  # No remainder: it would have traded.
  rows, *_ = read_rows(tmp_path, [*records, below])
  assert rows == [(LIMIT, BID, 102, 14, 3), (LIMIT, BID, 100, 5, 4)]


def test_modify_keeps_its_place_only_where_it_shrinks(tmp_path):
  rows, is_market_event, left = read_rows(
    tmp_path,
    [
      record("M", 1, "A", 101, 6),  # Shrinks.
      record("M", 1, "A", 101, 6),  # Stays.
      record("M", 1, "A", 101, 7),  # Grows.
      record("M", 1, "A", 104, 7),  # Moves.
      record("M", 1, "A", 105, 2),  # Both.
      record("C", 1, "A", 105, 2),
    ],
  )
  assert rows == [
    (CANCEL, ASK, 101, 4, 0),
    (CANCEL, ASK, 101, 6, 0),
    (LIMIT, ASK, 101, 7, 3),
    (CANCEL, ASK, 101, 7, 3),
    (LIMIT, ASK, 104, 7, 4),
    (CANCEL, ASK, 104, 7, 4),
    (LIMIT, ASK, 105, 2, 5),
    (CANCEL, ASK, 105, 2, 5),
  ]
  assert all(is_market_event)
  assert left == [6, 0, -1, 0, -1, 0, -1, 0]


def test_modified_order_that_crosses_is_cancelled_and_trades(tmp_path):
  records = pieces(
    record("T", 3, "B", 101, 10),
    record("F", 1, "A", 101, 10),
    record("F", 3, "B", 101, 10),
    record("C", 1, "A", 101, 10),
    record("M", 3, "B", 101, 2),
  )
  rows, is_market_event, left = read_rows(tmp_path, records)
  assert rows == [(CANCEL, BID, 99, 10, 2), (LIMIT, BID, 101, 12, 3)]
  assert (is_market_event, left) == ([True, True], [0, -1])


def test_cancel_beyond_the_fill_is_a_cancel(tmp_path):
  records = pieces(
    record("T", 0, "B", 101, 4),
    record("F", 1, "A", 101, 4),
    record("C", 1, "A", 101, 9),
  )
  rows, is_market_event, left = read_rows(tmp_path, records)
  assert rows == [(CANCEL, ASK, 101, 5, 0), (LIMIT, BID, 101, 4, 3)]
  # The cancel comes first, and leaves what then trades and one lot more.
  assert left == [5, -1]


def test_iceberg_shows_its_next_part_behind_the_others(tmp_path):
  records = pieces(
    record("T", 0, "B", 101, 18),
    record("F", 1, "A", 101, 10),
    record("F", 1, "A", 101, 8),  # Hidden.
    record("M", 1, "A", 101, 10),
  )
  path = write(tmp_path, BOOK + records)
  stream = reader.read_checked(path)[0]
  assert plain_book.rows(stream)[3:] == [
    (LIMIT, BID, 101, 10, 3),
    (LIMIT, ASK, 101, 10, 4),
  ]
  assert stream.counts["hidden_fills"] == 1
  assert stream.counts["fills"] == 1


def test_trade_with_nothing_in_the_book_is_counted(tmp_path):
  records = [
    record("T", 0, "N", 100, 7),
    *pieces(record("T", 0, "B", 100, 7), record("F", 77, "A", 100, 7)),
  ]
  stream = reader.read_checked(write(tmp_path, BOOK + records))[0]
  assert len(stream) == 3
  counts = stream.counts
  assert counts["trades"] == counts["hidden_trades"] == 2
  assert (counts["hidden_fills"], counts["unseen"]) == (1, 0)


def test_fill_without_an_aggressive_order_is_no_flow(tmp_path):
  auction = pieces(
    record("T", 0, "N", 100, 4),
    record("F", 1, "A", 100, 4),
    record("F", 3, "B", 100, 4),
    record("C", 1, "A", 101, 4),
    record("C", 3, "B", 99, 4),
  )
  rows, is_market_event, left = read_rows(tmp_path, auction)
  assert rows == [(CANCEL, ASK, 101, 4, 0), (CANCEL, BID, 99, 4, 2)]
  assert (is_market_event, left) == ([False, False], [6, 6])
  counts = reader.read_checked(tmp_path / "mbo.dbn")[0].counts
  assert counts["fills_without_trade"] == counts["off_price_fills"] == 2


def test_clear_and_snapshot_correct_the_book(tmp_path):
  again = [
    record("R", time=5, flags=SNAPSHOT),
    record("A", 1, "A", 101, 8, time=3, flags=SNAPSHOT),
    record("A", 3, "B", 99, 10, time=4, flags=SNAPSHOT | LAST),
  ]
  later = record("C", 1, "A", 101, 8, time=START + 9)
  rows, is_market_event, left = read_rows(tmp_path, [*again, later])
  assert rows == [
    (CANCEL, ASK, 101, 10, 0),
    (CANCEL, ASK, 102, 10, 1),
    (CANCEL, BID, 99, 10, 2),
    (LIMIT, ASK, 101, 8, 3),
    (LIMIT, BID, 99, 10, 4),
    (CANCEL, ASK, 101, 8, 3),
  ]
  assert is_market_event == [False] * 5 + [True]
  assert left == [0, 0, 0, -1, -1, 0]
  stream = reader.read_checked(tmp_path / "mbo.dbn")[0]
  assert (stream.time - stream.time[0]).tolist() == [0] * 8 + [9]
  assert stream.counts["clears"] == 1


def test_record_of_no_action_may_end_an_event(tmp_path):
  fill = pieces(
    record("T", 0, "B", 101, 4),
    record("F", 1, "A", 101, 4),
    record("C", 1, "A", 101, 4),
    last=False,
  )
  records = [record("N", time=0), *fill, record("N"), record("N")]
  rows, *_ = read_rows(tmp_path, [*records, record("A", 9, "B", 101, 1)])
  assert rows[0] == (LIMIT, BID, 101, 5, 3)
  assert reader.read_checked(tmp_path / "mbo.dbn")[0].counts["no_actions"] == 3


def test_few_orders_may_be_unknown(tmp_path):
  fill = [record("N") for _ in range(3_000)]
  gone = [record("C", 88, "A", 101, 1), record("M", 89, "B", 98, 4)]
  rows, is_market_event, _ = read_rows(
    tmp_path, [*gone, *fill, record("C", 89, "B", 98, 4)]
  )
  assert rows == [(LIMIT, BID, 98, 4, 3), (CANCEL, BID, 98, 4, 3)]
  assert is_market_event == [False, True]
  assert reader.read_checked(tmp_path / "mbo.dbn")[0].counts["unseen"] == 2
  with pytest.raises(events.DataError, match="row 4: unknown order id"):
    read_rows(tmp_path, [*gone, *fill[:900]])


def test_file_that_ends_within_an_event_is_counted(tmp_path):
  records = pieces(record("C", 1, "A", 101, 3), last=False)
  rows, *_ = read_rows(tmp_path, records)
  assert rows == [(CANCEL, ASK, 101, 3, 0)]
  assert reader.read_checked(tmp_path / "mbo.dbn")[0].counts["unfinished"] == 1


@pytest.mark.parametrize(
  ("bad", "reason"),
  [
    (record("C", 1, "A", 101, 11), "size 11 is off an order of 10 lots"),
    (record("C", 1, "B", 101, 1), "the order is of the other side"),
    (record("A", 1, "A", 101, 1), "the order is added twice"),
    (record("A", 9, "N", 100, 1), "side is not A or B"),
    (record("A", 9, "A", 100, 0), "size is not in"),
    (record("A", 9, "A", 100, 2**31), "size is not in"),
    (record("A", 9, "A", 100, 1, publisher_id=2), "publisher_id changes"),
    (record("A", 9, "A", 100, 1, flags=LAST | 64), "of a price level"),
    (record("C", 1, "A", 101, 1, flags=SNAPSHOT), "no add or clear"),
  ],
)
def test_bad_record_is_named(tmp_path, bad, reason):
  with pytest.raises(events.DataError, match=rf"mbo.dbn, row 4: .*{reason}"):
    read_rows(tmp_path, [bad, record("C", 1, "A", 101, 1)])


def test_undefined_price_time_and_action_are_named(tmp_path):
  for change, reason in (
    ({"price": UNDEFINED}, "price is undefined"),
    ({"ts_event": 2**64 - 1}, "ts_event is undefined"),
  ):
    bad = record("A", 9, "A", 100, 1)
    for name, value in change.items():
      setattr(bad, name, value)
    with pytest.raises(events.DataError, match=f"row 4: {reason}"):
      read_rows(tmp_path, [bad])
  path = write(tmp_path, BOOK)
  data = bytearray(path.read_bytes())
  data[-56 + parse.RECORD.fields["action"][1]] = ord("X")
  path.write_bytes(data)
  with pytest.raises(events.DataError, match="row 3: unknown action"):
    reader.read_checked(path)


def test_price_beyond_the_clearing_house_is_named(tmp_path):
  bad = record("A", 9, "A", 2**30, 1)
  with pytest.raises(events.DataError, match="row 4: price 268435456.0 is 2"):
    read_rows(tmp_path, [bad])


def test_volume_beyond_the_clearing_house_is_named(tmp_path):
  half, sweep = 2**30, []
  for name in (8, 9):
    sweep += pieces(
      record("T", 0, "B", 100, half),
      record("F", name, "A", 100, half),
      record("C", name, "A", 100, half),
    )
  asks = [record("A", name, "A", 100, half) for name in (8, 9)]
  with pytest.raises(events.DataError, match="row 6: the volume of an aggress"):
    read_rows(tmp_path, asks + sweep)


def test_feed_that_ends_no_event_is_refused(tmp_path):
  records = [
    record("A", i, "A", 100 + i, 1, time=START + i * SECOND, flags=0)
    for i in range(5)
  ]
  with pytest.raises(events.DataError, match="row 3: no event ends"):
    reader.read_checked(write(tmp_path, records))
