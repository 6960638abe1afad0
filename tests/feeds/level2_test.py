"""Splitting the files of a whole Chinese market."""

import pytest

from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds import registry
from tests.feeds import sse_test
from tests.feeds import szse_test
from tests.support.feeds import szse_writer

CODES = ("000001", "159915", "300750")


def market_of_shanghai(folder):
  folder.mkdir()
  return sse_test.write_many(folder)


def market_of_shenzhen(folder):
  folder.mkdir()
  for channel, code in enumerate(CODES):
    szse_writer.write(
      folder,
      szse_test.ORDERS,
      szse_test.EXECUTIONS,
      code=code,
      channel=channel,
    )
  return folder


@pytest.mark.parametrize("pending", [2**27, 100])  # Bytes: all, a row or two.
@pytest.mark.parametrize(
  "write, names",
  [
    (market_of_shanghai, ("600000_2023-07-11", "600001_2023-07-11")),
    (market_of_shenzhen, CODES),
  ],
)
def test_the_parts_of_a_market_read_like_the_whole(
  tmp_path, monkeypatch, write, names, pending
):
  monkeypatch.setattr(level2, "_PENDING", pending)
  path = write(tmp_path / "2023-07-11")
  parts = registry.split(path, tmp_path / "parts")
  assert [part.name for part in parts] == list(names)
  for part, code in zip(parts, registry.instruments(path), strict=True):
    assert registry.instruments(part) == (code,)
    if code == "159915":
      continue  # A fund: the reader is for shares.
    whole, checks = registry.read_checked(path, instrument=code)
    stream, found = registry.read_checked(part)
    assert stream.name == whole.name
    assert stream.counts == whole.counts
    assert szse_test.tuples(stream) == szse_test.tuples(whole)
    assert found.trades.price.tolist() == checks.trades.price.tolist()


def test_snapshots_go_with_their_instrument(tmp_path):
  folder = sse_test.write(tmp_path)
  (folder / "snapshot.csv").write_text(
    "SecurityID,Note\n600000,mine\n600001,of no order\n"
  )
  (part,) = registry.split(folder, tmp_path / "parts")
  text = (part / "snapshot.csv").read_text()
  assert text == "SecurityID,Note\n600000,mine\n"


def test_some_instruments_may_be_named(tmp_path):
  path = market_of_shenzhen(tmp_path / "day")
  (part,) = registry.split(path, tmp_path / "parts", instruments=["300750"])
  assert part.name == "300750"
  with pytest.raises(events.DataError, match="no 7 among the instruments"):
    registry.split(path, tmp_path / "others", instruments=["7"])


@pytest.mark.parametrize(
  "text, reason",
  [
    ("A,B\n1,2\n", "1: unable to find column"),
    ('A,SecurityID\n1,600000\n"1,2",600000\n', "3: the row has a quotation"),
    ("A,SecurityID\n1\n", "2: the row has a quotation mark, or too few"),
  ],
)
def test_rows_that_cannot_be_split_are_an_error(tmp_path, text, reason):
  path = tmp_path / "SHorders.csv"
  path.write_text(text)
  with pytest.raises(events.DataError, match=f"SHorders.csv, row {reason}"):
    level2.split([path], tmp_path / "parts", None, "")
