"""Tests of finding the reader of a file."""

import sys
import zipfile

import pytest

from mars_jax.data import events
from mars_jax.data import readers
from mars_jax.data import samples

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
    assert readers.read(path).name == "Bitstamp BTC/USD 1970-01-01"


def test_folder_zip_and_message_file_are_read_as_lobster_s(lobster_folder):
  archive = lobster_folder.parent / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    for name in (MESSAGE, BOOK):
      out.write(lobster_folder / name, name)
  for path in (lobster_folder, archive, str(lobster_folder / MESSAGE)):
    stream = readers.read(path)
    assert stream.name == "XYZ 2020-01-02"
    assert len(stream) == 2


def test_the_sample_is_fetched_by_its_name(capture, monkeypatch):
  monkeypatch.setattr(samples, "bitstamp", lambda: capture)
  assert len(readers.read(readers.SAMPLE)) == 2


def test_home_folder_may_be_a_tilde(capture, monkeypatch):
  monkeypatch.setenv("HOME", str(capture.parent))
  assert len(readers.read("~/orders.csv")) == 2


def test_missing_file_is_an_error_that_says_what_to_give(tmp_path):
  path = tmp_path / "none.csv"
  with pytest.raises(
    FileNotFoundError, match="none.csv: no such file"
  ) as error:
    readers.read(path)
  assert readers.SAMPLE in str(error.value)


@pytest.mark.parametrize("name", ["notes.txt", "day.zip", "message.csv"])
def test_file_of_another_kind_is_an_error_that_names_it(tmp_path, name):
  path = tmp_path / name
  path.write_text("Not a market.\n")
  with pytest.raises(events.DataError, match=name.replace("message", ".*")):
    readers.read(path)


def test_folder_without_a_pair_of_files_is_an_error(tmp_path):
  with pytest.raises(events.DataError, match="0 message files, expected one"):
    readers.read(tmp_path)


def test_without_polars_the_error_says_what_to_install(capture, monkeypatch):
  monkeypatch.setitem(sys.modules, "polars", None)
  monkeypatch.delitem(sys.modules, "mars_jax.data.bitstamp", raising=False)
  with pytest.raises(ImportError, match=r"pip install 'mars-jax\[data\]'"):
    readers.read(capture)
