"""Tests of the LOBSTER reader: handmade files, and the whole sample days."""

import bisect
import os
import pathlib
import zipfile

import jax
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import types
from mars_jax.data import events
from mars_jax.data import lobster
from mars_jax.data import lobster_files
from mars_jax.data import replay

pytest.importorskip("polars")

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
    self.keys = ([], [])  # sorted
    self.traded = 0

  def apply(self, kind, side, price, volume, order_id):
    key = -price if side == BID else price
    if kind == CANCEL:
      self._take(side, key, order_id, volume)
      return
    other = self.keys[1 - side]
    while volume and other and other[0] <= -key:
      resting, held = next(iter(self.sides[1 - side][other[0]].items()))
      fill = min(volume, held)
      self._take(1 - side, other[0], resting, fill)
      self.traded += fill
      volume -= fill
    if volume:
      if key not in self.sides[side]:
        bisect.insort(self.keys[side], key)
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
      self.keys[side].remove(key)

  def levels(self, side, depth):
    """The best `depth` levels as prices and volumes, padded with 0."""
    keys = self.keys[side][:depth]
    pad = [0] * (depth - len(keys))
    volumes = [sum(self.sides[side][key].values()) for key in keys]
    return [[abs(key) for key in keys] + pad, volumes + pad]


def check_replay(path):
  """Replays the events; every level of every complete row must be right."""
  stream, events_at_row = lobster.read_checked(path)
  rows = lobster.read_book(path)
  depth = rows.ask_price.shape[1]
  want = np.stack(  # [rows, side, price or volume, level]
    [
      np.stack([rows.ask_price, rows.ask_volume], 1),
      np.stack([rows.bid_price, rows.bid_volume], 1),
    ],
    1,
  )
  book, done = PlainBook(), 0
  all_events = tuples(stream, flow_only=False)
  for row, count in enumerate(events_at_row.tolist()):
    if count >= 0:
      for event in all_events[done:count]:
        book.apply(*event)
      done = count
      have = [book.levels(side, depth) for side in (ASK, BID)]
      assert have == want[row].tolist(), f"row {row + 1}"
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


def test_cross_trades_yield_no_event_whatever_their_price_and_size(tmp_path):
  path = write(
    tmp_path,
    [("1", 6, -1, 700, 100.005, -1), ("2", 6, -1, 0, 101, 0)],
    [BASE, BASE],
  )
  stream, events_at_row, _ = check_replay(path)
  assert not stream.is_flow.any()
  assert events_at_row.tolist() == [4, 4]
  assert stream.counts["cross_trades"] == 2
  assert stream.counts["messages"] == 2
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


def test_unknown_id_may_have_replaced_an_order_out_of_view(tmp_path):
  seen = ([(101, 10), (102, 5)], BASE[1])
  hidden = ([(100, 5), (101, 10)], BASE[1])
  messages = [
    ("1", 1, 6, 5, 102, -1),
    ("2", 1, 7, 5, 100, -1),
    ("3", 3, 7, 5, 100, -1),
    ("4", 3, 900, 5, 102, -1),
  ]
  path = write(tmp_path, messages, [seen, hidden, seen, ([(101, 10)], BASE[1])])
  flow = tuples(check_replay(path)[0])
  assert flow[-1] == (CANCEL, ASK, 102, 5, flow[0][4])
  path = write(
    tmp_path, messages[:1] + messages[3:], [seen, ([(101, 10)], BASE[1])]
  )
  with pytest.raises(events.DataError, match="row 2: unknown order id 900"):
    lobster.read(path)


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
    tmp_path,
    [(time, 2, 1, 1, 101, -1) for time in times],
    [([(101, 10 - row), (102, 20)], BASE[1]) for row in range(1, 5)],
  )
  stream = lobster.read(path)
  assert stream.time[stream.is_flow].tolist() == [
    34_200_000_000_000,
    34_200_000_000_001,
    35_821_088_778_456,
    35_822_000_000_000,
  ]


GOOD_MESSAGES = ["1,1,7,9,10000,1", "2,2,7,4,10000,1", "3,3,7,5,10000,1"]
GOOD_ROWS = [
  level_row(BASE[0], [(100, 9), (99, 10)]),
  level_row(BASE[0], [(100, 5), (99, 10)]),
  level_row(BASE[0], [(99, 10), (98, 20)]),
]
# What a row becomes, the row, and the reason; None drops the row.
BROKEN_MESSAGES = {
  "too few columns": ("2,2,7,4,10000", 2, "5 columns, expected 6"),
  "too many columns": ("2,2,7,4,10000,1,9", 2, "7 columns, expected 6"),
  "blank line": ("", 2, "1 columns, expected 6"),
  "no number": ("2,2,7,four,10000,1", 2, "size 'four' is no integer"),
  "a fraction": ("2,2,7,4.5,10000,1", 2, "size '4.5' is no integer"),
  "missing value": ("2,2,7,,10000,1", 2, "missing value of size"),
  "bad time": ("1e3,2,7,4,10000,1", 2, "time '1e3' is no decimal"),
  "negative time": ("-2,2,7,4,10000,1", 2, "time '-2' is no decimal"),
  "size zero": ("2,2,7,0,10000,1", 2, "size 0 is not in"),
  "negative size": ("2,2,7,-4,10000,1", 2, "size -4 is not in"),
  "negative price": ("2,2,7,4,-10000,1", 2, "price -10000 is negative"),
  "price too large": ("2,2,7,4,107374182400,1", 2, "negative or too large"),
  "off the grid": ("2,2,7,4,10050,1", 2, "price 10050 is off the 1 cent"),
  "direction": ("2,2,7,4,10000,0", 2, "direction 0 is not 1 or -1"),
  "type": ("2,9,7,4,10000,1", 2, "unknown type 9"),
  "time backwards": ("0.5,2,7,4,10000,1", 2, "time runs backwards"),
  "unknown id": ("2,2,8,4,10000,1", 2, "unknown order id 8"),
  "unknown delete": ("3,3,8,5,10000,1", 3, "unknown order id 8"),
  "no such level": ("2,2,8,4,10100,1", 2, "unknown order id 8"),
  "out of view": ("2,2,8,4,9700,1", 2, "unknown order id 8"),
  "other price": ("2,2,7,4,9900,1", 2, "order id 7 rests at another price"),
  "cancel too large": ("2,2,7,10,10000,1", 2, "size 10 exceeds the 9 left"),
  "fill too large": ("2,4,7,10,10000,1", 2, "size 10 exceeds the 9 left"),
  "id twice": ("2,1,7,4,10000,1", 2, "order id 7 rests already"),
}
BROKEN_ROWS = {
  "too few columns": ("1,2,3,4", 2, "4 columns, expected 8"),
  "no number": (GOOD_ROWS[1].replace("10,", "x,", 1), 2, "'x' is no integer"),
  "negative size": (GOOD_ROWS[1].replace(",5,", ",-5,"), 2, "size is not in"),
  "off the grid": (
    GOOD_ROWS[1].replace("10100", "10101", 1),
    2,
    "1 cent grid",
  ),
  "unsorted": (level_row(BASE[0][::-1], BASE[1]), 2, "not sorted"),
  "gap": (level_row([(101, 0), (102, 20)], BASE[1]), 2, "not sorted"),
  "crossed": (level_row([(99, 1)], BASE[1]), 2, "not below best ask"),
  "truncated": (None, 3, "2 rows of the book for 3 messages"),
  "depth": ("1,2,3", 1, "3 columns, not a multiple of 4"),
}


def check_broken(folder, broken, name, row, reason):
  for file, lines in broken.items():
    (folder / file).write_text("\n".join(lines) + "\n")
  with pytest.raises(events.DataError) as error:
    lobster.read(folder)
  text = str(error.value)
  assert f"{folder / name}, row {row}: " in text
  assert reason in text


@pytest.mark.parametrize("case", BROKEN_MESSAGES)
def test_broken_message_is_an_error_with_file_row_and_reason(tmp_path, case):
  line, row, reason = BROKEN_MESSAGES[case]
  lines = GOOD_MESSAGES[: row - 1] + [line] + GOOD_MESSAGES[row:]
  files = {MESSAGE: lines, BOOK: GOOD_ROWS}
  check_broken(tmp_path, files, MESSAGE, row, reason)


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_broken_book_row_is_an_error_with_file_row_and_reason(tmp_path, case):
  line, row, reason = BROKEN_ROWS[case]
  new = [] if line is None else [line]
  lines = GOOD_ROWS[: row - 1] + new + GOOD_ROWS[row:]
  files = {MESSAGE: GOOD_MESSAGES, BOOK: lines}
  check_broken(tmp_path, files, BOOK, row, reason)


def test_taking_more_than_an_unknown_order_can_have_is_an_error(tmp_path):
  for kind in (2, 4):
    path = write(tmp_path, [("1", 5, 0, 1, 100, 1)] * 2, [BASE, BASE])
    path.write_text(f"1,5,0,1,10000,1\n2,{kind},3,11,10100,-1\n")
    with pytest.raises(events.DataError, match="row 2: unknown order id 3"):
      lobster.read(path)


def test_executions_of_more_than_a_level_holds_are_an_error(tmp_path):
  path = write(
    tmp_path,
    [("1", 5, 0, 1, 100, 1)] + [("2", 4, 3, 6, 101, -1)] * 2,
    [BASE] * 3,
  )
  with pytest.raises(events.DataError, match="row 3: executions of 12 exceed"):
    lobster.read(path)


def make_pair(folder):
  (folder / MESSAGE).write_text("\n".join(GOOD_MESSAGES) + "\n")
  (folder / BOOK).write_text("\n".join(GOOD_ROWS) + "\n")
  return folder / MESSAGE, folder / BOOK


def test_zip_folder_and_message_file_give_the_same_stream(tmp_path):
  message, book = make_pair(tmp_path)
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    out.writestr("ReadMe.txt", "not data")
    for file in (message, book):
      out.write(file, f"inside/{file.name}")
  other = tmp_path / "other.csv"
  other.write_bytes(book.read_bytes().replace(b"\n", b"\r\n"))
  want = tuples(lobster.read(message), flow_only=False)
  for args in ((tmp_path,), (str(archive),), (message, other)):
    stream = lobster.read(*args)
    assert tuples(stream, flow_only=False) == want
    assert stream.name == "XYZ 2020-01-02"
  with pytest.raises(ValueError, match="book_path"):
    lobster.read(archive, book)


def test_empty_levels_have_price_and_volume_zero(tmp_path):
  path = write(tmp_path, [("1", 7, 0, 0, -0.01, -1)], [([(101, 5)], [])])
  rows = lobster.read_book(path)
  assert rows.ask_price.tolist() == [[101, 0]]
  assert rows.ask_volume.tolist() == [[5, 0]]
  assert rows.bid_price.tolist() == rows.bid_volume.tolist() == [[0, 0]]
  assert rows.ask_price.dtype == np.int32


def test_missing_and_empty_files_and_broken_archives_are_errors(tmp_path):
  message, book = make_pair(tmp_path)
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
    out.write(message, message.name)
  with pytest.raises(events.DataError, match="0 orderbook files, expected one"):
    lobster.read(archive)
  archive.write_bytes(archive.read_bytes()[:60])
  with pytest.raises(events.DataError, match="day.zip: broken zip file"):
    lobster.read(archive)
  message.write_text("")
  with pytest.raises(events.DataError, match=f"{MESSAGE}: empty file"):
    lobster.read(message)
  make_pair(tmp_path)
  book.write_text("")
  with pytest.raises(events.DataError, match=f"{BOOK}: empty file"):
    lobster.read(message)
  book.unlink()
  with pytest.raises(events.DataError, match=f"{BOOK}: no such file"):
    lobster.read(message)
  with pytest.raises(events.DataError, match="0 orderbook files, expected one"):
    lobster.read(tmp_path)


def test_without_polars_the_error_says_what_to_install(tmp_path, monkeypatch):
  message, _ = make_pair(tmp_path)
  monkeypatch.setattr(lobster_files, "pl", None)
  with pytest.raises(ImportError, match=r"pip install mars-jax\[data\]"):
    lobster.read(message)


def real_day(ticker, depth):
  """The path of a sample; skips the test where it is not at hand."""
  name = f"LOBSTER_SampleFile_{ticker}_2012-06-21_{depth}.zip"
  path = DATA_DIR / "lobster" / name
  if not path.is_file():
    pytest.skip(f"needs {name} in MARS_DATA_DIR/lobster")
  return path


@pytest.mark.parametrize("ticker, depth", [("GOOG", 10), ("AAPL", 30)])
def test_all_levels_of_a_real_day_equal_the_book_file(ticker, depth):
  path = real_day(ticker, depth)
  stream, events_at_row, book = check_replay(path)
  messages = lobster_files.parse_messages(
    *lobster_files.open_pair(path, None)[0]
  )
  executed = messages["size"][messages["type"] == 4]
  counts = stream.counts
  assert book.traded == executed.sum()
  assert counts["executions"] == len(executed)
  assert counts["messages"] == len(events_at_row)
  assert counts["messages"] == (
    counts["limit_orders"]
    + counts["cancels"]
    + counts["executions"]
    + counts["hidden_executions"]
    + counts["cross_trades"]
    + counts["halts"]
  )
  assert stream.is_flow.sum() == (
    counts["limit_orders"]
    - counts["remainders"]
    + counts["aggressive_orders"]
    + counts["cancels"]
    + counts["split_cancels"]
  )
  assert (~stream.is_flow).sum() == (
    counts["start_orders"]
    + counts["scrolled_in"]
    + counts["added"]
    + counts["removed"]
  )
  new_ids = stream.order_id[stream.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()
  assert (np.diff(stream.time) >= 0).all()
  assert counts["added"] == 0  # The feed explains every change in view.
  assert counts["out_of_turn_executions"] < 0.01 * len(executed)
  assert counts["reassigned_cancels"] < 0.01 * counts["cancels"]


def test_the_clearing_house_gives_back_the_books_of_a_real_day():
  path = real_day("GOOG", 10)
  stream, events_at_row = lobster.read_checked(path)
  rows = lobster.read_book(path)

  @jax.jit
  def run(book, orders):
    def step(book, order):
      book, _ = lob.step(book, order)
      return book, lob.snapshot(book, num_levels=10)

    return jax.lax.scan(step, book, orders)

  book, books = run(lob.init(1024), replay.orders_of(stream, slice(None)))
  assert book.dropped == 0
  is_complete = events_at_row >= 0
  assert is_complete.mean() > 0.95
  last = events_at_row[is_complete] - 1
  for side, name in ((ASK, "ask"), (BID, "bid")):
    for field in ("price", "volume"):
      have = np.asarray(getattr(books, field))[last, side]
      want = getattr(rows, f"{name}_{field}")[is_complete]
      np.testing.assert_array_equal(have, want, err_msg=f"{name} {field}")
