"""Tests of Bitstamp captures as they are in the wild.

Ticks of cents, headers of R, exchange times that step back, several days.
"""

import csv

import numpy as np
import pytest

from mars_jax import replay
from mars_jax import types
from mars_jax.apps import start as start_lib
from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import prepare
from tests.support.feeds import bitstamp_capture
from tests.support.oracles import plain_book

pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.bitstamp import reader

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
HEADER = "id,timestamp,exchange_timestamp,price,volume,action,direction"
DAY = 86_400_000  # Milliseconds.
MIDNIGHT = 20_000 * DAY  # 2024-10-04.
START = (
  (1, 1000, 1000, 100, 1.0, "created", "bid"),
  (2, 1000, 1000, 102, 1.0, "created", "ask"),
  (3, 1000, 1000, 102, 0.5, "created", "ask"),
  (4, 1000, 1000, 103, 2.0, "created", "ask"),
)


def write(folder, rows):
  """A capture with these rows after the start book: times since midnight."""
  path = folder / "orders.csv"
  lines = [HEADER]
  for order_id, time, exchange_time, *rest in START + tuple(rows):
    times = (MIDNIGHT + time, MIDNIGHT + exchange_time)
    lines.append(",".join(map(str, (order_id, *times, *rest))))
  path.write_text("\n".join(lines) + "\n")
  return path


CENTS = """\
1,1000,1000,201.37,2.0,created,bid
2,1000,1000,201.38,1.5,created,ask
3,1000,1000,201.39000000000001,3.0,created,ask
4,2000,2000,201.38,1.0,created,bid
4,2000,2000,201.38,0,deleted,bid
2,2000,2000,201.38,0.5,changed,ask
5,2500,2500,201.36,1.0,created,bid
"""


@pytest.mark.parametrize("scale, tick", [(1, 0.01), (1e-3, 1e-5), (100, 1)])
def test_tick_is_found_in_the_prices_whatever_their_noise(
  tmp_path, scale, tick
):
  path = tmp_path / "orders.csv"
  lines = [row.split(",") for row in CENTS.splitlines()]
  for fields in lines:
    fields[3] = repr(float(fields[3]) * scale)
  path.write_text("\n".join([HEADER, *(",".join(x) for x in lines)]))
  stream, truth = reader.read_checked(path)
  assert stream.tick_size == tick
  assert stream.price.tolist() == [20137, 20138, 20139, 20138, 20136]
  assert stream.price.dtype == np.int32
  assert truth.trades.price.tolist() == [20138]
  assert truth.trades.volume.tolist() == [1_000_000]
  finer = reader.read_checked(path, tick_size=tick / 10)[0]
  assert finer.price.tolist() == [201370, 201380, 201390, 201380, 201360]
  with pytest.raises(events.DataError, match="row 2: price is off the grid"):
    reader.read_checked(path, tick_size=tick * 10)


def test_trades_of_cents_are_compared_in_ticks(tmp_path):
  (tmp_path / "orders.csv").write_text(f"{HEADER}\n{CENTS}")
  header = "exchange_timestamp,price,amount,buy_order_id,sell_order_id"
  for price in ("201.38", "201.380000001", "201.37"):
    text = f"{header}\n2000,{price},1.0,4,2\n"
    (tmp_path / "trades.csv").write_text(text)
    if price == "201.38":
      reader.read_checked(tmp_path / "orders.csv")
    else:
      with pytest.raises(events.DataError, match="not the next fill"):
        reader.read_checked(tmp_path / "orders.csv")


@pytest.mark.parametrize("quote", ["", '"'])
def test_header_may_be_as_r_writes_it(tmp_path, quote):
  path = tmp_path / "orders.csv"
  path.write_text(f"{HEADER}\n{CENTS}")
  want = reader.read_checked(path)[0]
  names = HEADER.replace("_", ".").split(",")
  header = ",".join(f"{quote}{name}{quote}" for name in names)
  path.write_text(f"{header}\n{CENTS}")
  assert registry.find_format(path) == "bitstamp"
  have = registry.read(path)
  assert plain_book.rows(have) == plain_book.rows(want)


def test_volumes_may_be_in_units_of_the_feed(tmp_path):
  rows = [(9, 2000, 2000, 99, 0.25, "created", "bid")]
  path = write(tmp_path, rows)
  want = reader.read_checked(path)[0]
  lines = [line.split(",") for line in path.read_text().splitlines()]
  for fields in lines[1:]:
    fields[4] = str(round(float(fields[4]) * 1e8))
  path.write_text("\n".join(",".join(fields) for fields in lines) + "\n")
  have = reader.read_checked(path)[0]
  assert plain_book.rows(have) == plain_book.rows(want)


OUT_OF_ORDER = [
  (9, 2000, 2000, 102, 1.0, "created", "bid"),
  (2, 2001, 2001, 102, 0.4, "changed", "ask"),
  (9, 2001, 2001, 102, 0.4, "changed", "bid"),
  (2, 2001, 2000, 102, 0.7, "changed", "ask"),  # Was so before.
  (9, 2002, 2002, 102, 0.4, "deleted", "bid"),
  (4, 2005, 1000, 103, 2.0, "deleted", "ask"),  # Of its creation.
  (2, 2006, 1500, 102, 0.6, "deleted", "ask"),  # Late, and too much.
  (2, 2007, 1600, 102, 0.5, "changed", "ask"),  # Over.
  (5, 3000, 3000, 99, 1.0, "created", "bid"),
]


def test_exchange_times_may_step_back_and_the_clock_does_not(tmp_path):
  stream, checks = reader.read_checked(write(tmp_path, OUT_OF_ORDER))
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, BID, 102, 1_000_000, 4),
    (CANCEL, BID, 102, 400_000, 4),
    (CANCEL, ASK, 103, 2_000_000, 3),
    (CANCEL, ASK, 102, 400_000, 1),
    (LIMIT, BID, 99, 1_000_000, 5),
  ]
  milliseconds = stream.time[stream.is_market_event] // 1_000_000
  assert milliseconds.tolist() == [2000, 2002, 2002, 2002, 3000]
  assert checks.trades.volume.tolist() == [600_000]
  assert stream.counts["clock_steps"] == 4
  assert stream.counts["late_rows"] == 3
  assert stream.counts["rows"] == len(START) + len(OUT_OF_ORDER)


def test_fills_may_follow_the_time_of_their_order(tmp_path):
  path = write(
    tmp_path,
    [
      (9, 2000, 2000, 103, 2.0, "created", "bid"),
      (9, 2003, 2003, 102, 1.0, "changed", "bid"),
      (2, 2004, 2004, 102, 0.0, "deleted", "ask"),
      (3, 2005, 2005, 102, 0.0, "deleted", "ask"),
      (4, 2006, 2006, 103, 1.5, "changed", "ask"),
      (9, 2007, 2007, 103, 0.0, "deleted", "bid"),
      (
        4,
        2008,
        2008,
        103,
        1.0,
        "changed",
        "ask",
      ),  # No fill: the order was filled.
    ],
  )
  stream = reader.read_checked(path)[0]
  assert plain_book.rows(stream, flow_only=True) == [
    (LIMIT, BID, 103, 2_000_000, 4),
    (CANCEL, ASK, 103, 500_000, 3),
  ]
  assert stream.counts["executions"] == 3


def shifted(folder, *, num_orders, days_before):
  """A random capture, and the same that runs over midnights."""
  folder.mkdir()
  plain, moved = folder / "plain.csv", folder / "moved.csv"
  bitstamp_capture.write_bitstamp(plain, num_orders=num_orders)
  with open(plain, newline="") as file:
    header, *rows = csv.reader(file)
  times = [int(row[2]) for row in rows]
  for row, time in zip(rows, times, strict=True):
    middle = times[0] + (times[-1] - times[0]) // (days_before + 1)
    late = sum(time >= middle + i * 1000 for i in range(days_before))
    row[2] = str(time - (middle - times[0]) + max(late - 1, 0) * DAY)
  with open(moved, "w", newline="") as file:
    csv.writer(file).writerows([header, *rows])
  return plain, moved


@pytest.mark.parametrize("num_midnights", [1, 2])
def test_days_of_a_capture_are_those_of_one_market(tmp_path, num_midnights):
  plain, moved = shifted(
    tmp_path / "a", num_orders=400, days_before=num_midnights
  )
  whole = reader.read_checked(plain)[0]
  names = registry.days(moved)
  assert len(names) == num_midnights + 1
  flow = []
  for name in names:
    stream, checks = registry.read_checked(moved, day=name)
    assert stream.day == name
    assert (stream.time < DAY * 1_000_000).all()
    assert stream.is_market_event.any()
    new_ids = stream.order_id[stream.kind == LIMIT]
    assert new_ids.tolist() == list(range(len(new_ids)))
    result = replay.verify(stream, checks, rules=replay.feed_rules(stream))
    assert not result.mismatches and not result.rejected
    assert result.checked["trades"] or result.checked["remaining"]
    flow += plain_book.rows(stream, flow_only=True)
  want = plain_book.rows(whole, flow_only=True)
  assert [row[:4] for row in flow] == [row[:4] for row in want]


MIDNIGHT_ROWS = [
  (9, 2000, 2000, 102, 0.4, "created", "bid"),
  (9, 2000, 2000, 102, 0.0, "deleted", "bid"),
  (2, 2000, 2000, 102, 0.6, "changed", "ask"),
  (8, DAY + 5000, DAY + 5000, 102, 0.7, "created", "bid"),
  (2, DAY + 5000, DAY + 5000, 102, 0.0, "deleted", "ask"),
  (3, DAY + 5000, DAY + 5000, 102, 0.4, "changed", "ask"),
  (8, DAY + 5000, DAY + 5000, 102, 0.0, "deleted", "bid"),
  (4, DAY + 6000, DAY + 6000, 103, 2.0, "deleted", "ask"),
]


def test_second_day_starts_from_the_book_of_the_first(tmp_path):
  path = write(tmp_path, MIDNIGHT_ROWS)
  assert registry.days(path) == ("2024-10-04", "2024-10-05")
  stream, checks = registry.read_checked(path, day="2024-10-05")
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 102, 600_000, 0),
    (LIMIT, ASK, 102, 500_000, 1),
    (LIMIT, ASK, 103, 2_000_000, 2),
    (LIMIT, BID, 100, 1_000_000, 3),
    (LIMIT, BID, 102, 700_000, 4),
    (CANCEL, ASK, 103, 2_000_000, 2),
  ]
  assert stream.is_market_event.tolist() == [False] * 4 + [True] * 2
  assert stream.time.tolist() == [0] * 4 + [5_000_000_000, 6_000_000_000]
  assert checks.remaining.tolist() == [-1] * 5 + [0]
  assert checks.trades.event.tolist() == [4, 4]
  assert checks.trades.bid_id.tolist() == [4, 4]
  assert checks.trades.ask_id.tolist() == [0, 1]
  assert stream.counts["carried_orders"] == 4
  with pytest.raises(events.DataError, match="several among the days 2024-10-"):
    registry.read(path)
  with pytest.raises(events.DataError, match="no 2024-10-06 among the days"):
    registry.read(path, day="2024-10-06")


def test_each_day_is_prepared_by_itself(tmp_path):
  _, path = shifted(tmp_path / "a", num_orders=300, days_before=1)
  todo = jobs_lib.find_jobs(
    [str(path)], tmp_path / "out", executor=executors.InlineExecutor()
  )
  assert len({job.name for job in todo}) == 2
  reports = [
    prepare.prepare_day(job, tmp_path / "out", prepare.PrepareConfig())
    for job in todo
  ]
  assert [report.day for report in reports] == ["2015-04-30", "2015-05-01"]
  assert not any(report.reason for report in reports)


def test_a_start_is_in_the_last_day_unless_another_is_named(tmp_path, capsys):
  path = str(write(tmp_path, MIDNIGHT_ROWS))
  assert start_lib.read(path)[0].day == "2024-10-05"
  assert "2024-10-04" in capsys.readouterr().out
  assert start_lib.read(path, day="2024-10-04")[0].day == "2024-10-04"


def write_rows(folder, rows):
  """A capture of rows alone: id, receipt and exchange time, and the rest."""
  path = folder / "orders.csv"
  lines = [HEADER]
  for order_id, time, exchange_time, *rest in rows:
    times = (MIDNIGHT + time, MIDNIGHT + exchange_time)
    lines.append(",".join(map(str, (order_id, *times, *rest))))
  path.write_text("\n".join(lines) + "\n")
  return path


WITHOUT_BOOK = [
  (9, 2018, 2000, 99, 1.0, "created", "bid"),
  (4, 2500, 1000, 103, 2.0, "deleted", "ask"),  # Rested at the start.
  (8, 3018, 3000, 98, 1.0, "created", "bid"),
  (9, 3500, 2000, 99, 1.0, "deleted", "bid"),
  (7, 3600, 3000, 97, 1.0, "deleted", "bid"),  # Came and went.
  (7, 3610, 3000, 97, 1.0, "created", "bid"),
  (3, 4000, 1000, 102, 0.0, "deleted", "ask"),  # Of unknown volume.
  (2, 4500, 1000, 104, 0.5, "changed", "ask"),
]


def test_capture_may_begin_without_its_book(tmp_path):
  many = [
    (100 + i, 5000 + i, 5000, 90, 1.0, "created", "bid") for i in range(1000)
  ]
  path = write_rows(tmp_path, [*WITHOUT_BOOK, *many])
  stream, _ = reader.read_checked(path)
  assert plain_book.rows(stream)[:7] == [
    (LIMIT, ASK, 104, 500_000, 0),
    (LIMIT, ASK, 103, 2_000_000, 1),
    (LIMIT, BID, 99, 1_000_000, 2),
    (CANCEL, ASK, 103, 2_000_000, 1),
    (LIMIT, BID, 98, 1_000_000, 3),
    (CANCEL, BID, 99, 1_000_000, 2),
    (LIMIT, BID, 90, 1_000_000, 4),
  ]
  assert stream.counts["implied_orders"] == 2
  assert stream.counts["unseen_deletes"] == 1
  assert stream.counts["late_rows"] == 2
  # The times of the exchange are those of creation: the clock is of receipt.
  milliseconds = stream.time[:6] // 1_000_000
  assert milliseconds.tolist() == [2018, 2018, 2018, 2500, 3018, 3500]


def test_few_rows_after_a_delete_are_dropped(tmp_path):
  many = [
    (100 + i, 5000 + i, 5000 + i, 90, 1.0, "created", "bid")
    for i in range(1000)
  ]
  twice = (9, 3000, 3000, 99, 1.0, "deleted", "bid")
  path = write(
    tmp_path, [(9, 2000, 2000, 99, 1.0, "created", "bid"), twice, twice, *many]
  )
  stream, _ = reader.read_checked(path)
  assert stream.counts["late_rows"] == 1
  assert stream.counts["cancels"] == 1
