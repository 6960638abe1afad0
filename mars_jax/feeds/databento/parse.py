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
import contextlib
import datetime
import pathlib
import typing

import databento_dbn
import numpy as np

from mars_jax.feeds import compressed
from mars_jax.feeds import events

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
_RTYPE = 160
_HEADER_BYTES = 16  # Of a record.
_WORD = 4  # Bytes.
_TS_OUT = [("ts_out", "<u8")]
_VERSIONS = (1, 2, 3)
_Mapping = collections.namedtuple("_Mapping", "raw_symbol intervals")
_Interval = collections.namedtuple("_Interval", "start_date end_date symbol")
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class File:
  """A DBN file, read once from start to end.

  Attributes:
    path: its name, for errors.
    metadata: what its header says, a `databento_dbn.Metadata`.
    day: on which it starts, in UTC.
    ids: {symbol: instrument id} by the header; empty in a live capture.
    num_other: how many records were passed over so far.
  """

  def __init__(self, path: pathlib.Path, file: typing.BinaryIO):
    self.path = path
    self.num_other = 0
    self._file = file
    self.metadata = self._read_metadata()
    start = self.metadata.start
    end = self.metadata.end or start + DAY
    self.day, self._last_day = to_date(start), to_date(max(start, end - 1))
    self.ids, self._symbols = self._read_ids(), {}
    for symbol, number in self.ids.items():
      self._symbols.setdefault(number, []).append(symbol)
    size = _TS_OUT if self.metadata.ts_out else []
    self._dtype = np.dtype(RECORD.descr + size)

  def _read_metadata(self):
    start = self._file.read(8)
    if not start:
      raise events.DataError(self.path, None, "empty file")
    if len(start) < 8 or start[:3] != b"DBN":
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
    metadata, stype = self.metadata, databento_dbn.SType
    is_by_id = metadata.stype_out != stype.INSTRUMENT_ID
    return databento_dbn.Metadata(
      dataset=metadata.dataset,
      start=metadata.start,
      end=metadata.end,
      stype_in=stype.RAW_SYMBOL if is_by_id else metadata.stype_in,
      stype_out=stype.INSTRUMENT_ID,
      schema=databento_dbn.Schema.MBO,
      symbols=[instrument],
      mappings=[_Mapping(instrument, [interval])],
      ts_out=metadata.ts_out,
    ).encode()

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
        elif buffer[at + 1] == _RTYPE:
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
    is_mbo = records["rtype"] == _RTYPE
    is_mbo &= records["length"] == size // _WORD
    return records if is_mbo.all() else records[: is_mbo.argmin()]


@contextlib.contextmanager
def open_dbn(path: pathlib.Path | str) -> collections.abc.Iterator[File]:
  """Opens a file, plain or compressed.

  Raises:
    events.DataError: if it is no DBN file of the schema `mbo`, or is broken.
  """
  path = pathlib.Path(path)
  with compressed.open_binary(path) as file:
    yield File(path, file)


def to_date(nanoseconds: int) -> datetime.date:
  """Returns the day of a time, in UTC."""
  return datetime.date.fromordinal(_EPOCH + nanoseconds // DAY)
