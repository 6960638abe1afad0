"""Errors of invalid files, in a table of all formats.

Each error names the file, the row where there is one, and the reason. What only
one format can get wrong is in the tests of that format.
"""

import gzip

import pytest

from tests.support.feeds import minimal

pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds import registry

# By format and file: what is wrong, the row, the part of the file that is
# changed, what it becomes, and the reason given.
TABLE = {
  ("bitstamp", "orders.csv"): """
too many columns | 5 | changed,bid    | changed,bid,9  | 8 columns, expected 7
too few columns  | 5 | changed,bid    | changed        | a value is missing
NaN price        | 5 | 101,1.5,ch     | NaN,1.5,ch     | negative or no number
negative volume  | 5 | 1.5,ch         | -1.5,ch        | volume is negative
duplicate id     | 4 | 3,0,1728000002 | 2,0,1728000002 | is created twice
unknown id       | 6 | 3,0,1728000004 | 9,0,1728000004 | unknown order id is del
""",
  ("bme", "acme.csv"): """
too many columns | 4 | 24.000     | 24.000;9   | 7 columns, expected 6
too few columns  | 4 | ;2019-05-21 09:00:24.000 | | timestamp is no date
NaN price        | 4 | ;96.0;     | ;NaN;      | price is no number
negative volume  | 4 | ;20;       | ;-20;      | qty is no whole number from 1
duplicate id     | 5 | modif;3;;5;  | new;3;True;5;96 | the order is new twice
unknown id       | 6 | cancel;3   | cancel;9   | unknown uid
time goes back   | 5 | 09:00:25   | 09:00:23   | timestamp runs backwards
mixed days       | 6 | 05-21 17:3 | 05-22 17:3 | timestamp is of another day
""",
  ("lobster", minimal.MESSAGE_NAME): """
too many columns | 2 | ,5,10000,1 | ,5,10000,1,9| 7 columns, expected 6
too few columns  | 2 | ,5,10000,1 | ,5,10000    | 5 columns, expected 6
NaN price        | 2 | ,5,10000,1 | ,5,NaN,1    | price 'NaN' is no integer
negative volume  | 2 | ,5,10000,1 | ,-5,10000,1 | size -5 is not in [1, 2**31)
duplicate id     | 2 | 34200.2,2  | 34200.2,1   | order id 3 rests already
unknown id       | 3 | 0.3,3,3,15 | 0.3,3,9,15  | unknown order id 9
time goes back   | 2 | 34200.2    | 34200.0     | time runs backwards
mixed days       | 3 | 34200.3    | 86400.0     | time is not before midnight
""",
  ("lobster", minimal.LEVELS_NAME): """
too many columns | 2 | ,15         | ,15,9        | 5 columns, expected 4
too few columns  | 2 | ,15         |              | 3 columns, expected 4
NaN price        | 2 | 10000,15    | NaN,15       | 'NaN' is no integer
negative volume  | 2 | ,15         | ,-15         | size is not in [0, 2**31)
""",
  ("sse", "SHorders.csv"): """
too many columns | 4 | 10,20,1     | 10,20,1,9   | 10 columns, expected 9
too few columns  | 4 | 10,20,1     | 10,20       | a value is missing
NaN price        | 4 | 10,20,1     | nan,20,1    | price is not above 0, or no
negative volume  | 4 | 10,20,1     | 10,-20,1    | volume is not in [1, 2**31)
duplicate id     | 4 | 3,2,3,10    | 3,2,2,10    | the order was added before
unknown id       | 5 | 10,3,10     | 10,9,10     | unknown order is deleted
time goes back   | 4 | 09:30:02    | 09:30:00    | time runs backwards
mixed days       | 5 | 07.11,09:30:04 | 07.12,09:30:04 | is of another day
no date          | 5 | 07.11,09:30:04 | 13.11,09:30:04 | MDDate is no date
""",
  ("sse", "SHtrans.csv"): """
too many columns | 2 | 10,5,2      | 10,5,2,9    | 10 columns, expected 9
too few columns  | 2 | 10,5,2      | 10,5        | a value is missing
NaN price        | 2 | 10,5,2      | nan,5,2     | price is not above 0, or no
negative volume  | 2 | 10,5,2      | 10,-5,2     | volume is not in [1, 2**31)
duplicate number | 2 | 4,3,4       | 3,3,4       | sequence number is repeated
unknown id       | 2 | 4,3,4       | 4,9,4       | unknown order trades
time goes back   | 2 | 09:30:03    | 09:30:01    | time runs backwards
mixed days       | 2 | 07.11       | 07.12       | MDDate is not 2023-07-11
""",
  ("coinbase", "beginning_level_3.json"): """
too many columns | 1 | "1", "b"    | "1", "b", 9  | too many values to unpack
too few columns  | 1 | "1", "b"    | "1"          | not enough values to unpack
NaN price        | 1 | "102"       | "NaN"        | price 'NaN' is no number
negative volume  | 1 | "1", "b"    | "-1", "b"    | size '-1' is no number
duplicate id     | 2 | "a"         | "b"          | order id b is there already
""",
  ("coinbase", "messages.json"): """
missing field    | 4 | "reason": "canceled", |    | no 'reason'
NaN price        | 2 | "101.0"      | "NaN"         | price 'NaN' is no number
price NaN        | 2 | "101.0"      | NaN           | price nan is no text
negative volume  | 1 | "size": "20" | "size": "-20" | size '-20' is no number
duplicate id     | 1 | "received", "order_id": "c" \
                     | "received", "order_id": "a" | the order is there already
unknown id       | 4 | "done", "order_id": "c" \
                     | "done", "order_id": "x" | neither received nor in the b
""",
}
CASES = [
  pytest.param(*key, *cells[1:], id=f"{key[0]} {key[1][:9]} {cells[0]}")
  for key, table in TABLE.items()
  for line in table.strip().split("\n")
  for cells in [[cell.strip() for cell in line.split("|")]]
]


@pytest.mark.parametrize("format", minimal.FEEDS)
def test_files_are_good_until_something_is_wrong(tmp_path, format):
  stream = registry.read(minimal.write(tmp_path, format), format=format)
  assert len(stream) >= 4


@pytest.mark.parametrize("format, name, row, old, new, reason", CASES)
def test_bad_row_is_an_error_with_file_row_and_reason(
  tmp_path, format, name, row, old, new, reason
):
  text = minimal.FEEDS[format][name]
  assert text.count(old) == 1
  error = read_bad(tmp_path, format, name, text.replace(old, new).encode())
  assert error.startswith(f"{tmp_path / name}, row {row}: ")
  assert reason in error


@pytest.mark.parametrize("format, name", minimal.FILES)
def test_empty_file_is_an_error(tmp_path, format, name):
  error = read_bad(tmp_path, format, name, b"")
  assert error == f"{tmp_path / name}: empty file"


@pytest.mark.parametrize("format, name", minimal.FILES)
def test_truncated_gzip_is_an_error(tmp_path, format, name):
  data = gzip.compress(minimal.FEEDS[format][name].encode())
  for size in (8, len(data) // 2, len(data) - 1):
    error = read_bad(tmp_path, format, name, data[:size])
    assert error.startswith(f"{tmp_path / name}: ")
    assert "broken or cut off" in error


def read_bad(folder, format, name, data):
  """Returns the reader's error when one file has other content."""
  path = minimal.write(folder, format)
  (folder / name).write_bytes(data)
  with pytest.raises(events.DataError) as error:
    registry.read_checked(path, format=format)
  return str(error.value)
