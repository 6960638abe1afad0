"""Tests of LOBSTER files with what few days have.

Halts with a crossed book, more columns, ticks below a cent.
"""

import numpy as np
import pytest

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.lobster import reader
from tests.support.feeds import lobster_pairs as pairs
from tests.support.oracles import plain_book

pytest.importorskip("polars")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
HALTED, QUOTING, TRADING = -0.01, 0, 0.01  # Prices, in cents.
CROSS = ("34203", 6, -1, 5, 101, 1)


def check(path):
  """Reads and replays; returns the stream and the number of levels checked."""
  stream, checks = reader.read_checked(path)
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert not result.mismatches and not result.rejected and not result.crossed
  return stream, result.checked["levels"]


def halt(time, state):
  return (time, 7, 0, 0, state, -1)


# Rows of a halt in which bid 8, of 102 cents, crosses the asks of 101 and 102.
HALT = [
  (("34200", 1, 7, 5, 100, -1), ([(100, 5), (101, 10)], pairs.BASE[1])),
  (halt("34201", HALTED), ([(100, 5), (101, 10)], pairs.BASE[1])),
  (
    ("34202", 1, 8, 9, 102, 1),
    ([(100, 5), (101, 10)], [(102, 9), (99, 10)]),
  ),
  (
    ("34202.1", 1, 9, 3, 98, 1),
    ([(100, 5), (101, 10)], [(102, 9), (99, 10)]),
  ),
  (
    ("34202.2", 1, 10, 2, 101, -1),
    ([(100, 5), (101, 12)], [(102, 9), (99, 10)]),
  ),
  (
    ("34202.3", 2, 8, 2, 102, 1),
    ([(100, 5), (101, 12)], [(102, 7), (99, 10)]),
  ),
]
ENDS = {
  "the order is deleted": [
    (("34203", 3, 8, 7, 102, 1), ([(100, 5), (101, 12)], BASE_BIDS))
    for BASE_BIDS in [[(99, 10), (98, 23)]]
  ]
  + [(halt("34204", TRADING), ([(100, 5), (101, 12)], [(99, 10), (98, 23)]))],
  "a cross after the halt": [
    (halt("34203", QUOTING), ([(100, 5), (101, 12)], [(102, 7), (99, 10)])),
    (halt("34203", TRADING), ([(100, 5), (101, 12)], [(102, 7), (99, 10)])),
    (
      ("34203", 4, 7, 5, 100, -1),
      ([(101, 12), (102, 20)], [(102, 7), (99, 10)]),
    ),
    (
      ("34203", 4, 8, 5, 102, 1),
      ([(101, 12), (102, 20)], [(102, 2), (99, 10)]),
    ),
    (CROSS, ([(101, 12), (102, 20)], [(102, 2), (99, 10)])),
    (
      ("34203.1", 4, 8, 2, 102, 1),
      ([(101, 12), (102, 20)], [(99, 10), (98, 23)]),
    ),
  ],
  "a cross before it, and a remainder": [
    (
      ("34203", 4, 7, 5, 101, -1),
      ([(101, 12), (102, 20)], [(102, 7), (99, 10)]),
    ),
    (
      ("34203", 4, 10, 2, 101, -1),
      ([(101, 10), (102, 20)], [(102, 7), (99, 10)]),
    ),
    (
      ("34203", 3, 1, 10, 101, -1),
      ([(102, 20), (103, 4)], [(102, 7), (99, 10)]),
    ),
    (
      ("34203", 3, 2, 20, 102, -1),
      ([(103, 4), (104, 4)], [(102, 7), (99, 10)]),
    ),
    (halt("34203", TRADING), ([(103, 4), (104, 4)], [(102, 7), (99, 10)])),
  ],
}


@pytest.mark.parametrize("case", ENDS)
def test_book_may_be_crossed_in_a_halt(tmp_path, case):
  after = (("34300", 1, 20, 1, 97, 1), ENDS[case][-1][1])
  messages, rows = zip(*HALT, *ENDS[case], after, strict=True)
  stream, num_levels = check(pairs.write(tmp_path, messages, rows))
  counts = stream.counts
  assert counts["crossing_orders"] == 1
  num_crossed = sum(a[0][0] <= b[0][0] for a, b in rows)
  assert num_levels == len(rows) - num_crossed
  assert (LIMIT, BID, 97, 1) in [row[:4] for row in plain_book.rows(stream)]
  flow = plain_book.rows(stream, flow_only=True)
  assert all(row[2] < 102 for row in flow if row[:2] == (LIMIT, BID))
  entered = [
    row[3]
    for row, is_own in zip(
      plain_book.rows(stream), stream.is_market_event, strict=True
    )
    if row[:3] == (LIMIT, BID, 102) and not is_own
  ]
  want = {"a cross before it, and a remainder": [7]}
  assert entered == want.get(case, [])
  executed = [message for message in messages if message[1] == 4]
  assert counts["cross_executions"] == counts["executions"] == len(executed)


def test_crossed_book_elsewhere_is_an_error(tmp_path):
  messages, rows = zip(*HALT, strict=True)
  for left_out in ([1], []):
    kept = [i for i in range(len(rows)) if i not in left_out]
    path = pairs.write(
      tmp_path, [messages[i] for i in kept], [rows[i] for i in kept]
    )
    if left_out:
      with pytest.raises(
        events.DataError, match="row 2: best bid is not below"
      ):
        reader.read_checked(path)
    else:
      reader.read_checked(path)


@pytest.mark.parametrize("extra", [",null", ",GSCO", ",", ",null,7"])
def test_more_columns_are_left_out(tmp_path, extra):
  message, _ = pairs.make_pair(tmp_path)
  want = reader.read_checked(message)[0]
  lines = [line + extra for line in pairs.GOOD_MESSAGES]
  message.write_text("\n".join(lines) + "\n")
  have = reader.read_checked(message)[0]
  assert plain_book.rows(have) == plain_book.rows(want)
  message.write_text("\n".join([lines[0], f"{lines[1]},9", lines[2]]))
  with pytest.raises(events.DataError, match="row 2: . columns, expected"):
    reader.read_checked(message)


@pytest.mark.parametrize(
  "price, tick", [(100, 0.01), (100.5, 0.005), (99.5, 0.005), (99.37, 0.0001)]
)
def test_tick_is_that_of_the_visible_orders(tmp_path, price, tick):
  asks, bids = pairs.BASE
  path = pairs.write(
    tmp_path,
    [("34200", 1, 7, 5, price, 1), ("34201", 5, 0, 5, 100.37, 1)],
    [(asks, [(price, 5), bids[0]])] * 2,
  )
  stream, _ = check(path)
  assert stream.tick_size == tick
  row = plain_book.rows(stream, flow_only=True)[0]
  assert row[:4] == (LIMIT, BID, round(price / 100 / tick), 5)
  assert stream.price.dtype == np.int32


def test_prices_that_int32_cannot_hold_are_int64(tmp_path):
  asks, bids = [(99.37, 5), (19_999_999, 1)], [(50, 1)]
  path = pairs.write(
    tmp_path, [("34200", 1, 7, 5, 99.37, -1)] * 1, [(asks, bids)]
  )
  stream, _ = check(path)
  assert stream.price.dtype == np.int64
  assert sorted(stream.price.tolist()) == [5000, 9937, 1_999_999_900]
