"""Tests of the Bitstamp reader: handmade captures, and the whole sample."""

import csv
import gzip

import jax
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import types
from mars_jax.data import replay

pytest.importorskip("polars")

from mars_jax.data import bitstamp
from mars_jax.data import events

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
HEADER = "id,timestamp,exchange_timestamp,price,volume,action,direction"
MIDNIGHT = 20_000 * 86_400_000  # 2024-10-04, in ms since 1970.
START = (
  (1, 1000, 100, 1.0, "created", "bid"),
  (2, 1000, 102, 1.0, "created", "ask"),
  (3, 1000, 102, 0.5, "created", "ask"),
  (4, 1000, 103, 2.0, "created", "ask"),
)


def line(order_id, time, price, volume, action, direction):
  """A line of the file; time in ms since midnight."""
  now = MIDNIGHT + time
  return f"{order_id},{now},{now},{price},{volume},{action},{direction}"


def read(folder, rows):
  """The stream of a capture with these rows after the start book."""
  path = folder / "orders.csv"
  lines = [line(*row) for row in START + tuple(rows)]
  path.write_text("\n".join([HEADER, *lines]) + "\n")
  return bitstamp.read(path)


def tuples(stream, flow_only=True):
  """(kind, side, price, volume, id) of the events."""
  rows = np.flatnonzero(stream.is_flow | (not flow_only))
  order = replay.orders_of(stream, rows)
  columns = (order.kind, order.side, order.price, order.volume, order.id)
  return list(zip(*(column.tolist() for column in columns), strict=True))


def test_start_book_is_no_flow_and_units_are_ticks_and_lots(tmp_path):
  stream = read(tmp_path, [(5, 1500, 99, 0.25, "created", "bid")])
  assert tuples(stream, flow_only=False) == [
    (LIMIT, BID, 100, 1_000_000, 0),
    (LIMIT, ASK, 102, 1_000_000, 1),
    (LIMIT, ASK, 102, 500_000, 2),
    (LIMIT, ASK, 103, 2_000_000, 3),
    (LIMIT, BID, 99, 250_000, 4),
  ]
  assert stream.is_flow.tolist() == [False] * 4 + [True]
  assert stream.time[-1] == 1_500_000_000
  assert stream.name == "Bitstamp BTC/USD 2024-10-04"
  assert stream.counts["start_orders"] == 4
  assert stream.counts["limit_orders"] == 1


def test_filled_order_is_one_event_at_the_price_of_its_last_fill(tmp_path):
  stream = read(
    tmp_path,
    [
      (9, 2000, 150, 1.7, "created", "bid"),
      (9, 2000, 102, 0.7, "changed", "bid"),
      (2, 2000, 102, 0.0, "deleted", "ask"),
      (9, 2000, 102, 0.2, "changed", "bid"),
      (3, 2000, 102, 0.0, "deleted", "ask"),
      (9, 2000, 103, 0.0, "deleted", "bid"),
      (4, 2000, 103, 1.8, "changed", "ask"),
      (4, 3000, 103, 1.8, "deleted", "ask"),
    ],
  )
  assert tuples(stream) == [
    (LIMIT, BID, 103, 1_700_000, 4),
    (CANCEL, ASK, 103, 1_800_000, 3),
  ]
  assert stream.counts["aggressive_orders"] == 1
  assert stream.counts["executions"] == 3
  assert stream.counts["cancels"] == 1


def test_remainder_of_an_aggressive_order_rests_at_its_own_price(tmp_path):
  stream = read(
    tmp_path,
    [
      (9, 2000, 99, 1.5, "created", "ask"),
      (9, 2000, 100, 0.5, "changed", "ask"),
      (1, 2000, 100, 0.0, "deleted", "bid"),
      (9, 3000, 99, 0.2, "changed", "ask"),
      (9, 4000, 99, 0.2, "deleted", "ask"),
    ],
  )
  assert tuples(stream) == [
    (LIMIT, ASK, 99, 1_500_000, 4),
    (CANCEL, ASK, 99, 300_000, 4),
    (CANCEL, ASK, 99, 200_000, 4),
  ]
  assert stream.time[stream.is_flow].tolist() == [
    2_000_000_000,
    3_000_000_000,
    4_000_000_000,
  ]


def test_volume_is_rounded_to_lots_but_never_to_nothing(tmp_path):
  stream = read(
    tmp_path,
    [
      (8, 2000, 99, 0.00000001, "created", "bid"),
      (9, 2000, 99, 0.00000160, "created", "bid"),
    ],
  )
  assert [row[3] for row in tuples(stream)] == [1, 2]


def test_refused_order_is_counted_and_not_passed_on(tmp_path):
  stream = read(
    tmp_path,
    [
      (9, 2000, 105, 1.0, "created", "bid"),
      (9, 2000, 105, 1.0, "deleted", "bid"),
    ],
  )
  assert not tuples(stream)
  assert stream.counts["refused"] == 1
  assert stream.counts["limit_orders"] == stream.counts["cancels"] == 0


def test_ghosts_of_the_start_book_are_left_out(tmp_path):
  stream = read(
    tmp_path,
    [
      (9, 2000, 102, 1.0, "created", "bid"),  # Orders 2 and 3 must be gone.
      (2, 3000, 102, 1.0, "deleted", "ask"),
    ],
  )
  assert tuples(stream, flow_only=False) == [
    (LIMIT, BID, 100, 1_000_000, 0),
    (LIMIT, ASK, 103, 2_000_000, 1),
    (LIMIT, BID, 102, 1_000_000, 2),
  ]
  assert stream.counts["ghosts"] == 2


def test_far_orders_are_left_out_with_their_cancels(tmp_path):
  stream = read(
    tmp_path,
    [
      (8, 2000, 1021, 1.0, "created", "ask"),
      (9, 2000, 9, 1.0, "created", "bid"),
      (10, 2000, 1020, 1.0, "created", "ask"),
      (8, 3000, 1021, 1.0, "deleted", "ask"),
    ],
  )
  assert tuples(stream) == [(LIMIT, ASK, 1020, 1_000_000, 4)]
  assert stream.counts["far_orders"] == 2


def test_deletes_that_end_the_capture_are_no_cancels(tmp_path):
  rows = [
    (9, 2000, 99, 1.0, "created", "bid"),
    (9, 9000, 99, 1.0, "deleted", "bid"),
    (1, 9000, 100, 1.0, "deleted", "bid"),
  ]
  stream = read(tmp_path, rows)
  assert [row[0] for row in tuples(stream)] == [LIMIT]
  assert stream.counts["closing_deletes"] == 2
  stream = read(tmp_path, rows[:2])  # A single one is an event of the market.
  assert [row[0] for row in tuples(stream)] == [LIMIT, CANCEL]
  assert stream.counts["closing_deletes"] == 0


def test_few_deletes_of_unseen_orders_are_counted_and_many_an_error(tmp_path):
  unseen = (9999, 2000, 90, 1.0, "deleted", "bid")
  last = (10, 3000, 99, 1.0, "created", "bid")
  some = [(100 + i, 2000, 90, 1.0, "created", "bid") for i in range(994)]
  stream = read(tmp_path, [*some, unseen, last])  # 1,000 rows.
  assert stream.counts["unseen_deletes"] == 1
  assert stream.counts["cancels"] == 0
  with pytest.raises(events.DataError, match="row 999: unknown order id"):
    read(tmp_path, [*some[1:], unseen, last])


ROW = line(9, 3000, 101, 1.0, "changed", "bid")
GOOD = [
  *(line(*row) for row in START),
  line(9, 2000, 101, 2.0, "created", "bid"),
  ROW,  # Row 7 of the file, counted from the header.
  line(9, 4000, 101, 1.0, "deleted", "bid"),
]
# What the row becomes, and the reason; rows are counted with the header.
BROKEN_ROWS = {
  "negative volume": (ROW.replace(",1.0,", ",-1.0,"), 7, "volume is negative"),
  "volume is no number": (ROW.replace(",1.0,", ",NaN,"), 7, "or no number"),
  "price is no number": (ROW.replace(",101,", ",NaN,"), 7, "or no number"),
  "infinite price": (ROW.replace(",101,", ",inf,"), 7, "or no number"),
  "negative price": (ROW.replace(",101,", ",-101,"), 7, "price is negative"),
  "off the grid": (ROW.replace(",101,", ",101.5,"), 7, "off the grid of 1"),
  "missing value": (ROW.replace(",101,", ",,"), 7, "a value is missing"),
  "short row": (ROW.rsplit(",", 2)[0], 7, "a value is missing"),
  "time backwards": (
    line(9, 1999, 101, 1.0, "changed", "bid"),
    7,
    "exchange_timestamp runs backwards",
  ),
  "unknown action": (
    line(9, 3000, 101, 1.0, "renamed", "bid"),
    7,
    "action is none of created, changed, deleted",
  ),
  "unknown direction": (
    line(9, 3000, 101, 1.0, "changed", "buy"),
    7,
    "direction is not bid or ask",
  ),
  "other direction": (
    line(9, 3000, 101, 1.0, "changed", "ask"),
    7,
    "the order changes its direction",
  ),
  "unknown id is changed": (
    line(77, 3000, 101, 1.0, "changed", "bid"),
    7,
    "unknown order id is changed",
  ),
  "unknown id is deleted": (
    line(77, 3000, 101, 1.0, "deleted", "bid"),
    7,
    "unknown order id is deleted",
  ),
  "created twice": (
    line(9, 3000, 101, 1.0, "created", "bid"),
    7,
    "the order is created twice",
  ),
  "deleted twice": (
    line(9, 3000, 101, 1.0, "deleted", "bid"),
    8,
    "the order was deleted",
  ),
  "growing order": (
    line(9, 3000, 101, 2.5, "changed", "bid"),
    7,
    "the order grows",
  ),
  "volume beyond int32": (
    line(8, 3000, 101, 2147.5, "created", "bid"),
    7,
    "too large for the clearing house",
  ),
}
GOOD_TEXT = "\n".join([HEADER, *GOOD]) + "\n"
BROKEN_FILES = {
  "empty file": (b"", "empty CSV"),
  "header only": (f"{HEADER}\n".encode(), "the file has no rows"),
  "missing column": (
    GOOD_TEXT.replace("price,", "cost,").encode(),
    'unable to find column "price"',
  ),
  "no number": (
    GOOD_TEXT.replace(",101,2.0", ",abc,2.0").encode(),
    "could not parse `abc`",
  ),
  "truncated gzip": (
    gzip.compress(GOOD_TEXT.encode())[:-20],
    "unexpected end of file",
  ),
  "only refused orders": (
    "\n".join(
      [
        HEADER,
        line(1, 1000, 100, 1.0, "created", "bid"),
        line(1, 1000, 100, 1.0, "deleted", "bid"),
      ]
    ).encode(),
    "the file has no orders",
  ),
}


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_broken_row_is_an_error_with_file_row_and_reason(tmp_path, case):
  text, row, reason = BROKEN_ROWS[case]
  path = tmp_path / "orders.csv"
  path.write_text(GOOD_TEXT)
  bitstamp.read(path)
  path.write_text(GOOD_TEXT.replace(ROW, text))
  with pytest.raises(events.DataError) as error:
    bitstamp.read(path)
  assert f"{path}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_broken_file_is_an_error_with_file_and_reason(tmp_path, case):
  data, reason = BROKEN_FILES[case]
  path = tmp_path / "orders.csv"
  path.write_bytes(data)
  with pytest.raises(events.DataError) as error:
    bitstamp.read(path)
  assert f"{path}: " in str(error.value)
  assert reason in str(error.value)


def test_price_beyond_the_clearing_house_is_an_error(tmp_path):
  path = tmp_path / "orders.csv"
  path.write_text(f"{HEADER}\n{line(1, 1000, 2**30, 1.0, 'created', 'bid')}\n")
  with pytest.raises(events.DataError, match="row 2: price or volume is too"):
    bitstamp.read(path)


def test_gzip_gives_the_same_stream(tmp_path):
  plain, packed = tmp_path / "orders.csv", tmp_path / "orders.csv.gz"
  plain.write_text(GOOD_TEXT)
  packed.write_bytes(gzip.compress(GOOD_TEXT.encode()))
  want, have = bitstamp.read(plain), bitstamp.read(packed)
  assert tuples(want, flow_only=False) == tuples(have, flow_only=False)
  assert want.counts == have.counts


@pytest.fixture(scope="module")
def sample(bitstamp_sample):
  return bitstamp.read(bitstamp_sample)


def test_counts_of_the_sample(sample):
  assert sample.counts == {
    "rows": 314_057,
    "start_orders": 5_690,
    "limit_orders": 49_448,
    "cancels": 49_105,
    "aggressive_orders": 170,
    "executions": 284,
    "refused": 100_929,
    "ghosts": 2,
    "unseen_deletes": 13,
    "far_orders": 820,
    "closing_deletes": 6_518,
  }
  assert len(sample) == 5_690 + 49_448 + 49_105
  assert sample.is_flow.sum() == 49_448 + 49_105
  assert (sample.volume > 0).all()
  assert (np.diff(sample.time) >= 0).all()
  new_ids = sample.order_id[sample.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()


NUM_FILLS = 32  # More than any order of the sample has.


def _step(carry, order):
  """Matches an order; gives its first fills, and whether that is all of them.

  Also counts the books in which the best bid is not below the best ask.
  """
  book, num_crossed = carry
  book, fills = lob.step(book, order)
  both = (book.volume[:, 0] > 0).all()
  is_crossed = both & (book.price[BID, 0] >= book.price[ASK, 0])
  first = jax.tree.map(lambda leaf: leaf[:NUM_FILLS], fills)
  cut = fills.volume[NUM_FILLS:].sum()
  return (book, num_crossed + is_crossed), (first, cut)


def _number(names):
  """Numbers names by first appearance."""
  numbers = {}
  return [numbers.setdefault(name, len(numbers)) for name in names]


def test_replay_of_the_sample_gives_the_exchange_s_own_trades(
  sample, bitstamp_sample
):
  orders = replay.orders_of(sample, slice(None))
  run = jax.jit(lambda carry, orders: jax.lax.scan(_step, carry, orders))
  carry = lob.init(4096), np.int32(0)
  (book, num_crossed), (fills, cut) = jax.device_get(run(carry, orders))
  assert book.dropped == book.unknown == num_crossed == 0
  assert not cut.any()

  event, place = np.nonzero(fills.volume)
  with open(bitstamp_sample.with_name("trades.csv"), newline="") as file:
    trades = list(csv.DictReader(file))
  is_buy = np.array([trade["side"] == "buy" for trade in trades])
  users = ("sell_order_id", "buy_order_id")
  takers = [t[users[t["side"] == "buy"]] for t in trades]
  makers = [t[users[t["side"] == "sell"]] for t in trades]

  assert len(event) == len(trades) == 284
  assert len(np.unique(event)) == len(set(takers)) == 170
  assert (orders.side[event] == np.where(is_buy, BID, ASK)).all()
  times = [int(t["exchange_timestamp"]) % 86_400_000 for t in trades]
  assert (sample.time[event] // 1_000_000).tolist() == times
  prices = [float(t["price"]) for t in trades]
  assert fills.price[event, place].tolist() == prices
  # What rests before and after a fill is off by half a lot, or, where it is
  # less than a lot and rounded up to one, by a lot.
  lots = np.array([float(t["amount"]) for t in trades]) * 1e6
  errors = np.abs(fills.volume[event, place] - lots)
  assert errors.max() < 1.5
  assert (errors > 1).sum() <= 2
  assert fills.volume.sum() == 15_029_842
  # The reader numbers the orders anew, but each name must mean one order.
  have = np.stack([orders.id[event], fills.id[event, place]], axis=1)
  want = np.array([takers, makers], np.int64).T
  assert _number(have.ravel().tolist()) == _number(want.ravel().tolist())
