"""Tests of the reader of Madrid's exchange: handmade files, and a real day."""

import numpy as np
import pytest

from mars_jax import types
from tests.support import paths
from tests.support.oracles import plain_book
from tests.support.oracles import python_book

pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds.bme import reader

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
HEADER = "ordtype;uid;is_buy;qty;price;timestamp"
START = ("new;7;False;50;96.05;09:00:23.256", "new;8;True;40;95.5;09:00:23.256")
FLOW = (
  "new;9;True;20;96.1;09:00:24.000",  # Takes 20 of order 7.
  "modif;8;;5;;09:00:24.000",
  "cancel;7;;30;;17:30:00.017",
  "cancel;8;;35;;17:30:00.017",
)


def write(folder, rows, name="acme_2019-05-21.csv"):
  """Writes a file; a row that gives only a time of day is of 2019-05-21."""
  lines = []
  for row in rows:
    *fields, time = row.split(";")
    day = "" if "-" in time else "2019-05-21 "
    lines.append(";".join([*fields, day + time]))
  path = folder / name
  path.write_text("\n".join([HEADER, *lines]) + "\n")
  return path


def test_rows_are_events_in_ticks_with_the_side_and_price_of_their_order(
  tmp_path,
):
  stream, checks = reader.read_checked(write(tmp_path, START + FLOW))
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 960_500, 50, 0),
    (LIMIT, BID, 955_000, 40, 1),
    (LIMIT, BID, 961_000, 20, 2),
    (CANCEL, BID, 955_000, 5, 1),
    (CANCEL, ASK, 960_500, 30, 0),
    (CANCEL, BID, 955_000, 35, 1),
  ]
  assert stream.is_market_event.tolist() == [False] * 2 + [True] * 4
  assert stream.time[:3].tolist() == [
    *[32_423_256_000_000] * 2,
    32_424_000_000_000,
  ]
  assert stream.name == "BME acme 2019-05-21"
  assert stream.price.dtype == stream.volume.dtype == np.int32
  assert stream.counts == {
    "rows": 6,
    "start_orders": 2,
    "limit_orders": 1,
    "market_orders": 0,
    "cancels": 2,
    "reductions": 1,
    "bought": 20,
    "sold": 20,
    "price_step": 500,
  }
  assert checks.remaining.tolist() == [-1, -1, -1, -1, 0, 0]
  assert checks.trades is checks.levels is None


def test_book_at_the_end_is_empty_after_a_purge_and_else_not_told(tmp_path):
  _, checks = reader.read_checked(write(tmp_path, START + FLOW))
  assert len(checks.orders.order_id) == len(checks.orders.price) == 0
  for count in range(1, len(FLOW)):
    _, checks = reader.read_checked(write(tmp_path, START + FLOW[:count]))
    assert checks.orders is None
  balanced = (START[0], "new;8;True;50;95.5;09:00:24")  # Both rest.
  assert reader.read_checked(write(tmp_path, balanced))[1].orders is None


def test_another_day_may_have_other_decimals_prices_and_times(tmp_path):
  rows = (
    "new;1;true;5;0.0001;2020-02-29 08:00:00",
    "new;2;false;2147483647;107374.18230;2020-02-29 08:00:00.123456789",
    "new;3;TRUE;7;12;2020-02-29 08:00:01.5",
    "modif;3;True;7;12.0;2020-02-29 08:00:01.5",
  )
  stream = reader.read_checked(write(tmp_path, rows, "acme.csv"))[0]
  assert stream.price.tolist() == [1, 1_073_741_823, 120_000, 120_000]
  assert stream.time[1] == 28_800_123_456_789
  assert stream.name == "BME acme 2020-02-29"
  assert stream.counts["price_step"] == 1
  assert stream.counts["start_orders"] == 1


def test_order_without_a_price_takes_all_prices_of_the_file(tmp_path):
  rows = (*START, "new;9;True;60;;09:01:00", "new;10;False;60;;09:02:00")
  stream = reader.read_checked(write(tmp_path, rows))[0]
  assert stream.price[2:].tolist() == [960_500, 955_000]
  assert stream.counts["market_orders"] == 2
  with pytest.raises(events.DataError, match="no order has a price"):
    reader.read_checked(write(tmp_path, rows[2:]))


# What row 4 of the file, FLOW[0], becomes, the bad row, and the reason.
BROKEN_ROWS = {
  "type": ("trade;9;True;20;96.1;09:00:24", 4, "ordtype is none of new"),
  "no type": (";9;True;20;96.1;09:00:24", 4, "ordtype is none of new"),
  "uid": ("new;nine;True;20;96.1;09:00:24", 4, "uid is no whole number"),
  "no quantity": ("new;9;True;;96.1;09:00:24", 4, "qty is no whole number"),
  "zero": ("new;9;True;0;96.1;09:00:24", 4, "qty is no whole number"),
  "a fraction": ("new;9;True;2.5;96.1;09:00:24", 4, "qty is no whole number"),
  "too large": ("new;9;True;2147483648;96;09:00:24", 4, "qty is no whole"),
  "side": ("new;9;yes;20;96.1;09:00:24", 4, "is_buy is not True or False"),
  "no side": ("new;9;;20;96.1;09:00:24", 4, "is_buy is not True or False"),
  "no side of a cancel": ("cancel;8;B;4;;09:00:24", 4, "is_buy is not True"),
  "price": ("new;9;True;20;abc;09:00:24", 4, "price is no number"),
  "price of zero": ("new;9;True;20;0.0;09:00:24", 4, "price is no number"),
  "negative price": ("new;9;True;20;-96;09:00:24", 4, "price is no number"),
  "off the grid": ("new;9;True;20;9.00001;09:00:24", 4, "price is no number"),
  "price too large": ("new;9;True;2;107374.1824;09:00:24", 4, "price is no"),
  "price far too large": (f"new;9;True;2;{'9' * 30};09:00:24", 4, "price is"),
  "exponent": ("new;9;True;20;1e2;09:00:24", 4, "price is no number"),
  "time": ("new;9;True;20;96.1;9 o'clock", 4, "timestamp is no date and time"),
  "ten digits": ("new;9;True;2;9;09:00:24.0123456789", 4, "timestamp is no"),
  "no time": ("new;9;True;20;96.1;", 4, "timestamp is no date and time"),
  "known later": ("modif;11;;20;;09:00:24", 4, "unknown uid"),
  "cancelled": ("cancel;8;;5;;09:00:24", 5, "the order was cancelled"),
  "other side": ("modif;8;False;1;;09:00:24", 4, "the order has another side"),
  "other price": ("modif;8;;1;95.45;09:00:24", 4, "has another price"),
  "more than left": ("modif;8;;41;;09:00:24", 4, "qty is more than was left"),
  "in sum": ("modif;8;;36;;09:00:24", 5, "qty is more than was left"),
}
BROKEN_FILES = {
  "header only": (HEADER + "\n", "the file has no rows"),
  "missing column": (HEADER.replace("qty", "size") + "\n1;2;3;4;5;6\n", "qty"),
  "commas": (HEADER.replace(";", ",") + "\n1,2,3,4,5,6\n", "ordtype"),
  "binary": ("\x00\xff", "unable to find column"),
}


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_broken_row_is_an_error_with_file_row_and_reason(tmp_path, case):
  text, row, reason = BROKEN_ROWS[case]
  last = "new;11;True;20;96.1;09:00:25"
  path = write(tmp_path, (*START, text, FLOW[1], last))
  with pytest.raises(events.DataError) as error:
    reader.read_checked(path)
  assert f"{path}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_broken_file_is_an_error_with_file_and_reason(tmp_path, case):
  text, reason = BROKEN_FILES[case]
  path = tmp_path / "day.csv"
  path.write_text(text)
  with pytest.raises(events.DataError) as error:
    reader.read_checked(path)
  assert f"{path}: " in str(error.value)
  assert reason in str(error.value)


def test_real_day_fills_796_times_and_ends_with_no_order_left():
  path = paths.real_day("bme/acciona_2019-05-21.csv")
  stream, checks = reader.read_checked(path)
  book, fills = python_book.PythonBook(capacity=len(stream)), []
  for event, left in zip(
    plain_book.rows(stream), checks.remaining.tolist(), strict=True
  ):
    kind, side, price, volume, order_id = event
    if kind == CANCEL:
      held = next(v for i, v in book.queues[side][price] if i == order_id)
      assert held >= volume
      assert left < 0 or held - volume == left
    fills += book.apply(python_book.Message(*event))
  assert len(fills) == 796
  traded = sum(fill.volume for fill in fills)
  assert traded == stream.counts["bought"] == stream.counts["sold"] == 44_041
  assert not book.rows(ASK) and not book.rows(BID)
  assert book.dropped == book.unknown == 0
  assert len(checks.orders.order_id) == 0
  assert stream.counts | {"rows": 20_969, "start_orders": 20} == stream.counts
  assert stream.counts["limit_orders"] == 10_525
  assert stream.counts["cancels"] == (checks.remaining == 0).sum() == 8_816
  assert stream.counts["reductions"] == 1_608
  assert stream.counts["price_step"] == 500  # 5 cents, its tick that day.
