"""Tests of the LOBSTER reader: handmade files, and the whole sample days."""

import numpy as np
import pytest

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.lobster import parse
from mars_jax.feeds.lobster import reader
from tests.support import paths
from tests.support.feeds import lobster_pairs as pairs
from tests.support.oracles import plain_book

pytest.importorskip("polars")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


def book_rows(path):
  """The rows of the order-book file."""
  return parse.parse_book(*parse.open_pair(path, None)[1])


def check_replay(path):
  """Replays the events; every level of every complete row must be right."""
  stream, checks = reader.read_checked(path)
  shares, num_wrong, book = pairs.shares_right(stream, checks, [None])
  assert shares == [1]
  assert not num_wrong
  return stream, checks, book


def test_sweep_of_three_levels_is_one_order_with_its_remainder(tmp_path):
  path = pairs.write(
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
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      pairs.BASE,
      pairs.BASE,
      ([(102, 20), (103, 4)], pairs.BASE[1]),
      ([(103, 4), (104, 4)], pairs.BASE[1]),
      ([(103, 4), (104, 4)], [(102, 3), (99, 10)]),
      ([(103, 4), (104, 4)], pairs.BASE[1]),
    ],
  )
  stream, checks, book = check_replay(path)
  assert [event[:4] for event in plain_book.rows(stream, flow_only=True)] == [
    (LIMIT, ASK, 100, 5),
    (LIMIT, BID, 102, 38),
    (CANCEL, BID, 102, 3),
  ]
  assert stream.order_id[stream.is_market_event][1] == stream.order_id[-1]
  rows = book_rows(path)
  is_complete = [True] + [False] * 4 + [True] * 2
  assert (checks.levels.price == rows.price[is_complete] // 100).all()
  assert (checks.levels.volume == rows.volume[is_complete]).all()
  assert checks.levels.num_events[-2:].tolist() == [
    len(stream) - 1,
    len(stream),
  ]
  assert book.traded == 35
  assert stream.counts["aggressive_orders"] == 1
  assert stream.counts["remainders"] == 1
  assert stream.counts["executions"] == 3
  assert stream.counts["hidden_executions"] == 1
  assert stream.name == "NASDAQ XYZ 2020-01-02"


def test_executions_of_other_times_or_sides_are_other_orders(tmp_path):
  path = pairs.write(
    tmp_path,
    [
      ("1", 4, 1, 4, 101, -1),
      ("2", 4, 1, 3, 101, -1),
      ("2", 4, 3, 3, 99, 1),
      ("2", 1, 9, 5, 100, 1),
    ],
    [
      ([(101, 6), (102, 20)], pairs.BASE[1]),
      ([(101, 3), (102, 20)], pairs.BASE[1]),
      ([(101, 3), (102, 20)], [(99, 7), (98, 20)]),
      ([(101, 3), (102, 20)], [(100, 5), (99, 7)]),
    ],
  )
  stream, checks, _ = check_replay(path)
  assert [event[:4] for event in plain_book.rows(stream, flow_only=True)] == [
    (LIMIT, BID, 101, 4),
    (LIMIT, BID, 101, 3),
    (LIMIT, ASK, 99, 3),
    (LIMIT, BID, 100, 5),
  ]
  assert stream.counts["remainders"] == 0
  assert len(checks.levels.num_events) == 4


def test_partial_cancel_then_delete_take_off_what_is_left(tmp_path):
  path = pairs.write(
    tmp_path,
    [("1", 1, 7, 9, 100, 1), ("2", 2, 7, 4, 100, 1), ("3", 3, 7, 5, 100, 1)],
    [
      (pairs.BASE[0], [(100, 9), (99, 10)]),
      (pairs.BASE[0], [(100, 5), (99, 10)]),
      (pairs.BASE[0], [(99, 10), (98, 20)]),
    ],
  )
  stream, _, _ = check_replay(path)
  order_id = plain_book.rows(stream, flow_only=True)[0][4]
  assert plain_book.rows(stream, flow_only=True)[1:] == [
    (CANCEL, BID, 100, 4, order_id),
    (CANCEL, BID, 100, 5, order_id),
  ]


def test_hidden_executions_and_halts_yield_no_event(tmp_path):
  path = pairs.write(
    tmp_path,
    [("1", 5, 0, 9, 100.005, 1), ("2", 7, 0, 0, -0.01, -1)],
    [pairs.BASE, pairs.BASE],
  )
  stream, checks, _ = check_replay(path)
  assert not stream.is_market_event.any()
  assert checks.levels.num_events.tolist() == [4, 4]
  assert stream.counts["hidden_executions"] == stream.counts["halts"] == 1
  assert stream.counts["start_orders"] == 4


def test_cross_trades_yield_no_event_whatever_their_price_and_size(tmp_path):
  path = pairs.write(
    tmp_path,
    [("1", 6, -1, 700, 100.005, -1), ("2", 6, -1, 0, 101, 0)],
    [pairs.BASE, pairs.BASE],
  )
  stream, checks, _ = check_replay(path)
  assert not stream.is_market_event.any()
  assert checks.levels.num_events.tolist() == [4, 4]
  assert stream.counts["cross_trades"] == 2
  assert stream.counts["messages"] == 2
  assert stream.counts["start_orders"] == 4


def test_unknown_id_is_part_of_the_start_book(tmp_path):
  path = pairs.write(
    tmp_path,
    [("1", 2, 555, 4, 101, -1), ("2", 3, 556, 6, 101, -1)],
    [
      ([(101, 6), (102, 20)], pairs.BASE[1]),
      ([(102, 20)], pairs.BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  start = plain_book.rows(stream)[0]
  assert start == (LIMIT, ASK, 101, 10, 0)
  assert plain_book.rows(stream, flow_only=True) == [
    (CANCEL, ASK, 101, 4, 0),
    (CANCEL, ASK, 101, 6, 0),
  ]


def test_levels_that_scroll_into_view_are_added_and_stale_ones_removed(
  tmp_path,
):
  path = pairs.write(
    tmp_path,
    [
      ("1", 1, 7, 5, 100, -1),
      ("2", 3, 7, 5, 100, -1),
      ("3", 3, 1, 10, 101, -1),
    ],
    [
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      ([(101, 10), (102, 8)], pairs.BASE[1]),
      ([(102, 8), (104, 4)], pairs.BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  assert stream.counts["scrolled_in"] == 2
  path = pairs.write(
    tmp_path,
    [("1", 1, 6, 5, 102, -1), ("2", 1, 7, 5, 100, -1), ("3", 3, 7, 5, 100, -1)],
    [
      ([(101, 10), (102, 5)], pairs.BASE[1]),
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      ([(101, 10), (103, 1)], pairs.BASE[1]),
    ],
  )
  stream, _, _ = check_replay(path)
  assert stream.counts["scrolled_out"] == 1
  assert plain_book.rows(stream)[-2][:4] == (CANCEL, ASK, 102, 5)
  assert not stream.is_market_event[-2]


def test_unknown_id_may_have_replaced_an_order_out_of_view(tmp_path):
  seen = ([(101, 10), (102, 5)], pairs.BASE[1])
  hidden = ([(100, 5), (101, 10)], pairs.BASE[1])
  messages = [
    ("1", 1, 6, 5, 102, -1),
    ("2", 1, 7, 5, 100, -1),
    ("3", 3, 7, 5, 100, -1),
    ("4", 3, 900, 5, 102, -1),
  ]
  path = pairs.write(
    tmp_path, messages, [seen, hidden, seen, ([(101, 10)], pairs.BASE[1])]
  )
  flow = plain_book.rows(check_replay(path)[0], flow_only=True)
  assert flow[-1] == (CANCEL, ASK, 102, 5, flow[0][4])
  path = pairs.write(
    tmp_path, messages[:1] + messages[3:], [seen, ([(101, 10)], pairs.BASE[1])]
  )
  with pytest.raises(events.DataError, match="row 2: unknown order id 900"):
    reader.read_checked(path)


def test_cancel_of_an_order_that_was_filled_in_its_turn_takes_another(tmp_path):
  path = pairs.write(
    tmp_path,
    [
      ("1", 1, 6, 5, 100, -1),
      ("2", 1, 7, 5, 100, -1),
      ("3", 4, 7, 5, 100, -1),
      ("4", 3, 6, 5, 100, -1),
    ],
    [
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      ([(100, 10), (101, 10)], pairs.BASE[1]),
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      pairs.BASE,
    ],
  )
  stream, _, _ = check_replay(path)
  flow = plain_book.rows(stream, flow_only=True)
  assert flow[-1] == (CANCEL, ASK, 100, 5, flow[1][4])
  assert stream.counts["out_of_turn_executions"] == 1
  assert stream.counts["reassigned_cancels"] == 1


def test_delete_leaves_nothing_and_that_is_told(tmp_path):
  path = pairs.write(
    tmp_path,
    [
      ("1", 1, 7, 9, 100, 1),
      ("2", 2, 7, 4, 100, 1),
      ("3", 3, 7, 5, 100, 1),
      ("4", 3, 555, 4, 101, -1),
    ],
    [
      (pairs.BASE[0], [(100, 9), (99, 10)]),
      (pairs.BASE[0], [(100, 5), (99, 10)]),
      pairs.BASE,
      ([(101, 6), (102, 20)], pairs.BASE[1]),
    ],
  )
  stream, checks, _ = check_replay(path)
  # Of order 555 the file does not say how much there was.
  assert checks.remaining[stream.is_market_event].tolist() == [-1, -1, 0, -1]


def test_without_corrections_there_are_only_start_orders_and_messages(tmp_path):
  path = pairs.write(
    tmp_path,
    [
      ("1", 1, 7, 5, 100, -1),
      ("2", 3, 7, 5, 100, -1),
      ("3", 3, 900, 3, 102, -1),  # Came into view in row 2.
      ("4", 4, 1, 15, 101, -1),
    ],
    [
      ([(100, 5), (101, 10)], pairs.BASE[1]),
      ([(101, 10), (102, 8)], pairs.BASE[1]),
      ([(101, 15), (102, 5)], pairs.BASE[1]),
      ([(102, 5)], pairs.BASE[1]),
    ],
  )
  stream, checks = reader.read_checked(path, corrections=False)
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 101, 10, 0),
    (LIMIT, BID, 99, 10, 1),
    (LIMIT, BID, 98, 20, 2),
    (LIMIT, ASK, 100, 5, 3),
    (CANCEL, ASK, 100, 5, 3),
    (LIMIT, BID, 101, 15, 4),
  ]
  assert stream.counts["unexplained"] == 2
  assert checks.levels.num_events.tolist() == [4, 5, 5, 6]
  shares, _, _ = pairs.shares_right(stream, checks, [1, 2])
  assert shares == [0.5, 0.25]


def test_taking_more_than_an_unknown_order_can_have_is_an_error(tmp_path):
  for kind in (2, 4):
    path = pairs.write(
      tmp_path, [("1", 5, 0, 1, 100, 1)] * 2, [pairs.BASE, pairs.BASE]
    )
    path.write_text(f"1,5,0,1,10000,1\n2,{kind},3,11,10100,-1\n")
    with pytest.raises(events.DataError, match="row 2: unknown order id 3"):
      reader.read_checked(path)


def test_executions_of_more_than_a_level_holds_are_an_error(tmp_path):
  path = pairs.write(
    tmp_path,
    [("1", 5, 0, 1, 100, 1)] + [("2", 4, 3, 6, 101, -1)] * 2,
    [pairs.BASE] * 3,
  )
  with pytest.raises(events.DataError, match="row 3: executions of 12 exceed"):
    reader.read_checked(path)


def real_day(ticker, depth):
  """The path of a sample; skips the test where it is not at hand."""
  name = f"LOBSTER_SampleFile_{ticker}_2012-06-21_{depth}.zip"
  return paths.real_day(f"lobster/{name}")


@pytest.mark.parametrize(
  "ticker, depth, num_wrong", [("GOOG", 10, 0), ("AAPL", 30, 1)]
)
@pytest.mark.slow
def test_all_levels_of_a_real_day_equal_the_book_file(ticker, depth, num_wrong):
  path = real_day(ticker, depth)
  stream, checks = reader.read_checked(path)
  shares, wrong, book = pairs.shares_right(stream, checks, [None])
  assert shares == [1]
  # One order of AAPL is executed out of its turn, so priority leaves it more.
  assert wrong == num_wrong
  assert (checks.remaining == 0).sum() > 0.9 * stream.counts["cancels"]
  messages = parse.parse_messages(*parse.open_pair(path, None)[0])
  executed = messages["size"][messages["type"] == 4]
  counts = stream.counts
  assert book.traded == executed.sum()
  assert counts["executions"] == len(executed)
  assert counts["messages"] == len(book_rows(path).price)
  assert len(checks.levels.num_events) > 0.95 * counts["messages"]
  assert counts["messages"] == (
    counts["limit_orders"]
    + counts["cancels"]
    + counts["executions"]
    + counts["hidden_executions"]
    + counts["cross_trades"]
    + counts["halts"]
  )
  assert stream.is_market_event.sum() == (
    counts["limit_orders"]
    - counts["remainders"]
    + counts["aggressive_orders"]
    + counts["cancels"]
    + counts["split_cancels"]
  )
  assert (~stream.is_market_event).sum() == (
    counts["start_orders"] + counts["scrolled_in"] + counts["scrolled_out"]
  )
  new_ids = stream.order_id[stream.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()
  assert (np.diff(stream.time) >= 0).all()
  # The feed explains every change in view.
  assert counts["added"] == counts["removed"] == counts["unexplained"] == 0
  assert counts["out_of_turn_executions"] < 0.01 * len(executed)
  assert counts["reassigned_cancels"] < 0.01 * counts["cancels"]


@pytest.mark.parametrize(
  "ticker, depth, want",
  [("GOOG", 10, [0.229, 0.019, 0.001]), ("AAPL", 30, [0.807, 0.633, 0.481])],
)
@pytest.mark.slow
def test_without_corrections_the_book_drifts_away(ticker, depth, want):
  path = real_day(ticker, depth)
  stream, checks = reader.read_checked(path, corrections=False)
  counts = stream.counts
  assert (~stream.is_market_event).sum() == counts["start_orders"]
  assert counts["scrolled_in"] == counts["scrolled_out"] == 0
  shares, _, _ = pairs.shares_right(stream, checks, [1, 5, 10])
  np.testing.assert_allclose(shares, want, atol=5e-4)
