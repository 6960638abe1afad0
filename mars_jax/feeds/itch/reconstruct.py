"""Reconstructs the orders of one instrument from ITCH messages.

Keeps the book of a price-time matching engine in step with the feed, so that it
is seen which executions an aggressive order explains, and which not.
"""

import dataclasses
import typing

import numpy as np

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import nasdaq
from mars_jax.feeds import price_time_book
from mars_jax.feeds.itch import chunks
from mars_jax.feeds.itch import parse

_OPEN = 4 * 3600 * types.NANOSECONDS  # When the exchange's day begins.
_CLOSE = 20 * 3600 * types.NANOSECONDS  # When it is over.
_INT32_MAX = 2**31 - 1
_LIMIT, _CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
_SIDES = {b"B": types.Side.BID, b"S": types.Side.ASK}
_COUNT_OF_TYPE = {
  **{"A": "limit_orders", "F": "limit_orders", "U": "replaces"},
  **{"X": "cancels", "D": "cancels", "E": "executions", "C": "executions"},
  **{"P": "hidden_executions", "Q": "cross_trades", "B": "broken_trades"},
  **{"H": "trading_actions", "R": "directory", "S": "system_events"},
}
_COUNTS = (
  *("messages", *dict.fromkeys(_COUNT_OF_TYPE.values()), "halts"),
  *("aggressive_orders", "remainders", "cross_executions"),
  *("out_of_turn_executions", "repriced_executions", "off_grid_orders"),
  *("crossing_orders", "outside", "late_cancels", "beyond_hours"),
)
_ADDS = tuple(letter.encode() for letter in chunks.ADDS)
_CANCELS = (b"X", b"D")
_EXECUTIONS = tuple(letter.encode() for letter in chunks.EXECUTIONS)


class _Message(typing.NamedTuple):
  """A message; see `parse.Messages`."""

  row: int
  time: int
  letter: bytes
  reference: int
  new_reference: int
  flag: bytes
  shares: int
  price: int
  is_of_cross: bool  # An execution by an auction.


@dataclasses.dataclass(slots=True)
class _Order:
  """An order with some volume left in the feed.

  Attributes:
    order_id: ours, `types.NO_ORDER` as long as it is not in the book.
    side: `types.Side`.
    price: ticks; None off their grid.
    remaining: lots.
  """

  order_id: int
  side: int
  price: int | None
  remaining: int

  @property
  def key(self) -> int:
    """The key of its level in the book."""
    return -self.price if self.side == types.Side.BID else self.price


class Reconstruction:
  """Events and trades from the messages; `run` fills them.

  Attributes:
    events: rows of `events.from_rows`.
    trades: rows of `events.continuous_trades`.
    counts: see the package's docstring.
    has_hours: whether all of the day is within the exchange's hours.
  """

  def __init__(self, path, messages: parse.Messages, tick: int):
    self.events = []
    self.trades = []
    self.counts = dict.fromkeys(_COUNTS, 0)
    self.counts["messages"] = sum(messages.counts.values())
    for letter, count in messages.counts.items():
      name = _COUNT_OF_TYPE.get(letter, f"type_{letter}")
      self.counts[name] = self.counts.get(name, 0) + count
    is_halt = (messages.letter == b"H") & np.isin(messages.flag, [b"H", b"P"])
    self.counts["halts"] = int(is_halt.sum())
    is_new = np.isin(messages.letter, _ADDS + (b"U",) + _EXECUTIONS)
    is_late = is_new & (messages.time >= _CLOSE)
    beyond = int(is_late.sum() + (is_new & (messages.time < _OPEN)).sum())
    self.counts["beyond_hours"] = beyond
    self.has_hours = not beyond
    self._closes = not is_late.any()
    self._tick = tick
    self._path = path
    columns = [getattr(messages, name) for name in _Message._fields[:-1]]
    columns = (x.tolist() for x in (*columns, _is_of_cross(messages)))
    self._messages = [*map(_Message._make, zip(*columns, strict=True))]
    self._book = price_time_book.Book()
    self._orders = {}  # {reference: _Order}
    self._waiting = {}  # {reference: _Order} of those that would trade
    self._num_ids = 0
    self._row = 0
    self._time = 0

  def run(self) -> None:
    """Goes through the messages, an order's executions at once."""
    place = 0
    while place < len(self._messages):
      message = self._messages[place]
      self._row, self._time = message.row, message.time
      if message.letter in _EXECUTIONS:
        place = self._trade(place)
      else:
        self._apply(message)
        place += 1

  def _apply(self, message: _Message) -> None:
    """Applies a message that is no execution."""
    letter, reference = message.letter, message.reference
    shares, price = message.shares, message.price
    if letter in _ADDS:
      self._enter(reference, _SIDES[message.flag], price, shares)
    elif letter in _CANCELS and self._closes and message.time >= _CLOSE:
      self._find(reference)
      self.counts["late_cancels"] += 1
    elif letter == b"X":
      self._cancel(reference, shares)
    elif letter == b"D":
      self._cancel(reference, self._find(reference).remaining)
    elif letter == b"U":
      old = self._find(reference)
      self._cancel(reference, old.remaining)
      self._enter(message.new_reference, old.side, price, shares)

  def orders(self, dtype: np.typing.DTypeLike) -> events.RestingOrders:
    """Returns the remaining orders of those in the book."""
    rows = [
      (order.side, order.price, order.remaining, order.order_id)
      for order in self._orders.values()
      if order.order_id != types.NO_ORDER
    ]
    side, price, volume, order_id = np.array(rows, np.int64).reshape(-1, 4).T
    return events.RestingOrders(
      side=side.astype(np.int32),
      price=price.astype(dtype),
      volume=volume.astype(dtype),
      order_id=order_id.astype(np.int32),
    )

  def _error(self, reason: str) -> events.DataError:
    return events.DataError(self._path, self._row, reason)

  def _find(self, reference: int) -> _Order:
    if reference not in self._orders:
      raise self._error(f"unknown order reference {reference}")
    return self._orders[reference]

  def _enter(self, reference: int, side: int, price: int, shares: int) -> None:
    """Rests a new order, if it may."""
    order = _Order(types.NO_ORDER, side, price // self._tick, shares)
    self._orders[reference] = order
    if price % self._tick:
      order.price = None
      self.counts["off_grid_orders"] += 1
    elif self._would_trade(order):
      self._waiting[reference] = order
      self.counts["crossing_orders"] += 1
    else:
      self._rest(order)

  def _would_trade(self, order: _Order) -> bool:
    keys = self._book.keys[1 - order.side]
    return bool(keys) and keys[0] <= -order.key

  def _rest(self, order: _Order, is_market_event: bool = True) -> None:
    order.order_id = self._new_id()
    self._emit(_LIMIT, order, order.remaining, is_market_event)
    self._book.add(order.side, order.key, order.order_id, order.remaining)

  def _new_id(self) -> int:
    self._num_ids += 1
    return self._num_ids - 1

  def _take(self, reference: int, volume: int) -> _Order:
    """Takes volume off an order in feed and book."""
    order = self._find(reference)
    if volume > order.remaining:
      raise self._error(
        f"{volume} shares of an order with {order.remaining} left"
      )
    order.remaining -= volume
    if not order.remaining:
      del self._orders[reference]
      self._waiting.pop(reference, None)
    if order.order_id == types.NO_ORDER:
      self.counts["outside"] += 1
    else:
      self._book.take(order.side, order.key, order.order_id, volume)
    return order

  def _cancel(
    self, reference: int, volume: int, is_market_event: bool = True
  ) -> None:
    order = self._take(reference, volume)
    if order.order_id != types.NO_ORDER:
      self._emit(
        _CANCEL, order, volume, is_market_event, remaining=order.remaining
      )
      self._admit()

  def _admit(self) -> None:
    """Enters the waiting orders that would trade no longer."""
    for reference, order in list(self._waiting.items()):
      if not self._would_trade(order):
        del self._waiting[reference]
        self._rest(order, is_market_event=False)

  def _trade(self, place: int) -> int:
    """Handles the executions from a place on; returns their end."""
    first = self._messages[place]
    if first.is_of_cross:
      self.counts["cross_executions"] += 1
      self._cancel(first.reference, first.shares, is_market_event=False)
      return place + 1
    hits, is_in_turn, place = self._hits(place)
    if not is_in_turn:
      self.counts["out_of_turn_executions"] += len(hits)
      for order, volume, rest in hits:
        self._emit(_CANCEL, order, volume, False, rest)
    elif hits:
      place += self._aggress(hits, place)
    self._admit()
    return place

  def _hits(self, place: int) -> tuple[list, bool, int]:
    """Applies the next executions of one time and side.

    Returns:
      (order, lots, lots remaining) of each that hits the book; whether each
      hits the order that is first by price and time; and the place after them.
    """
    hits, is_in_turn, side = [], True, None
    while place < len(self._messages):
      message = self._messages[place]
      if message.time != self._time or message.is_of_cross:
        break
      if message.letter in _EXECUTIONS:
        self._row = message.row
        order = self._find(message.reference)
        if side not in (None, order.side):
          break
        side = order.side
        self._check_price(order, message)
        is_in_book = order.order_id != types.NO_ORDER
        is_in_turn = is_in_turn and (not is_in_book or self._is_first(order))
        self._take(message.reference, message.shares)
        if is_in_book:
          hits.append((order, message.shares, order.remaining))
      elif message.letter != b"P":
        break
      place += 1
    return hits, is_in_turn, place

  def _check_price(self, order: _Order, message: _Message) -> None:
    """Raises for a price off the grid; counts repriced executions."""
    if order.price is None:
      grid = f"{self._tick / nasdaq.UNITS:g} dollar"
      raise self._error(f"an order off the grid of {grid} trades")
    if message.letter == b"C" and message.price != order.price * self._tick:
      self.counts["repriced_executions"] += 1

  def _is_first(self, order: _Order) -> bool:
    """Returns whether an order trades next on its side."""
    best = self._book.keys[order.side][0]
    return next(iter(self._book.levels[order.side][best])) == order.order_id

  def _aggress(self, hits: list, place: int) -> int:
    """Emits the aggressive order; returns its remainder's messages.

    Args:
      hits: see `_hits`.
      place: of the message after them.
    """
    last, _, _ = hits[-1]
    fills = {}  # {order id: [price, lots]}, oldest first
    for order, volume, _ in hits:
      fills.setdefault(order.order_id, [order.price, 0])[1] += volume
    volume = sum(lots for _, lots in fills.values())
    taker = _Order(self._new_id(), 1 - last.side, last.price, 0)
    num_used = self._find_remainder(taker, place)
    for maker_id, fill in fills.items():
      ids = events.trade_ids(taker.side, taker.order_id, maker_id)
      self.trades.append((len(self.events), *ids, *fill))
    self._emit(_LIMIT, taker, volume + taker.remaining)
    self.counts["aggressive_orders"] += 1
    return num_used

  def _find_remainder(self, taker: _Order, place: int) -> int:
    """Rests an aggressive order's remainder if that comes next.

    Returns:
      1 if that message is used, else 0.
    """
    message = self._messages[place] if place < len(self._messages) else None
    if message is None or message.letter not in _ADDS:
      return 0
    if message.time != self._time or message.price % self._tick:
      return 0
    rest = _Order(
      taker.order_id,
      _SIDES[message.flag],
      message.price // self._tick,
      message.shares,
    )
    is_beyond = rest.side == taker.side and rest.key <= taker.key
    if not is_beyond or self._would_trade(rest):
      return 0
    taker.price, taker.remaining = rest.price, rest.remaining
    self._orders[message.reference] = rest
    self._book.add(rest.side, rest.key, rest.order_id, rest.remaining)
    self.counts["remainders"] += 1
    return 1

  def _emit(
    self, kind, order, volume, is_market_event=True, remaining=-1
  ) -> None:
    if volume > _INT32_MAX:
      raise self._error(f"an order of {volume} shares is too large")
    event = (
      order.side,
      order.price,
      volume,
      order.order_id,
      is_market_event,
      remaining,
    )
    self.events.append((self._time, kind, *event))


def find_tick(messages: parse.Messages) -> int:
  """Returns the units of a tick of a stock.

  That is a cent, or else half a cent, or else a hundredth of one: the largest
  whose grid half of the new orders or more are on, and all those that trade
  outside of a cross.
  """
  is_new = np.isin(messages.letter, _ADDS + (b"U",))
  is_replace = messages.letter == b"U"
  numbers = np.where(is_replace, messages.new_reference, messages.reference)
  is_trade = np.isin(messages.letter, _EXECUTIONS) & ~_is_of_cross(messages)
  traded = np.isin(numbers, messages.reference[is_trade])
  for tick in nasdaq.TICKS:
    is_off = is_new & (messages.price % tick != 0)
    if 2 * is_off.sum() <= is_new.sum() and not (is_off & traded).any():
      return tick
  raise AssertionError("all prices are whole units")


def _is_of_cross(messages: parse.Messages) -> np.ndarray:
  """Returns bool `[M]`, true for executions of a cross."""
  letter, time = messages.letter, messages.time
  is_execution = np.isin(letter, _EXECUTIONS)
  is_cross = (letter == b"Q") & (messages.shares > 0)
  is_unprinted = (letter == b"C") & (messages.flag == b"N")
  count = len(letter)
  is_other = ~is_execution & (letter != b"P")
  following = np.where(is_other, np.arange(count), count)
  following = np.minimum.accumulate(following[::-1])[::-1]
  last_time = np.zeros(count + 1, np.int64)  # Of those before each other.
  np.maximum.at(last_time, following[is_execution], time[is_execution])
  leads = np.append(is_cross, False)[following] & (time == last_time[following])
  return is_execution & (is_unprinted | leads | np.isin(time, time[is_cross]))
