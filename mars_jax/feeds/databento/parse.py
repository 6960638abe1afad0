"""DBN files of Databento's schema `mbo` as arrays of records.

A DBN file (docs.databento.com, "Databento Binary Encoding") is a header, of
which `databento-dbn` makes the metadata, and records. A record begins with its
length in words of four bytes and its type. One of an order (`MboMsg`) is the
same 56 bytes in the versions 1 to 3 of DBN, 64 where the file has `ts_out`, so
that a piece of the file is an array of them as it is. Records of other types,
of which live captures have some, are passed over and counted.
"""

import collections
import collections.abc
import datetime
import pathlib
import typing

import databento_dbn
import numpy as np

from mars_jax.feeds import events

MAGIC = b"DBN"
DAY = 86_400 * 10**9  # Nanoseconds.
RECORD = np.dtype(
  [
    ("length", "u1"),
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<i8"),
    ("order_id", "<u8"),
    ("price", "<i8"),
    ("size", "<u4"),
    ("flags", "u1"),
    ("channel_id", "u1"),
    ("action", "u1"),
    ("side", "u1"),
    ("ts_recv", "<i8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
  ]
)
"""An MBO record; times are nanoseconds of the UNIX epoch, prices units of 1e-9.

Times are unsigned in the file; an unknown one is then -1 here."""
RTYPE = 160
UNDEFINED_PRICE = 2**63 - 1
_HEADER_BYTES = 16  # Of a record.
_WORD = 4  # Bytes.
_TS_OUT = [("ts_out", "<u8")]
_VERSIONS = (1, 2, 3)
_Mapping = collections.namedtuple("_Mapping", "raw_symbol intervals")
_Interval = collections.namedtuple("_Interval", "start_date end_date symbol")
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class Instruments:
  """The instruments of a file.

  Attributes:
    path: its name, for errors.
    dataset: the name of its data set.
    start: its first time.
    day: on which it starts, in UTC.
    ids: {symbol: instrument id}, as far as known; empty in a live capture.
    num_other: how many records were passed over so far.
  """

  dataset: str
  start: int
  day: datetime.date
  _last_day: datetime.date
  _end: int | None = None
  _stype_in = databento_dbn.SType.RAW_SYMBOL
  _has_ts_out = False

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.num_other = 0
    self.ids, self._symbols = {}, {}

  def name(self, symbol: str, number: int) -> None:
    """Gives an instrument a symbol."""
    self.ids[symbol] = number
    self._symbols.setdefault(number, []).append(symbol)

  def find(self, instrument: str) -> int:
    """Returns an instrument's id, given its symbol or id."""
    if instrument in self.ids:
      return self.ids[instrument]
    if not instrument.isdecimal():
      raise events.DataError(self.path, None, f"no instrument {instrument!r}")
    return int(instrument)

  def symbols(self, number: int) -> list[str]:
    """Returns an instrument's symbols, or its id as text."""
    return self._symbols.get(number) or [str(number)]

  def header(self, instrument: str) -> bytes:
    """Returns the header of a file of a single instrument."""
    end = self._last_day + datetime.timedelta(1)
    interval = _Interval(self.day, end, str(self.find(instrument)))
    return databento_dbn.Metadata(
      dataset=self.dataset,
      start=self.start,
      end=self._end,
      stype_in=self._stype_in,
      stype_out=databento_dbn.SType.INSTRUMENT_ID,
      schema=databento_dbn.Schema.MBO,
      symbols=[instrument],
      mappings=[_Mapping(instrument, [interval])],
      ts_out=self._has_ts_out,
    ).encode()


class File(Instruments):
  """A DBN file, read once from start to end.

  Attributes:
    metadata: what its header says, a `databento_dbn.Metadata`.
  """

  def __init__(self, path: pathlib.Path, file: typing.BinaryIO):
    super().__init__(path)
    self._file = file
    self.metadata = metadata = self._read_metadata()
    self.dataset, self._has_ts_out = metadata.dataset, metadata.ts_out
    self.start, self._end = metadata.start, metadata.end
    end = self._end or self.start + DAY
    self.day = to_date(self.start)
    self._last_day = to_date(max(self.start, end - 1))
    if metadata.stype_out == databento_dbn.SType.INSTRUMENT_ID:
      self._stype_in = metadata.stype_in
    for symbol, number in self._read_ids().items():
      self.name(symbol, number)
    size = _TS_OUT if self._has_ts_out else []
    self._dtype = np.dtype(RECORD.descr + size)

  def _read_metadata(self):
    start = self._file.read(8)
    if not start:
      raise events.DataError(self.path, None, "empty file")
    if len(start) < 8 or start[:3] != MAGIC:
      raise events.DataError(self.path, None, "not a DBN file")
    version, length = start[3], int.from_bytes(start[4:], "little")
    if version not in _VERSIONS:
      reason = f"DBN version {version} is none of {_VERSIONS}"
      raise events.DataError(self.path, None, reason)
    try:
      metadata = databento_dbn.Metadata.decode(start + self._file.read(length))
    except databento_dbn.DBNError as error:
      reason = f"broken header: {error}"
      raise events.DataError(self.path, None, reason) from error
    if metadata.schema not in (None, databento_dbn.Schema.MBO):
      reason = f"schema {metadata.schema}, expected mbo"
      raise events.DataError(self.path, None, reason)
    return metadata

  def _read_ids(self):
    """Returns the instruments of the days of the file.

    Raises:
      events.DataError: a symbol changes its id, as from day to day.
    """
    metadata, ids = self.metadata, {}
    is_by_id = metadata.stype_out != databento_dbn.SType.INSTRUMENT_ID
    for name, intervals in metadata.mappings.items():
      for interval in intervals:
        is_over = interval["end_date"] <= self.day
        if is_over or interval["start_date"] > self._last_day:
          continue
        pair = (name, interval["symbol"])
        symbol, number = pair[::-1] if is_by_id else pair
        if not (symbol and number.isdecimal()):
          continue  # No instrument on these days.
        if ids.setdefault(symbol, int(number)) != int(number):
          reason = f"mixed days: {symbol} is {ids[symbol]}, then {number}"
          raise events.DataError(self.path, None, reason)
    return ids

  def chunks(
    self, num_bytes: int = 2**22
  ) -> collections.abc.Iterator[tuple[int, np.ndarray]]:
    """Yields MBO records, with the row of the first.

    Rows are records, counted from 1.

    Args:
      num_bytes: how much to read at a time.

    Raises:
      events.DataError: a record is broken, or the file cut off within it.
    """
    row, buffer = 1, b""
    while data := self._file.read(num_bytes):
      buffer, at = buffer + data, 0
      while at < len(buffer):
        size = buffer[at] * _WORD
        if size < _HEADER_BYTES:
          raise events.DataError(self.path, row, f"a record of {size} bytes")
        if at + size > len(buffer):
          break
        records = self._view(buffer, at)
        if len(records):
          yield row, records
        elif buffer[at + 1] == RTYPE:
          reason = f"an MBO record of {size} bytes"
          raise events.DataError(self.path, row, reason)
        else:
          self.num_other += 1
        row += len(records) or 1
        at += records.nbytes or size
      buffer = buffer[at:]
    if buffer:
      raise events.DataError(self.path, row, "cut off within a record")

  def _view(self, buffer, at):
    """Returns the run of MBO records from a place on."""
    size = self._dtype.itemsize
    records = np.frombuffer(buffer, self._dtype, (len(buffer) - at) // size, at)
    is_mbo = records["rtype"] == RTYPE
    is_mbo &= records["length"] == size // _WORD
    return records if is_mbo.all() else records[: is_mbo.argmin()]


def to_date(nanoseconds: int) -> datetime.date:
  """Returns the day of a time, in UTC."""
  return datetime.date.fromordinal(_EPOCH + nanoseconds // DAY)
