"""A price-time order book in plain Python, for whole days.

It replays one in seconds. Orders are found by their price, so a cancel must
have it, as the events of a stream do, and must not take more than rests. Prices
are turned into keys, of which less is better: the price of an ask, minus the
price of a bid.
"""

import bisect

ASK, BID = 0, 1
CANCEL = 1


def rows(stream, flow_only=False):
  """Returns events as (kind, side, price, volume, order id)."""
  names = ("kind", "side", "price", "volume", "order_id")
  keep = stream.is_market_event if flow_only else slice(None)
  columns = [getattr(stream, name)[keep].tolist() for name in names]
  return list(zip(*columns, strict=True))


class Book:
  """One market."""

  def __init__(self):
    self.sides = ({}, {})  # {key: {order id: volume}}, oldest first
    self.keys = ([], [])  # sorted
    self.traded = 0

  def apply(self, kind, side, price, volume, order_id):
    """Applies an event; returns fills: (order id, price, volume)."""
    key, fills = -price if side == BID else price, []
    if kind == CANCEL:
      self._take(side, key, order_id, volume)
      return fills
    other = self.keys[1 - side]
    while volume and other and other[0] <= -key:
      best = other[0]
      resting, held = next(iter(self.sides[1 - side][best].items()))
      fill = min(volume, held)
      self._take(1 - side, best, resting, fill)
      self.traded += fill
      fills.append((resting, abs(best), fill))
      volume -= fill
    if volume:
      if key not in self.sides[side]:
        bisect.insort(self.keys[side], key)
      level = self.sides[side].setdefault(key, {})
      assert order_id not in level
      level[order_id] = volume
    return fills

  def _take(self, side, key, order_id, volume):
    level = self.sides[side][key]
    assert 0 < volume <= level[order_id]
    level[order_id] -= volume
    if not level[order_id]:
      del level[order_id]
    if not level:
      del self.sides[side][key]
      self.keys[side].remove(key)

  def held(self, kind, side, price, volume, order_id):
    """Returns the resting volume of an event's order."""
    return self.sides[side][-price if side == BID else price][order_id]

  def orders(self):
    """Returns (side, price, volume, order id) by priority."""
    return [
      (side, abs(key), volume, order_id)
      for side in (ASK, BID)
      for key in self.keys[side]
      for order_id, volume in self.sides[side][key].items()
    ]

  def levels(self, side, depth):
    """Returns prices and volumes of `depth` levels, padded with 0."""
    keys = self.keys[side][:depth]
    pad = [0] * (depth - len(keys))
    volumes = [sum(self.sides[side][key].values()) for key in keys]
    return [[abs(key) for key in keys] + pad, volumes + pad]
