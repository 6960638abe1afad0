"""Tests of the reader of Shenzhen level-2 files."""

import dataclasses
import gzip
import re
import zipfile

import pytest

pytest.importorskip("polars")

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.szse import reader
from tests.support.feeds import szse_writer

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
MINUTE = 60 * types.NANOSECONDS
LAYOUTS = pytest.mark.parametrize(
  "names", [szse_writer.SPECIFIED, szse_writer.VENDOR]
)

# A day by hand.
ORDERS = [
  szse_writer.Order(*row)
  for row in (
    (10, "09:15:00.020", "2", 1, "10.019999999999999", 300),
    (11, "09:15:01.000", "2", 2, "10", 200),
    (12, "09:16:00.000", "2", 2, "10.05", 500),
    (14, "09:24:00.000", "2", 2, "10.05", 500),
    (20, "09:30:00.000", "2", 2, "10.03", 100),
    (21, "09:31:00.500", "1", 1, "0", 850),  # At the best ask; 750 rest there.
    (23, "09:31:01.000", "U", 1, "-1", 50),
    (24, "09:32:00.000", "1", 2, "", 1000),  # Immediate or cancel.
    (29, "09:33:00.000", "1", 1, "0", 600),  # Fill or kill.
    (31, "09:34:00.000", "U", 1, "0", 70),  # There is no bid.
    (33, "13:00:00.000", "2", 1, "10.06", 200),
    (35, "14:58:00.000", "2", 1, "10.05", 100),
  )
]
EXECUTIONS = [
  szse_writer.Execution(*row)
  for row in (
    (13, "09:17:00.000", "4", 0, 12, "0", 500),
    (15, "09:25:00.000", "F", 10, 11, "10.02", 200),
    (22, "09:31:00.500", "F", 21, 20, "10.03", 100),
    (25, "09:32:00.000", "F", 21, 24, "10.03", 750),
    (26, "09:32:00.000", "F", 23, 24, "10.03", 50),
    (27, "09:32:00.000", "F", 10, 24, "10.02", 100),
    (28, "09:32:00.000", "4", 0, 24, "0", 100),
    (30, "09:33:00.000", "4", 29, 0, "0", 600),
    (32, "09:34:00.000", "4", 31, 0, "0", 70),
    (34, "13:00:00.000", "F", 33, 14, "10.05", 200),
    (36, "15:00:00.000", "F", 35, 14, "10.05", 100),
  )
]
EVENTS = [
  (LIMIT, BID, 1002, 300, 0),
  (LIMIT, ASK, 1000, 200, 1),
  (LIMIT, ASK, 1005, 500, 2),
  (CANCEL, ASK, 1005, 500, 2),
  (LIMIT, ASK, 1005, 500, 3),
  (LIMIT, ASK, 1003, 100, 4),
  (LIMIT, BID, 1003, 850, 5),
  (LIMIT, BID, 1003, 50, 6),
  (LIMIT, ASK, 1002, 1000, 7),
  (CANCEL, ASK, 1002, 100, 7),
  (LIMIT, BID, 1006, 200, 8),
  (LIMIT, BID, 1005, 100, 9),
]
TRADES = [  # Event, whether of an auction, bid, ask, price, volume.
  (5, True, 0, 1, 1002, 200),  # The number of events before it.
  (6, False, 5, 4, 1003, 100),
  (8, False, 5, 7, 1003, 750),
  (8, False, 6, 7, 1003, 50),
  (8, False, 0, 7, 1002, 100),
  (10, False, 8, 3, 1005, 200),
  (12, True, 9, 3, 1005, 100),
]


def rows_of(arrays, *names):
  """Some arrays of a dataclass as tuples."""
  columns = [getattr(arrays, name).tolist() for name in names]
  return list(zip(*columns, strict=True))


def tuples(stream):
  """(kind, side, price, volume, id) of the events."""
  return rows_of(stream, "kind", "side", "price", "volume", "order_id")


def trades_of(checks):
  """The trades as in `TRADES`."""
  return rows_of(
    checks.trades,
    *("event", "is_auction", "bid_id", "ask_id", "price", "volume"),
  )


def replayed(stream, checks):
  """What the replay under Shenzhen's rules gives, the previous close known."""
  checks = dataclasses.replace(checks, reference=szse_writer.REFERENCE)
  return replay.verify(stream, checks, rules=szse_writer.RULES)


@LAYOUTS
def test_orders_are_events_of_their_full_volume_at_the_price_they_get(
  tmp_path, names
):
  path = szse_writer.write(tmp_path, ORDERS, EXECUTIONS, names=names)
  stream, checks = reader.read_checked(path)
  assert tuples(stream) == EVENTS
  assert trades_of(checks) == TRADES
  assert stream.name == "SZSE 000001 2023-07-11"
  assert stream.rules == "shenzhen"
  assert (stream.tick_size, stream.lot_size) == (0.01, 1)
  assert stream.is_market_event.all()
  assert stream.time[0] == (9 * 60 + 15) * MINUTE + types.NANOSECONDS // 50
  assert stream.time[10] == 13 * 60 * MINUTE
  assert checks.reference is None
  assert checks.remaining.tolist() == [
    0 if kind == CANCEL else -1 for kind, *_ in EVENTS
  ]
  rest = rows_of(checks.orders, "side", "price", "volume", "order_id")
  assert rest == [(ASK, 1005, 200, 3)]
  assert stream.counts == {
    "rows": 23,
    "limit_orders": 7,
    "market_orders": 2,
    "own_best_orders": 1,
    "cancels": 2,
    "aggressive_orders": 3,
    "unpriced_orders": 2,
    "auction_trades": 2,
    "continuous_trades": 5,
  }


@pytest.mark.parametrize(
  "seed, names",
  [
    (0, szse_writer.SPECIFIED),
    pytest.param(1, szse_writer.VENDOR, marks=pytest.mark.slow),
  ],
)
def test_a_simulated_day_comes_back_and_replays_exactly(tmp_path, seed, names):
  day = szse_writer.Session(seed, num_orders=600)
  path = szse_writer.write(tmp_path, day.orders, day.executions, names=names)
  stream, checks = reader.read_checked(path)
  assert tuples(stream) == day.events
  assert trades_of(checks) == day.trades
  assert min(stream.counts.values()) > 0
  result = replayed(stream, checks)
  assert not result.mismatches, result.examples
  assert result.dropped == 0
  assert not result.rejected
  assert result.checked == {
    "auctions": 2,
    "trades": stream.counts["aggressive_orders"],
    "remaining": stream.counts["cancels"],
    "orders": sum(len(day.exchange.rows(side)) for side in (ASK, BID)),
  }


def test_what_the_exchange_did_otherwise_is_found(tmp_path):
  executions = executions_with(9, price="10.04")
  path = szse_writer.write(tmp_path, ORDERS, executions)
  result = replayed(*reader.read_checked(path))
  assert result.mismatches == {"trades": 1}


def test_a_file_may_hold_many_instruments_of_many_channels(tmp_path):
  for channel, code in enumerate(("000001", "300750", "200012")):
    szse_writer.write(tmp_path, ORDERS, EXECUTIONS, code=code, channel=channel)
  assert reader.instruments(tmp_path) == ("000001", "200012", "300750")
  stream = reader.read_checked(tmp_path / "order.csv", instrument="300750")[0]
  assert tuples(stream) == EVENTS
  assert stream.rules == "chinext"
  for instrument, reason in (
    (None, "several among the instruments 000001, 200012, 300750"),
    ("000002", "no 000002 among the instruments"),
    ("200012", "200012 is no share"),
  ):
    with pytest.raises(events.DataError, match=reason):
      reader.read_checked(tmp_path, instrument=instrument)


@LAYOUTS
def test_zip_folder_and_compressed_files_give_the_same_stream(tmp_path, names):
  szse_writer.write(tmp_path, ORDERS, EXECUTIONS[::-1], names=names)
  with zipfile.ZipFile(tmp_path / "day.zip", "w") as out:
    for name in names:
      out.write(tmp_path / name, f"20230711/{name}")
  for name, archive in zip(
    names, ("x_orders.zip", "x_trades.zip"), strict=True
  ):
    with zipfile.ZipFile(tmp_path / archive, "w") as out:
      out.write(tmp_path / name, name)
  packed = tmp_path / "packed"
  packed.mkdir()
  for name in names:
    data = (tmp_path / name).read_bytes()
    (packed / f"{name}.gz").write_bytes(gzip.compress(data))
  for name in ("day.zip", "x_orders.zip", names[0], "packed"):
    assert tuples(reader.read_checked(tmp_path / name)[0]) == EVENTS
    assert reader.instruments(str(tmp_path / name)) == ("000001",)


def test_a_day_without_trades_is_read(tmp_path):
  stream, checks = reader.read_checked(
    szse_writer.write(tmp_path, ORDERS[:1], [])
  )
  assert tuples(stream) == EVENTS[:1]
  assert trades_of(checks) == []
  assert len(checks.orders.volume) == 1


def orders_with(index, **new):
  """The orders, some fields of one of them new."""
  return [*ORDERS[:index], ORDERS[index]._replace(**new), *ORDERS[index + 1 :]]


def executions_with(index, **new):
  """The executions, some fields of one of them new."""
  row = EXECUTIONS[index]._replace(**new)
  return [*EXECUTIONS[:index], row, *EXECUTIONS[index + 1 :]]


FILL_OR_KILL = ORDERS[8]._replace(sequence=37, time="15:00:00.000")
BROKEN_ORDERS = (  # The row is counted with the header.
  (orders_with(1, price="10.005"), 3, "off the grid of 0.01"),
  (orders_with(1, price="nan"), 3, "off the grid"),
  (orders_with(1, price="inf"), 3, "off the grid"),
  (orders_with(1, price="0"), 3, "price is not above 0"),
  (orders_with(1, price="-10"), 3, "price is not above 0"),
  (orders_with(1, price=""), 3, "a value is missing"),
  (orders_with(1, price="ten"), 3, "Price 'ten' is no number"),
  (orders_with(1, volume=0), 3, "no whole number in [1, 2**31)"),
  (orders_with(1, volume=-5), 3, "no whole number in [1, 2**31)"),
  (orders_with(1, volume=2**31), 3, "no whole number in [1, 2**31)"),
  (orders_with(1, volume="1.5"), 3, "no whole number in [1, 2**31)"),
  (orders_with(1, volume="nan"), 3, "no whole number in [1, 2**31)"),
  (orders_with(1, volume=""), 3, "a value is missing"),
  (orders_with(1, kind="X"), 3, "OrdType is none of 1, 2, U"),
  (orders_with(1, kind=""), 3, "OrdType is none of 1, 2, U"),
  (orders_with(1, side="G"), 3, "Side is none of 1, 2"),
  (orders_with(1, time="9"), 3, "TransactTime: no YYYYMMDDHHMMSSsss"),
  (orders_with(1, time="09:14:00.000"), 3, "time runs backwards"),
  (orders_with(1, sequence=10), 3, "the sequence number is repeated"),
  (orders_with(1, sequence=""), 3, "a value is missing"),
  (orders_with(8, kind="2"), 10, "price is not above 0"),
  ([*ORDERS, FILL_OR_KILL], 14, "the order has no price, but no cancel"),
)
BROKEN_EXECUTIONS = (
  (executions_with(0, ask=99), 2, "unknown order is cancelled"),
  (executions_with(0, ask=14), 2, "unknown order is cancelled"),
  (executions_with(0, bid=12, ask=0), 2, "the order is of the other side"),
  (executions_with(0, volume=499), 2, "does not take all that is left"),
  (executions_with(0, volume=501), 2, "the volume exceeds what is left"),
  (executions_with(0, bid=10), 2, "a trade names two orders, a cancel one"),
  (executions_with(0, ask=0), 2, "a trade names two orders, a cancel one"),
  (executions_with(1, ask=0), 3, "a trade names two orders, a cancel one"),
  (executions_with(1, kind="X"), 3, "ExecType is none of F, 4"),
  (executions_with(1, price="nan"), 3, "off the grid"),
  (executions_with(1, price="0"), 3, "price is not above 0"),
  (executions_with(1, volume=-200), 3, "no whole number in [1, 2**31)"),
  (executions_with(1, volume=201), 3, "the volume exceeds what is left"),
  (executions_with(1, bid=9), 3, "unknown order trades"),
  (executions_with(1, bid=11, ask=10), 3, "the order is of the other side"),
  (executions_with(1, sequence=14), 3, "the sequence number is repeated"),
  (executions_with(2, bid=10), 4, "is not of the order that came last"),
  (executions_with(3, time="09:31:00.000"), 5, "time runs backwards"),
)


@pytest.mark.parametrize("rows, row, reason", BROKEN_ORDERS)
def test_broken_order_is_an_error_with_file_row_and_reason(
  tmp_path, rows, row, reason
):
  with pytest.raises(events.DataError) as error:
    reader.read_checked(szse_writer.write(tmp_path, rows, EXECUTIONS))
  assert f"{tmp_path / 'order.csv'}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@pytest.mark.parametrize("rows, row, reason", BROKEN_EXECUTIONS)
def test_broken_execution_is_an_error_with_file_row_and_reason(
  tmp_path, rows, row, reason
):
  with pytest.raises(events.DataError) as error:
    reader.read_checked(szse_writer.write(tmp_path, ORDERS, rows))
  assert f"{tmp_path / 'trade.csv'}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@LAYOUTS
@pytest.mark.parametrize(
  "old, new, reason",
  (
    (r"(2023.?07.?1)1", r"\g<1>2", "row 3: the row is of another day"),
    ("^7", "8", "row 3: the row is of another channel"),
    (r"000001(\.SZ)?", "", "row 3: the SecurityID is missing"),
    ("ApplSeqNum", "Number", 'unable to find column "ApplSeqNum"'),
    ("ChannelNo", "Channel", 'unable to find column "ChannelNo"'),
  ),
)
def test_rows_of_other_days_or_channels_and_other_columns_are_errors(
  tmp_path, names, old, new, reason
):
  szse_writer.write(tmp_path, ORDERS, EXECUTIONS, names=names, channel=7)
  path = tmp_path / names[0]
  lines = path.read_text().split("\n")
  i = 0 if "column" in reason else 2
  lines[i] = re.sub(old, new, lines[i])
  path.write_text("\n".join(lines))
  with pytest.raises(events.DataError, match=reason):
    reader.read_checked(tmp_path)


def test_missing_empty_and_broken_files_are_errors(tmp_path):
  path = szse_writer.write(tmp_path, ORDERS, EXECUTIONS) / "order.csv"
  text = path.read_text()
  path.write_text(text.split("\n")[0] + "\n")
  with pytest.raises(events.DataError, match="there is no order in it"):
    reader.read_checked(tmp_path)
  path.write_text("")
  with pytest.raises(events.DataError, match=r"order\.csv: .*empty"):
    reader.read_checked(tmp_path)
  path.write_text(text)
  szse_writer.write(tmp_path, ORDERS, EXECUTIONS, names=szse_writer.VENDOR)
  with pytest.raises(events.DataError, match="2 files of orders"):
    reader.read_checked(tmp_path)
  (tmp_path / "SZtrans.csv").unlink()
  with pytest.raises(events.DataError, match=r"there is no SZtrans\.csv"):
    reader.read_checked(tmp_path / "SZorders.csv")
  with pytest.raises(events.DataError, match="0 files of orders"):
    reader.read_checked(tmp_path / "trade.csv")
  with pytest.raises(events.DataError, match="none: no such file or folder"):
    reader.read_checked(tmp_path / "none")
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    out.write(path, "order.csv")
    out.write(tmp_path / "trade.csv", "trade.csv")
  archive.write_bytes(archive.read_bytes()[:-30])
  with pytest.raises(events.DataError, match=r"day\.zip: no zip file"):
    reader.read_checked(archive)
