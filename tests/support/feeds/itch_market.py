"""A random day of two stocks, as ITCH messages."""

import collections
import itertools

import numpy as np

from tests.support.feeds import itch_writer as writer
from tests.support.oracles import python_book

ASK, BID = python_book.ASK, python_book.BID
LIMIT, CANCEL = python_book.LIMIT, python_book.CANCEL
MID = 10_000  # Ticks of a cent.
TICK = 100  # 1/10000 dollar.
PROBE = -1  # The id of an order that does not rest.


class Market:
  """A random market of a stock in a plain book.

  Attributes:
    messages: what the exchange tells, appended to as it happens.
    events: (time, kind, side, ticks, volume, order id, is_market_event, left)
      each, as a reader should see them.
    trades: (event, bid id, ask id, ticks, volume) each.
    ids: {reference: order id}.
    book: orders by reference.
    counts: of some of what a reader counts.
  """

  def __init__(self, stock, locate, messages, references, rng):
    self.stock, self.locate, self.messages = stock, locate, messages
    self.events, self.trades, self.ids = [], [], {}
    self.book = python_book.PythonBook(10**6)
    self.counts = collections.Counter()
    self._references, self._rng = references, rng
    self._num_ids = 0

  def step(self, time):
    """Performs a random action."""
    rng, side = self._rng, int(self._rng.integers(2))
    draw, own = rng.random(), self.book.rows(side)
    if draw < 0.5 or len(own) < 5:
      sign = 1 if side == ASK else -1
      price = MID + sign * int(rng.integers(-3, 12))
      self.limit(time, side, price, int(rng.integers(1, 60)))
    elif draw < 0.85:
      self._withdraw(time, side, own[int(rng.integers(len(own)))], draw)
    elif draw < 0.9:
      self._tell(
        writer.hidden_trade(self.locate, time, 5, self.stock, 1_000_050)
      )
    elif draw < 0.95:
      self._tell(writer.broken_trade(self.locate, time))
    else:
      self._tell(writer.other(b"I", self.locate, time, 50))

  def limit(self, time, side, price, volume):
    """A new order, which may trade."""
    reference, fills = next(self._references), self._match(side, price, volume)
    left = volume - sum(fill.volume for fill in fills)
    for fill in fills:
      at = self.locate, time, fill.id, fill.volume
      if self._rng.random() < 0.2:
        self._tell(writer.execute_at(*at, fill.price * TICK + 50))
        self.counts["repriced_executions"] += 1
      else:
        self._tell(writer.execute(*at))
      if self._rng.random() < 0.2:
        self._tell(
          writer.hidden_trade(self.locate, time, 5, self.stock, 1_000_000)
        )
    if left:
      self._rest(time, side, price, left, reference)
    self.counts["aggressive_orders"] += bool(fills)
    self.counts["remainders"] += bool(fills) and left > 0
    order_id = self._new_id(reference)
    for fill in fills:
      pair = [order_id, self.ids[fill.id]]
      bid_id, ask_id = pair if side == BID else pair[::-1]
      trade = (len(self.events), bid_id, ask_id, fill.price, fill.volume)
      self.trades.append(trade)
    price = price if left else fills[-1].price
    self.events.append((time, LIMIT, side, price, volume, order_id, True, -1))

  def cross(self, time, num_orders):
    """An auction that removes orders of both sides."""
    for side in (ASK, BID):
      for row in self.book.rows(side)[:num_orders]:
        volume = max(1, row.volume // 2)
        at = self.locate, time, row.id, volume, MID * TICK
        self._tell(writer.execute_at(*at, printable=b"N"))
        self._cancel(time, side, row, volume, is_market_event=False)
        self.counts["cross_executions"] += 1
    self._tell(writer.cross(self.locate, time, 100, self.stock, MID * TICK))

  def _match(self, side, price, volume):
    """Trades against the book; `_rest` gets the remainder."""
    order = python_book.Message(LIMIT, side, price, volume, PROBE)
    fills = self.book.apply(order)
    self.book.apply(order._replace(kind=CANCEL))
    return fills

  def _rest(self, time, side, price, volume, reference):
    self.book.apply(python_book.Message(LIMIT, side, price, volume, reference))
    write = writer.add_of_firm if self._rng.random() < 0.2 else writer.add
    letter = b"B" if side == BID else b"S"
    fields = (reference, letter, volume, self.stock, price * TICK)
    self._tell(write(self.locate, time, *fields))

  def _withdraw(self, time, side, row, draw):
    """Cancels part of an order, or deletes or replaces it."""
    if draw < 0.65 and row.volume > 1:
      volume = int(self._rng.integers(1, row.volume))
      self._tell(writer.cancel(self.locate, time, row.id, volume))
      self._cancel(time, side, row, volume)
      return
    self._cancel(time, side, row, row.volume)
    if draw < 0.75:
      self._tell(writer.delete(self.locate, time, row.id))
      return
    reference = next(self._references)
    price = row.price + int(self._rng.integers(2)) * (1 if side == ASK else -1)
    volume = int(self._rng.integers(1, 60))
    fields = (row.id, reference, volume, price * TICK)
    self._tell(writer.replace(self.locate, time, *fields))
    self.book.apply(python_book.Message(LIMIT, side, price, volume, reference))
    order_id = self._new_id(reference)
    self.events.append((time, LIMIT, side, price, volume, order_id, True, -1))

  def _cancel(self, time, side, row, volume, is_market_event=True):
    message = python_book.Message(CANCEL, side, row.price, volume, row.id)
    self.book.apply(message)
    rest = (volume, self.ids[row.id], is_market_event, row.volume - volume)
    self.events.append((time, CANCEL, side, row.price, *rest))

  def _new_id(self, reference):
    self._num_ids += 1
    self.ids[reference] = self._num_ids - 1
    return self._num_ids - 1

  def _tell(self, message):
    self.messages.append(message)


def session(num_steps, seed=0):
  """A day of two markets, in turns: (messages, {stock: Market})."""
  rng = np.random.default_rng(seed)
  messages = [
    writer.event(writer.OPEN - 10),
    writer.other(b"V", 0, writer.OPEN - 9, 35),
  ]
  references = itertools.count(1_000_000)
  markets = [
    Market(stock, locate, messages, references, rng)
    for stock, locate in ((writer.STOCK, writer.LOCATE), ("BB/W", 300))
  ]
  for market in markets:
    messages.append(
      writer.directory(market.locate, writer.OPEN - 8, market.stock)
    )
    messages.append(
      writer.action(market.locate, writer.OPEN - 7, market.stock, b"T")
    )
  time = writer.OPEN
  for step in range(num_steps):
    time += int(rng.integers(1, 10**9))
    market = markets[int(rng.integers(2))]
    if step % 200 == 199:
      market.cross(time, 3)
    else:
      market.step(time)
  messages.append(writer.event(time + 1, b"C"))
  return messages, {market.stock: market for market in markets}
