"""Tests of the LOBSTER reader: handmade files, and whole days of the samples."""

import os
import pathlib

import numpy as np
import pytest

pytest.importorskip("polars")

from mars_jax import types
from mars_jax.data import lobster

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
MESSAGE = "XYZ_2020-01-02_34200000_57600000_message_2.csv"
BOOK = MESSAGE.replace("message", "orderbook")
DATA_DIR = pathlib.Path(
  os.environ.get(
    "MARS_DATA_DIR",
    pathlib.Path(__file__).resolve().parents[2] / "shared" / "data",
  )
)


def level_row(asks, bids, depth=2):
  """A row of a book file from (cents, volume) pairs, padded with empties."""
  asks = list(asks) + [(99999999.99, 0)] * (depth - len(asks))
  bids = list(bids) + [(-99999999.99, 0)] * (depth - len(bids))
  pairs = [pair for both in zip(asks, bids, strict=True) for pair in both]
  return ",".join(f"{round(price * 100)},{volume}" for price, volume in pairs)


def write(folder, messages, rows, depth=2):
  """Writes a pair of files; messages in cents, rows as (asks, bids)."""
  lines = []
  for time, kind, order_id, size, cents, direction in messages:
    price = round(cents * 100)
    lines.append(f"{time},{kind},{order_id},{size},{price},{direction}")
  (folder / MESSAGE).write_text("\n".join(lines) + "\n")
  book = [level_row(asks, bids, depth) for asks, bids in rows]
  (folder / BOOK).write_text("\n".join(book) + "\n")
  return folder / MESSAGE


def tuples(stream, flow_only=True):
  """(kind, side, price, volume, id) of the events."""
  columns = (
    stream.kind,
    stream.side,
    stream.price,
    stream.volume,
    stream.order_id,
  )
  rows = list(zip(*(column.tolist() for column in columns), strict=True))
  keep = stream.is_flow if flow_only else np.ones(len(stream), bool)
  return [row for row, kept in zip(rows, keep, strict=True) if kept]


class PlainBook:
  """A price-time book of one line a rule, on signed prices (less is better)."""

  def __init__(self):
    self.sides = ({}, {})  # {key: {order id: volume}}, oldest first
    self.traded = 0

  def apply(self, kind, side, price, volume, order_id):
    key = -price if side == BID else price
    if kind == CANCEL:
      self._take(side, key, order_id, volume)
      return
    other = self.sides[1 - side]
    while volume and other and min(other) <= -key:
      best = min(other)
      resting = next(iter(other[best]))
      fill = min(volume, other[best][resting])
      self._take(1 - side, best, resting, fill)
      self.traded += fill
      volume -= fill
    if volume:
      level = self.sides[side].setdefault(key, {})
      assert order_id not in level
      level[order_id] = volume

  def _take(self, side, key, order_id, volume):
    level = self.sides[side][key]
    assert 0 < volume <= level[order_id]
    level[order_id] -= volume
    if not level[order_id]:
      del level[order_id]
    if not level:
      del self.sides[side][key]

  def levels(self, side, depth):
    """The best `depth` levels as (prices, volumes), padded with 0."""
    keys = sorted(self.sides[side])[:depth]
    pad = [0] * (depth - len(keys))
    volumes = [sum(self.sides[side][key].values()) for key in keys]
    return [abs(key) for key in keys] + pad, volumes + pad


def check_replay(path):
  """Replays the events; every complete row must equal the book file."""
  stream, events_at_row = lobster.read_checked(path)
  rows = lobster.read_book(path)
  depth = rows.ask_price.shape[1]
  want = [
    [column.tolist() for column in pair]
    for pair in (
      (rows.ask_price, rows.ask_volume),
      (rows.bid_price, rows.bid_volume),
    )
  ]
  book, done = PlainBook(), 0
  all_events = tuples(stream, flow_only=False)
  for row, count in enumerate(events_at_row.tolist()):
    if count < 0:
      continue
    touched = {event[1] for event in all_events[done:count]}
    if any(event[0] == LIMIT for event in all_events[done:count]):
      touched = {ASK, BID}
    for event in all_events[done:count]:
      book.apply(*event)
    done = count
    for side in (ASK, BID):
      prices, volumes = want[side][0][row], want[side][1][row]
      if side in touched or row == 0:
        assert book.levels(side, depth) == (prices, volumes), f"row {row + 1}"
      else:
        assert prices == want[side][0][row - 1], f"row {row + 1}"
        assert volumes == want[side][1][row - 1], f"row {row + 1}"
  assert done == len(stream)
  return stream, events_at_row, book


BASE = ([(101, 10), (102, 20)], [(99, 10), (98, 20)])


def test_sweep_of_three_levels_is_one_order_with_its_remainder(tmp_path):
  path = write(
    tmp_path,
    [
      ("34200.1", 1, 7, 5, 100, -1),
      ("34200.2", 4, 7, 5, 100, -1),
      ("34200.2", 5, 0, 50, 100.5, -1),
      ("34200.2", 4, 1, 10, 101, -1),
      ("34200.2", 4, 2, 20, 102, -1),
      ("34200.2", 1, 8, 3, 102, 1),
      ("34200.3", 3, 8, 3, 102, 1),
    ],
    [
      ([(100, 5), (101, 10)], BASE[1]),
      BASE,
      BASE,
      ([(102, 20), (103, 4)], BASE[1]),
      ([(103, 4), (104, 4)], BASE[1]),
      ([(103, 4), (104, 4)], [(102, 3), (99, 10)]),
      ([(103, 4), (104, 4)], BASE[1]),
    ],
  )
  stream, events_at_row, book = check_replay(path)
  assert [event[:4] for event in tuples(stream)] == [
    (LIMIT, ASK, 100, 5),
    (LIMIT, BID, 102, 38),
    (CANCEL, BID, 102, 3),
  ]
  assert stream.order_id[stream.is_flow][1] == stream.order_id[-1]
  assert (events_at_row == -1).tolist() == [False] + [True] * 4 + [False] * 2
  assert book.traded == 35
  assert stream.counts["aggressive_orders"] == 1
  assert stream.counts["remainders"] == 1
  assert stream.counts["executions"] == 3
  assert stream.counts["hidden_executions"] == 1
  assert stream.name == "XYZ 2020-01-02"


def test_executions_of_other_times_or_sides_are_other_orders(tmp_path):
  path = write(
    tmp_path,
    [
      ("1", 4, 1, 4, 101, -1),
      ("2", 4, 1, 3, 101, -1),
      ("2", 4, 3, 3, 99, 1),
      ("2", 1, 9, 5, 100, 1),
    ],
    [
      ([(101, 6), (102, 20)], BASE[1]),
      ([(101, 3), (102, 20)], BASE[1]),
      ([(101, 3), (102, 20)], [(99, 7), (98, 20)]),
      ([(101, 3), (102, 20)], [(100, 5), (99, 7)]),
    ],
  )
  stream, events_at_row, _ = check_replay(path)
  assert [event[:4] for event in tuples(stream)] == [
    (LIMIT, BID, 101, 4),
    (LIMIT, BID, 101, 3),
    (LIMIT, ASK, 99, 3),
    (LIMIT, BID, 100, 5),
  ]
  assert stream.counts["remainders"] == 0
  assert (events_at_row > 0).all()


def test_partial_cancel_then_delete_take_off_what_is_left(tmp_path):
  path = write(
    tmp_path,
    [("1", 1, 7, 9, 100, 1), ("2", 2, 7, 4, 100, 1), ("3", 3, 7, 5, 100, 1)],
    [
      (BASE[0], [(100, 9), (99, 10)]),
      (BASE[0], [(100, 5), (99, 10)]),
      (BASE[0], [(99, 10), (98, 20)]),
    ],
  )
  stream, _, _ = check_replay(path)
  order_id = tuples(stream)[0][4]
  assert tuples(stream)[1:] == [
    (CANCEL, BID, 100, 4, order_id),
    (CANCEL, BID, 100, 5, order_id),
  ]


def test_hidden_executions_and_halts_yield_no_event(tmp_path):
  path = write(
    tmp_path,
    [("1", 5, 0, 9, 100.005, 1), ("2", 7, 0, 0, -0.01, -1)],
    [BASE, BASE],
  )
  stream, events_at_row, _ = check_replay(path)
  assert not stream.is_flow.any()
  assert events_at_row.tolist() == [4, 4]
  assert stream.counts["hidden_executions"] == stream.counts["halts"] == 1
  assert stream.counts["start_orders"] == 4


def test_unknown_id_is_part_of_the_start_book(tmp_path):
  path = write(
    tmp_path,
    [("1", 2, 555, 4, 101, -1), ("2", 3, 556, 6, 101, -1)],
    [
      ([(101, 6), (102, 20)], BASE[1]),
      ([(102, 20)], BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  start = tuples(stream, flow_only=False)[0]
  assert start == (LIMIT, ASK, 101, 10, 0)
  assert tuples(stream) == [(CANCEL, ASK, 101, 4, 0), (CANCEL, ASK, 101, 6, 0)]


def test_levels_that_scroll_into_view_are_added_and_stale_ones_removed(
  tmp_path,
):
  path = write(
    tmp_path,
    [
      ("1", 1, 7, 5, 100, -1),
      ("2", 3, 7, 5, 100, -1),
      ("3", 3, 1, 10, 101, -1),
    ],
    [
      ([(100, 5), (101, 10)], BASE[1]),
      ([(101, 10), (102, 8)], BASE[1]),
      ([(102, 8), (104, 4)], BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  assert stream.counts["scrolled_in"] == 2
  path = write(
    tmp_path,
    [("1", 1, 6, 5, 102, -1), ("2", 1, 7, 5, 100, -1), ("3", 3, 7, 5, 100, -1)],
    [
      ([(101, 10), (102, 5)], BASE[1]),
      ([(100, 5), (101, 10)], BASE[1]),
      ([(101, 10), (103, 1)], BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  assert stream.counts["removed"] == 1
  assert tuples(stream, flow_only=False)[-2][:4] == (CANCEL, ASK, 102, 5)
  assert not stream.is_flow[-2]


def test_cancel_of_an_order_that_was_filled_in_its_turn_takes_another(tmp_path):
  path = write(
    tmp_path,
    [
      ("1", 1, 6, 5, 100, -1),
      ("2", 1, 7, 5, 100, -1),
      ("3", 4, 7, 5, 100, -1),
      ("4", 3, 6, 5, 100, -1),
    ],
    [
      ([(100, 5), (101, 10)], BASE[1]),
      ([(100, 10), (101, 10)], BASE[1]),
      ([(100, 5), (101, 10)], BASE[1]),
      BASE,
    ],
  )
  stream, _, _ = check_replay(path)
  flow = tuples(stream)
  assert flow[-1] == (CANCEL, ASK, 100, 5, flow[1][4])
  assert stream.counts["out_of_turn_executions"] == 1
  assert stream.counts["reassigned_cancels"] == 1


def test_time_is_exact_and_digits_past_the_ninth_are_rounded(tmp_path):
  times = ["34200", "34200.000000001", "35821.088778456004", "35821.9999999996"]
  path = write(
    tmp_path, [(time, 5, 0, 1, 100, 1) for time in times], [BASE] * 4
  )
  columns = lobster._parse_messages(path, path.read_bytes())
  assert columns["time"].tolist() == [
    34_200_000_000_000,
    34_200_000_000_001,
    35_821_088_778_456,
    35_822_000_000_000,
  ][:2] + [35_821_088_778_456, 35_822_000_000_000]
