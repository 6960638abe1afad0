"""Makes events of the messages of a Coinbase capture."""

import dataclasses
import datetime
import math
import pathlib

import numpy as np

from mars_jax import types
from mars_jax.feeds import capture_days
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds.coinbase import parse

START_FILE = "beginning_level_3.json"
MESSAGES_FILE = "messages.json"
END_FILE = "ending_level_3.json"
LOT_SIZE = 1e-8  # Coins.
_CENT = parse.UNITS // 100  # The largest tick that is found.
_MAX_UNSEEN = 1e-3  # Share of messages that may name orders never received.
_MICROSECOND = datetime.timedelta(microseconds=1)
_COUNTS = (
  *("messages", "outside", "start_orders", "limit_orders", "market_orders"),
  *("aggressive_orders", "trades", "cancels", "refused", "unseen"),
  *("unfinished", "activations", "modified", "clock_steps"),
)


def read_checked(
  path: pathlib.Path | str,
  *,
  tick_size: float | None = None,
  day: str | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads a capture, with the exchange's ground truth.

  Args:
    path: the folder or the zip of the files.
    tick_size: price of one tick; if None, the largest of 0.01, 0.001, ... that
      divides all prices of the capture.
    day: which one (UTC), of a capture of several; see `capture_days.pick`.

  Returns:
    The stream and the ground truth: `trades` are the matches; `remaining` is
    given for every cancel; `orders` are the book at the end, where the capture
    has it. Prices and volumes are int64. The counts are
      messages: messages between the two books;
      outside: messages that the start book includes, or past the end book;
      start_orders: orders of the book at the start;
      limit_orders, market_orders: later orders that trade or rest;
      aggressive_orders: those of them that trade as they arrive;
      trades: matches;
      cancels: cancels, and reductions in size, of resting orders;
      refused: orders done as they arrive, untraded;
      unseen: messages of orders that were neither received nor in the book; an
        error where more than one in a thousand come after the first `received`;
      unfinished: orders received whose end is not in the capture; they count
        and are passed on with the volume that they took, if any;
      activations: stop orders placed, which are received when they trigger;
      modified: orders moved to another price, or made larger: a cancel and a
        new order each, which count as such;
      clock_steps: messages of a time before that of an earlier one: the clock
        stands still.

  Raises:
    events.DataError: if a file is broken or absent, names file, row (the
      message, or the order of a book, asks first; from one) and reason; or the
      messages are of several days, and none is named.
  """
  path = pathlib.Path(path)
  start = parse.load_book(parse.find(path, START_FILE))
  end_path = compressed.find(path, END_FILE)
  end = end_path and parse.load_book(end_path)
  reader = _Reader()
  messages_path = parse.find(path, MESSAGES_FILE)
  product, first_day = reader.run(messages_path, start, end)
  tick = _tick(messages_path, reader.events, end, tick_size)
  stream, remaining = events.from_rows(
    [(*row[:3], row[3] // tick, *row[4:]) for row in reader.events],
    np.int64,
    market="Coinbase",
    instrument=product,
    day=str(first_day),
    tick_size=tick / parse.UNITS,
    lot_size=LOT_SIZE,
    counts=reader.counts,
  )
  trades = [(*row[:3], row[3] // tick, row[4]) for row in reader.trades]
  truth = events.GroundTruth(
    trades=events.continuous_trades(trades, np.int64),
    orders=end and _to_orders(end_path, end, reader.ids, tick),
    remaining=remaining,
  )
  return capture_days.pick(path, stream, truth, day)


def day_names(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the days of a capture, as 2018-07-13."""
  path = pathlib.Path(path)
  start = parse.load_book(parse.find(path, START_FILE))
  messages_path, latest = parse.find(path, MESSAGES_FILE), None
  end_path = compressed.find(path, END_FILE)
  end = end_path and parse.load_book(end_path)
  there = {}
  for row, message in parse.load_messages(messages_path, start, end)[0]:
    with parse.located(messages_path, row):
      time = parse.to_time(message["time"])
    latest = time if latest is None else max(time, latest)
    there[str(latest.date())] = None
  return tuple(there)


def _tick(
  path: compressed.File,
  rows: list[tuple[int, ...]],
  end: parse.Book | None,
  tick_size: float | None,
) -> int:
  """Returns the units of a tick, which divides all prices.

  Args:
    path: of the messages, for errors.
    rows: the events.
    end: the book at the end.
    tick_size: as it was asked for, or None to find it.
  """
  prices = {row[3] for row in rows} | {
    row[1] for row in (end.orders if end else ())
  }
  tick, common = _CENT, math.gcd(*prices)
  if tick_size is not None:
    tick = round(tick_size * parse.UNITS)
    if not tick or common % tick:
      reason = f"prices are off the grid of {tick_size:g}"
      raise events.DataError(path, None, reason)
  while common % tick:
    tick //= 10
  if max(prices, default=0) // tick > types.MAX_PRICE_INT64:
    reason = f"a price is too large in ticks of {tick / parse.UNITS:g}"
    raise events.DataError(path, None, reason)
  return tick


@dataclasses.dataclass(slots=True)
class _Arriving:
  """An order received, and neither open nor done."""

  side: int
  size: int | None  # Lots, None if unknown.
  is_market: bool = False
  fills: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)

  @property
  def taken(self) -> int:
    return sum(volume for _, _, volume in self.fills)


@dataclasses.dataclass(slots=True)
class _Resting:
  """An order in the book."""

  order_id: int
  side: int
  price: int
  remaining: int


class _Reader:
  """Turns the messages into events; `run` fills the attributes.

  Attributes:
    events: rows of `events.from_rows`.
    trades: rows of `events.continuous_trades`.
    ids: {Coinbase's order id: ours} of the orders that were passed on.
    counts: see `read_checked`.
  """

  def __init__(self):
    self.events = []
    self.trades = []
    self.ids = {}
    self.counts = dict.fromkeys(_COUNTS, 0)
    self._arriving = {}  # {Coinbase's order id: _Arriving}
    self._resting = {}  # {Coinbase's order id: _Resting}
    self._num_ids = 0
    self._moving = None  # (Coinbase's order id, price) of an order modified.
    self._time = 0
    self._max_unseen = np.inf

  def run(
    self, path: compressed.File, start: parse.Book, end: parse.Book | None
  ) -> tuple[str, datetime.date]:
    """Goes through the messages; returns the product and the day."""
    handlers = {
      "received": self._received,
      "match": self._match,
      "open": self._open,
      "done": self._done,
      "change": self._change,
      "activate": self._activate,
    }
    messages, outside = parse.load_messages(path, start, end)
    self.counts |= {"messages": len(messages), "outside": outside}
    with parse.located(path, messages[0][0]):
      product = messages[0][1]["product_id"]
      first = parse.to_time(messages[0][1]["time"])
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    self._time = (first - midnight) // _MICROSECOND * 1000
    self._set_up(start)
    for row, message in messages:
      with parse.located(path, row):
        self._stop_moving(message)
        time = parse.to_time(message["time"]) - midnight
        self._set_time(time // _MICROSECOND * 1000)
        if message["product_id"] != product:
          raise ValueError("product_id changes")
        if message["type"] not in handlers:
          raise ValueError(f"unknown type {message['type']!r}")
        handlers[message["type"]](message)
    self._stop_moving({"type": ""})
    self.counts["unfinished"] = len(self._arriving)
    for name in list(self._arriving):
      self._settle(name)
    return product, midnight.date()

  def _set_time(self, time: int) -> None:
    self.counts["clock_steps"] += time < self._time
    self._time = max(time, self._time)

  def _set_up(self, start: parse.Book) -> None:
    """Adds the orders of the start book in time priority."""
    self.counts["start_orders"] = len(start.orders)
    for side, price, volume, name in start.orders:
      order_id = self._new_id(name)
      self._resting[name] = _Resting(order_id, side, price, volume)
      self._emit(types.OrderKind.LIMIT, self._resting[name], volume, False)

  def _new_id(self, name: str) -> int:
    """Returns the id of an order that is passed on."""
    self.ids[name] = self._num_ids
    self._num_ids += 1
    return self.ids[name]

  def _received(self, message) -> None:
    name, is_market = message["order_id"], message["order_type"] == "market"
    if name in self._arriving or name in self.ids:
      raise ValueError("the order is there already")
    has_size = not is_market or "size" in message
    size = parse.to_size(message["size"]) if has_size else None
    side = parse.to_side(message["side"])
    self._arriving[name] = _Arriving(side, size, is_market)
    self._max_unseen = _MAX_UNSEEN * self.counts["messages"]

  def _match(self, message) -> None:
    price = parse.to_price(message["price"])
    volume = parse.to_size(message["size"])
    maker = self._resting.get(message["maker_order_id"])
    if maker is None:
      raise ValueError("the maker is not in the book")
    if (maker.side, maker.price) != (parse.to_side(message["side"]), price):
      raise ValueError("the maker rests at another price or side")
    if not 0 < volume <= maker.remaining:
      raise ValueError(
        f"size {volume} for a maker with {maker.remaining} lots left"
      )
    taker = self._arrival(message["taker_order_id"], 1 - maker.side)
    maker.remaining -= volume
    taker.fills.append((maker.order_id, price, volume))
    if taker.size is not None and taker.taken > taker.size:
      raise ValueError("the taker takes more than its size")

  def _open(self, message) -> None:
    name, rest = message["order_id"], parse.to_size(message["remaining_size"])
    order = self._arrival(name, parse.to_side(message["side"]))
    if not rest or order.size not in (None, order.taken + rest):
      raise ValueError("remaining_size is not what is left of the order")
    price = parse.to_price(message["price"])
    self._resting[name] = self._settle(name, price, rest)

  def _done(self, message) -> None:
    name, is_filled = message["order_id"], message["reason"] == "filled"
    if order := self._arriving.get(name):
      if is_filled and not order.is_market:
        if order.size not in (None, order.taken):
          raise ValueError("a filled order has not taken its size")
      self.counts["refused"] += not order.fills
      self._settle(name)
    elif order := self._resting.pop(name, None):
      rest = parse.to_size(message["remaining_size"])
      if rest != order.remaining or (is_filled and rest):
        raise ValueError(
          f"done with {rest}, but {order.remaining} lots are left"
        )
      if rest:
        self._emit(types.OrderKind.CANCEL, order, rest, remaining=0)
    else:
      self._check_unseen()

  def _change(self, message) -> None:
    name = message["order_id"]
    if order := self._resting.get(name):
      old, new = (
        parse.to_size(message["old_size"]),
        parse.to_size(message["new_size"]),
      )
      had, gets = (
        parse.to_price(message[key] if key in message else message["price"])
        for key in ("old_price", "new_price")
      )
      is_moved = gets != order.price or new > old
      is_known = (old, had) == (order.remaining, order.price)
      may_move = message.get("reason") == "modify_order" and new
      if not is_known or (is_moved and not may_move):
        raise ValueError("a change that is no reduction of what is left")
      if is_moved:
        self._move(name, gets, new)
      elif new < old:
        order.remaining = new
        self._emit(types.OrderKind.CANCEL, order, old - new, remaining=new)
    elif order := self._arriving.get(name):
      order.size = None
    else:
      self._check_unseen()

  def _move(self, name: str, price: int, size: int) -> None:
    """Cancels a resting order, which arrives anew."""
    order = self._resting.pop(name)
    self._emit(types.OrderKind.CANCEL, order, order.remaining, remaining=0)
    del self.ids[name]
    self._arriving[name] = _Arriving(order.side, size)
    self._moving = name, price
    self.counts["modified"] += 1

  def _stop_moving(self, message) -> None:
    """Rests a modified order once its arrival is over.

    The messages of that are its trades, the ends of those that it fills, and
    its own.
    """
    if self._moving is None:
      return
    name, price = self._moving
    order, kind = self._arriving.get(name), message["type"]
    if order is not None:
      rest = order.size - order.taken
      is_own = message.get("order_id") == name
      is_filled = kind == "done" and message["reason"] == "filled"
      if (
        (kind == "match" and message["taker_order_id"] == name)
        or (kind == "open" and is_own)
        or (is_filled and order.fills and (not is_own or not rest))
      ):
        return
      resting = self._settle(name, price, rest)
      if rest:
        self._resting[name] = resting
    self._moving = None

  def _activate(self, _) -> None:
    self.counts["activations"] += 1

  def _arrival(self, name: str, side: int) -> _Arriving:
    """Returns an arriving order, also one received before the start."""
    if name in self.ids:
      raise ValueError("the order is in the book, or was")
    if name not in self._arriving:
      self._check_unseen()
      self._arriving[name] = _Arriving(side, None)
    if self._arriving[name].side != side:
      raise ValueError("the order is of the other side")
    return self._arriving[name]

  def _check_unseen(self) -> None:
    """Counts a message of an unknown order; too many raise."""
    self.counts["unseen"] += 1
    if self.counts["unseen"] > self._max_unseen:
      raise ValueError("the order was neither received nor in the book")

  def _settle(
    self, name: str, price: int | None = None, rest: int = 0
  ) -> _Resting | None:
    """Emits an arrived order and its trades, if any.

    An order without trades that does not rest is not emitted.

    Args:
      name: Coinbase's id of it.
      price: its own, None where it does not rest.
      rest: lots that it rests with.
    """
    order = self._arriving.pop(name)
    if not order.fills and not rest:
      return None
    if price is None:
      _, price, _ = order.fills[-1]
    order_id = self._new_id(name)
    for maker_id, paid, volume in order.fills:
      ids = events.trade_ids(order.side, order_id, maker_id)
      self.trades.append((len(self.events), *ids, paid, volume))
    resting = _Resting(order_id, order.side, price, rest)
    self._emit(types.OrderKind.LIMIT, resting, order.taken + rest)
    self.counts["market_orders" if order.is_market else "limit_orders"] += 1
    self.counts["aggressive_orders"] += bool(order.fills)
    self.counts["trades"] += len(order.fills)
    return resting

  def _emit(
    self, kind, order, volume, is_market_event=True, remaining=-1
  ) -> None:
    self.counts["cancels"] += kind == types.OrderKind.CANCEL
    event = (
      order.side,
      order.price,
      volume,
      order.order_id,
      is_market_event,
      remaining,
    )
    self.events.append((self._time, kind, *event))


def _to_orders(
  path: compressed.File, end: parse.Book, ids: dict[str, int], tick: int
) -> events.RestingOrders:
  """Returns the book at the end by our order ids."""
  for row, (*_, name) in enumerate(end.orders, 1):
    if name not in ids:
      raise events.DataError(path, row, "the order was never in the book")
  columns = [(side, p // tick, v, ids[name]) for side, p, v, name in end.orders]
  side, price, volume, order_id = np.array(columns, np.int64).reshape(-1, 4).T
  return events.RestingOrders(
    side=side.astype(np.int32),
    price=price,
    volume=volume,
    order_id=order_id.astype(np.int32),
  )
