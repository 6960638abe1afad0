"""Writer of orders as a pair of LOBSTER files.

`feeds.lobster` reads them back, and has their columns. There is a line for each
message (`order_messages`), and the best levels after it.

Unlike LOBSTER's own files, which show what happens within their levels, these
show all, and begin with what rests at the start: as new orders of that time.

A tick is written as a cent and a lot as a share, whatever they are worth.
"""

import collections.abc
import pathlib
import re

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.replay import order_messages

_UNITS = 100  # Of the files' price, in a cent.
_EMPTY = 9_999_999_999  # The ask price of a level that is not there.
NOT_CONTINUOUS = (
  "order files describe continuous trading only, and this simulation has a call"
  " auction"
)
PAST_MIDNIGHT = "order files are of one day, and this simulation is not"
DAY = 86_400 * types.NANOSECONDS
_NO_DAY = "1970-01-01"


class Writer:
  """Writes one market, order by order.

  Attributes:
    folder: where the files are: the message file, and that of the book.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    book: lob.Book,
    time: int,
    *,
    rules: rules_lib.Rules,
    num_levels: int,
  ):
    """Opens the files.

    Args:
      folder: made if it is not there; of one market, as the reader takes it.
      book: before the first order, numpy leaves `[2, N]`.
      time: nanoseconds since midnight, of this book.
      rules: of the venue.
      num_levels: of the file of the book, > 0.

    Raises:
      ValueError: if the venue does not match by price and time alone.
    """
    self._messages = order_messages.OrderMessages(rules, self._write)
    if num_levels < 1:
      raise ValueError(f"order files have 1 level or more, not {num_levels}")
    self.folder = folder
    self._num_levels = num_levels
    self._first = self._time = time
    folder.mkdir(parents=True, exist_ok=True)
    self._paths = [folder / f"{name}.part" for name in ("message", "orderbook")]
    self._files = [path.open("w") for path in self._paths]
    self._messages.start(book)

  def add(
    self,
    time: int,
    order: tuple[int, int, int, int, int],
    reason: int,
    traded: int,
  ) -> None:
    """Writes what one order did.

    Args:
      time: nanoseconds since midnight.
      order: kind, side, price, volume and id.
      reason: `types.Reason`, what became of it.
      traded: lots.

    Raises:
      ValueError: if it traded otherwise than by price and time, or the day is
        over.
    """
    if time >= DAY:
      raise ValueError(PAST_MIDNIGHT)
    self._time = time
    if self._messages.add(order, reason) != traded:
      raise ValueError(NOT_CONTINUOUS)

  def close(self, *, instrument: str, day: str) -> None:
    """Gives the files their names, by instrument, day and times."""
    for file in self._files:
      file.close()
    first, last = self._first // 10**6, self._time // 10**6
    instrument = re.sub(r"[^A-Za-z0-9.-]+", "-", instrument)
    stem = f"{instrument}_{day or _NO_DAY}_{first}_{last}"
    for path in self._paths:
      path.rename(self.folder / f"{stem}_{path.stem}_{self._num_levels}.csv")

  def _write(self, kind, order_id, size, side, price):
    """Writes a message and the book after it."""
    message, book = self._files
    message.write(message_line(self._time, kind, order_id, size, price, side))
    asks, bids = (
      self._messages.levels(side, self._num_levels)
      for side in (types.Side.ASK, types.Side.BID)
    )
    book.write(book_line(*(self._padded(levels) for levels in (asks, bids))))

  def _padded(self, levels):
    """Returns levels, and levels that are not there."""
    return levels + [(0, 0)] * (self._num_levels - len(levels))


def message_line(
  time: int, kind: int, order_id: int, size: int, price: int, side: int
) -> str:
  """Returns the line of a message, with ticks as prices."""
  seconds, rest = divmod(time, types.NANOSECONDS)
  direction = 1 if side == types.Side.BID else -1
  return (
    f"{seconds}.{rest:09},{kind},{order_id},{size},{price * _UNITS},"
    f"{direction}\n"
  )


def book_line(
  asks: collections.abc.Iterable[tuple[int, int]],
  bids: collections.abc.Iterable[tuple[int, int]],
) -> str:
  """Returns the line of a book.

  Args:
    asks, bids: (ticks, lots) of as many levels of each side, best first; of
      one that is not there the volume is 0.
  """
  cells = []
  for both in zip(asks, bids, strict=True):
    for (price, volume), empty in zip(both, (_EMPTY, -_EMPTY), strict=True):
      cells += [price * _UNITS if volume else empty, volume]
  return ",".join(map(str, cells)) + "\n"
