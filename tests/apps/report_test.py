"""Bars, tables and order files of simulations."""

import csv
import dataclasses
import types as python_types

import jax
import numpy as np
import polars as pl
import pytest

from mars_jax import lob
from mars_jax import replay
from mars_jax import types
from mars_jax.apps.report import bars as bars_lib
from mars_jax.apps.report import tables
from mars_jax.feeds.lobster import reader
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import venues
from mars_jax.replay import lobster_writer
from mars_jax.utils import time_of_day
from tests.support.oracles import python_book

ASK, BID = types.Side.ASK, types.Side.BID
_KINDS, _REASONS = types.OrderKind, types.Reason
_SECOND = types.NANOSECONDS
_BEGIN = 100 * _SECOND + 500_000_000
_NUM, _EVENTS = 3, 90


def _kept(seed=0):
  """Random events of three trajectories, which end one after the other."""
  rng = np.random.default_rng(seed)
  shape = (_NUM, _EVENTS)
  time = _BEGIN + rng.integers(1, _SECOND, shape).cumsum(axis=1)
  is_event = np.arange(_EVENTS) < np.array([[_EVENTS], [60], [20]])
  time = np.where(is_event, time, np.where(is_event, time, 0).max(1)[:, None])

  def integers(low, high, *more):
    return rng.integers(low, high, (*shape, *more)).astype(np.int32)

  zero = np.zeros(shape, np.int32)
  traded = np.where(is_event & (rng.random(shape) < 0.3), integers(1, 50), 0)
  # The sum wraps round on the way.
  wrapped = (traded.cumsum(axis=1) + 2**31 - 500).astype(np.int64)
  return bars_lib.Kept(
    is_event=is_event,
    time=types.Timestamp(
      (time // _SECOND).astype(np.int32), (time % _SECOND).astype(np.int32)
    ),
    order=types.Order(integers(0, 3), zero, zero, zero, zero, zero),
    reason=zero,
    traded=traded,
    num_fills=np.where(traded > 0, integers(1, 4), 0),
    best=types.Snapshot(integers(90, 110, 2, 1), integers(0, 5, 2, 1)),
    mid=np.where(is_event, integers(95, 106), 100),
    all_traded=wrapped.astype(np.uint32).view(np.int32).astype(np.int32),
    last_price=integers(95, 106),
  )


def _state():
  """What bars look at of the state before the first event."""
  book = python_types.SimpleNamespace(
    price=np.tile([[[101], [99]]], (_NUM, 1, 1)),
    volume=np.tile([[[3], [4]]], (_NUM, 1, 1)),
  )
  market = python_types.SimpleNamespace(
    mid=np.full(_NUM, 100, np.int32),
    traded=np.full(_NUM, 2**31 - 500, np.int64).astype(np.int32),
    exchange=python_types.SimpleNamespace(book=book),
  )
  return python_types.SimpleNamespace(market=market)


def _table(chunks, end):
  recorder = bars_lib.Recorder(_state(), begin=_BEGIN, seconds=4)
  for rows in chunks:
    recorder.add(jax.tree.map(lambda x, rows=rows: x[:, rows], _kept()))
  return recorder.table(np.full(_NUM, end))


def _plain_bars(kept, b, end):
  """The bars of one trajectory, event by event."""
  mid, best = 100, ((101, 3), (99, 4))
  total = 2**31 - 500
  events = []
  for e in np.flatnonzero(kept.is_event[b]):
    time = int(kept.time.seconds[b, e]) + int(kept.time.nanoseconds[b, e]) / 1e9
    events.append((time, e))
  for begin in np.arange(100, end, 4):
    bar = {"begin": begin, "mid": [mid], "prices": []}
    bar |= dict.fromkeys(("volume", "trades", "orders", "cancels"), 0)
    for time, e in events:
      if not begin <= time < begin + 4:
        continue
      mid = int(kept.mid[b, e])
      bar["mid"].append(mid)
      shown = kept.best.price[b, e, :, 0], kept.best.volume[b, e, :, 0]
      best = tuple(zip(*(x.tolist() for x in shown), strict=True))
      is_cancel = kept.order.kind[b, e] == _KINDS.CANCEL
      bar["cancels" if is_cancel else "orders"] += 1
      if kept.traded[b, e]:
        total += int(kept.traded[b, e])
        bar["volume"] += int(kept.traded[b, e])
        bar["trades"] += int(kept.num_fills[b, e])
        bar["prices"].append(int(kept.last_price[b, e]))
    yield bar | {"best": best}


def test_bars_are_those_of_going_through_the_events_one_by_one():
  kept, end = _kept(), 160
  table = _table([slice(None)], end * _SECOND)
  assert table.is_bar.all()
  seen = 0
  for b in range(_NUM):
    for k, bar in enumerate(_plain_bars(kept, b, end)):
      mids, prices = bar["mid"], bar["prices"]
      assert table.begin[k] == bar["begin"] * _SECOND
      wanted = [mids[0], max(mids), min(mids), mids[-1]]
      assert table.mid[:, b, k].tolist() == wanted
      assert table.has_trade[b, k] == bool(prices)
      if prices:
        wanted = [prices[0], max(prices), min(prices), prices[-1]]
        assert table.trade[:, b, k].tolist() == wanted
      for name in ("volume", "trades", "orders", "cancels"):
        assert getattr(table, name)[b, k] == bar[name], name
      best = zip(
        table.best_price[:, b, k], table.best_volume[:, b, k], strict=True
      )
      assert tuple(best) == bar["best"]
      seen += bar["orders"] + bar["cancels"]
    assert k == table.mid.shape[2] - 1
  assert seen == kept.is_event.sum()


def test_bars_of_chunks_are_those_of_the_whole():
  whole = _table([slice(None)], 150 * _SECOND)
  parts = [slice(0, 1), slice(1, 30), slice(30, 47), slice(47, None)]
  pieces = _table(parts, 150 * _SECOND)
  for field in dataclasses.fields(bars_lib.Bars):
    np.testing.assert_array_equal(
      getattr(whole, field.name), getattr(pieces, field.name), field.name
    )


def test_a_trajectory_that_ended_has_no_more_bars():
  recorder = bars_lib.Recorder(_state(), begin=_BEGIN, seconds=4)
  kept = _kept()
  recorder.add(kept)
  ends = time_of_day.nanoseconds(kept.time)[:, -1]
  table = recorder.table(ends)
  lasts = [np.flatnonzero(row).max() for row in table.is_bar]
  assert lasts == (ends // (4 * _SECOND) - 25).tolist()


def test_a_call_auction_between_two_events_counts_as_volume():
  kept = jax.tree.map(lambda x: x[:, :2].copy(), _kept())
  kept.all_traded[:] = kept.all_traded[0, 0]
  kept.all_traded[:, 1] += 1000
  kept.is_event[:, 1] = False
  recorder = bars_lib.Recorder(_state(), begin=_BEGIN, seconds=3600)
  recorder.add(kept)
  table = recorder.table(np.full(_NUM, 200 * _SECOND))
  first = kept.all_traded[0, 0] - _state().market.traded[0]
  assert table.volume.tolist() == [[first + 1000]] * _NUM
  assert (table.orders + table.cancels == 1).all()
  assert (table.trade[3, :, 0] == kept.last_price[:, 1]).all()


def _stream():
  return python_types.SimpleNamespace(tick_size=0.01, lot_size=0.5)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_bars_is_in_units_of_the_market(ending, tmp_path):
  table = _table([slice(None)], 160 * _SECOND)
  path = tmp_path / f"bars.{ending}"
  tables.write_bars(path, table, _stream())
  if ending == "csv":
    frame = pl.read_csv(path)
    with path.open() as file:
      assert len(list(csv.reader(file))) == table.is_bar.sum() + 1
  else:
    frame = pl.read_parquet(path)
  assert frame.height == table.is_bar.sum()
  assert frame["trajectory"].to_list()[:2] == [0, 0]
  assert frame["time_s"].to_list()[:2] == [100.0, 104.0]
  np.testing.assert_allclose(
    frame["mid_high"], table.mid[1].ravel() / 100, atol=1e-9
  )
  np.testing.assert_array_equal(frame["volume"], table.volume.ravel() / 2)
  no_trade, no_ask = (
    ~table.has_trade.ravel(),
    table.best_volume[ASK].ravel() == 0,
  )
  assert no_trade.any() and no_ask.any()
  np.testing.assert_array_equal(frame["trade_open"].is_null(), no_trade)
  np.testing.assert_array_equal(frame["ask_price"].is_null(), no_ask)
  np.testing.assert_array_equal(
    frame["spread"].is_null(), (table.best_volume == 0).any(axis=0).ravel()
  )


def test_a_table_of_another_ending_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r"ends in \.parquet or \.csv"):
    tables.check_table(tmp_path / "bars.xls")


def _writer(folder, orders, rules=venues.CONTINUOUS, num_levels=2):
  """A writer of a market with resting orders of (side, price, volume)."""
  rows = np.array(orders).T.astype(np.int32)
  ids = np.arange(len(orders), dtype=np.int32)
  resting = types.Order(ids, *rows, ids, ids)
  book = jax.device_get(lob.from_orders(resting, 8))
  return lobster_writer.Writer(
    folder, book, _BEGIN, rules=rules, num_levels=num_levels
  )


_QUOTES = [(ASK, 101, 10), (ASK, 102, 5), (BID, 99, 8), (BID, 98, 3)]
_AFTER = "100.500000001"
# What comes, and the messages of it.
_MESSAGES = {
  "a limit order": (
    (_KINDS.LIMIT, BID, 100, 4, 9),
    0,
    ["1,9,4,10000,1"],
  ),
  "one that trades and rests": (
    (_KINDS.LIMIT, BID, 101, 14, 9),
    10,
    ["4,0,10,10100,-1", "1,9,4,10100,1"],
  ),
  "a market order": (
    (_KINDS.MARKET, BID, 0, 12, 9),
    12,
    ["4,0,10,10100,-1", "4,1,2,10200,-1"],
  ),
  "one of more than there is": (
    (_KINDS.MARKET, ASK, 0, 12, 9),
    11,
    ["4,2,8,9900,1", "4,3,3,9800,1"],
  ),
  "one that does not rest": (
    (_KINDS.IOC, ASK, 99, 10, 9),
    8,
    ["4,2,8,9900,1"],
  ),
  "a cancel of a part": (
    (_KINDS.CANCEL, ASK, 101, 3, 0),
    0,
    ["2,0,3,10100,-1"],
  ),
  "a cancel": ((_KINDS.CANCEL, ASK, 101, 99, 0), 0, ["3,0,10,10100,-1"]),
  "a modify that keeps its place": (
    (_KINDS.MODIFY, BID, 99, 6, 2),
    0,
    ["2,2,2,9900,1"],
  ),
  "a modify of nothing": ((_KINDS.MODIFY, BID, 99, 8, 2), 0, []),
  "a modify to more": (
    (_KINDS.MODIFY, BID, 99, 9, 2),
    0,
    ["3,2,8,9900,1", "1,2,9,9900,1"],
  ),
  "a modify that trades": (
    (_KINDS.MODIFY, BID, 101, 11, 2),
    10,
    ["3,2,8,9900,1", "4,0,10,10100,-1", "1,2,1,10100,1"],
  ),
}


def _messages(folder):
  (path,) = folder.glob("*_message_*.csv")
  return path.read_text().splitlines()


@pytest.mark.parametrize("name", _MESSAGES)
def test_messages_of(name, tmp_path):
  order, traded, wanted = _MESSAGES[name]
  writer = _writer(tmp_path, _QUOTES)
  writer.add(_BEGIN + 1, order, _REASONS.ACCEPTED, traded)
  writer.close(instrument="BTC/USD", day="2020-01-02")
  lines = _messages(tmp_path)
  assert lines[:2] == [
    "100.500000000,1,0,10,10100,-1",
    "100.500000000,1,1,5,10200,-1",
  ]
  assert lines[4:] == [f"{_AFTER},{text}" for text in wanted]
  names = sorted(path.name for path in tmp_path.iterdir())
  stem = "BTC-USD_2020-01-02_100500_100500"
  assert names == [f"{stem}_message_2.csv", f"{stem}_orderbook_2.csv"]
  stream = reader.read_checked(tmp_path)[0]
  assert (stream.instrument, stream.day) == ("BTC-USD", "2020-01-02")


def test_what_the_venue_turned_away_is_no_message(tmp_path):
  writer = _writer(tmp_path, _QUOTES)
  reasons = set(range(_REASONS.COUNT)) - {_REASONS.ACCEPTED, _REASONS.CAPACITY}
  for reason in reasons:
    writer.add(_BEGIN + 1, (_KINDS.CANCEL, ASK, 101, 5, 77), reason, 0)
  writer.close(instrument="A", day="")
  assert len(_messages(tmp_path)) == 4


def test_what_a_full_side_loses_is_deleted(tmp_path):
  writer = _writer(tmp_path, _QUOTES)
  order = (_KINDS.LIMIT, BID, 97, 1, 9)
  writer.add(_BEGIN + 1, order, _REASONS.CAPACITY, 0)
  order = (_KINDS.LIMIT, BID, 100, 1, 10)
  writer.add(_BEGIN + 1, order, _REASONS.CAPACITY, 0)
  writer.close(instrument="A", day="")
  texts = ["1,9,1,9700,1", "3,9,1,9700,1", "1,10,1,10000,1", "3,3,3,9800,1"]
  assert _messages(tmp_path)[4:] == [f"{_AFTER},{text}" for text in texts]


def test_the_book_is_that_after_each_message(tmp_path):
  writer = _writer(tmp_path, _QUOTES)
  order = (_KINDS.LIMIT, BID, 102, 20, 9)
  writer.add(_BEGIN + 1, order, _REASONS.ACCEPTED, 15)
  writer.close(instrument="A", day="")
  (path,) = tmp_path.glob("*_orderbook_*.csv")
  empty = "9999999999,0"
  assert path.read_text().splitlines()[3:] == [
    "10100,10,9900,8,10200,5,9800,3",
    f"10200,5,9900,8,{empty},9800,3",
    f"{empty},9900,8,{empty},9800,3",
    f"{empty},10200,5,{empty},9900,8",
  ]


def test_a_day_ends_at_midnight(tmp_path):
  writer = _writer(tmp_path, _QUOTES)
  with pytest.raises(ValueError, match="of one day"):
    order = (_KINDS.LIMIT, BID, 99, 4, 9)
    writer.add(86_400 * _SECOND, order, _REASONS.ACCEPTED, 0)


@pytest.mark.parametrize("kind", [_KINDS.LIMIT, _KINDS.MARKET])
def test_trades_of_a_call_auction_are_refused(kind, tmp_path):
  writer = _writer(tmp_path, _QUOTES)
  with pytest.raises(ValueError, match="has a call auction"):
    writer.add(_BEGIN + 1, (kind, BID, 101, 4, 9), _REASONS.ACCEPTED, 0)


@pytest.mark.parametrize(
  "rules",
  [
    rules_lib.Rules(allocation=rules_lib.Allocation.PRO_RATA),
    rules_lib.Rules(self_trade=rules_lib.SelfTrade.CANCEL_OLDEST),
  ],
)
def test_rules_that_the_format_cannot_tell_are_refused(rules, tmp_path):
  with pytest.raises(ValueError, match="price-time priority"):
    _writer(tmp_path, _QUOTES, rules)


def test_order_files_of_random_orders_replay_without_a_difference(tmp_path):
  rng = np.random.default_rng(0)
  writer = _writer(tmp_path, _QUOTES, num_levels=3)
  book = python_book.PythonBook(10**6)
  for order_id, (side, price, volume) in enumerate(_QUOTES):
    limit = python_book.LIMIT
    book.apply(python_book.Message(limit, side, price, volume, order_id))
  for order_id in range(10, 400):
    side = int(rng.integers(2))
    rows = book.rows(side)
    row = rows[int(rng.integers(len(rows)))] if rows else None
    if row is not None and rng.random() < 0.45:
      volume = int(rng.integers(1, row.volume + 3))
      order = (_KINDS.CANCEL, side, row.price, min(volume, row.volume), row.id)
      message = python_book.Message(python_book.CANCEL, *order[1:])
    else:
      price, volume = int(rng.integers(96, 105)), int(rng.integers(1, 12))
      order = (_KINDS.LIMIT, side, price, volume, order_id)
      message = python_book.Message(python_book.LIMIT, *order[1:])
    traded = sum(fill.volume for fill in book.apply(message))
    # Some at the same time.
    time = _BEGIN + order_id // 2
    writer.add(time, order, _REASONS.ACCEPTED, traded)
  writer.close(instrument="A", day="")
  stream, checks = reader.read_checked(tmp_path)
  result = replay.verify(stream, checks, rules=venues.CONTINUOUS)
  assert not result.mismatches
  assert result.checked["levels"] > 300 and result.checked["remaining"] > 50
  rests = sum(len(book.rows(side)) for side in (ASK, BID))
  assert result.orders_left == rests
