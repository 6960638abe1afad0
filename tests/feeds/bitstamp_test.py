"""Tests of the Bitstamp reader with handmade captures."""

import numpy as np
import pytest

from mars_jax import types
from tests.support.oracles import plain_book

pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds.bitstamp import reader

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
  return reader.read_checked(path)[0]


def test_start_book_is_no_flow_and_units_are_ticks_and_lots(tmp_path):
  stream = read(tmp_path, [(5, 1500, 99, 0.25, "created", "bid")])
  assert plain_book.rows(stream) == [
    (LIMIT, BID, 100, 1_000_000, 0),
    (LIMIT, ASK, 102, 1_000_000, 1),
    (LIMIT, ASK, 102, 500_000, 2),
    (LIMIT, ASK, 103, 2_000_000, 3),
    (LIMIT, BID, 99, 250_000, 4),
  ]
  assert stream.is_market_event.tolist() == [False] * 4 + [True]
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
  assert plain_book.rows(stream, flow_only=True) == [
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
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, ASK, 99, 1_500_000, 4),
    (CANCEL, ASK, 99, 300_000, 4),
    (CANCEL, ASK, 99, 200_000, 4),
  ]
  assert stream.time[stream.is_market_event].tolist() == [
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
  assert [row[3] for row in plain_book.rows(stream, flow_only=True)] == [1, 2]


def test_refused_order_is_counted_and_not_passed_on(tmp_path):
  stream = read(
    tmp_path,
    [
      (9, 2000, 105, 1.0, "created", "bid"),
      (9, 2000, 105, 1.0, "deleted", "bid"),
    ],
  )
  assert not plain_book.rows(stream, flow_only=True)
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
  assert plain_book.rows(stream) == [
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
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, ASK, 1020, 1_000_000, 4)
  ]
  assert stream.counts["far_orders"] == 2


def test_deletes_that_end_the_capture_are_no_cancels(tmp_path):
  rows = [
    (9, 2000, 99, 1.0, "created", "bid"),
    (9, 9000, 99, 1.0, "deleted", "bid"),
    (1, 9000, 100, 1.0, "deleted", "bid"),
  ]
  stream = read(tmp_path, rows)
  assert [row[0] for row in plain_book.rows(stream, flow_only=True)] == [LIMIT]
  assert stream.counts["closing_deletes"] == 2
  stream = read(tmp_path, rows[:2])  # A single one is an event of the market.
  assert [row[0] for row in plain_book.rows(stream, flow_only=True)] == [
    LIMIT,
    CANCEL,
  ]
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


TRADES = """\
exchange_timestamp,price,amount,buy_order_id,sell_order_id
{start},102,1.0,9,2
{start},102,0.0000016,9,3
"""
FILLS = [
  (9, 2000, 150, 1.0000016, "created", "bid"),
  (9, 2000, 102, 0.0000016, "changed", "bid"),
  (2, 2000, 102, 0.0, "deleted", "ask"),
  (9, 2000, 102, 0.0, "deleted", "bid"),
  (3, 2000, 102, 0.4999984, "changed", "ask"),
  (3, 3000, 102, 0.4, "changed", "ask"),
  (3, 4000, 102, 0.4, "deleted", "ask"),
]


def test_trades_are_the_fills_and_cancels_tell_what_they_leave(tmp_path):
  stream = read(tmp_path, FILLS)
  path = tmp_path / "orders.csv"
  for text in (None, TRADES.format(start=MIDNIGHT + 2000)):
    if text:
      path.with_name("trades.csv").write_text(text)
    have, checks = reader.read_checked(path)
    assert plain_book.rows(have, flow_only=True) == plain_book.rows(
      stream, flow_only=True
    )
    assert checks.remaining.tolist() == [-1] * 5 + [400_000, 0]
    trades = checks.trades
    assert trades.event.tolist() == [4, 4]
    assert trades.bid_id.tolist() == [4, 4]
    assert trades.ask_id.tolist() == [1, 2]
    assert trades.price.tolist() == [102, 102]
    assert trades.volume.tolist() == [1_000_000, 2]  # Half a lot rounded.
    assert checks.levels is checks.orders is None


@pytest.mark.parametrize(
  "old, new, reason",
  [
    (",9,3", ",9,4", "row 3: the trade is not the next fill"),
    ("0.0000016", "0.0000017", "row 3: the trade is not the next fill"),
    ("\n{start},102,1.0,9,2", "", "row 2: the trade is not the next fill"),
    ("{start},102,0.0000016,9,3", "", "1 trades, but the orders have 2 fills"),
    ("price", "cost", 'unable to find column "price"'),
  ],
)
def test_trades_that_are_not_the_fills_are_an_error(tmp_path, old, new, reason):
  read(tmp_path, FILLS)
  text = TRADES.replace(old, new).format(start=MIDNIGHT + 2000)
  (tmp_path / "trades.csv").write_text(text)
  with pytest.raises(events.DataError, match=f"trades.csv.*{reason}"):
    reader.read_checked(tmp_path / "orders.csv")


ROW = line(9, 3000, 101, 1.0, "changed", "bid")
GOOD = [
  *(line(*row) for row in START),
  line(9, 2000, 101, 2.0, "created", "bid"),
  ROW,  # Row 7 of the file, counted from the header.
  line(9, 4000, 101, 1.0, "deleted", "bid"),
]
# What the row becomes, and the reason; rows are counted with the header.
BROKEN_ROWS = {
  "volume is no number": (ROW.replace(",1.0,", ",NaN,"), 7, "or no number"),
  "price is no number": (ROW.replace(",101,", ",abc,"), 7, "'abc' is no num"),
  "infinite price": (ROW.replace(",101,", ",inf,"), 7, "or no number"),
  "negative price": (ROW.replace(",101,", ",-101,"), 7, "price is negative"),
  "missing value": (ROW.replace(",101,", ",,"), 7, "a value is missing"),
  "id is no number": (ROW.replace("9,", "9.5,", 1), 7, "no whole number"),
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
  "volume beyond exact numbers": (
    line(8, 3000, 101, 1e8, "created", "bid"),
    7,
    "volume is too large",
  ),
}
GOOD_TEXT = "\n".join([HEADER, *GOOD]) + "\n"
BROKEN_FILES = {
  "header only": (f"{HEADER}\n", "the file has no rows"),
  "missing column": (
    GOOD_TEXT.replace("price,", "cost,"),
    'unable to find column "price"',
  ),
  "only refused orders": (
    "\n".join(
      [
        HEADER,
        line(1, 1000, 100, 1.0, "created", "bid"),
        line(1, 1000, 100, 1.0, "deleted", "bid"),
      ]
    ),
    "the file has no orders",
  ),
}


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_broken_row_is_an_error_with_file_row_and_reason(tmp_path, case):
  text, row, reason = BROKEN_ROWS[case]
  path = tmp_path / "orders.csv"
  path.write_text(GOOD_TEXT)
  reader.read_checked(path)
  path.write_text(GOOD_TEXT.replace(ROW, text))
  with pytest.raises(events.DataError) as error:
    reader.read_checked(path)
  assert f"{path}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_broken_file_is_an_error_with_file_and_reason(tmp_path, case):
  text, reason = BROKEN_FILES[case]
  path = tmp_path / "orders.csv"
  path.write_text(text)
  with pytest.raises(events.DataError) as error:
    reader.read_checked(path)
  assert f"{path}: " in str(error.value)
  assert reason in str(error.value)


def test_numbers_beyond_int32_are_int64(tmp_path):
  path = tmp_path / "orders.csv"
  path.write_text(f"{HEADER}\n{line(1, 1000, 2**30, 1.0, 'created', 'bid')}\n")
  stream = reader.read_checked(path)[0]
  assert stream.price.dtype == stream.volume.dtype == np.int64
  assert stream.price.tolist() == [2**30]
  path.write_text(f"{HEADER}\n{line(1, 1000, 1, 2147.5, 'created', 'bid')}\n")
  stream = reader.read_checked(path)[0]
  assert stream.volume.tolist() == [2_147_500_000]
