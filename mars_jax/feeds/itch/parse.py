"""The messages of ITCH files as checked columns.

`chunks` describes the files. `load` takes the messages of one instrument from a
day; `split` parts a day into a file for each instrument, so that many
can be read without going through the whole day for each.
"""

import collections
import collections.abc
import contextlib
import dataclasses
import datetime
import os
import pathlib
import re
import tempfile
import urllib.parse

import numpy as np

from mars_jax.feeds import events
from mars_jax.feeds.itch import chunks

_COLUMNS = {
  **{"row": np.int64, "time": np.int64, "letter": "S1"},
  **{"reference": np.uint64, "new_reference": np.uint64},
  **{"flag": "S1", "shares": np.int64, "price": np.int64},
}
_NEW = "AFU"  # These bring an order.
_SIZED = "AFUECX"  # These have shares of an order.
_MAX_SHARES = 2**31 - 1
_NO_LOCATE = -1
_PENDING = 2**27  # Bytes that `split` holds before it writes.
_COUNTED = "SRB"  # Only counted.
_DATES = (
  r"(?<!\d)(?P<month>\d\d)(?P<day>\d\d)20(?P<year>\d\d)(?!\d)",
  r"(?<!\d)20(?P<year>\d\d)(-?)(?P<month>\d\d)\2(?P<day>\d\d)(?!\d)",
  r"^S(?P<month>\d\d)(?P<day>\d\d)(?P<year>\d\d)(?!\d)",
)


@dataclasses.dataclass(frozen=True)
class Messages:
  """The messages of one instrument, `[M]` each, in file order.

  Attributes:
    row: the number of the message in its file, from 1.
    time: int64 nanoseconds since midnight, never decreasing.
    letter: S1, the type, one of HAFECXDUPQ.
    reference: uint64, of the order that it is about.
    new_reference: uint64, of the order that replaces it (U).
    flag: S1, see `chunks.LAYOUTS`.
    shares: int64, of an order in [1, 2**31).
    price: int64, 1/10000 dollar, of an order > 0.
    counts: {type: messages}, also of other types and system events.
  """

  row: np.ndarray
  time: np.ndarray
  letter: np.ndarray
  reference: np.ndarray
  new_reference: np.ndarray
  flag: np.ndarray
  shares: np.ndarray
  price: np.ndarray
  counts: collections.abc.Mapping[str, int]


def day(path: pathlib.Path | str) -> str:
  """Returns the date in a file's name, "" if none.

  The date is like 2020-01-30.

  Names have it as 01302020, S013020 (at their start), 20200130 or 2020-01-30.
  """
  name = pathlib.Path(path).name
  for match in filter(None, (re.search(date, name) for date in _DATES)):
    with contextlib.suppress(ValueError):  # Is no date in this order.
      year, month, date = map(int, match.group("year", "month", "day"))
      return str(datetime.date(2000 + year, month, date))
  return ""


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the instruments that have orders, sorted.

  All of the file is read.

  Raises:
    events.DataError: the file is broken; names the message, counted from 1.
  """
  directory = _Directory(path)
  for chunk in chunks.stream(path):
    directory.update(chunk)
  return directory.with_orders()


def load(path: pathlib.Path | str, instrument: str) -> Messages:
  """Returns the checked messages of an instrument.

  Only they are kept as the file streams by.

  Raises:
    events.DataError: the file is broken, or has no orders of the instrument.
  """
  directory, counts = _Directory(path), collections.Counter()
  parts = [{name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}]
  for chunk in chunks.stream(path):
    directory.update(chunk)
    locate = directory.locates.get(instrument, _NO_LOCATE)
    is_own = (chunk.locates == locate) | chunk.of("S")
    for kind, count in enumerate(np.bincount(chunk.kinds[is_own])):
      counts[chr(kind)] += int(count)
    own = np.flatnonzero(is_own)
    _check_stock(path, chunk, own, instrument)
    parts.append(_columns(chunk, own))
  there = directory.with_orders()
  if instrument not in there:
    reason = f"no {instrument} among the instruments {listed(there)}"
    raise events.DataError(path, None, reason)
  columns = {
    name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS
  }
  _check(path, columns)
  return Messages(**columns, counts=+counts)


def listed(names: tuple[str, ...]) -> str:
  """Returns names as text, the first ten if more."""
  more = f", ... ({len(names)} of them)" if len(names) > 10 else ""
  return ", ".join(names[:10]) + more


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a file for each instrument, in one pass.

  Such a file has all messages of its instrument and the system events, as they
  are; it reads like the whole. What belongs to no instrument else (the market's
  circuit breakers) is left out. The files appear when all are complete, under
  names such as `AAPL_2020-01-30.itch`, or `AAPL.itch` where the name of the
  file has no date. Characters that are no letter, digit or one of `_.-~` are
  escaped as in a URL: `BRK/A` is `BRK%2FA`.

  Args:
    path: the file; it is never in memory as a whole.
    folder: where to write; it is made if need be.
    instruments: which; by default all that have orders.

  Returns:
    The paths of the files, sorted.

  Raises:
    events.DataError: the file is broken, or an instrument has no orders in it.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  date = day(path)
  directory = _Directory(path)
  with tempfile.TemporaryDirectory(dir=folder, prefix=".split-") as scratch:
    parts = _Parts(pathlib.Path(scratch))
    for chunk in chunks.stream(path):
      directory.update(chunk)
      wanted = directory.locates.keys() if instruments is None else instruments
      known = directory.locates.keys() & set(wanted)
      parts.add(chunk, [directory.locates[name] for name in known])
    parts.write()
    there = directory.with_orders()
    names = there if instruments is None else sorted(set(instruments))
    if missing := set(names) - set(there):
      reason = f"no {listed(tuple(sorted(missing)))} among the instruments"
      raise events.DataError(path, None, f"{reason} {listed(there)}")
    ending = f"_{date}.itch" if date else ".itch"
    paths = []
    for name in names:
      paths.append(folder / (urllib.parse.quote(name, safe="") + ending))
      os.replace(parts.path(directory.locates[name]), paths[-1])
  return sorted(paths)


class _Parts:
  """Files of messages by locate, that grow in turn."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._events = b""  # System events so far: what each file starts with.
    self._pending = {}  # {locate: bytearray}
    self._size = 0

  def path(self, locate: int) -> pathlib.Path:
    return self._folder / str(locate)

  def add(self, chunk: chunks.Chunk, locates: list[int]) -> None:
    """Adds the messages of some stocks, and the system events."""
    is_kept = np.zeros(2**16, bool)
    is_kept[locates] = True
    is_event = chunk.of("S")
    kept = np.flatnonzero(is_kept[chunk.locates] | is_event)
    starts, ends = chunk.starts[kept] - 2, chunk.ends[kept]
    data, pending = chunk.data, self._pending
    columns = (starts, ends, chunk.locates[kept], is_event[kept])
    for start, end, locate, is_all in zip(
      *(column.tolist() for column in columns), strict=True
    ):
      message = data[start:end]
      if is_all:
        self._events += message
        for part in pending.values():
          part += message
      else:
        if locate not in pending:
          pending[locate] = bytearray(self._events)
        pending[locate] += message
    self._size += int((ends - starts).sum())
    if self._size > _PENDING:
      self.write()

  def write(self) -> None:
    """Writes what is pending."""
    for locate, part in self._pending.items():
      with self.path(locate).open("ab") as file:
        file.write(part)
      part.clear()
    self._size = 0


class _Directory:
  """The stocks of a file, as far as read.

  Attributes:
    locates: {instrument: locate}.
  """

  def __init__(self, path):
    self.locates = {}
    self._path = path
    self._names = {}  # {locate: instrument}
    self._with_orders = set()  # locates

  def update(self, chunk: chunks.Chunk) -> None:
    """Adds the stocks of a chunk; notes those with orders."""
    rows = np.flatnonzero(chunk.of("R"))
    for row, record in zip(rows, chunk.records("R", rows), strict=True):
      locate, name = int(record["locate"]), _text(record["stock"])
      is_same = self._names.setdefault(locate, name) == name
      if not is_same or self.locates.setdefault(name, locate) != locate:
        reason = f"locate {locate} or stock {name} was another's before"
        raise events.DataError(self._path, chunk.num_before + row + 1, reason)
    rows = np.flatnonzero(chunk.of(chunks.ADDS))
    there = set(np.unique(chunk.locates[rows]).tolist())
    if unknown := there - self._names.keys():
      is_unknown = np.isin(chunk.locates[rows], list(unknown))
      row = chunk.num_before + rows[np.argmax(is_unknown)] + 1
      reason = "an order of a stock that is not in the directory"
      raise events.DataError(self._path, row, reason)
    self._with_orders |= there

  def with_orders(self) -> tuple[str, ...]:
    """Returns the instruments that have orders, sorted."""
    return tuple(sorted(self._names[locate] for locate in self._with_orders))


def _text(field: bytes) -> str:
  return field.decode("latin-1").rstrip()


def _columns(chunk: chunks.Chunk, rows: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the `_COLUMNS` of messages that are not just counted."""
  rows = rows[chunk.of("".join(set(chunks.LAYOUTS) - set(_COUNTED)))[rows]]
  out = {name: np.zeros(len(rows), dtype) for name, dtype in _COLUMNS.items()}
  out["row"] = chunk.num_before + rows + 1
  kinds = chunk.kinds[rows]
  for letter in np.unique(kinds).tolist():
    at = np.flatnonzero(kinds == letter)
    records = chunk.records(chr(letter), rows[at])
    for name in _COLUMNS.keys() & set(records.dtype.names):
      out[name][at] = records[name]
    high, low = (records[f"time_{part}"] for part in ("high", "low"))
    out["time"][at] = high.astype(np.int64) << 32 | low
  return out


def _check_stock(path, chunk: chunks.Chunk, rows: np.ndarray, instrument: str):
  """Raises unless new orders of a locate name its instrument."""
  for letter in chunks.ADDS:
    adds = rows[chunk.kinds[rows] == ord(letter)]
    stock = chunk.records(letter, adds)["stock"]
    is_bad = stock != instrument.ljust(8).encode("latin-1", "replace")
    if is_bad.any():
      row = int(np.argmax(is_bad))
      reason = f"an order of {_text(stock[row])}, its locate is {instrument}'s"
      raise events.DataError(path, chunk.num_before + adds[row] + 1, reason)


def _check(path, columns: dict[str, np.ndarray]) -> None:
  """Raises at the first message whose values cannot be."""

  def of(letters):
    return np.isin(columns["letter"], [letter.encode() for letter in letters])

  time, flag, shares = (columns[name] for name in ("time", "flag", "shares"))
  reference = np.where(of("U"), columns["new_reference"], columns["reference"])[
    of(_NEW)
  ]
  is_repeated = np.ones(len(reference), bool)
  is_repeated[np.unique(reference, return_index=True)[1]] = False
  repeated = np.zeros(len(time), bool)
  repeated[np.flatnonzero(of(_NEW))[is_repeated]] = True
  is_range = (shares > 0) & (shares <= _MAX_SHARES)
  checks = {
    "time runs backwards": np.diff(time, prepend=0) < 0,
    "shares are not in [1, 2**31)": of(_SIZED) & ~is_range,
    "the price is zero": of(_NEW) & (columns["price"] == 0),
    "a side that is not B or S": of(chunks.ADDS) & ~np.isin(flag, [b"B", b"S"]),
    "printable is not Y or N": of("C") & ~np.isin(flag, [b"Y", b"N"]),
    "the order reference was there before": repeated,
  }
  for reason, is_bad in checks.items():
    if is_bad.any():
      row = columns["row"][np.argmax(is_bad)]
      raise events.DataError(path, int(row), reason)
