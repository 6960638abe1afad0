"""Tests of the NASDAQ ITCH reader: handmade messages, and a simulated day.

The messages are written by `itch_writer`; `itch_market` knows from a plain
price-time book what the reader should make of it, and the package itch-book
reads the same file as an independent witness.
"""

import datetime

import numpy as np
import pytest

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.itch import reader
from mars_jax.lob import venues
from tests.support.feeds import itch_market
from tests.support.feeds import itch_writer as writer
from tests.support.oracles import plain_book

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
OPEN, STOCK = writer.OPEN, writer.STOCK
order, at = writer.order, writer.at


def read(folder, messages):
  """Reads messages that follow the book by hand, but for its four events."""
  path = writer.save(folder, writer.START + writer.BOOK + messages)
  stream, checks = reader.read_checked(path)
  assert plain_book.rows(stream)[:4] == [
    (LIMIT, ASK, 1001, 100, 0),
    (LIMIT, ASK, 1001, 50, 1),
    (LIMIT, ASK, 1005, 30, 2),
    (LIMIT, BID, 998, 200, 3),
  ]
  return stream[slice(4, None)], checks


def columns(arrays, *names):
  values = [getattr(arrays, name).tolist() for name in names]
  return list(zip(*values, strict=True))


def trades(checks):
  names = ("event", "bid_id", "ask_id", "price", "volume")
  return columns(checks.trades, *names)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
  """A simulated day: its path, its messages, and its two markets."""
  messages, markets = itch_market.session(2_000)
  folder = tmp_path_factory.mktemp("itch")
  return writer.save(folder, messages), messages, markets


@pytest.mark.parametrize("stock", ["AAA", "BB/W"])
def test_simulated_day_gives_the_orders_that_made_it(day, stock):
  path, _, markets = day
  stream, checks = reader.read_checked(path, instrument=stock)
  market = markets[stock]
  names = (
    "time",
    "kind",
    "side",
    "price",
    "volume",
    "order_id",
    "is_market_event",
  )
  have = columns(stream, *names)
  left = checks.remaining.tolist()
  assert [(*r, n) for r, n in zip(have, left, strict=True)] == market.events
  assert trades(checks) == market.trades
  assert set(columns(checks.orders, "side", "price", "volume", "order_id")) == {
    (side, row.price, row.volume, market.ids[row.id])
    for side in (ASK, BID)
    for row in market.book.rows(side)
  }
  assert stream.name == f"NASDAQ {stock} 2020-01-30"
  assert (stream.rules, stream.tick_size, stream.lot_size) == (
    "nasdaq",
    0.01,
    1,
  )


def test_counts_of_the_simulated_day_add_up(day):
  path, messages, markets = day
  letters = [message[:1] for message in messages]
  stream = reader.read_checked(path, instrument="AAA")[0]
  counts = stream.counts
  assert counts["messages"] == sum(
    counts[name]
    for name in (
      *("limit_orders", "replaces", "cancels", "executions", "type_I"),
      *("hidden_executions", "cross_trades", "broken_trades", "directory"),
      *("trading_actions", "system_events"),
    )
  )
  both = (
    counts["messages"]
    + reader.read_checked(path, instrument="BB/W")[0].counts["messages"]
  )
  assert both == len(letters) - letters.count(b"V") + letters.count(b"S")
  for name, count in markets["AAA"].counts.items():
    assert counts[name] == count > 0, name
  assert stream.is_market_event.sum() == (
    counts["limit_orders"]
    - counts["remainders"]
    + counts["aggressive_orders"]
    + counts["cancels"]
    + 2 * counts["replaces"]
  )
  assert (~stream.is_market_event).sum() == counts["cross_executions"]
  for name in ("out_of_turn_executions", "off_grid_orders", "outside"):
    assert counts[name] == 0


def test_replay_of_the_simulated_day_differs_nowhere(day):
  path, _, markets = day
  stream, checks = reader.read_checked(path, instrument="AAA")
  result = replay.verify(stream, checks, rules=venues.PRESETS["nasdaq"])
  assert not result.mismatches, result.examples
  assert not result.rejected
  assert result.dropped == result.crossed == 0
  assert result.fills == len(markets["AAA"].trades)
  assert result.checked == {
    "remaining": int((stream.kind == CANCEL).sum()),
    "trades": stream.counts["aggressive_orders"],
    "orders": len(checks.orders.side),
  }


def test_book_is_that_of_another_reader(day):
  itch_book = pytest.importorskip("itch_book")
  path, _, _ = day
  stream = reader.read_checked(path, instrument="AAA")[0]
  with itch_book.Feed(str(path), price_type="fixed") as feed:
    batches = feed.batches(tables=("depth",), depth=5, symbols="AAA")
    tables = [batch.depth for batch in batches]
  theirs = {
    name: np.concatenate([t[name] for t in tables]) for name in tables[0]
  }
  midnight = datetime.datetime(2020, 1, 30, 5, tzinfo=datetime.UTC)  # EST.
  time = theirs["ts_event"] - int(midnight.timestamp()) * types.NANOSECONDS
  book, done, compared = plain_book.Book(), 0, 0
  rows = plain_book.rows(stream)
  for last in np.flatnonzero(np.diff(time, append=np.iinfo(np.int64).max)):
    end = np.searchsorted(stream.time, time[last], "right")
    for row in rows[done:end]:
      book.apply(*row)
    done = end
    for side, letters in ((ASK, "ask"), (BID, "bid")):
      prices, volumes = book.levels(side, 5)
      shown = [
        [int(theirs[f"{letters}_{what}_{i:02}"][last]) for i in range(5)]
        for what in ("px", "sz")
      ]
      assert shown == [[100 * price for price in prices], volumes]
    compared += 1
  assert compared > 500


def test_executions_in_a_row_are_one_order_with_its_remainder(tmp_path):
  stream, checks = read(
    tmp_path,
    [
      at(writer.execute, 5, 1, 100),
      at(writer.hidden_trade, 5, 70, STOCK, 100_150),
      at(writer.execute, 5, 2, 50),
      order(5, "B", 9, 25, 10.03),
      at(writer.execute, 6, 9, 10),
      order(
        6, "S", 10, 5, 10.04
      ),  # Does not reach what was hit: another order.
      at(writer.delete, 7, 9),
    ],
  )
  assert plain_book.rows(stream) == [
    (LIMIT, BID, 1003, 175, 4),
    (LIMIT, ASK, 1003, 10, 5),
    (LIMIT, ASK, 1004, 5, 6),
    (CANCEL, BID, 1003, 15, 4),
  ]
  assert stream.time.tolist() == [OPEN + 5, OPEN + 6, OPEN + 6, OPEN + 7]
  assert stream.is_market_event.all()
  assert trades(checks) == [
    (4, 4, 0, 1001, 100),
    (4, 4, 1, 1001, 50),
    (5, 4, 5, 1003, 10),
  ]
  assert checks.remaining.tolist() == [-1] * 7 + [0]
  assert stream.counts["remainders"] == 1
  assert stream.counts["hidden_executions"] == 1


def test_executions_of_other_times_or_sides_are_other_orders(tmp_path):
  stream, _ = read(
    tmp_path,
    [
      at(writer.execute, 5, 1, 60),
      at(writer.execute, 6, 1, 40),
      at(writer.execute, 6, 4, 10),
      at(writer.execute, 7, 2, 10),
      at(writer.execute, 7, 2, 20),  # The same order again: one fill.
      order(8, "B", 9, 5, 10.00),  # Too late to be a remainder.
    ],
  )
  assert plain_book.rows(stream) == [
    (LIMIT, BID, 1001, 60, 4),
    (LIMIT, BID, 1001, 40, 5),
    (LIMIT, ASK, 998, 10, 6),
    (LIMIT, BID, 1001, 30, 7),
    (LIMIT, BID, 1000, 5, 8),
  ]


def test_cancels_and_replaces(tmp_path):
  stream, checks = read(
    tmp_path,
    [
      at(writer.cancel, 1, 1, 30),
      at(writer.replace, 2, 1, 11, 20, 100_100),  # Fewer shares, same price.
      at(writer.execute, 3, 2, 50),  # Is first now.
      at(writer.delete, 4, 11),
    ],
  )
  assert plain_book.rows(stream) == [
    (CANCEL, ASK, 1001, 30, 0),
    (CANCEL, ASK, 1001, 70, 0),
    (LIMIT, ASK, 1001, 20, 4),
    (LIMIT, BID, 1001, 50, 5),
    (CANCEL, ASK, 1001, 20, 4),
  ]
  assert checks.remaining[4:].tolist() == [70, 0, -1, -1, 0]
  rest = columns(checks.orders, "side", "price", "volume", "order_id")
  assert sorted(rest) == [(ASK, 1005, 30, 2), (BID, 998, 200, 3)]


def test_executions_of_a_cross_are_cancels_that_are_no_flow(tmp_path):
  cross = at(writer.cross, 20, 100, STOCK, 100_000)
  stream, checks = read(
    tmp_path,
    [
      at(writer.execute_at, 5, 1, 60, 100_000, b"N"),  # Not printed.
      at(writer.execute, 6, 1, 40),
      at(writer.cross, 7, 0, STOCK, 0),  # A cross in which nothing trades.
      at(writer.execute, 20, 2, 10),  # At the time of a cross.
      cross,
      at(writer.execute, 21, 2, 10),
      at(writer.execute, 22, 2, 10),  # Right before a cross.
      at(writer.hidden_trade, 22, 7, STOCK, 100_000),
      at(writer.execute, 22, 4, 200),
      at(writer.cross, 23, 100, STOCK, 100_000),
      at(writer.execute, 24, 2, 20),
    ],
  )
  assert plain_book.rows(stream) == [
    (CANCEL, ASK, 1001, 60, 0),
    (LIMIT, BID, 1001, 40, 4),
    (CANCEL, ASK, 1001, 10, 1),
    (LIMIT, BID, 1001, 10, 5),
    (CANCEL, ASK, 1001, 10, 1),
    (CANCEL, BID, 998, 200, 3),
    (LIMIT, BID, 1001, 20, 6),
  ]
  assert stream.is_market_event.tolist() == [
    kind == LIMIT for kind in stream.kind.tolist()
  ]
  assert checks.remaining[4:].tolist() == [40, -1, 40, -1, 20, 0, -1]
  assert stream.counts["cross_executions"] == 4
  assert stream.counts["cross_trades"] == 3
  assert len(trades(checks)) == 3


def test_executions_out_of_turn_are_cancels_that_are_no_flow(tmp_path):
  stream, checks = read(
    tmp_path,
    [
      at(writer.execute, 5, 2, 10),  # Not the oldest.
      at(writer.execute, 6, 1, 90),  # Would take 100 first.
      at(writer.execute, 6, 2, 10),
      at(writer.execute, 7, 3, 30),  # Not the best.
      at(writer.execute, 8, 1, 10),
      at(writer.execute, 8, 2, 30),
    ],
  )
  assert plain_book.rows(stream) == [
    (CANCEL, ASK, 1001, 10, 1),
    (CANCEL, ASK, 1001, 90, 0),
    (CANCEL, ASK, 1001, 10, 1),
    (CANCEL, ASK, 1005, 30, 2),
    (LIMIT, BID, 1001, 40, 4),
  ]
  assert stream.is_market_event.tolist() == [False] * 4 + [True]
  assert stream.counts["out_of_turn_executions"] == 4
  assert trades(checks) == [(8, 4, 0, 1001, 10), (8, 4, 1, 1001, 30)]
  result = replay.verify(
    reader.read_checked(tmp_path / writer.NAME)[0],
    checks,
    rules=venues.PRESETS["nasdaq"],
  )
  assert not result.mismatches, result.examples


def test_an_order_that_would_trade_waits_until_it_no_longer_would(tmp_path):
  stream, checks = read(
    tmp_path,
    [
      at(writer.action, 1, STOCK, b"H"),
      order(2, "B", 9, 80, 10.01),
      order(2, "B", 10, 40, 10.02),
      at(writer.cancel, 3, 9, 30),
      at(writer.delete, 3, 10),
      at(writer.delete, 4, 1),
      at(writer.execute_at, 5, 9, 10, 100_100, b"N"),
      at(writer.execute_at, 5, 2, 50, 100_100, b"N"),
      at(writer.cross, 5, 60, STOCK, 100_100, b"H"),
      at(writer.execute, 6, 9, 40),
    ],
  )
  assert plain_book.rows(stream) == [
    (CANCEL, ASK, 1001, 100, 0),
    (CANCEL, ASK, 1001, 50, 1),
    (LIMIT, BID, 1001, 40, 4),
    (LIMIT, ASK, 1001, 40, 5),
  ]
  assert stream.is_market_event.tolist() == [True, False, False, True]
  counts = stream.counts
  assert counts["halts"] == counts["trading_actions"] == 1
  assert counts["crossing_orders"] == 2
  assert counts["outside"] == 3
  assert trades(checks) == [(7, 4, 5, 1001, 40)]


def test_orders_off_the_grid_are_left_out_and_must_not_trade(tmp_path):
  stub = [order(1, "B", 9, 80, 0.0001), at(writer.cancel, 2, 9, 30)]
  stream, checks = read(
    tmp_path, [*stub, at(writer.replace, 3, 9, 10, 30, 9_900)]
  )
  assert plain_book.rows(stream) == [(LIMIT, BID, 99, 30, 4)]
  assert stream.counts["off_grid_orders"] == 1
  assert stream.counts["outside"] == 2
  assert len(checks.orders.side) == 5
  trade = at(writer.execute, 3, 9, 10)
  path = writer.save(tmp_path, [*writer.START, *writer.BOOK, *stub, trade])
  with pytest.raises(events.DataError, match="row 9: an order off the grid of"):
    reader.read_checked(path, tick_size=0.01)
  assert reader.read_checked(path)[0].tick_size == 0.0001


# Dollars of the orders, what trades first, and the tick.
TICKS = {
  "a trade": ([1.01, 1.02, 1.03, 0.9901], 3, 0.0001),
  "most orders": ([0.4502, 0.4503, 0.4601, 0.44], None, 0.0001),
  "half a cent": ([10.01, 10.015, 10.025, 9.0], None, 0.01),
  "half a cent trades": ([10.02, 10.01, 10.005, 9.0], 2, 0.005),
  "a stub below": ([10.01, 10.02, 10.03, 0.0001], 0, 0.01),
  "an ask far above": ([0.4502, 0.4503, 199_999.99, 0.44], 0, 0.0001),
}


@pytest.mark.parametrize("case", TICKS)
def test_tick_is_that_of_orders_and_trades(tmp_path, case):
  dollars, traded, tick = TICKS[case]
  messages = [
    order(1, "SSSB"[i], 20 + i, 100, price) for i, price in enumerate(dollars)
  ]
  if traded is not None:
    messages.append(at(writer.execute, 2, 20 + traded, 10))
  path = writer.save(tmp_path, [*writer.START, *messages])
  stream, checks = reader.read_checked(path)
  assert stream.tick_size == tick
  on_grid = [x for x in dollars if abs(x / tick - round(x / tick)) < 1e-6]
  assert stream.price[: len(on_grid)].tolist() == [
    round(x / tick) for x in on_grid
  ]
  assert stream.counts["off_grid_orders"] == len(dollars) - len(on_grid)
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert not result.mismatches and not result.rejected
  with pytest.raises(ValueError, match="tick_size = 1e-05 is below"):
    reader.read_checked(path, tick_size=1e-5)


HOUR = 3600 * types.NANOSECONDS


@pytest.mark.parametrize("hours", [(3.5, 3.75), (9.5, 20.25), (0.1, 23.9)])
def test_session_may_be_longer_than_the_hours_of_the_exchange(tmp_path, hours):
  first, last = (int(hour * HOUR) - OPEN for hour in hours)
  path = writer.save(
    tmp_path,
    [
      writer.event(0),
      writer.directory(writer.LOCATE, 0, STOCK),
      order(first, "S", 1, 10, 24.00),
      order(first + 1, "B", 2, 15, 23.90),
      at(writer.execute, last, 1, 4),
      at(writer.delete, last + 1, 2),
    ],
  )
  stream, checks = reader.read_checked(path)
  assert [row[:4] for row in plain_book.rows(stream)] == [
    (LIMIT, ASK, 2400, 10),
    (LIMIT, BID, 2390, 15),
    (LIMIT, BID, 2400, 4),
    (CANCEL, BID, 2390, 15),
  ]
  assert stream.counts["beyond_hours"] >= 1
  assert stream.counts["late_cancels"] == 0
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert not result.mismatches and not result.rejected


def test_cancels_after_the_close_are_counted_and_yield_no_event(tmp_path):
  late = 20 * 3600 * types.NANOSECONDS - OPEN
  stream, checks = read(tmp_path, [at(writer.delete, late, 1)])
  assert not len(stream)
  assert stream.counts["late_cancels"] == stream.counts["cancels"] == 1
  assert len(checks.orders.side) == 4
