"""Writer of orders as a pair of LOBSTER files.

`feeds.lobster` reads them back, and has their columns. There is a message for
each thing that happens to a resting order, and the best levels after it. An
order that trades is the executions of those that it takes, and a new order of
what it leaves; one that the venue rejected is nothing. A modify is a reduction
where it keeps its place, else a deletion and a new order.

Unlike LOBSTER's own files, which show what happens within their levels, these
show all, and begin with what rests at the start: as new orders of that time.

A tick is written as a cent and a lot as a share, whatever they are worth.
"""

import pathlib
import re

import numpy as np

from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import lobster
from mars_jax.feeds import price_time_book
from mars_jax.lob import rules as rules_lib

_UNITS = 100  # Of the files' price, in a cent.
_EMPTY = 9_999_999_999  # The ask price of a level that is not there.
_TAKEN = (types.Reason.ACCEPTED, types.Reason.CAPACITY)
_RESTING = (
  types.OrderKind.LIMIT,
  types.OrderKind.POST_ONLY,
  types.OrderKind.MODIFY,
)
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
    if (
      rules.allocation is not rules_lib.Allocation.PRICE_TIME
      or rules.self_trade is not rules_lib.SelfTrade.OFF
    ):
      raise ValueError(
        "order files describe price-time priority without self-trade rules only"
      )
    if num_levels < 1:
      raise ValueError(f"order files have 1 level or more, not {num_levels}")
    self.folder = folder
    self._keeps_priority = rules.reduce_keeps_priority
    self._num_levels = num_levels
    self._book = price_time_book.Book()
    self._where = {}  # {order id: (side, key)}, of those that rest.
    self._first = self._time = time
    folder.mkdir(parents=True, exist_ok=True)
    self._paths = [folder / f"{name}.part" for name in ("message", "orderbook")]
    self._files = [path.open("w") for path in self._paths]
    side, slot = np.nonzero(book.volume)
    columns = (
      x[side, slot].tolist() for x in (book.price, book.volume, book.id)
    )
    for row in zip(side.tolist(), *columns, strict=True):
      self._add(*row)

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
    kind, side, price, volume, order_id = order
    if reason not in _TAKEN:
      return
    if kind == types.OrderKind.CANCEL:
      self._take(order_id, volume)
      return
    if kind == types.OrderKind.MODIFY:
      if self._reduces(order_id, side, price, volume):
        return
      self._take(order_id, self._held(order_id))
    limit = None if kind == types.OrderKind.MARKET else price
    left = volume - self._match(side, limit, volume)
    if volume - left != traded:
      raise ValueError(NOT_CONTINUOUS)
    if kind in _RESTING and left > 0:
      self._add(side, price, left, order_id)
      if reason == types.Reason.CAPACITY:
        self._lose_worst(side)

  def close(self, *, instrument: str, day: str) -> None:
    """Gives the files their names, by instrument, day and times."""
    for file in self._files:
      file.close()
    first, last = self._first // 10**6, self._time // 10**6
    instrument = re.sub(r"[^A-Za-z0-9.-]+", "-", instrument)
    stem = f"{instrument}_{day or _NO_DAY}_{first}_{last}"
    for path in self._paths:
      path.rename(self.folder / f"{stem}_{path.stem}_{self._num_levels}.csv")

  def _held(self, order_id):
    """Returns the lots of a resting order."""
    side, key = self._where[order_id]
    return self._book.levels[side][key][order_id]

  def _add(self, side, price, volume, order_id):
    """Puts an order last at its price."""
    key = _key(side, price)
    self._book.add(side, key, order_id, volume)
    self._where[order_id] = side, key
    self._write(lobster.NEW, order_id, volume, side, price)

  def _take(self, order_id, volume):
    """Takes up to so many lots off a resting order."""
    side, key = self._where[order_id]
    is_all = volume >= self._held(order_id)
    taken = self._book.take(side, key, order_id, volume)
    if is_all:
      del self._where[order_id]
    kind = lobster.DELETE if is_all else lobster.REDUCE
    self._write(kind, order_id, taken, side, _price(side, key))

  def _reduces(self, order_id, side, price, volume):
    """Reduces a resting order if a modify may; returns whether."""
    held = self._held(order_id)
    stays = self._where[order_id][1] == _key(side, price) and volume <= held
    if not (stays and self._keeps_priority):
      return False
    if volume < held:
      self._take(order_id, held - volume)
    return True

  def _match(self, side, limit, volume):
    """Has an order trade; returns how much."""
    keys, done = self._book.keys[1 - side], 0
    while done < volume and keys:
      key = keys[0]
      price = _price(1 - side, key)
      if limit is not None and _key(side, price) < _key(side, limit):
        break
      maker = next(iter(self._book.levels[1 - side][key]))
      taken = self._book.take(1 - side, key, maker, volume - done)
      if maker not in self._book.levels[1 - side].get(key, ()):
        del self._where[maker]
      done += taken
      self._write(lobster.EXECUTE, maker, taken, 1 - side, price)
    return done

  def _lose_worst(self, side):
    """Deletes a full side's order of the lowest priority."""
    level = self._book.levels[side][self._book.keys[side][-1]]
    order_id = next(reversed(level))
    self._take(order_id, level[order_id])

  def _write(self, kind, order_id, size, side, price):
    """Writes a message and the book after it."""
    seconds, rest = divmod(self._time, types.NANOSECONDS)
    direction = 1 if side == types.Side.BID else -1
    message, book = self._files
    message.write(
      f"{seconds}.{rest:09},{kind},{order_id},{size},{price * _UNITS},"
      f"{direction}\n"
    )
    levels = [self._levels(side) for side in (types.Side.ASK, types.Side.BID)]
    book.write(
      ",".join(
        f"{price},{volume}"
        for both in zip(*levels, strict=True)
        for price, volume in both
      )
      + "\n"
    )

  def _levels(self, side):
    """Returns (price, volume) of the best levels, in file units."""
    keys = self._book.keys[side][: self._num_levels]
    totals = self._book.totals[side]
    shown = [(_price(side, key) * _UNITS, totals[key]) for key in keys]
    empty = -_EMPTY if side == types.Side.BID else _EMPTY
    return shown + [(empty, 0)] * (self._num_levels - len(shown))


def _key(side, price):
  """Returns the key of a price: less is better."""
  return -price if side == types.Side.BID else price


_price = _key  # A key's price is found alike.
