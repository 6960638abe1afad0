"""Tests of the Coinbase reader: handmade captures, and the whole sample."""

import json

import numpy as np
import pytest

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.coinbase import reader
from tests.support.oracles import plain_book

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
START = {
  "asks": [
    ["101.00", "1", "a"],
    ["101", "0.5", "b"],
    ["9999999999.00", "250000.00000001", "c"],
  ],
  "bids": [["99.5", "0.25", "d"]],
  "sequence": 10,
}


def message(kind, order_id=None, side="buy", **fields):
  """A message; `capture` gives it a sequence number and a time."""
  name = {} if order_id is None else {"order_id": order_id}
  return {"type": kind, "side": side, "product_id": "X-USD", **name, **fields}


def received(order_id, side, size, price):
  return message(
    "received", order_id, side, size=size, price=price, order_type="limit"
  )


def match(maker, taker, side, size, price):
  ids = {"maker_order_id": maker, "taker_order_id": taker}
  return message("match", side=side, size=size, price=price, **ids)


def opened(order_id, side, size, price):
  return message("open", order_id, side, remaining_size=size, price=price)


def done(order_id, reason, size):
  return message("done", order_id, reason=reason, remaining_size=size)


def capture(folder, messages, end=None):
  """Writes a capture; messages without a sequence number get the next one."""
  rows = []
  for place, fields in enumerate(messages):
    second = f"2018-07-13T20:47:{place:02}.025000Z"
    rows.append({"sequence": 11 + place, "time": second} | fields)
  (folder / reader.START_FILE).write_text(json.dumps(START))
  (folder / reader.MESSAGES_FILE).write_text(json.dumps(rows))
  if end:
    end = {"sequence": rows[-1]["sequence"]} | end
    (folder / reader.END_FILE).write_text(json.dumps(end))
  return folder


def tuples(arrays, names):
  """The rows of arrays."""
  columns = [getattr(arrays, name).tolist() for name in names]
  return list(zip(*columns, strict=True))


SWEEP = [
  received("e", "buy", "1.75", "102.00"),
  match("a", "e", "sell", "1", "101.00000000"),
  done("a", "filled", "0"),
  match("b", "e", "sell", "0.5", "101"),
  done("b", "filled", "0.00000000"),
  opened("e", "buy", "0.25", "102.00"),
]


def test_start_book_is_no_flow_and_numbers_are_exact(tmp_path):
  stream = reader.read_checked(
    capture(tmp_path, [opened("e", "buy", "1", "98")])
  )[0]
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 10_100, 100_000_000, 0),
    (LIMIT, ASK, 10_100, 50_000_000, 1),
    (LIMIT, ASK, 999_999_999_900, 25_000_000_000_001, 2),
    (LIMIT, BID, 9_950, 25_000_000, 3),
    (LIMIT, BID, 9_800, 100_000_000, 4),
  ]
  assert stream.is_market_event.tolist() == [False] * 4 + [True]
  assert stream.price.dtype == stream.volume.dtype == np.int64
  second = 20 * 3600 + 47 * 60
  assert stream.time.tolist() == [second * 10**9 + 25_000_000] * 5
  assert stream.name == "Coinbase X-USD 2018-07-13"
  assert stream.counts["unseen"] == 1  # Received before the start.


def test_sweep_is_one_order_with_its_remainder_and_its_trades(tmp_path):
  path = capture(
    tmp_path,
    [*SWEEP, done("e", "canceled", "0.25")],
    {"asks": START["asks"][2:], "bids": START["bids"]},
  )
  stream, checks = reader.read_checked(path)
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, BID, 10_200, 175_000_000, 4),
    (CANCEL, BID, 10_200, 25_000_000, 4),
  ]
  assert checks.remaining.tolist() == [-1] * 5 + [0]
  trades = checks.trades
  assert trades.event.tolist() == [4, 4]
  assert trades.bid_id.tolist() == [4, 4]
  assert trades.ask_id.tolist() == [0, 1]
  assert trades.price.tolist() == [10_100, 10_100]
  assert trades.volume.tolist() == [100_000_000, 50_000_000]
  assert not trades.is_auction.any()
  orders = checks.orders
  assert orders.side.tolist() == [ASK, BID]
  assert orders.price.tolist() == [999_999_999_900, 9_950]
  assert orders.volume.tolist() == [25_000_000_000_001, 25_000_000]
  assert orders.order_id.tolist() == [2, 3]
  counts = stream.counts
  assert counts["aggressive_orders"] == counts["limit_orders"] == 1
  assert counts["trades"] == 2
  assert checks.levels is None


def test_order_that_does_not_rest_has_the_price_of_its_last_fill(tmp_path):
  market = message("received", "f", "sell", funds="9.9", order_type="market")
  path = capture(
    tmp_path,
    [
      received("e", "buy", "1", "105.00"),
      match("a", "e", "sell", "1", "101"),
      done("e", "filled", "0"),
      market,
      match("d", "f", "buy", "0.1", "99.5"),
      message("done", "f", "sell", reason="filled"),
      received("g", "sell", "1", "99.00"),  # Immediate or cancel.
      match("d", "g", "buy", "0.15", "99.5"),
      done("g", "canceled", "0.85"),
    ],
  )
  stream, checks = reader.read_checked(path)
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, BID, 10_100, 100_000_000, 4),
    (LIMIT, ASK, 9_950, 10_000_000, 5),
    (LIMIT, ASK, 9_950, 15_000_000, 6),
  ]
  assert checks.trades.bid_id.tolist() == [4, 3, 3]
  assert checks.trades.ask_id.tolist() == [0, 5, 6]
  assert checks.orders is None
  assert stream.counts["market_orders"] == 1
  assert stream.counts["limit_orders"] == 2


def test_refused_and_unfinished_orders_are_counted(tmp_path):
  messages = [
    received("e", "buy", "1", "105.00"),
    done("e", "canceled", "1"),
    message("activate", "z"),
    received("f", "buy", "3", "105.00"),
    match("a", "f", "sell", "1", "101"),
  ]
  stream = reader.read_checked(capture(tmp_path, messages))[0]
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, BID, 10_100, 100_000_000, 4)
  ]
  assert stream.counts["refused"] == 1
  assert stream.counts["unfinished"] == 1
  assert stream.counts["activations"] == 1


def test_change_of_a_resting_order_is_a_cancel_of_the_difference(tmp_path):
  change = message(
    "change", "b", "sell", old_size="0.5", new_size="0.2", price="101"
  )
  stream, checks = reader.read_checked(capture(tmp_path, [change]))
  assert plain_book.rows(stream, flow_only=True) == [
    (CANCEL, ASK, 10_100, 30_000_000, 1)
  ]
  assert checks.remaining[-1] == 20_000_000
  for field in ({"new_size": "0.6"}, {"old_size": "0.4"}, {"new_price": "102"}):
    with pytest.raises(events.DataError, match="row 1: a change that is no"):
      reader.read_checked(capture(tmp_path, [change | field]))


def modified(order_id, side, old, new):
  """A modify, from (size, price) to another."""
  sizes = {"old_size": old[0], "new_size": new[0]}
  prices = {"old_price": old[1], "new_price": new[1]}
  return message(
    "change", order_id, side, reason="modify_order", **sizes, **prices
  )


def test_modified_order_goes_to_the_end_of_the_queue_at_its_price(tmp_path):
  path = capture(
    tmp_path,
    [
      modified("a", "sell", ("1", "101.00"), ("0.8", "101.50")),
      modified("b", "sell", ("0.5", "101"), ("0.4", "101")),  # Only shrinks.
      modified("b", "sell", ("0.4", "101"), ("0.4", "101.5")),
      modified("a", "sell", ("0.8", "101.50"), ("0.9", "101.50")),  # Grows.
      received("e", "buy", "0.5", "101.5"),
      match("b", "e", "sell", "0.4", "101.5"),
      match("a", "e", "sell", "0.1", "101.5"),
      done("b", "filled", "0"),
      done("e", "filled", "0"),
    ],
    {
      "asks": [["101.5", "0.8", "a"], *START["asks"][2:]],
      "bids": START["bids"],
    },
  )
  stream, checks = reader.read_checked(path)
  assert plain_book.rows(stream, flow_only=True) == [
    (CANCEL, ASK, 10_100, 100_000_000, 0),
    (LIMIT, ASK, 10_150, 80_000_000, 4),
    (CANCEL, ASK, 10_100, 10_000_000, 1),
    (CANCEL, ASK, 10_100, 40_000_000, 1),
    (LIMIT, ASK, 10_150, 40_000_000, 5),
    (CANCEL, ASK, 10_150, 80_000_000, 4),
    (LIMIT, ASK, 10_150, 90_000_000, 6),
    (LIMIT, BID, 10_150, 50_000_000, 7),
  ]
  seconds = (stream.time[stream.is_market_event] // 10**9 % 60).tolist()
  assert seconds == [0, 0, 1, 2, 2, 3, 3, 8]
  assert stream.counts["modified"] == 3
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert not result.mismatches and not result.rejected


TAKING = {
  "and rest": (
    [
      modified("d", "buy", ("0.25", "99.5"), ("2", "101")),
      match("a", "d", "sell", "1", "101"),
      done("a", "filled", "0"),
      match("b", "d", "sell", "0.5", "101"),
      done("b", "filled", "0"),
      opened("d", "buy", "0.5", "101"),
    ],
    200_000_000,
  ),
  "all": (
    [
      modified("d", "buy", ("0.25", "99.5"), ("1", "101")),
      match("a", "d", "sell", "1", "101"),
      done("d", "filled", "0"),
      done("a", "filled", "0"),
    ],
    100_000_000,
  ),
}


@pytest.mark.parametrize("case", TAKING)
def test_modified_order_may_take_from_the_other_side(tmp_path, case):
  messages, size = TAKING[case]
  stream, checks = reader.read_checked(capture(tmp_path, messages))
  assert plain_book.rows(stream, flow_only=True) == [
    (CANCEL, BID, 9_950, 25_000_000, 3),
    (LIMIT, BID, 10_100, size, 4),
  ]
  assert checks.trades.bid_id.tolist() == [4] * len(checks.trades.bid_id)
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert result.checked["trades"]
  assert not result.mismatches and not result.rejected


@pytest.mark.parametrize("price, tick", [("98", 0.01), ("98.00000007", 1e-8)])
def test_tick_is_found_in_the_prices(tmp_path, price, tick):
  path = capture(tmp_path, [opened("e", "buy", "1", price)])
  stream = reader.read_checked(path)[0]
  assert stream.tick_size == tick
  assert stream.price[-1] == round(float(price) / tick)
  assert stream.price[0] == round(101 / tick)
  finer = reader.read_checked(path, tick_size=1e-8)[0]
  assert finer.price[0] == 10_100_000_000
  with pytest.raises(events.DataError, match="off the grid of 1"):
    reader.read_checked(path, tick_size=1)


def test_clock_never_steps_back_and_days_part_at_midnight(tmp_path):
  times = ("13T23:59:58", "13T23:59:57", "14T00:00:01", "13T23:59:59")
  messages = [
    opened(name, "buy", "1", "98") | {"time": f"2018-07-{time}.000000Z"}
    for name, time in zip("efgh", times, strict=True)
  ]
  path = capture(tmp_path, messages)
  assert registry.days(path) == ("2018-07-13", "2018-07-14")
  first, second = (registry.read(path, day=day) for day in registry.days(path))
  assert (first.time[first.is_market_event] // 10**9).tolist() == [86_398] * 2
  assert (second.time[second.is_market_event] // 10**9).tolist() == [1] * 2
  assert second.counts["clock_steps"] == 2
  assert second.counts["carried_orders"] == 6
  with pytest.raises(events.DataError, match="several among the days"):
    registry.read(path)


def test_messages_outside_of_the_two_books_are_counted(tmp_path):
  early = opened("d", "buy", "0.25", "99.5") | {"sequence": 10}
  late = received("y", "buy", "1", "98") | {"sequence": 17}
  sweep = [m | {"sequence": 11 + i} for i, m in enumerate(SWEEP)]
  end = {"asks": [], "bids": [], "sequence": 16}
  stream = reader.read_checked(capture(tmp_path, [early, *sweep, late], end))[0]
  assert stream.counts["messages"] == 6
  assert stream.counts["outside"] == 2
  assert len(plain_book.rows(stream, flow_only=True)) == 1


# Messages that replace the third and later ones of the sweep, the reason.
BROKEN = {
  "type": ([message("news")], "unknown type 'news'"),
  "field": ([{"type": "done", "product_id": "X-USD"}], "no 'order_id'"),
  "gap": ([done("a", "filled", "0") | {"sequence": 14}], "14 follows 12"),
  "product": ([done("a", "filled", "0") | {"product_id": "Y"}], "changes"),
  "no time": ([done("a", "filled", "0") | {"time": "noon"}], "noon"),
  "side": ([opened("e", "bid", "0.75", "102")], "side 'bid' is not buy or"),
  "other side": ([opened("e", "sell", "0.75", "102")], "is of the other side"),
  "size": ([opened("e", "buy", "x", "102")], "size 'x' is no number"),
  "number": ([opened("e", "buy", 0.75, "102")], "size 0.75 is no text"),
  "decimals": ([opened("e", "buy", "0.750000001", "102")], "up to 8 decimals"),
  "large": ([opened("e", "buy", "0.75", "1" * 17)], "price '111"),
  "price": ([opened("e", "buy", "0.75", "1.000000001")], "up to 8 dec"),
  "free": ([opened("e", "buy", "0.75", "0.00")], "price is zero"),
  "remainder": ([opened("e", "buy", "0.8", "102")], "not what is left of the"),
  "no remainder": ([opened("e", "buy", "0", "102")], "not what is left of the"),
  "open twice": ([opened("b", "sell", "1", "101")], "is in the book, or was"),
  "maker": ([match("x", "e", "sell", "1", "101")], "maker is not in the book"),
  "its price": ([match("b", "e", "sell", "0.5", "102")], "at another price"),
  "its side": ([match("b", "e", "buy", "0.5", "101")], "at another price or"),
  "its size": ([match("b", "e", "sell", "0.6", "101")], "50000000 lots left"),
  "taker": ([match("c", "e", "sell", "9", "9999999999")], "more than its size"),
  "taker's side": ([match("d", "e", "buy", "0.1", "99.5")], "the other side"),
  "not filled": ([done("e", "filled", "0.75")], "has not taken its size"),
  "left": ([done("b", "canceled", "0.4")], "done with 40000000, but 50000000"),
  "filled": ([done("b", "filled", "0.5")], "but 50000000 lots are left"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_message_is_an_error_with_file_row_and_reason(tmp_path, case):
  messages, reason = BROKEN[case]
  path = capture(tmp_path, SWEEP[:2] + messages)
  with pytest.raises(events.DataError) as error:
    reader.read_checked(path)
  text = str(error.value)
  assert f"{path / reader.MESSAGES_FILE}, row 3: " in text
  assert reason in text


# What the start book gets instead, the row, and the reason.
BROKEN_BOOKS = {
  "no asks": ({"asks": None}, "", "'NoneType' object is not iterable"),
  "sequence": ({"sequence": None}, "", "int() argument"),
  "price": ({"asks": [["1.x", "2", "x"]]}, ", row 1", "price '1.x' is no num"),
  "no size": ({"asks": [["1", "0.0", "x"]]}, ", row 1", "has no size"),
}


@pytest.mark.parametrize("case", BROKEN_BOOKS)
def test_broken_book_is_an_error_with_file_row_and_reason(tmp_path, case):
  fields, row, reason = BROKEN_BOOKS[case]
  file = capture(tmp_path, SWEEP) / reader.START_FILE
  file.write_text(json.dumps(START | fields))
  with pytest.raises(events.DataError) as error:
    reader.read_checked(tmp_path)
  assert f"{file}{row}: " in str(error.value)
  assert reason in str(error.value)


def test_captures_that_do_not_fit_together_are_errors(tmp_path):
  empty = {"asks": [], "bids": []}
  with pytest.raises(events.DataError, match="no messages after the start"):
    reader.read_checked(capture(tmp_path, []))
  with pytest.raises(events.DataError, match="sequence number 12 follows 10"):
    reader.read_checked(capture(tmp_path, [SWEEP[0] | {"sequence": 12}]))
  with pytest.raises(events.DataError, match="at 16, but the end book at 17"):
    reader.read_checked(capture(tmp_path, SWEEP, empty | {"sequence": 17}))
  unknown = {"asks": [["1", "1", "new"]], "bids": []}
  with pytest.raises(events.DataError, match="row 1: the order was never in"):
    reader.read_checked(capture(tmp_path, SWEEP, unknown))
  (tmp_path / reader.MESSAGES_FILE).write_text("[{]")
  with pytest.raises(events.DataError, match="messages.json: Expecting"):
    reader.read_checked(tmp_path)
  (tmp_path / reader.MESSAGES_FILE).write_text("1")
  with pytest.raises(events.DataError, match="json: no list of messages"):
    reader.read_checked(tmp_path)
  (tmp_path / reader.MESSAGES_FILE).unlink()
  with pytest.raises(events.DataError, match="messages.json: no such file"):
    reader.read_checked(tmp_path)


@pytest.fixture(scope="module")
def sample(coinbase_sample):
  """The stream and the checks of the sample."""
  return reader.read_checked(coinbase_sample)


@pytest.mark.slow
def test_counts_of_the_sample(sample):
  stream, checks = sample
  assert stream.counts == {
    "messages": 36_743,
    "outside": 0,
    "start_orders": 43_546 + 23_265,
    "limit_orders": 12_074,
    "market_orders": 50,
    "aggressive_orders": 307,
    "trades": 501,
    "cancels": 11_600,
    "refused": 96,
    "unseen": 1,
    "unfinished": 0,
    "activations": 0,
    "modified": 0,
    "clock_steps": 0,
  }
  assert len(stream) == 66_811 + 12_074 + 50 + 11_600
  assert stream.is_market_event.sum() == 12_074 + 50 + 11_600
  assert (stream.volume > 0).all()
  assert (np.diff(stream.time) >= 0).all()
  new_ids = stream.order_id[stream.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()
  assert (checks.remaining == np.where(stream.kind == CANCEL, 0, -1)).all()


def test_replay_of_the_sample_gives_its_trades_and_end_book_exactly(sample):
  stream, checks = sample
  book, fills = plain_book.Book(), []
  for event, row in enumerate(plain_book.rows(stream)):
    kind, side, _, volume, order_id = row
    if kind == CANCEL:
      assert book.held(*row) - volume == checks.remaining[event]
    for maker, price, filled in book.apply(*row):
      pair = (maker, order_id) if side == ASK else (order_id, maker)
      fills.append((event, *pair, price, filled))
  trades, orders = checks.trades, checks.orders
  names = ("event", "bid_id", "ask_id", "price", "volume")
  assert fills == tuples(trades, names)
  names = ("side", "price", "volume", "order_id")
  assert book.orders() == tuples(orders, names)
  assert len(book.orders()) == 66_833
