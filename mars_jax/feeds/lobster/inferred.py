"""The book that LOBSTER messages imply without its file.

Orders that a message names, but none has brought, came out of view: they are in
the book with all that is cancelled and executed of them, from when a later
order comes (ids rise) or from the start, if they would not trade. What is never
named is not known. An order that no later message names is taken as gone when
its level leaves the view, or as a new order or an execution prove it gone.
"""

import bisect

import numpy as np

from mars_jax import types
from mars_jax.feeds import lobster
from mars_jax.feeds import price_time_book
from mars_jax.feeds.lobster import parse


def infer(
  messages: dict[str, np.ndarray], num_levels: int
) -> tuple[parse.BookRows, dict[str, int]]:
  """Returns the book after each message, to their depth.

  Args:
    messages: as `parse.parse_messages` returns them.
    num_levels: those of a side that the messages are about.

  Returns:
    The book, as `parse.parse_book` returns it, and counts: `inferred_orders`
    that messages name and none has brought; `ghosts`, orders proved gone.
  """
  depth = _Book(messages, num_levels).run(None)
  book = _Book(messages, num_levels)
  count = len(messages["time"])
  rows = parse.BookRows(
    price=np.zeros((count, 2, depth), np.int64),
    volume=np.zeros((count, 2, depth), np.int32),
  )
  book.run(rows)
  return rows, book.counts


class _Book:
  """The orders known, by the feed's ids; see `infer`.

  Attributes:
    counts: see `infer`.
  """

  def __init__(self, messages, num_levels):
    self._num_levels = num_levels
    self._latest = 0  # The highest id that a message brought so far.
    columns = [messages[name].tolist() for name in lobster.COLUMNS[1:]]
    self._rows = list(zip(*columns, strict=True))
    self._book = price_time_book.Book()
    self._places = {}  # {feed's order id: (side, key)} in the book
    self._is_halted = False
    self._row = 0
    self._last_row = {name: row for row, (_, name, *_) in enumerate(self._rows)}
    self._waiting = _unbrought(self._rows)  # {id: [side, key, volume]}
    self.counts = {"inferred_orders": len(self._waiting), "ghosts": 0}

  def run(self, rows: parse.BookRows | None) -> int:
    """Goes through the messages; returns the depth that they reach.

    Args:
      rows: where to put the book after each, or None.
    """
    depth = 1
    self._admit()
    for row, (kind, name, size, price, direction) in enumerate(self._rows):
      self._row = row
      if kind in lobster.VISIBLE:
        side, key = _place(price, direction)
        keys = self._book.keys[side]
        if kind == lobster.NEW:
          if not self._is_halted:
            self._clear(1 - side, -key, price_is_gone=True)
          self._latest = max(self._latest, name)
          self._add(name, side, key, size)
        elif kind == lobster.EXECUTE and not self._is_halted:
          self._clear(side, key, price_is_gone=False)
        depth = max(depth, bisect.bisect_right(keys, key))
        if kind != lobster.NEW:
          self._take(name, size, is_all=kind == lobster.DELETE)
      elif kind == lobster.HALT and price in (-1, 1):
        self._is_halted = price == -1
      self._admit()
      if rows is not None:
        self._write(rows, row)
    return depth

  def _admit(self) -> None:
    """Enters the waiting orders that would not trade.

    And the one of the next message: what it would trade with is gone.
    """
    following = self._rows[self._row + 1 : self._row + 2]
    for kind, name, *_ in following:
      if name in self._waiting and kind in lobster.VISIBLE:
        side, key, _ = self._waiting[name]
        self._clear(1 - side, -key, price_is_gone=True)
        self._enter(name)
    ready = []
    for name, (side, key, _) in self._waiting.items():
      if name > self._latest:
        break
      keys = self._book.keys[1 - side]
      if not keys or keys[0] > -key:
        ready.append(name)
    for name in ready:
      side, key, _ = self._waiting[name]
      keys = self._book.keys[1 - side]
      if not keys or keys[0] > -key:  # Not crossed by one just entered.
        self._enter(name)

  def _enter(self, name: int) -> None:
    self._add(name, *self._waiting.pop(name))

  def _add(self, name: int, side: int, key: int, volume: int) -> None:
    self._book.add(side, key, name, volume)
    self._places[name] = side, key
    for key in self._book.keys[side][self._num_levels : self._num_levels + 1]:
      orders = list(self._book.levels[side][key])
      if all(self._last_row[other] <= self._row for other in orders):
        for other in orders:
          self._take(other, 0, is_all=True)
        self.counts["ghosts"] += len(orders)

  def _take(self, name: int, volume: int, is_all: bool) -> None:
    if name in self._places:
      side, key = self._places[name]
      rest = self._book.levels[side][key][name]
      self._book.take(side, key, name, rest if is_all else volume)
      if name not in self._book.levels[side].get(key, {}):
        del self._places[name]

  def _clear(self, side: int, reach: int, *, price_is_gone: bool) -> None:
    """Removes orders up to a key as gone.

    Those that have messages yet wait, if the price is gone, or else their level
    stays as it is.
    """
    keys = self._book.keys[side]
    end = (bisect.bisect_right if price_is_gone else bisect.bisect_left)(
      keys, reach
    )
    for key in keys[:end]:
      orders = list(self._book.levels[side][key].items())
      alive = [name for name, _ in orders if self._last_row[name] > self._row]
      if alive and not price_is_gone:
        continue
      for name, volume in orders:
        self._take(name, 0, is_all=True)
        if name in alive:
          self._waiting[name] = [side, key, volume]
          self._waiting = dict(sorted(self._waiting.items()))
      self.counts["ghosts"] += len(orders) - len(alive)

  def _write(self, rows: parse.BookRows, row: int) -> None:
    depth = rows.price.shape[2]
    for side in (types.Side.ASK, types.Side.BID):
      keys = self._book.keys[side][:depth]
      totals = self._book.totals[side]
      rows.price[row, side, : len(keys)] = np.abs(keys)
      rows.volume[row, side, : len(keys)] = [totals[key] for key in keys]


def _place(price: int, direction: int) -> tuple[int, int]:
  """Returns the side and the key of an order."""
  return (types.Side.BID, -price) if direction > 0 else (types.Side.ASK, price)


def _unbrought(rows: list[tuple[int, ...]]) -> dict[int, list[int]]:
  """Returns the orders named that no message brought."""
  brought, orders = set(), {}
  for kind, name, size, price, direction in rows:
    if kind == lobster.NEW:
      brought.add(name)
    elif kind in lobster.VISIBLE and name not in brought:
      order = orders.setdefault(name, [*_place(price, direction), 0])
      order[2] += size
  return dict(sorted(orders.items()))  # Ids rise: the oldest order first.
