"""Tests of parsing LOBSTER files: what is accepted, and what is an error."""

import zipfile

import numpy as np
import pytest

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.lobster import parse
from mars_jax.feeds.lobster import reader
from tests.support.feeds import lobster_pairs as pairs
from tests.support.feeds import missing_packages
from tests.support.oracles import plain_book

pytest.importorskip("polars")

ASK, BID = types.Side.ASK, types.Side.BID


def test_time_is_exact_and_digits_past_the_ninth_are_rounded(tmp_path):
  times = ["34200", "34200.000000001", "35821.088778456004", "35821.9999999996"]
  path = pairs.write(
    tmp_path,
    [(time, 2, 1, 1, 101, -1) for time in times],
    [([(101, 10 - row), (102, 20)], pairs.BASE[1]) for row in range(1, 5)],
  )
  stream = reader.read_checked(path)[0]
  assert stream.time[stream.is_market_event].tolist() == [
    34_200_000_000_000,
    34_200_000_000_001,
    35_821_088_778_456,
    35_822_000_000_000,
  ]


# What a row becomes, the row, and the reason; None drops the row.
BROKEN_MESSAGES = {
  "blank line": ("", 2, "1 columns, expected 6"),
  "no number": ("2,2,7,four,10000,1", 2, "size 'four' is no integer"),
  "a fraction": ("2,2,7,4.5,10000,1", 2, "size '4.5' is no integer"),
  "missing value": ("2,2,7,,10000,1", 2, "missing value of size"),
  "bad time": ("1e3,2,7,4,10000,1", 2, "time '1e3' is no decimal"),
  "negative time": ("-2,2,7,4,10000,1", 2, "time '-2' is no decimal"),
  "size zero": ("2,2,7,0,10000,1", 2, "size 0 is not in"),
  "negative price": ("2,2,7,4,-10000,1", 2, "price -10000 is negative"),
  "price too large": ("2,2,7,4,107374182400,1", 2, "negative or too large"),
  "off the grid": ("2,2,7,4,10051,1", 2, "price 10051 is off the grid of"),
  "direction": ("2,2,7,4,10000,0", 2, "direction 0 is not 1 or -1"),
  "type": ("2,9,7,4,10000,1", 2, "unknown type 9"),
  "unknown id": ("2,2,8,4,10000,1", 2, "unknown order id 8"),
  "no such level": ("2,2,8,4,10100,1", 2, "unknown order id 8"),
  "out of view": ("2,2,8,4,9700,1", 2, "unknown order id 8"),
  "other price": ("2,2,7,4,9900,1", 2, "order id 7 rests at another price"),
  "cancel too large": ("2,2,7,10,10000,1", 2, "size 10 exceeds the 9 left"),
  "fill too large": ("2,4,7,10,10000,1", 2, "size 10 exceeds the 9 left"),
}
BROKEN_ROWS = {
  "no number": (
    pairs.GOOD_ROWS[1].replace("10,", "x,", 1),
    2,
    "'x' is no integer",
  ),
  "off the grid": (
    pairs.GOOD_ROWS[1].replace("10100", "10101", 1),
    2,
    "off the grid of half a cent",
  ),
  "unsorted": (
    pairs.level_row(pairs.BASE[0][::-1], pairs.BASE[1]),
    2,
    "not sorted",
  ),
  "gap": (
    pairs.level_row([(101, 0), (102, 20)], pairs.BASE[1]),
    2,
    "not sorted",
  ),
  "crossed": (
    pairs.level_row([(99, 1)], pairs.BASE[1]),
    2,
    "not below best ask",
  ),
  "truncated": (None, 3, "2 rows of the book for 3 messages"),
  "depth": ("1,2,3", 1, "3 columns, not a multiple of 4"),
}


def check_broken(folder, broken, name, row, reason):
  for file, lines in broken.items():
    (folder / file).write_text("\n".join(lines) + "\n")
  with pytest.raises(events.DataError) as error:
    reader.read_checked(folder)
  text = str(error.value)
  assert f"{folder / name}, row {row}: " in text
  assert reason in text


@pytest.mark.parametrize("case", BROKEN_MESSAGES)
def test_broken_message_is_an_error_with_file_row_and_reason(tmp_path, case):
  line, row, reason = BROKEN_MESSAGES[case]
  lines = pairs.GOOD_MESSAGES[: row - 1] + [line] + pairs.GOOD_MESSAGES[row:]
  files = {pairs.MESSAGE: lines, pairs.BOOK: pairs.GOOD_ROWS}
  check_broken(tmp_path, files, pairs.MESSAGE, row, reason)


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_broken_book_row_is_an_error_with_file_row_and_reason(tmp_path, case):
  line, row, reason = BROKEN_ROWS[case]
  new = [] if line is None else [line]
  lines = pairs.GOOD_ROWS[: row - 1] + new + pairs.GOOD_ROWS[row:]
  files = {pairs.MESSAGE: pairs.GOOD_MESSAGES, pairs.BOOK: lines}
  check_broken(tmp_path, files, pairs.BOOK, row, reason)


def test_zip_folder_and_message_file_give_the_same_stream(tmp_path):
  message, book = pairs.make_pair(tmp_path)
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w") as out:
    out.writestr("ReadMe.txt", "not data")
    for file in (message, book):
      out.write(file, f"inside/{file.name}")
  other = tmp_path / "other.csv"
  other.write_bytes(book.read_bytes().replace(b"\n", b"\r\n"))
  want = plain_book.rows(reader.read_checked(message)[0])
  for args in ((tmp_path,), (str(archive),), (message, other)):
    stream = reader.read_checked(*args)[0]
    assert plain_book.rows(stream) == want
    assert stream.name == "NASDAQ XYZ 2020-01-02"
  with pytest.raises(ValueError, match="book_path"):
    reader.read_checked(archive, book)


def test_empty_levels_have_price_and_volume_zero(tmp_path):
  path = pairs.write(tmp_path, [("1", 7, 0, 0, -0.01, -1)], [([(101, 5)], [])])
  rows = parse.parse_book(*parse.open_pair(path, None)[1])
  assert rows.price[:, ASK].tolist() == [[10100, 0]]
  assert rows.volume[:, ASK].tolist() == [[5, 0]]
  assert rows.price[:, BID].tolist() == rows.volume[:, BID].tolist() == [[0, 0]]
  stream, checks = reader.read_checked(path)
  assert stream.price.tolist() == [101]
  levels = checks.levels
  assert levels.price.dtype == levels.volume.dtype == np.int32


def test_missing_files_and_broken_archives_are_errors(tmp_path):
  message, book = pairs.make_pair(tmp_path)
  archive = tmp_path / "day.zip"
  with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
    out.write(message, message.name)
  assert reader.read_checked(archive)[1].levels is None
  archive.write_bytes(archive.read_bytes()[:60])
  with pytest.raises(
    events.DataError, match="day.zip: no zip file, or one that"
  ):
    reader.read_checked(archive)
  with pytest.raises(events.DataError, match="other.csv: no such file"):
    reader.read_checked(message, tmp_path / "other.csv")
  message.unlink()
  archive.unlink()
  with pytest.raises(events.DataError, match="0 message files, expected one"):
    reader.read_checked(tmp_path)


def test_without_polars_the_error_says_what_to_install(tmp_path, monkeypatch):
  message, _ = pairs.make_pair(tmp_path)
  missing_packages.uninstall(monkeypatch, "polars", "lobster")
  with pytest.raises(ImportError, match=r"pip install 'mars-jax\[data\]'"):
    registry.read(message)
