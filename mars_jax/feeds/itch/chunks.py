"""NASDAQ TotalView-ITCH 5.0 files as chunks of messages.

The format is that of "Nasdaq TotalView-ITCH 5.0", sections 3 and 4
(nasdaqtrader.com, NQTVITCHSpecification.pdf). Days of it, as the exchange gives
them out (emi.nasdaq.com/ITCH, `01302020.NASDAQ_ITCH50.gz`), hold each message
behind its length in two bytes; a length of zero, if there is one, ends the
file. Numbers are unsigned and big-endian, text is padded with spaces. Every
message starts with its type, a letter, then
  locate     2 bytes, the number of a stock on this day, 0 for none;
  tracking   2 bytes, of the exchange's own use;
  time       6 bytes, nanoseconds since midnight, New York.
What follows is in `LAYOUTS`, for the types that are read here:
  S  an event of the whole market          R  a stock of the directory
  H  trading of a stock halts or resumes   A  a new order; F, of a named firm
  E  an order executes at its price        C  an order executes at another price
  X  an order loses shares                 D  an order is deleted
  U  an order is replaced by another       P  a trade with a hidden order
  Q  the trade of a cross (an auction)     B  a trade is broken
Prices are in 1/10000 dollar, shares are single. The other types, those that the
specification may yet add too, are skipped by their lengths, and counted.

Files are read in chunks: they may be larger than memory, and compressed.
"""

import collections.abc
import dataclasses
import pathlib

import numpy as np

from mars_jax.feeds import compressed
from mars_jax.feeds import events

ADDS = "AF"
EXECUTIONS = "EC"
_CHUNK = 2**24  # Bytes of the file that are read at a time.
_MIN_LENGTH = 11  # What all messages start with.
_HEAD = [
  *[("letter", "S1"), ("locate", ">u2"), ("tracking", ">u2")],
  *[("time_high", ">u2"), ("time_low", ">u4")],
]
_ORDER = [("reference", ">u8")]
_MATCH = [("match", ">u8")]
_ADD = [
  *[*_ORDER, ("flag", "S1"), ("shares", ">u4")],
  *[("stock", "S8"), ("price", ">u4")],
]
_EXECUTION = [*_ORDER, ("shares", ">u4"), *_MATCH]
LAYOUTS = {
  letter: np.dtype([*_HEAD, *fields])
  for letter, fields in {
    "S": [("flag", "S1")],
    "R": [("stock", "S8"), ("terms", "S20")],
    "H": [("stock", "S8"), ("flag", "S1"), ("spare", "S1"), ("reason", "S4")],
    "A": _ADD,
    "F": [*_ADD, ("firm", "S4")],
    "E": _EXECUTION,
    "C": [*_EXECUTION, ("flag", "S1"), ("price", ">u4")],
    "X": [*_ORDER, ("shares", ">u4")],
    "D": _ORDER,
    "U": [
      *[*_ORDER, ("new_reference", ">u8")],
      *[("shares", ">u4"), ("price", ">u4")],
    ],
    "P": [*_ADD, *_MATCH],
    "Q": [
      *[("shares", ">u8"), ("stock", "S8"), ("price", ">u4")],
      *[*_MATCH, ("flag", "S1")],
    ],
    "B": _MATCH,
  }.items()
}
"""The fields of a message, by its type.

`flag` is B (buy) or S of an order, its own or that of a trade (P); whether an
execution (C) is printed, Y or N; the state of trading (H): H halted, P paused,
Q quotations only, T trading; the kind of an event (S) or a cross (Q).
"""
_SKIPPED = {
  **{"Y": 20, "L": 26, "V": 35, "W": 12, "K": 28},
  **{"J": 35, "h": 21, "I": 50, "N": 20, "O": 48},
}
_LENGTHS = np.zeros(256, int)  # By type; 0 where the specification has none.
for _letter, _length in _SKIPPED.items():
  _LENGTHS[ord(_letter)] = _length
for _letter, _layout in LAYOUTS.items():
  _LENGTHS[ord(_letter)] = _layout.itemsize


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Some messages in a row.

  Attributes:
    data: bytes that hold them.
    starts: int64 `[M]`, where each starts in `data`, behind its length.
    ends: int64 `[M]`, where each ends.
    kinds: uint8 `[M]`, the types.
    locates: uint16 `[M]`.
    num_before: messages of the file before the first.
  """

  data: bytes
  starts: np.ndarray
  ends: np.ndarray
  kinds: np.ndarray
  locates: np.ndarray
  num_before: int

  def of(self, letters: str) -> np.ndarray:
    """Returns bool `[M]`, true for messages of some types."""
    return np.isin(self.kinds, [ord(letter) for letter in letters])

  def records(self, letter: str, rows: np.ndarray) -> np.ndarray:
    """Returns the fields of messages of one type."""
    layout = LAYOUTS[letter]
    windows = np.ndarray(
      max(len(self.data) - layout.itemsize + 1, 0),
      dtype=layout,
      buffer=self.data,
      strides=(1,),
    )  # One at every byte.
    return windows[self.starts[rows]]


def stream(path: pathlib.Path | str) -> collections.abc.Iterator[Chunk]:
  """Yields the messages of a file, plain or compressed.

  Raises:
    events.DataError: a length is not that of its type, or the file is empty or
      cut off; names the message, counted from 1.
  """
  count, rest, has_ended = 0, b"", False
  with compressed.open_binary(path) as file:
    while block := file.read(_CHUNK):
      if has_ended:
        reason = "data after the end of the session"
        raise events.DataError(path, count + 1, reason)
      data = rest + block
      bounds = _bounds(data)
      rest = data[bounds[-1] :]
      starts, ends = bounds[:-1] + 2, bounds[1:]
      has_ended = bool(len(ends)) and not rest and starts[-1] == ends[-1]
      if has_ended:
        starts, ends = starts[:-1], ends[:-1]
      content = np.frombuffer(data, np.uint8)
      kinds = content[starts]
      _check_lengths(path, count, kinds, ends - starts)
      high, low = (content[starts + i].astype(np.uint16) for i in (1, 2))
      yield Chunk(data, starts, ends, kinds, high << 8 | low, count)
      count += len(starts)
  if rest:
    raise events.DataError(path, count + 1, "the file ends within a message")
  if not count:
    raise events.DataError(path, None, "the file has no messages")


def _bounds(data: bytes) -> np.ndarray:
  """Returns the places between whole messages, the last end included.

  A message starts at its length.
  """
  bounds, place, last = [], 0, len(data) - 1
  while place < last:
    bounds.append(place)
    place += (data[place] << 8 | data[place + 1]) + 2
  if place <= len(data):
    bounds.append(place)
  return np.array(bounds, np.int64)


def _check_lengths(path, count, kinds, lengths) -> None:
  expected = _LENGTHS[kinds]
  is_bad = (expected > 0) & (lengths != expected) | (lengths < _MIN_LENGTH)
  if is_bad.any():
    row = int(np.argmax(is_bad))
    reason = f"{lengths[row]} bytes for a message of type {chr(kinds[row])!r}"
    raise events.DataError(path, count + row + 1, reason)
