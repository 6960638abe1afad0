"""Files of Databento: their days, instruments, packing and versions."""

import bz2
import datetime
import gzip

import numpy as np
import pytest

pytest.importorskip("databento_dbn")
pytest.importorskip("polars")

import databento_dbn as dbn

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.databento import parse
from mars_jax.feeds.databento import reader
from tests.support.feeds import databento_writer as writer
from tests.support.feeds import missing_packages
from tests.support.feeds.databento_days import BOOK
from tests.support.feeds.databento_days import same
from tests.support.feeds.databento_days import write
from tests.support.feeds.databento_writer import LAST
from tests.support.feeds.databento_writer import SNAPSHOT
from tests.support.feeds.databento_writer import START
from tests.support.feeds.databento_writer import record
from tests.support.oracles import plain_book

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SECOND = types.NANOSECONDS


def test_session_may_run_past_midnight_but_not_for_longer_than_a_day(tmp_path):
  evening = writer.MIDNIGHT + 82_800 * SECOND
  hours = 3_600 * SECOND
  records = [
    record("A", 1 + i, "A", 101, 1, time=evening + i * 12 * hours)
    for i in range(3)
  ]
  stream = reader.read_checked(write(tmp_path, records[:2]))[0]
  assert stream.day == "2024-03-05"
  assert stream.time.tolist() == [23 * hours, 35 * hours]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert stream.time[-1] == 47 * hours
  late = record("A", 9, "A", 101, 1, time=evening + 24 * hours + 2 * SECOND)
  with pytest.raises(events.DataError, match="mixed days"):
    reader.read_checked(write(tmp_path, [*records, late]))


def test_event_just_before_the_first_midnight_is_of_the_day_after(tmp_path):
  early = record("A", 1, "A", 101, 1, time=writer.MIDNIGHT - 1_000)
  records = [early, record("A", 2, "A", 101, 1, time=writer.MIDNIGHT + 5)]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert stream.day == "2024-03-05"
  assert stream.time.tolist() == [0, 5]
  assert stream.counts["early"] == 1


def interleaved():
  """Two markets, and their records by time."""
  markets = {
    name: writer.Market(instrument_id=number, seed=number).run(300)
    for name, number in (("ESH4", 17), ("BRK/B", 4))
  }
  records = [r for market in markets.values() for r in market.records]
  return markets, sorted(records, key=lambda r: r.ts_event)


SYMBOLS = {"ESH4": 17, "BRK/B": 4, "IDLE": 5}


def test_two_instruments_of_a_file_are_read_apart(tmp_path):
  markets, records = interleaved()
  path = write(tmp_path, records, symbols=SYMBOLS)
  assert reader.instruments(path) == ("BRK/B", "ESH4")
  for name, market in markets.items():
    stream = reader.read_checked(path, instrument=name)[0]
    assert plain_book.rows(stream) == market.events
    assert stream.instrument == name
  with pytest.raises(events.DataError, match="2 instruments; name one of BRK"):
    reader.read_checked(path)
  with pytest.raises(events.DataError, match="no records of IDLE"):
    reader.read_checked(path, instrument="IDLE")
  with pytest.raises(events.DataError, match="no instrument 'NONE'"):
    reader.read_checked(path, instrument="NONE")


def test_split_writes_a_file_an_instrument(tmp_path):
  markets, records = interleaved()
  path = write(tmp_path, records, symbols=SYMBOLS)
  folder = tmp_path / "new" / "split"
  paths = reader.split(path, folder)
  assert paths == [
    folder / "BRK%2FB_2024-03-05.dbn",
    folder / "ESH4_2024-03-05.dbn",
  ]
  assert sorted(folder.iterdir()) == paths
  for file, name in zip(paths, ("BRK/B", "ESH4"), strict=True):
    assert reader.instruments(file) == (name,)
    stream = reader.read_checked(file)[0]
    assert same(stream, reader.read_checked(path, instrument=name)[0])
    assert stream.name == f"GLBX.MDP3 {name} 2024-03-05"
  assert reader.split(path, tmp_path / "one", ["ESH4"]) == [
    tmp_path / "one" / "ESH4_2024-03-05.dbn"
  ]
  with pytest.raises(events.DataError, match="no records of IDLE"):
    reader.split(path, tmp_path / "none", ["ESH4", "IDLE"])
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(events.DataError, match="cut off"):
    reader.split(path, tmp_path / "none")
  assert not list((tmp_path / "none").iterdir())


def test_instrument_without_a_symbol_goes_by_its_id(tmp_path):
  markets, records = interleaved()
  path = write(tmp_path, records, symbols={}, schema=None, stype_in=None)
  assert reader.instruments(path) == ("17", "4")
  stream = reader.read_checked(path, instrument="17")[0]
  assert plain_book.rows(stream) == markets["ESH4"].events
  paths = reader.split(path, tmp_path)
  assert [file.name for file in paths] == [
    "17_2024-03-05.dbn",
    "4_2024-03-05.dbn",
  ]
  assert same(reader.read_checked(paths[0])[0], stream)


def test_symbols_may_be_told_by_id(tmp_path):
  path = write(
    tmp_path,
    BOOK,
    stype_in=dbn.SType.INSTRUMENT_ID,
    stype_out=dbn.SType.RAW_SYMBOL,
    mappings=[
      dbn_mapping("17", [("2024-03-05", "2024-03-06", "ESH4")]),
      dbn_mapping("18", [("2024-03-05", "2024-03-06", "")]),
    ],
  )
  assert reader.instruments(path) == ("ESH4",)
  (part,) = reader.split(path, tmp_path)
  assert same(reader.read_checked(part)[0], reader.read_checked(path)[0])


def dbn_mapping(symbol, intervals):
  """The mapping of a symbol from day to day."""
  to_date = datetime.date.fromisoformat
  names = ("start_date", "end_date", "symbol")
  values = [(to_date(a), to_date(b), c) for a, b, c in intervals]
  return writer.Named(
    raw_symbol=symbol,
    intervals=[
      writer.Named(**dict(zip(names, v, strict=True))) for v in values
    ],
  )


def test_symbol_of_other_days_is_told_apart(tmp_path):
  days = [
    ("2024-03-04", "2024-03-05", "16"),
    ("2024-03-05", "2024-03-06", "17"),
    ("2024-03-06", "2024-03-07", "18"),
  ]
  mappings = [dbn_mapping("ESH4", days)]
  end = writer.MIDNIGHT + parse.DAY
  stream = reader.read_checked(
    write(tmp_path, BOOK, mappings=mappings, end=end)
  )[0]
  assert len(stream) == 3
  path = write(tmp_path, BOOK, mappings=mappings, end=end + 1)
  with pytest.raises(events.DataError, match="mixed days: ESH4 is 17, then 18"):
    reader.read_checked(path)


@pytest.mark.parametrize(
  "compress", [gzip.compress, bz2.compress, compressed.zstd.compress]
)
def test_compressed_file_is_read_as_it_is(tmp_path, compress):
  path = write(tmp_path, writer.Market(snapshot=8).run(50).records)
  packed = tmp_path / "mbo.dbn.packed"
  packed.write_bytes(compress(path.read_bytes()))
  assert same(reader.read_checked(packed)[0], reader.read_checked(path)[0])
  packed.write_bytes(packed.read_bytes()[:-20])
  with pytest.raises(events.DataError, match="broken or cut off"):
    reader.read_checked(packed)


def others():
  """Records that a live capture has between those of orders."""
  common = {"publisher_id": 1, "instrument_id": 17, "ts_event": START}
  return [
    dbn.SystemMsg(ts_event=START, msg="Heartbeat"),
    dbn.ErrorMsg(ts_event=START, err="slow"),
    dbn.StatusMsg(**common, ts_recv=START),
    dbn.SymbolMappingMsg(
      **common,
      stype_in=dbn.SType.RAW_SYMBOL,
      stype_in_symbol="ESH4",
      stype_out=dbn.SType.INSTRUMENT_ID,
      stype_out_symbol="17",
      start_ts=0,
      end_ts=0,
    ),
  ]


@pytest.mark.parametrize("num_bytes", [8, 200, 2**20])
def test_other_records_are_passed_over_at_any_chunk(tmp_path, num_bytes):
  records = writer.Market().run(40).records
  alone = reader.read_checked(write(tmp_path, records))[0]
  mixed = records[:7] + others() + records[7:] + others()
  path = write(tmp_path, mixed, schema=None)
  stream = reader.read_checked(path)[0]
  assert same(stream, alone)
  assert stream.counts["other_records"] == 8
  with compressed.open_binary(path) as opened:
    file = parse.File(path, opened)
    chunks = list(file.chunks(num_bytes))
  names = np.concatenate([part["order_id"] for _, part in chunks])
  assert names.tolist() == [r.order_id for r in records]
  rows = [row + i for row, part in chunks for i in range(len(part))]
  others_at = {*range(8, 12), *range(len(mixed) - 3, len(mixed) + 1)}
  assert rows == sorted({*range(1, len(mixed) + 1)} - others_at)


def test_file_with_the_time_of_sending_is_read_alike(tmp_path):
  records = writer.Market().run(60).records
  path = write(tmp_path, records)
  stream = reader.read_checked(path)[0]
  wide = b"".join(b"\x10" + bytes(r)[1:] + b"\0" * 8 for r in records)
  path.write_bytes(writer.header(ts_out=True) + wide)
  assert same(reader.read_checked(path)[0], stream)
  (part,) = reader.split(path, tmp_path)
  assert same(reader.read_checked(part)[0], stream)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions_are_read_alike(tmp_path, version):
  stream = reader.read_checked(write(tmp_path, BOOK, version=version))[0]
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 101, 10, 0),
    (LIMIT, ASK, 102, 10, 1),
    (LIMIT, BID, 99, 10, 2),
  ]


def test_broken_file_is_named(tmp_path):
  path = write(tmp_path, BOOK)
  whole = path.read_bytes()
  body = len(writer.header())
  cases = {
    "empty file": b"",
    "not a DBN file": b"PK" + whole,
    "DBN version 9": b"DBN\x09" + whole[4:],
    "broken header": whole[:60],
    "row 3: cut off within a record": whole[:-3],
    "row 1: a record of 0 bytes": whole[:body] + b"\0" * 56,
    "row 1: an MBO record of 52 bytes": (
      whole[:body] + b"\x0d" + whole[body + 1 :]
    ),
    "no records of ESH4": whole[:body],
    "schema trades, expected mbo": writer.header(schema=dbn.Schema.TRADES),
  }
  for reason, data in cases.items():
    path.write_bytes(data)
    with pytest.raises(events.DataError, match=reason):
      reader.read_checked(path)
  with pytest.raises(events.DataError, match="no such file"):
    reader.read_checked(tmp_path / "none.dbn")


def test_snapshot_alone_is_no_stream(tmp_path):
  records = [record("A", 1, "A", 101, 1, flags=SNAPSHOT | LAST)]
  with pytest.raises(events.DataError, match="nothing happens to ESH4"):
    reader.read_checked(write(tmp_path, records))


@pytest.mark.parametrize(
  "dataset, market", [("XNAS.ITCH", "NASDAQ"), ("GLBX.MDP3", "GLBX.MDP3")]
)
def test_market_is_the_exchange_s_name_where_other_feeds_have_it(
  tmp_path, dataset, market
):
  path = write(tmp_path, BOOK, dataset=dataset)
  assert reader.read_checked(path)[0].market == market


def test_missing_package_is_named(tmp_path, monkeypatch):
  missing_packages.uninstall(monkeypatch, "databento_dbn", "databento")
  with pytest.raises(ImportError, match=r"pip install 'mars-jax\[databento\]'"):
    registry.read(write(tmp_path, BOOK))
