"""A price-time book for readers that reconstruct orders.

Readers keep it in step with their feed. In plain Python and by order id, since
they correct single orders between the rows. Prices are turned into keys, of
which less is better: the price of an ask, minus the price of a bid.
"""

import bisect
import collections.abc


class Book:
  """The resting orders of a price-time matching engine.

  Attributes:
    keys: by side, the sorted keys of the levels.
    levels: by side, {key: {order id: volume}}, oldest order first.
    totals: by side, {key: volume of the level}.
  """

  def __init__(self) -> None:
    self.keys = ([], [])
    self.levels = ({}, {})
    self.totals = ({}, {})

  def add(self, side: int, key: int, order_id: int, volume: int) -> None:
    """Puts an order last at its level."""
    if key in self.totals[side]:
      self.totals[side][key] += volume
      self.levels[side][key][order_id] = volume
    else:
      bisect.insort(self.keys[side], key)
      self.totals[side][key] = volume
      self.levels[side][key] = {order_id: volume}

  def take(self, side: int, key: int, order_id: int, volume: int) -> int:
    """Takes up to `volume` off an order; returns that."""
    level = self.levels[side][key]
    volume = min(volume, level[order_id])
    level[order_id] -= volume
    if not level[order_id]:
      del level[order_id]
    self.totals[side][key] -= volume
    if not level:
      del self.levels[side][key], self.totals[side][key]
      del self.keys[side][bisect.bisect_left(self.keys[side], key)]
    return volume

  def match(
    self, side: int, limit: int, volume: int
  ) -> collections.abc.Iterator[tuple[int, int]]:
    """Takes `volume` off the best orders up to key `limit`.

    Yields:
      (order id, volume) of each fill.
    """
    keys = self.keys[side]
    while volume and keys and keys[0] <= limit:
      order_id = next(iter(self.levels[side][keys[0]]))
      filled = self.take(side, keys[0], order_id, volume)
      volume -= filled
      yield order_id, filled
