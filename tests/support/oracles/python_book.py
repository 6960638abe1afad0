"""A price-time order book in plain Python, an oracle.

Written from the rules, with none of the means of `mars_jax.lob`: a side is a
dict from price to a queue of `[id, volume]`, and matching is a loop.
"""

import collections

ASK, BID = 0, 1
LIMIT, CANCEL = 0, 1

Message = collections.namedtuple("Message", "kind side price volume id")
Row = collections.namedtuple("Row", "price volume id")


class PythonBook:
  """One book, with room for `capacity` orders on a side."""

  def __init__(self, capacity: int):
    self.capacity = capacity
    self.queues = ({}, {})  # By side: {price: deque of [id, volume]}.
    self.dropped = 0
    self.unknown = 0

  def apply(self, message: Message) -> list[Row]:
    """Applies one message and returns its fills."""
    if message.volume <= 0:
      return []
    if message.kind == CANCEL:
      self._cancel(message)
      return []
    return self._trade_and_rest(message)

  def rows(self, side: int) -> list[Row]:
    """Returns the resting orders of a side by priority."""
    queues = self.queues[side]
    return [
      Row(price, volume, order_id)
      for price in sorted(queues, reverse=side == BID)
      for order_id, volume in queues[price]
    ]

  def levels(self, side: int) -> list[tuple[int, int]]:
    """Returns `(price, volume)` of a side's levels, best first."""
    queues = self.queues[side]
    return [
      (price, sum(volume for _, volume in queues[price]))
      for price in sorted(queues, reverse=side == BID)
    ]

  def _best(self, side: int) -> int | None:
    prices = self.queues[side]
    return (min if side == ASK else max)(prices, default=None)

  def _cancel(self, message: Message) -> None:
    for queues in self.queues:
      for price, queue in queues.items():
        for resting in queue:
          if resting[0] == message.id:
            resting[1] -= min(resting[1], message.volume)
            if resting[1] == 0:
              queue.remove(resting)
            if not queue:
              del queues[price]
            return
    self.unknown += 1

  def _trade_and_rest(self, message: Message) -> list[Row]:
    opposite = BID if message.side == ASK else ASK
    left, fills = message.volume, []
    while left > 0:
      best = self._best(opposite)
      if best is None:
        break
      if message.side == BID and best > message.price:
        break
      if message.side == ASK and best < message.price:
        break
      queue = self.queues[opposite][best]
      traded = min(left, queue[0][1])
      fills.append(Row(best, traded, queue[0][0]))
      left -= traded
      queue[0][1] -= traded
      if queue[0][1] == 0:
        queue.popleft()
      if not queue:
        del self.queues[opposite][best]
    if left > 0:
      own = self.queues[message.side]
      own.setdefault(message.price, collections.deque())
      own[message.price].append([message.id, left])
      self._drop_beyond_capacity(message.side)
    return fills

  def _drop_beyond_capacity(self, side: int) -> None:
    queues = self.queues[side]
    if sum(len(queue) for queue in queues.values()) <= self.capacity:
      return
    worst = max(queues) if side == ASK else min(queues)
    queues[worst].pop()
    if not queues[worst]:
      del queues[worst]
    self.dropped += 1
