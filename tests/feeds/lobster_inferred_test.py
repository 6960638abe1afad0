"""Tests of LOBSTER messages without their order-book file."""

import pytest

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds.lobster import reader
from tests.support.feeds import lobster_pairs as pairs
from tests.support.oracles import plain_book

pytest.importorskip("polars")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


def read(folder, lines):
  """Reads and replays messages; prices in cents."""
  path = pairs.write(folder, lines, [])
  (folder / pairs.BOOK).unlink()
  stream, checks = reader.read_checked(path)
  assert checks.levels is None
  assert stream.counts["unchecked_rows"] == len(lines)
  result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
  assert not result.mismatches and not result.rejected and not result.crossed
  return stream


def test_orders_that_no_message_brought_rested_before(tmp_path):
  stream = read(
    tmp_path,
    [
      ("1", 1, 70, 5, 101, -1),
      ("2", 4, 20, 3, 100, -1),  # Of 20, which has 7 in all.
      ("3", 2, 20, 1, 100, -1),
      ("4", 1, 71, 2, 99, 1),
      ("5", 4, 20, 3, 100, -1),
      ("5", 4, 70, 4, 101, -1),
      ("6", 3, 30, 8, 98, 1),
    ],
  )
  assert stream.counts["inferred_orders"] == 2
  assert [row[:4] for row in plain_book.rows(stream, flow_only=True)] == [
    (LIMIT, ASK, 101, 5),
    (LIMIT, BID, 100, 3),
    (CANCEL, ASK, 100, 1),
    (LIMIT, BID, 99, 2),
    (LIMIT, BID, 101, 7),
    (CANCEL, BID, 98, 8),
  ]


def test_an_order_that_would_trade_came_later(tmp_path):
  stream = read(
    tmp_path,
    [
      ("1", 1, 70, 5, 101, -1),
      ("2", 3, 70, 5, 101, -1),
      ("3", 3, 20, 4, 102, 1),  # Not while asks rested at 101.
    ],
  )
  rows = plain_book.rows(stream)
  assert rows.index((LIMIT, BID, 102, 4, 1)) > rows.index(
    (LIMIT, ASK, 101, 5, 0)
  )
  assert stream.counts["out_of_turn_executions"] == 0


def test_orders_that_others_prove_gone_are_taken_off(tmp_path):
  stream = read(
    tmp_path,
    [
      ("1", 1, 70, 5, 101, -1),
      ("2", 1, 71, 5, 102, -1),
      ("3", 1, 72, 5, 101, 1),  # So 70 is gone.
      ("4", 1, 73, 1, 103, -1),
      ("5", 4, 73, 1, 103, -1),  # So 71 is.
    ],
  )
  assert stream.counts["ghosts"] == 2
  flow = plain_book.rows(stream, flow_only=True)
  assert (LIMIT, BID, 101, 5) in [row[:4] for row in flow]
  assert stream.counts["aggressive_orders"] == 1


def test_orders_without_later_messages_go_with_the_view(tmp_path):
  far = [(str(1 + i), 1, 70 + i, 5, 105 - i, -1) for i in range(3)]
  stream = read(tmp_path, [*far, ("9", 3, 71, 5, 104, -1)])
  assert stream.counts["ghosts"] == 1  # Two levels are in view.
