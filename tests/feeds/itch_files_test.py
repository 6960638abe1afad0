"""Tests of ITCH files: broken, cut off, compressed, split, dated."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pytest

from mars_jax.feeds import events
from mars_jax.feeds.itch import chunks
from mars_jax.feeds.itch import parse
from mars_jax.feeds.itch import reader
from tests.support.feeds import itch_market
from tests.support.feeds import itch_writer as writer

NAME, OPEN, STOCK = writer.NAME, writer.OPEN, writer.STOCK
order, at = writer.order, writer.at


@pytest.fixture(scope="module")
def day(tmp_path_factory):
  """A simulated day: its path, and its messages."""
  messages, _ = itch_market.session(500)
  return writer.save(tmp_path_factory.mktemp("itch"), messages), messages


# Messages that follow the book by hand, the row of the bad one, the reason.
BROKEN = {
  "unknown": ([at(writer.execute, 1, 77, 1)], 7, "unknown order reference 77"),
  "deleted": ([at(writer.delete, 1, 4)] * 2, 8, "unknown order reference 4"),
  "replaced": (
    [at(writer.replace, 1, 77, 78, 1, 9_900)],
    *(7, "unknown order reference 77"),
  ),
  "too much": (
    [at(writer.execute, 1, 1, 60), at(writer.execute, 1, 1, 41)],
    *(8, "41 shares of an order with 40 left"),
  ),
  "cancelled": ([at(writer.cancel, 1, 4, 201)], 7, "order with 200 left"),
  "no shares": ([order(1, "B", 9, 0, 9)], 7, "shares are not in [1, 2**31)"),
  "negative": (
    [order(1, "B", 9, 2**32 - 5, 9)],
    *(7, "shares are not in [1, 2**31)"),
  ),
  "empty cancel": ([at(writer.cancel, 1, 4, 0)], 7, "shares are not in [1"),
  "no price": ([order(1, "B", 9, 5, 0)], 7, "the price is zero"),
  "side": ([order(1, "X", 9, 5, 9)], 7, "a side that is not B or S"),
  "printable": (
    [at(writer.execute_at, 1, 1, 5, 100_100, b"?")],
    *(7, "printable is not Y or N"),
  ),
  "twice": (
    [order(1, "B", 4, 5, 9)],
    7,
    "the order reference was there before",
  ),
  "reused": (
    [at(writer.delete, 1, 4), at(writer.replace, 1, 3, 4, 5, 9_900)],
    *(8, "the order reference was there before"),
  ),
  "time": (
    [order(2, "B", 9, 5, 9), order(1, "B", 8, 5, 9)],
    8,
    "time runs back",
  ),
  "length": (
    [order(1, "B", 9, 5, 9) + b" "],
    7,
    "37 bytes for a message of type",
  ),
  "short": ([b"~short"], 7, "6 bytes for a message of type '~'"),
  "inner end": ([b"", order(1, "B", 9, 5, 9)], 7, "0 bytes for a message"),
  "no stock": (
    [writer.add(99, OPEN, 9, b"B", 5, "ZZZ", 9_900)],
    *(7, "an order of a stock that is not in the directory"),
  ),
  "other stock": (
    [writer.add(writer.LOCATE, OPEN, 9, b"B", 5, "ZZZ", 9_900)],
    *(7, "an order of ZZZ, its locate is AAA's"),
  ),
  "renamed": (
    [writer.directory(writer.LOCATE, OPEN, "ZZZ")],
    *(7, "locate 17 or stock ZZZ was another's before"),
  ),
  "moved": (
    [writer.directory(99, OPEN, STOCK)],
    *(7, "locate 99 or stock AAA was another's before"),
  ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_message_is_an_error_with_file_row_and_reason(tmp_path, case):
  messages, row, reason = BROKEN[case]
  with pytest.raises(events.DataError) as error:
    reader.read_checked(
      writer.save(tmp_path, writer.START + writer.BOOK + messages),
      instrument=STOCK,
    )
  assert f"{tmp_path / NAME}, row {row}: " in str(error.value)
  assert reason in str(error.value)


def test_files_that_are_cut_off_or_empty_are_errors(tmp_path):
  path = writer.save(tmp_path, writer.START + writer.BOOK)
  content = path.read_bytes()
  for rest in (1, 2, 30):  # In a length, after it, within the message.
    path.write_bytes(content[: -38 + rest])
    with pytest.raises(events.DataError, match="row 6: the file ends within"):
      reader.read_checked(path)
  path.write_bytes(gzip.compress(content)[:-20])
  with pytest.raises(events.DataError, match=f"{NAME}: .*broken or cut off"):
    reader.read_checked(path)
  path.write_bytes(content + bytes(2))  # The mark of the end.
  assert len(reader.read_checked(path)[0]) == 4
  path.write_bytes(b"")
  with pytest.raises(events.DataError, match=f"{NAME}: the file has no mess"):
    reader.read_checked(path)


def test_instrument_must_be_there_and_be_told_if_there_are_several(day):
  path, _ = day
  assert parse.instruments(path) == ("AAA", "BB/W")
  with pytest.raises(events.DataError, match="2 instruments have orders, name"):
    reader.read_checked(path)
  with pytest.raises(events.DataError, match="no ZZZ among .* AAA, BB/W"):
    reader.read_checked(path, instrument="ZZZ")


def test_a_stock_without_orders_is_no_instrument(tmp_path):
  path = writer.save(tmp_path, writer.START)
  assert parse.instruments(path) == ()
  with pytest.raises(events.DataError, match="0 instruments have orders"):
    reader.read_checked(path)
  with pytest.raises(events.DataError, match="no AAA among the instruments"):
    reader.read_checked(path, instrument=STOCK)


def assert_same(have, want):
  """Two pairs of stream and checks are equal."""
  for a, b in zip(have, want, strict=True):
    for name, value in vars(a).items():
      if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(value, getattr(b, name))
  assert have[0].counts == want[0].counts
  assert have[0].name == want[0].name


def test_small_chunks_and_compressed_files_read_alike(
  day, tmp_path, monkeypatch
):
  path, _ = day
  want = reader.read_checked(path, instrument="AAA")
  monkeypatch.setattr(chunks, "_CHUNK", 1_001)
  assert_same(reader.read_checked(path, instrument="AAA"), want)
  content = path.read_bytes()
  for compress in (gzip.compress, bz2.compress, lzma.compress):
    file = tmp_path / NAME
    file.write_bytes(compress(content))
    assert_same(reader.read_checked(file, instrument="AAA"), want)
  with zipfile.ZipFile(tmp_path / f"{NAME}.zip", "w") as archive:
    archive.writestr(NAME, content)
  file = tmp_path / f"{NAME}.zip"
  assert_same(reader.read_checked(file, instrument="AAA"), want)


def test_split_files_read_like_the_whole(day, tmp_path, monkeypatch):
  path, messages = day
  monkeypatch.setattr(chunks, "_CHUNK", 5_000)
  monkeypatch.setattr(parse, "_PENDING", 10_000)
  paths = parse.split(path, tmp_path / "out")
  names = ["AAA_2020-01-30.itch", "BB%2FW_2020-01-30.itch"]
  assert [file.name for file in paths] == names
  for file, stock in zip(paths, ("AAA", "BB/W"), strict=True):
    assert parse.instruments(file) == (stock,)
    assert_same(
      reader.read_checked(file), reader.read_checked(path, instrument=stock)
    )
  own = [m for m in messages if m[:1] == b"S" or m[1:3] == b"\0\x11"]
  assert paths[0].read_bytes() == writer.frame(own)


def test_split_writes_what_is_asked_for_or_nothing(day, tmp_path):
  path, _ = day
  want = parse.split(path, tmp_path / "all")[0].read_bytes()
  (only,) = parse.split(path, tmp_path / "one", ["AAA"])
  assert only.read_bytes() == want
  with pytest.raises(events.DataError, match="no ZZZ among the instruments"):
    parse.split(path, tmp_path / "none", ["AAA", "ZZZ"])
  broken = tmp_path / NAME
  broken.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(events.DataError, match="the file ends within"):
    parse.split(broken, tmp_path / "none")
  assert not list((tmp_path / "none").iterdir())


@pytest.mark.parametrize(
  "name, day",
  [
    ("01302020.NASDAQ_ITCH50.gz", "2020-01-30"),
    ("S060126-v50.txt.gz", "2026-06-01"),
    ("20190730.BX_ITCH_50.gz", "2019-07-30"),
    ("BB%2FW_2020-01-30.itch", "2020-01-30"),
    ("20101112.itch", "2010-11-12"),
    ("13322020.NASDAQ_ITCH50", ""),
    ("day.itch", ""),
  ],
)
def test_day_is_in_the_name_of_the_file(name, day):
  assert parse.day(f"/data/2001-01-01/{name}") == day
