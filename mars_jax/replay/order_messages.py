"""Orders as the messages of a feed: what each does to resting orders.

There is a message for each thing that happens to a resting order. An order that
trades is the executions of those that it takes, and a new order of what it
leaves; one that the venue rejected is nothing. A modify is a reduction where it
keeps its place, else a deletion and a new order. The kinds are LOBSTER's.

`lobster_writer` writes them to files, `evals.messages` keeps them in memory.
"""

import collections.abc

import numpy as np

from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import lobster
from mars_jax.feeds import price_time_book
from mars_jax.lob import rules as rules_lib

_TAKEN = (types.Reason.ACCEPTED, types.Reason.CAPACITY)
_RESTING = (
  types.OrderKind.LIMIT,
  types.OrderKind.POST_ONLY,
  types.OrderKind.MODIFY,
)
Emit = collections.abc.Callable[[int, int, int, int, int], None]
"""`(kind, order id, lots, side, price)`, called after each message."""


class OrderMessages:
  """Makes the messages of one market, order by order."""

  def __init__(self, rules: rules_lib.Rules, emit: Emit):
    """Begins with an empty book.

    Args:
      rules: of the venue.
      emit: called for each message, when the book is that after it.

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
    self._keeps_priority = rules.reduce_keeps_priority
    self._emit = emit
    self._book = price_time_book.Book()
    self._where = {}  # {order id: (side, key)}, of those that rest.

  def start(self, book: lob.Book) -> None:
    """Adds what rests, with a message each; numpy leaves `[2, N]`."""
    side, slot = np.nonzero(book.volume)
    columns = (
      x[side, slot].tolist() for x in (book.price, book.volume, book.id)
    )
    for row in zip(side.tolist(), *columns, strict=True):
      self._add(*row)

  def add(
    self,
    order: tuple[int, int, int, int, int],
    reason: int = types.Reason.ACCEPTED,
  ) -> int:
    """Makes the messages of one order.

    Args:
      order: kind, side, price, volume and id.
      reason: `types.Reason`, what became of it.

    Returns:
      The lots that it traded, by price and time.
    """
    kind, side, price, volume, order_id = order
    if reason not in _TAKEN:
      return 0
    if kind == types.OrderKind.CANCEL:
      self._take(order_id, volume)
      return 0
    if kind == types.OrderKind.MODIFY:
      if self._reduces(order_id, side, price, volume):
        return 0
      self._take(order_id, self._held(order_id))
    limit = None if kind == types.OrderKind.MARKET else price
    left = volume - self._match(side, limit, volume)
    if kind in _RESTING and left > 0:
      self._add(side, price, left, order_id)
      if reason == types.Reason.CAPACITY:
        self._lose_worst(side)
    return volume - left

  def rests(self, order_id: int) -> bool:
    """Returns whether an order is in the book."""
    return order_id in self._where

  def levels(self, side: int, count: int) -> list[tuple[int, int]]:
    """Returns (price, volume) of at most `count` best levels."""
    totals = self._book.totals[side]
    keys = self._book.keys[side][:count]
    return [(_price(side, key), totals[key]) for key in keys]

  def _held(self, order_id):
    """Returns the lots of a resting order."""
    side, key = self._where[order_id]
    return self._book.levels[side][key][order_id]

  def _add(self, side, price, volume, order_id):
    """Puts an order last at its price."""
    key = _key(side, price)
    self._book.add(side, key, order_id, volume)
    self._where[order_id] = side, key
    self._emit(lobster.NEW, order_id, volume, side, price)

  def _take(self, order_id, volume):
    """Takes up to so many lots off a resting order."""
    side, key = self._where[order_id]
    is_all = volume >= self._held(order_id)
    taken = self._book.take(side, key, order_id, volume)
    if is_all:
      del self._where[order_id]
    kind = lobster.DELETE if is_all else lobster.REDUCE
    self._emit(kind, order_id, taken, side, _price(side, key))

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
      self._emit(lobster.EXECUTE, maker, taken, 1 - side, price)
    return done

  def _lose_worst(self, side):
    """Deletes a full side's order of the lowest priority."""
    level = self._book.levels[side][self._book.keys[side][-1]]
    order_id = next(reversed(level))
    self._take(order_id, level[order_id])


def _key(side, price):
  """Returns the key of a price: less is better."""
  return -price if side == types.Side.BID else price


_price = _key  # A key's price is found alike.
