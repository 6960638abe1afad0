"""Tests of what is said of files that no format recognises."""

import pathlib

import pytest

from mars_jax.feeds import events
from mars_jax.feeds import looks
from mars_jax.feeds import registry
from tests.support.feeds import lobster_pairs as pairs

DBN = b"DBN\x01" + bytes(4) + b"GLBX.MDP3".ljust(16, b"\x00")
LOOKS = {
  "parquet": (b"PAR1\x15\x04\x15", "a Parquet file; no reader takes it: write"),
  "arrow": (b"ARROW1\x00\x00\xff", "an Arrow file"),
  "numpy": (b"\x93NUMPY\x01\x00", "a NumPy array"),
  "mbp-10": (
    DBN + b"\x02\x00",
    "DBN of the schema mbp-10, which has no single",
  ),
  "trades": (DBN + b"\x04\x00", "DBN of the schema trades"),
  "another": (DBN + b"\x63\x00", "DBN of the schema number 99"),
  "mbo": (DBN + b"\x00\x00", "DBN of the schema mbo; name the format"),
  "itch": (b"\x00\x0cS\x00\x00\x00\x00\x01", "NASDAQ ITCH; name the format"),
  "binary": (b"\xca\xfe\x00\x01", "starts with the bytes ca fe 00 01"),
  "messages": (
    pairs.GOOD_MESSAGES[0].encode(),
    "a LOBSTER message file; call it *message*.csv",
  ),
  "newer messages": (b"34200.1,4,11,10,240000,-1,null\n", "LOBSTER message"),
  "levels": (pairs.GOOD_ROWS[0].encode(), "a LOBSTER order-book file; give"),
  "json": (b'{"type": "open"}\n', "JSON; no reader takes it"),
  "table": (
    b'"ts","px";side\n1,2,3\n',
    "a table with the columns ts, px, side",
  ),
  "wide table": (b",".join([b"column"] * 40) + b"\n", "column, colu ..."),
  "log": (b"2024-03-05 INFO started\n", "text, not a table of orders: '2024-0"),
}


@pytest.mark.parametrize("case", LOOKS)
def test_unknown_file_is_told_by_its_looks(tmp_path, case):
  data, text = LOOKS[case]
  path = tmp_path / "day.xyz"
  path.write_bytes(data)
  assert text in looks.describe(path)
  with pytest.raises(events.DataError, match="no known format: it ") as error:
    registry.find_format(path)
  assert text in str(error.value)
  assert "name its format if it is one of bitstamp" in str(error.value)


def test_unknown_folder_is_told_by_its_files(tmp_path):
  for name in ("a.txt", "b.txt"):
    (tmp_path / name).write_text("Not a market.\n")
  with pytest.raises(events.DataError, match="with the files a.txt, b.txt"):
    registry.find_format(tmp_path)


def test_folder_of_one_file_stands_for_it(tmp_path):
  folder = tmp_path / "capture"
  folder.mkdir()
  header = "id,timestamp,exchange_timestamp,price,volume,action,direction"
  row = "1,1000,1728000000000,100,2.0,created,bid"
  (folder / "orders.csv").write_text(f"{header}\n{row}\n")
  assert registry.find(folder) == pathlib.Path(folder / "orders.csv")
  assert registry.find_format(folder) == "bitstamp"
