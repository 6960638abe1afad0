"""The exchange's own book: its orders and best prices."""

import collections
import dataclasses
import heapq

from mars_jax import types

NO_ID = -1  # Of an order that is in no event yet.
_SIGN = {types.Side.ASK: 1, types.Side.BID: -1}  # Of a price, as a key.


@dataclasses.dataclass(slots=True)
class Order:
  """An order that rests or has just arrived.

  Attributes:
    side: its side.
    price: in units of 1e-9.
    remaining: lots that the exchange has of it.
    filled: lots in fills of the event in progress.
    traded: those of them already off `remaining`, and in no event yet.
    order_id: ours.
  """

  side: int
  price: int
  remaining: int
  filled: int = 0
  traded: int = 0
  order_id: int = NO_ID

  def trade(self, most: int) -> int:
    """Takes off up to `most` filled lots; returns how many."""
    volume = min(self.filled, most)
    self.filled -= volume
    self.remaining -= volume
    self.traded += volume
    return volume


class BestPrices:
  """Counts of orders by price."""

  def __init__(self):
    self.clear()

  def clear(self) -> None:
    """Takes all orders off."""
    self._counts = {side: collections.Counter() for side in _SIGN}
    self._heaps = {side: [] for side in _SIGN}  # Keys, some without orders.

  def add(self, side: int, price: int) -> None:
    """Adds an order."""
    key = _SIGN[side] * price
    if not self._counts[side][key]:
      heapq.heappush(self._heaps[side], key)
    self._counts[side][key] += 1

  def remove(self, side: int, price: int) -> None:
    """Takes an order off."""
    self._counts[side][_SIGN[side] * price] -= 1

  def is_crossed(self) -> bool:
    """Returns whether the best bid reaches the best ask."""
    best = [self._best(side) for side in _SIGN]
    return None not in best and sum(best) <= 0

  def _best(self, side: int) -> int | None:
    """Returns the least key of a side that has orders."""
    counts, heap = self._counts[side], self._heaps[side]
    while heap and not counts[heap[0]]:
      counts.pop(heapq.heappop(heap), None)
    return heap[0] if heap else None
