"""CSV files of Databento's schema `mbo` as arrays of records.

The vendor's CSV has a header and a line for each record, with the fields of the
binary one. Three choices of the download change it: prices are decimals or
whole numbers of 1e-9, times are ISO 8601 or nanoseconds, and symbols are in a
last column or left out. Of prices and times the text tells which. There is no
name of a data set: it follows from the publisher.
"""

import pathlib
import typing

import numpy as np
import polars as pl

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables
from mars_jax.feeds.databento import parse

COLUMNS = ("ts_recv", "ts_event", "publisher_id", "instrument_id", "action")
COLUMNS += ("side", "price", "size", "order_id", "flags")
# Publishers of one exchange each (Databento's list of publishers).
_DATASETS = {
  **{1: "GLBX.MDP3", 2: "XNAS.ITCH", 3: "XBOS.ITCH", 4: "XPSX.ITCH"},
  **{5: "BATS.PITCH", 6: "BATY.PITCH", 7: "EDGA.PITCH", 8: "EDGX.PITCH"},
  **{9: "XNYS.PILLAR", 10: "XCIS.PILLAR", 11: "XASE.PILLAR"},
  **{12: "XCHI.PILLAR", 15: "MEMX.MEMOIR", 16: "EPRL.DOM"},
  **{57: "IFEU.IMPACT", 58: "NDEX.IMPACT", 97: "IFUS.IMPACT"},
  **{99: "IFLL.IMPACT", 101: "XEUR.EOBI", 102: "XEEE.EOBI"},
}
_MBO = str(parse.RTYPE)
_DIGITS = 9  # Of a price, after the point.
_LEAST_RAW = 10**5  # Of a price in units of 1e-9, else it is none.
_UNDEFINED_TIME = str(2**64 - 1)
_NUMBERS = ("publisher_id", "instrument_id", "size", "flags", "order_id")
_TIMES = ("ts_event", "ts_recv")


class CsvFile(parse.Instruments):
  """A CSV file, read once from start to end; as `parse.File`."""

  def __init__(self, path: pathlib.Path, file: typing.BinaryIO):
    super().__init__(path)
    self._file = file
    self._header = file.readline()
    if not self._header:
      raise events.DataError(path, None, "empty file")
    names = self._header.decode("utf-8-sig", "replace").strip().split(",")
    for name in COLUMNS:
      if name not in names:
        raise events.DataError(path, 1, f'unable to find column "{name}"')
    self._has_points = None
    first = self._next(2**16)
    if not first:
      raise events.DataError(path, None, "no records")
    self._start = first
    records = self._parse(first, tables.FIRST_ROW)
    times = records["ts_recv"][records["ts_recv"] > 0]
    if not len(times):
      raise events.DataError(path, None, "ts_recv is undefined")
    self.start = int(times[0])
    self.day = self._last_day = parse.to_date(self.start)
    publisher = int(records["publisher_id"][0])
    self.dataset = _DATASETS.get(publisher, f"publisher {publisher}")

  def find(self, instrument: str) -> int:
    """Returns an instrument's id, given its symbol or id."""
    if instrument not in self.ids and not instrument.isdecimal():
      with compressed.open_binary(self.path) as file:
        other = CsvFile(self.path, file)
        for _ in other.chunks():
          pass  # It learns the symbols.
        self.ids = other.ids
    return super().find(instrument)

  def chunks(self, num_bytes: int = 2**22):
    """Yields MBO records, with the row of the first; see `File.chunks`.

    Rows are counted with the header, from 1.
    """
    row, lines = tables.FIRST_ROW, self._start
    while lines:
      records = self._parse(lines, row)
      yield row, records
      row += len(records)
      lines = self._next(num_bytes)

  def _next(self, num_bytes):
    """Returns the next whole lines."""
    lines = self._file.read(num_bytes)
    return lines + self._file.readline() if lines else b""

  def _parse(self, lines, row):
    """Returns the records of some lines."""
    try:
      text = pl.read_csv(
        self._header + lines, infer_schema=False, encoding="utf8-lossy"
      )
    except pl.exceptions.PolarsError as error:
      reason = str(error).split("\n")[0]
      raise events.DataError(self.path, None, reason) from error
    table = _Text(self.path, text, row)
    if "rtype" in text.columns:
      table.require(pl.col("rtype") == _MBO, "the record is of no order (mbo)")
    records = np.zeros(len(text), parse.RECORD)
    records["length"] = parse.RECORD.itemsize // 4
    records["rtype"] = parse.RTYPE
    for name in _NUMBERS:
      records[name] = table.numbers(name, parse.RECORD[name])
    for name in ("action", "side"):
      code = text[name].fill_null("?").str.slice(0, 1)
      letters = code.to_numpy().astype("S1")
      records[name] = letters.view(np.uint8)
    for name in _TIMES:
      records[name] = table.times(name)
    records["price"] = self._prices(table)
    self._learn(text, records)
    return records

  def _prices(self, table):
    """Returns prices in units of 1e-9, exactly."""
    price = table.text["price"]
    if self._has_points is None and price.drop_nulls().len():
      self._has_points = bool(price.str.contains(".", literal=True).any())
    if self._has_points:
      parts = price.str.split_exact(".", 1).struct.unnest()
      frac = parts["field_1"].fill_null("")
      is_long = frac.str.len_bytes() > _DIGITS
      table.require(~is_long, "price has more than 9 digits after the point")
      price = parts["field_0"] + frac.str.pad_end(_DIGITS, "0")
    units = price.cast(pl.Int64, strict=False)
    is_bad = units.is_null() & price.is_not_null()
    table.require(~is_bad, "price is no number")
    if not self._has_points:
      is_raw = (units == 0) | (units.abs() >= _LEAST_RAW)
      reason = "price is a whole number, but too small for units of 1e-9"
      table.require(is_raw.fill_null(True), reason)
    return units.fill_null(parse.UNDEFINED_PRICE).to_numpy()

  def _learn(self, text, records):
    """Takes over the symbols of the ids."""
    if "symbol" not in text.columns:
      return
    pairs = pl.DataFrame(
      {"symbol": text["symbol"], "number": records["instrument_id"]}
    )
    for symbol, number in pairs.drop_nulls().unique().rows():
      if self.ids.get(symbol, number) != number:
        reason = f"mixed days: {symbol} is {self.ids[symbol]}, then {number}"
        raise events.DataError(self.path, None, reason)
      if symbol not in self.ids:
        self.name(symbol, number)


class _Text:
  """Some lines as text, and their conversion."""

  def __init__(self, path, text, row):
    self.text = text
    self._path, self._row = path, row

  def require(self, is_good, reason):
    """Raises DataError at the first row that is not good."""
    if isinstance(is_good, pl.Expr):
      is_good = self.text.select(is_good).to_series()
    bad = (~is_good.fill_null(False)).arg_true()
    if len(bad):
      raise events.DataError(self._path, self._row + bad[0], reason)

  def numbers(self, name, dtype):
    """Returns a column of whole numbers that fit a type."""
    numbers = self.text[name].cast(pl.UInt64, strict=False)
    is_good = numbers <= int(np.iinfo(dtype).max)
    self.require(is_good, f"{name} is no whole number of its range")
    return numbers.to_numpy()

  def times(self, name):
    """Returns nanoseconds of the UNIX epoch, -1 where undefined."""
    text = self.text[name]
    text = text.set(text == _UNDEFINED_TIME, None)
    if text.str.contains("-", literal=True).any():
      times = text.str.strip_chars_end("Z").str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f", time_unit="ns", strict=False
      )
      times = times.cast(pl.Int64)
    else:
      times = text.cast(pl.Int64, strict=False)
    is_bad = times.is_null() & text.is_not_null()
    self.require(~is_bad, f"{name} is no time")
    return times.fill_null(-1).to_numpy()
