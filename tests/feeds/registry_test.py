"""Tests of finding the reader of a file."""

import json
import pathlib
import re
import sys
import types
import zipfile

import pytest

from mars_jax import feeds
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds import samples
from tests.support import paths
from tests.support.feeds import minimal
from tests.support.feeds import missing_packages
from tests.support.oracles import plain_book

pytest.importorskip("polars")

CAPTURE = """\
id,timestamp,exchange_timestamp,price,volume,action,direction
1,1000,1000,100,1.0,created,bid
2,1000,1000,102,1.0,created,ask
"""
MESSAGE = "XYZ_2020-01-02_34200000_57600000_message_1.csv"
BOOK = MESSAGE.replace("message", "orderbook")


@pytest.fixture
def capture(tmp_path):
  path = tmp_path / "orders.csv"
  path.write_text(CAPTURE)
  return path


@pytest.fixture
def lobster_folder(tmp_path):
  folder = tmp_path / "XYZ"
  folder.mkdir()
  (folder / MESSAGE).write_text("34200.5,1,7,9,10000,1\n")
  (folder / BOOK).write_text("10100,10,10000,9\n")
  return folder


def test_a_capture_is_read_as_bitstamp_s(capture):
  for path in (capture, str(capture)):
    assert registry.read(path).name == "Bitstamp BTC/USD 1970-01-01"


def test_folder_zip_and_message_file_are_read_as_lobster_s(lobster_folder):
  archive = lobster_folder.parent / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    for name in (MESSAGE, BOOK):
      out.write(lobster_folder / name, name)
  for path in (lobster_folder, archive, str(lobster_folder / MESSAGE)):
    stream = registry.read(path)
    assert stream.name == "NASDAQ XYZ 2020-01-02"
    assert len(stream) == 2


def test_the_sample_is_fetched_by_its_name(capture, monkeypatch):
  monkeypatch.setattr(samples, "bitstamp", lambda: capture)
  assert len(registry.read(registry.SAMPLE)) == 2


def test_home_folder_may_be_a_tilde(capture, monkeypatch):
  monkeypatch.setenv("HOME", str(capture.parent))
  assert len(registry.read("~/orders.csv")) == 2


def test_missing_file_is_an_error_that_says_what_to_give(tmp_path):
  path = tmp_path / "none.csv"
  with pytest.raises(
    FileNotFoundError, match="none.csv: no such file"
  ) as error:
    registry.read(path)
  assert registry.SAMPLE in str(error.value)


@pytest.mark.parametrize("suffix", minimal.SUFFIXES)
@pytest.mark.parametrize("format", minimal.FEEDS)
def test_files_are_told_and_read_the_same_however_compressed(
  tmp_path, format, suffix
):
  folders = [tmp_path / "plain", tmp_path / "packed"]
  for folder in folders:
    folder.mkdir()
  plain = minimal.write(folders[0], format)
  packed = minimal.write(folders[1], format, suffix)
  assert registry.find_format(packed) == format
  want, have = registry.read(plain), registry.read(packed)
  assert have.name == want.name
  assert have.counts == want.counts
  assert plain_book.rows(have) == plain_book.rows(want)


@pytest.mark.parametrize(
  "format, suffix",
  [
    ("lobster", ".bz2"),
    ("lobster", ".zip"),
    ("sse", ".gz"),
    ("sse", ".zip"),
  ],
)
def test_one_file_is_given_and_the_other_beside_it_found(
  tmp_path, format, suffix
):
  folder = minimal.write(tmp_path, format, suffix)
  name = next(iter(minimal.FEEDS[format])) + suffix
  assert len(registry.read(folder / name)) == len(registry.read(folder))


@pytest.mark.parametrize("format", ["lobster", "sse", "coinbase"])
def test_all_files_of_a_folder_may_be_in_one_zip(tmp_path, format):
  folder = tmp_path / "files"
  folder.mkdir()
  minimal.write(folder, format, ".xz")
  with zipfile.ZipFile(tmp_path / "day.zip", "w") as out:
    for file in folder.iterdir():
      out.write(file, f"day/{file.name}")
  want, have = registry.read(folder), registry.read(tmp_path / "day.zip")
  assert plain_book.rows(have) == plain_book.rows(want)


def test_trades_beside_a_capture_may_be_compressed(tmp_path):
  path = minimal.write(tmp_path, "bitstamp", ".zst")
  text = "exchange_timestamp,price,amount,buy_order_id,sell_order_id\n"
  minimal.pack(tmp_path / "trades.csv", text.encode(), ".gz")
  registry.read(path)
  wrong = f"{text}1728000002000,100,1,1,2\n"
  minimal.pack(tmp_path / "trades.csv", wrong.encode(), ".gz")
  with pytest.raises(events.DataError, match=r"trades\.csv\.gz: 1 trades, but"):
    registry.read_checked(path)


@pytest.mark.parametrize(
  "name, format",
  [
    ("01302019.NASDAQ_ITCH50.gz", "itch"),
    ("20190130.BX_ITCH_50", "itch"),
    ("S013019-v50.txt.gz", "itch"),
    ("AAPL_2019-01-30.itch.zst", "itch"),
    ("xnas-itch-20240102.mbo.dbn.zst", "databento"),
    ("day.dbn", "databento"),
    ("SZorders.csv.xz", "szse"),
    ("order.csv", "szse"),
    ("entrust.csv.bz2", "sse"),
    ("trade.csv", None),
    ("my.dbn.csv", None),
  ],
)
def test_a_name_tells_the_format_whatever_compresses_it(tmp_path, name, format):
  (tmp_path / name).write_bytes(b"\x00\x01")
  if format:
    assert registry.find_format(tmp_path / name) == format
    return
  with pytest.raises(events.DataError, match="no known format"):
    registry.find_format(tmp_path / name)


def test_columns_tell_more_than_a_name(capture):
  other = capture.rename(capture.with_name("order.csv"))
  assert registry.find_format(other) == "bitstamp"


def test_a_folder_of_both_chinese_exchanges_needs_the_format(tmp_path):
  for name in ("SHorders.csv", "SHtrans.csv", "SZorders.csv", "SZtrans.csv"):
    (tmp_path / name).write_text("")
  with pytest.raises(
    events.DataError, match="it looks like sse and szse; name"
  ):
    registry.find_format(tmp_path)
  assert registry.find_format(tmp_path, "szse") == "szse"
  (tmp_path / "SHorders.csv").unlink()
  assert registry.find_format(tmp_path) == "szse"


@pytest.mark.parametrize("suffix", minimal.SUFFIXES)
def test_an_empty_file_and_one_cut_off_are_told_as_such(tmp_path, suffix):
  path = minimal.pack(tmp_path / "day.csv", b"", suffix)
  with pytest.raises(events.DataError, match="empty file"):
    registry.read(path)
  if suffix:
    path = minimal.write(tmp_path, "bitstamp", suffix)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(events.DataError, match="cut off"):
      registry.read(path)


@pytest.mark.parametrize("name", ["notes.txt", "day.zip", "day.csv.gz"])
def test_file_of_another_kind_is_an_error_that_names_it(tmp_path, name):
  path = tmp_path / name
  path.write_text("Not a market.\n")
  with pytest.raises(
    events.DataError, match="no known format: it looks like text, not a"
  ) as error:
    registry.read(path)
  assert str(path) in str(error.value)
  assert "bitstamp, bme, coinbase, databento, itch" in str(error.value)


def test_broken_file_of_a_kind_that_its_name_tells_is_its_readers_error(
  tmp_path,
):
  path = tmp_path / "message.csv"
  path.write_text("Not a market.\n")
  with pytest.raises(
    events.DataError, match="message.csv, row 1: 1 columns, expected 6"
  ):
    registry.read(path)


def test_folder_without_known_files_is_an_error(tmp_path):
  with pytest.raises(events.DataError, match="no known format"):
    registry.read(tmp_path)
  with pytest.raises(events.DataError, match="0 message files, expected one"):
    registry.read(tmp_path, format="lobster")


def test_columns_tell_a_file_of_bme(tmp_path):
  path = tmp_path / "acme.csv"
  path.write_text(
    "ordtype;uid;is_buy;qty;price;timestamp\n"
    "new;1;True;5;96.05;2019-05-21 09:00:23.256\n"
  )
  assert registry.read(path).name == "BME acme 2019-05-21"


def test_folder_with_a_start_book_is_read_as_coinbase_s(tmp_path, monkeypatch):
  book = {"asks": [["2", "1", "a"]], "bids": [], "sequence": 1}
  message = {
    **{"type": "done", "order_id": "a", "reason": "canceled", "side": "sell"},
    **{"remaining_size": "1", "product_id": "X-USD", "sequence": 2},
    "time": "2018-07-13T20:47:11.025000Z",
  }
  (tmp_path / "beginning_level_3.json").write_text(json.dumps(book))
  (tmp_path / "messages.json").write_text(json.dumps([message]))
  monkeypatch.setattr(samples, "coinbase", lambda: tmp_path)
  for path in (tmp_path, "coinbase-sample"):
    stream, checks = registry.read_checked(path)
    assert stream.name == "Coinbase X-USD 2018-07-13"
    assert checks.remaining.tolist() == [-1, 0]


@pytest.mark.parametrize("name", [None, "sse"])
def test_sse_gets_the_instrument(tmp_path, monkeypatch, name):
  (tmp_path / "entrust.csv").write_text("")
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    out.write(tmp_path / "entrust.csv", "20230201/entrust.csv")
  sse = types.SimpleNamespace(
    read_checked=lambda path, *, instrument: (path, instrument)
  )
  monkeypatch.setitem(sys.modules, "mars_jax.feeds.sse.reader", sse)
  for path in (tmp_path, archive, tmp_path / "entrust.csv"):
    for instrument in (None, "600519"):
      have = registry.read_checked(path, format=name, instrument=instrument)
      assert have == (path, instrument)


@pytest.mark.parametrize("format", ["sse", "szse", "itch", "databento"])
def test_instruments_are_those_of_the_format_s_own_reader(
  tmp_path, monkeypatch, format
):
  module = types.SimpleNamespace(instruments=lambda path: ("A", "B"))
  for name in ("parse", "reader"):
    name = f"mars_jax.feeds.{format}.{name}"
    monkeypatch.setitem(sys.modules, name, module)
  assert registry.instruments(tmp_path, format=format) == ("A", "B")


def test_instrument_of_a_format_without_several_is_none(capture):
  assert registry.instruments(capture) == (None,)


@pytest.mark.parametrize(
  "format", [name for name, f in registry.FORMATS.items() if f.split]
)
def test_split_gives_the_files_of_the_format_s_own_reader(
  tmp_path, monkeypatch, format
):
  def split(path, folder, *, instruments):
    return [folder / f"{path.name}-{name}" for name in instruments or "ABC"]

  module = types.SimpleNamespace(split=split)
  for name in ("parse", "reader"):
    name = f"mars_jax.feeds.{format}.{name}"
    monkeypatch.setitem(sys.modules, name, module)
  want = [tmp_path / f"{tmp_path.name}-{name}" for name in "ABC"]
  have = registry.split(tmp_path, tmp_path, format=format)
  assert have == want
  have = registry.split(tmp_path, tmp_path, format=format, instruments=["C"])
  assert have == want[2:]


def test_a_file_that_has_nothing_to_split_stays_as_it_is(capture, tmp_path):
  assert registry.split(str(capture), tmp_path / "out") == [capture]
  assert not (tmp_path / "out").exists()


def test_instrument_of_another_format_and_unknown_format_are_errors(capture):
  with pytest.raises(ValueError, match="instrument 'X' is not for bitstamp"):
    registry.read(capture, instrument="X")
  with pytest.raises(ValueError, match="'csv' is none of bitstamp, bme"):
    registry.read(capture, format="csv")


def test_format_that_is_named_is_not_guessed(capture):
  with pytest.raises(events.DataError, match="orders.csv: .*ordtype"):
    registry.read_checked(capture, format="bme")


@pytest.mark.parametrize(
  "file, format",
  [
    ("lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip", "lobster"),
    ("lobster/LOBSTER_SampleFile_AAPL_2012-06-21_30.zip", "lobster"),
    ("sse/600519_2023-02-01.zip", "sse"),
    ("sse/five_stocks_2023-07-11_orders.zip", "sse"),
    ("bme/acciona_2019-05-21.csv", "bme"),
  ],
)
def test_formats_of_real_files_are_told(file, format):
  path = paths.real_day(file)
  assert registry.find_format(path) == format


def test_without_a_package_the_error_says_which_extra_to_install(
  tmp_path, monkeypatch
):
  path = tmp_path / "day.dbn"
  path.write_bytes(b"DBN")
  missing_packages.uninstall(monkeypatch, "databento_dbn", "databento")
  with pytest.raises(ImportError, match=r"pip install '?mars-jax\[databento\]"):
    registry.read(path)


def test_without_polars_the_error_says_what_to_install(capture, monkeypatch):
  missing_packages.uninstall(monkeypatch, "polars", "bitstamp")
  with pytest.raises(ImportError, match=r"pip install 'mars-jax\[data\]'"):
    registry.read(capture)


def test_a_format_is_the_folder_of_its_name_and_imports_no_reader():
  root = pathlib.Path(feeds.__file__).parent
  found = {path.parent.name for path in root.glob("*/__init__.py")}
  assert found == feeds.FORMATS.keys() - {"synthetic"}
  for name in found:
    text = (root / name / "__init__.py").read_text()
    lines = re.findall(r"^(?:import|from) .*", text, re.MULTILINE)
    assert lines == ["from mars_jax.feeds import registry"]


def test_files_are_all_that_reading_a_path_reads(tmp_path):
  for format, suffix in (("lobster", ".gz"), ("sse", ""), ("coinbase", "")):
    (tmp_path / format).mkdir()
    folder = minimal.write(tmp_path / format, format, suffix)
    assert registry.files(folder) == [folder]
    first, *others = (
      folder / f"{name}{suffix}" for name in minimal.FEEDS[format]
    )
    if format != "coinbase":  # A folder it must be.
      assert sorted(registry.files(first)) == sorted([first, *others])


def test_a_synthetic_day_is_read_by_its_name():
  stream, checks = registry.read_checked("synthetic-3")
  assert stream.name == "Synthetic ZI 2000-01-06"
  assert stream.is_market_event.sum() == 20_000
  assert checks.orders is not None
  assert registry.instruments("synthetic-3") == (None,)
  assert registry.files("synthetic-3") == []
  with pytest.raises(ValueError, match="synthetic-x: give a seed"):
    registry.read("synthetic-x")
