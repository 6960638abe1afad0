"""The best prices of the exchange's own book."""

import collections
import heapq

from mars_jax import types

_SIGN = {types.Side.ASK: 1, types.Side.BID: -1}  # Of a price, as a key.


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
