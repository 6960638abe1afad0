"""A trading day with call auctions in plain Python.

An auction's price is, of all from the best ask to the best bid, the one
  1. that trades the largest volume;
  2. of those, that leaves the smallest volume unmatched;
  3. of those, the highest if buyers are left and the lowest if sellers are,
     since whoever bids more, or asks less, than the price must be filled;
  4. else the nearest to a reference price, the lower one of two.
Both sides are then filled by price and time up to that volume, and paired in
that turn. (The rules of the Shanghai Stock Exchange say 1 to 3, and in place of
4 the middle of the prices that orders name.)

Nothing here uses the means of `mars_jax.lob`: a side is a dict from key to
`{order id: volume}`, oldest first; the key is the price, negative for a bid.
"""

import bisect
import collections
import itertools

ASK, BID = 0, 1
LIMIT, CANCEL = 0, 1

Auction = collections.namedtuple("Auction", "price volume imbalance trades")
Fill = collections.namedtuple("Fill", "bid_id ask_id price volume")
Row = collections.namedtuple("Row", "price volume id")


def uncross(bids, asks, reference: int) -> Auction | None:
  """Returns the auction of two sides; None if not crossed.

  Args:
    bids: rows with price, volume and id, first to trade first.
    asks: the same.
    reference: a price.
  """
  if not bids or not asks or bids[0].price < asks[0].price:
    return None
  prices = range(asks[0].price, bids[0].price + 1)
  bought, sold = collections.Counter(), collections.Counter()
  for row in bids:
    bought[row.price] += row.volume
  for row in asks:
    sold[row.price] += row.volume
  demand = [
    *itertools.accumulate(bought.get(price, 0) for price in prices[::-1])
  ]
  supply = itertools.accumulate(sold.get(price, 0) for price in prices)
  curves = [*zip(prices, demand[::-1], supply, strict=True)]
  volume = max(min(buy, sell) for _, buy, sell in curves)
  left = {p: buy - sell for p, buy, sell in curves if min(buy, sell) == volume}
  least = min(map(abs, left.values()))
  best = [price for price in left if abs(left[price]) == least]
  if all(left[price] > 0 for price in best):
    price = best[-1]
  elif all(left[price] < 0 for price in best):
    price = best[0]
  else:
    price = min(best, key=lambda price: abs(price - reference))
  trades = [
    Fill(bid_id, ask_id, price, traded)
    for bid_id, ask_id, traded in _pair(bids, asks, volume)
  ]
  return Auction(price, volume, left[price], trades)


def _pair(bids, asks, volume: int):
  """Pairs the orders of each side up to a volume."""
  queues = [[[row.id, row.volume] for row in side] for side in (bids, asks)]
  places = [0, 0]
  while volume:
    bid, ask = (queue[i] for queue, i in zip(queues, places, strict=True))
    traded = min(bid[1], ask[1], volume)
    yield bid[0], ask[0], traded
    volume -= traded
    for side, order in enumerate((bid, ask)):
      order[1] -= traded
      places[side] += order[1] == 0


class CallBook:
  """A book that matches by price and time, or collects."""

  def __init__(self):
    self._levels = ({}, {})  # By side: {key: {order id: volume}}.
    self._keys = ([], [])  # By side, sorted.
    self._places = {}  # {order id: (side, key)}

  def add(self, side: int, price: int, volume: int, order_id: int) -> None:
    """Rests an order, whatever it crosses."""
    key = -price if side == BID else price
    if key not in self._levels[side]:
      bisect.insort(self._keys[side], key)
      self._levels[side][key] = {}
    self._levels[side][key][order_id] = volume
    self._places[order_id] = side, key

  def take(self, order_id: int, volume: int) -> int:
    """Takes volume off an order; returns the remainder."""
    side, key = self._places[order_id]
    level = self._levels[side][key]
    level[order_id] -= volume
    left = level[order_id]
    if left < 0:
      raise ValueError(f"order {order_id} has not {volume}")
    if not left:
      del level[order_id]
    if not level:
      del self._levels[side][key]
      self._keys[side].remove(key)
    return left

  def match(self, side: int, price: int, volume: int, order_id: int):
    """Trades an order and rests the remainder; returns fills."""
    other, fills = 1 - side, []
    limit = price if side == BID else -price
    while volume and self._keys[other] and self._keys[other][0] <= limit:
      key = self._keys[other][0]
      resting, held = next(iter(self._levels[other][key].items()))
      traded = min(volume, held)
      self.take(resting, traded)
      pair = (order_id, resting) if side == BID else (resting, order_id)
      fills.append(Fill(*pair, abs(key), traded))
      volume -= traded
    if volume:
      self.add(side, price, volume, order_id)
    return fills

  def auction(self, reference: int) -> Auction | None:
    """Returns the auction that would happen now."""
    return uncross(self.rows(BID), self.rows(ASK), reference)

  def execute(self, auction: Auction) -> None:
    """Takes what an auction traded off its orders."""
    for fill in auction.trades:
      self.take(fill.bid_id, fill.volume)
      self.take(fill.ask_id, fill.volume)

  def rows(self, side: int) -> list[Row]:
    """Returns the orders of a side, first to trade first."""
    return [
      Row(abs(key), volume, order_id)
      for key in self._keys[side]
      for order_id, volume in self._levels[side][key].items()
    ]


def replay(rows, is_call, reference: int):
  """Yields (number of rows, book, fills) by row and auction.

  Args:
    rows: (time, kind, side, price, volume, id) each; a cancel must take all.
    is_call: whether orders of a time collect for the auction that ends it; the
      rows must start and end with such times.
    reference: price for the first auction; the others take the last trade's.
  """
  book, was_call = CallBook(), True
  for count, (time, kind, *order) in enumerate(rows):
    if was_call and not is_call(time):
      auction = book.auction(reference)
      book.execute(auction)
      reference = auction.price
      yield count, book, auction.trades
    was_call, fills = is_call(time), []
    if kind == CANCEL:
      left = book.take(order[-1], order[-2])
      assert left == 0
    elif was_call:
      book.add(*order)
    else:
      fills = book.match(*order)
      reference = fills[-1].price if fills else reference
    yield count + 1, book, fills
  auction = book.auction(reference)
  book.execute(auction)
  yield len(rows), book, auction.trades
