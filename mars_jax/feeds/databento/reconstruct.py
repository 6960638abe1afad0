"""Reconstructs the orders of one instrument from MBO records."""

import collections
import pathlib

import numpy as np

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.databento import own_book
from mars_jax.feeds.databento import parse

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
COUNTS = (
  *("records", "other_records", "start_orders", "limit_orders", "cancels"),
  *("modifies", "aggressive_orders", "trades", "fills", "hidden_trades"),
  *("hidden_fills", "fills_without_trade", "off_price_fills", "clears"),
  *("no_actions", "maybe_bad_book", "early", "unfinished", "unseen"),
  *("clock_back", "clock_ahead", "collected", "auction_trades"),
)
_ADD, _CANCEL, _MODIFY, _CLEAR, _TRADE, _FILL, _NONE = b"ACMRTFN"
_HAPPENS = _ADD, _CANCEL, _MODIFY, _TRADE, _FILL
_LAST, _TOP_OF_BOOK, _SNAPSHOT, _BY_PRICE, _MAYBE_BAD = 128, 64, 32, 16, 4
_NO_SIDE = -1
_SIDES = np.full(256, _NO_SIDE)
_SIDES[[ord("A"), ord("B")]] = ASK, BID
_MAX_UNSEEN = 1e-3  # Share of records that may name orders never added.
_MAX_SPAN = types.NANOSECONDS  # Of the times of one event.
_MAX_AHEAD = types.NANOSECONDS  # Of an event to its receipt.

_Record = collections.namedtuple(
  "_Record", "row time clock action side price size name flags"
)


def _is_timed(records):
  """Returns which records happen at their `ts_event`."""
  is_start = records["flags"] & _SNAPSHOT > 0
  return np.isin(records["action"], _HAPPENS) & ~is_start


class Reconstruction:
  """Events and trades from the records, taken chunk by chunk.

  Attributes:
    events: `[E, 9]` int64: a row of `events.from_rows`, and the row of the
      file. Times are of the UNIX epoch, 0 before the first known.
    trades: `[M, 6]` int64, rows of `events.continuous_trades`, and whether each
      is of a call auction.
    collected: `[E, 1]`, 1 where a call auction collects the event.
    resting: {the exchange's order id: `Order`} of what rests.
    first: the clock and `ts_recv` of the first record that is no snapshot.
    counts: see `reader.read_checked`.
  """

  def __init__(self, path: pathlib.Path, *, least_price: int | None = None):
    """Starts with an empty book.

    Args:
      path: of the file, for errors.
      least_price: that an order may have; None for no limit.
    """
    self.resting = {}
    self.first = None
    self.counts = dict.fromkeys(COUNTS, 0)
    self._path = path
    self._least_price = least_price
    self._parts = tuple([np.zeros((0, n), np.int64)] for n in (9, 6, 1))
    self._new = [], [], []  # Of the chunk in progress, as `_parts`.
    self._best = own_book.BestPrices()
    self._num_events = 0
    self._num_orders = 0
    self._time = 0  # Of the events being made, as the row.
    self._row = 0
    self._last_time = 0  # Of the records checked.
    self._publisher = None
    self._first_unseen = None
    self._event = []  # Its records so far.
    self._late = []  # Arguments of `_emit`, for after its trades.

  def take(self, rows: np.ndarray, records: np.ndarray) -> None:
    """Goes through the next records of the instrument."""
    self._check(rows, records)
    clock = self._clock(records)
    self._count(records)
    side = _SIDES[records["side"]]
    columns = (
      *(rows, records["ts_event"], clock, records["action"], side),
      *(records["price"], records["size"], records["order_id"]),
      records["flags"],
    )
    for row in zip(*(column.tolist() for column in columns), strict=True):
      record = _Record._make(row)
      if record.flags & _SNAPSHOT or record.action == _CLEAR:
        self._settle()
        self._set_up(record)
      else:
        self._collect(record)
    self._store()

  def finish(self) -> None:
    """Ends the last event.

    Raises:
      events.DataError: if too many orders were unknown.
    """
    if self._event and not self._event[-1].flags & _LAST:
      self.counts["unfinished"] = len(self._event)
    self._settle()
    self._store()
    self.events, self.trades, self.collected = map(np.concatenate, self._parts)
    self.counts["collected"] = int(self.collected.sum())
    if self.counts["unseen"] > _MAX_UNSEEN * self.counts["records"]:
      reason = "unknown order id, as in over one record of a thousand"
      self._fail(self._first_unseen, reason)

  def _store(self):
    """Stores new events and trades as arrays, to save memory."""
    for parts, new in zip(self._parts, self._new, strict=True):
      parts.append(np.array(new, np.int64).reshape(-1, parts[0].shape[1]))
      new.clear()

  def _fail(self, row, reason):
    raise events.DataError(self._path, row, reason)

  def _count(self, records):
    """Counts the records, and those that no event shows."""
    is_bad = records["flags"] & _MAYBE_BAD > 0
    self.counts["records"] += len(records)
    self.counts["maybe_bad_book"] += int(is_bad.sum())
    self.counts["no_actions"] += int((records["action"] == _NONE).sum())

  def _check(self, rows, records):
    """Raises at the first record that is broken in itself."""
    action, price, size = (records[x] for x in ("action", "price", "size"))
    flags, time = records["flags"], records["ts_event"]
    is_new = np.isin(action, (_ADD, _MODIFY))
    is_order = is_new | (action == _CANCEL)
    if self._publisher is None and is_order.any():
      self._publisher = records["publisher_id"][is_order][0]
    is_start = flags & _SNAPSHOT > 0
    is_timed = _is_timed(records)
    checks = {
      "unknown action": ~np.isin(action, list(b"ACMRTFN")),
      "side is not A or B": is_new & (_SIDES[records["side"]] == _NO_SIDE),
      "price is undefined": is_new & (price == parse.UNDEFINED_PRICE),
      "size is not in [1, 2**31)": is_order & ((size < 1) | (size >= 2**31)),
      "ts_event is undefined": is_timed & (time < 0),
      # Trades off the market, as ICE's, may have a publisher of their own.
      "publisher_id changes: a book of several venues": is_order
      & (records["publisher_id"] != self._publisher),
      "the record is of a price level, not of an order": (
        flags & (_TOP_OF_BOOK | _BY_PRICE) > 0
      ),
      "the record of a snapshot is no add or clear": (
        is_start & ~np.isin(action, (_ADD, _CLEAR, _NONE))
      ),
    }
    if self._least_price is not None:
      checks["price is not positive, on a venue of shares"] = is_new & (
        price < self._least_price
      )
    for reason, is_bad in checks.items():
      if is_bad.any():
        self._fail(int(rows[is_bad.argmax()]), reason)

  def _clock(self, records):
    """Returns the times of the records, never decreasing.

    A `ts_event` before that of an earlier record counts as the latest so far:
    the order of the file is the exchange's. One that is far ahead of its
    receipt would stop the clock, and counts as the receipt.
    """
    is_timed = _is_timed(records)
    time, received = records["ts_event"], records["ts_recv"]
    is_ahead = is_timed & (received > 0) & (time - received > _MAX_AHEAD)
    time = np.where(is_timed, np.where(is_ahead, received, time), 0)
    latest = np.maximum.accumulate(np.append(self._last_time, time))
    self.counts["clock_ahead"] += int(is_ahead.sum())
    self.counts["clock_back"] += int((is_timed & (time < latest[:-1])).sum())
    self._last_time = latest[-1]
    if self.first is None and is_timed.any():
      row = is_timed.argmax()
      self.first = int(time[row]), int(received[row])
    return latest[1:]

  def _set_up(self, record):
    """Clears the book, or adds an order of a snapshot."""
    self._row, was_crossed = record.row, self._best.is_crossed()
    if record.action == _CLEAR:
      self.counts["clears"] += 1
      for order in self.resting.values():
        self._emit(
          CANCEL, order, order.remaining, remaining=0, is_market_event=False
        )
      self.resting.clear()
      self._best.clear()
    elif record.action == _ADD:
      self.counts["start_orders"] += 1
      self._emit(LIMIT, self._add(record), record.size, is_market_event=False)
    self._mark(was_crossed or self._best.is_crossed())

  def _mark(self, is_collected):
    """Marks the newest events as collected, or not."""
    num_new = len(self._new[0]) - len(self._new[2])
    self._new[2].extend([is_collected] * num_new)

  def _collect(self, record):
    """Adds a record to the current or the next event."""
    if self._event and self._event[-1].flags & _LAST:
      # Fills of one order that are sent one by one share their time; the
      # remainder of the order comes last.
      has_new = any(other.action in (_ADD, _MODIFY) for other in self._event)
      if has_new or record.time != self._event[0].time:
        self._settle()
    if record.action == _NONE:
      if not self._event:
        return  # It ends no event, and its time may be undefined.
    elif self._event and record.clock - self._event[0].clock > _MAX_SPAN:
      self._fail(record.row, "no event ends (F_LAST) for over a second")
    self._event.append(record)

  def _settle(self):
    """Emits the current event of the exchange.

    What it takes off the book untraded comes first, then the aggressive orders,
    then what it adds: in that order each trades with what it did trade with.
    While the exchange's book is crossed, orders collect for a call auction.
    """
    if not self._event:
      return
    was_crossed = self._best.is_crossed()
    self._time, self._row = self._event[0].clock, self._event[0].row
    trades = [r.side for r in self._event if r.action == _TRADE]
    self.counts["trades"] += len(trades)
    hits = []
    for record in self._event:
      if record.action == _ADD:
        self._late.append((LIMIT, self._add(record), record.size))
      elif record.action == _CANCEL:
        self._cancel(record)
      elif record.action == _MODIFY:
        self._modify(record)
      elif record.action == _FILL:
        hits.append((self._fill(record, trades), record))
    takes = bool(set(trades) - {_NO_SIDE})
    if was_crossed and not takes:
      hits, trades = self._uncross(hits), []
    if trades or hits:
      self._trade(hits, trades)
    for arguments in self._late:
      self._emit(*arguments)
    self._mark(not takes and (was_crossed or self._best.is_crossed()))
    self._event, self._late = [], []

  def _fill(self, record, trades):
    """Returns the filled resting order, None if not there.

    The book changes with a later record. A fill on the side of the only trades
    of the event is of the aggressive order itself, and makes no difference.
    """
    order = self.resting.get(record.name)
    if order is None or order.order_id == own_book.NO_ID:
      return None
    if trades and not {1 - order.side, _NO_SIDE} & set(trades):
      return None
    order.filled += record.size
    return order

  def _add(self, record):
    """Returns a new order, which rests."""
    if record.name in self.resting:
      self._fail(record.row, "the order is added twice")
    order = own_book.Order(record.side, record.price, record.size)
    self.resting[record.name] = order
    self._best.add(order.side, order.price)
    return order

  def _find(self, record):
    """Returns the order that a record changes; None if unknown."""
    order = self.resting.get(record.name)
    if order is None:
      self.counts["unseen"] += 1
      self._first_unseen = self._first_unseen or record.row
    elif record.side not in (order.side, _NO_SIDE):
      self._fail(record.row, "the order is of the other side")
    return order

  def _cancel(self, record):
    """Takes `size` off an order, filled lots first."""
    order = self._find(record)
    if order is None:
      return
    if record.size > order.remaining:
      reason = f"size {record.size} is off an order of {order.remaining} lots"
      self._fail(record.row, reason)
    traded = order.trade(record.size)
    self._reduce(record.name, order, record.size - traded)

  def _modify(self, record):
    """Gives an order another price and size, after its fills.

    It keeps its place where only its size shrinks. Else it is cancelled and
    another order arrives, as also where it was unknown.
    """
    self.counts["modifies"] += 1
    order = self._find(record)
    if order is not None:
      order.trade(order.remaining)
      if record.price == order.price and record.size <= order.remaining:
        self._reduce(record.name, order, order.remaining - record.size)
        return
      self._reduce(record.name, order, order.remaining)
    new = self._add(record)
    self._late.append((LIMIT, new, record.size, -1, order is not None))

  def _reduce(self, name, order, volume):
    """Cancels lots of an order, maybe none."""
    order.remaining -= volume
    if not order.remaining:
      del self.resting[name]
      self._best.remove(order.side, order.price)
    if not volume:
      return
    # The order is new where it has no id, and its cancel comes after it.
    arguments = (CANCEL, order, volume, order.remaining + order.traded)
    if order.order_id == own_book.NO_ID:
      self._late.append(arguments)
    else:
      self._emit(*arguments)

  def _uncross(self, hits):
    """Pairs the fills of both sides as auction trades.

    Returns:
      What only one side has of them, as of a trade with orders elsewhere.
    """
    fills = [], []  # By side: what is left of each, and its record.
    for maker, record in hits:
      if maker:
        volume = min(record.size, maker.traded)
        fills[maker.side].append([volume, maker, record])
    while all(fills):
      (asked, ask, record), (bought, bid, _) = (side[0] for side in fills)
      volume = min(asked, bought)
      ids = bid.order_id, ask.order_id
      if volume:
        trade = (self._num_events, *ids, record.price, volume, True)
        self._new[1].append(trade)
        self.counts["auction_trades"] += 1
      for side in fills:
        side[0][0] -= volume
        side[0][1].traded -= volume
        if not side[0][0]:
          side[0][1].filled = 0
          del side[0]
    return [
      (maker, record._replace(size=volume))
      for side in fills
      for volume, maker, record in side
    ]

  def _trade(self, hits, trades):
    """Emits the aggressive orders of an event, one a side."""
    takers = {side: [] for side in trades if side != _NO_SIDE}
    for maker, record in hits:
      volume = min(record.size, maker.traded) if maker else 0
      self.counts["hidden_fills"] += volume < record.size
      if not volume:
        continue
      maker.traded -= volume
      self.counts["off_price_fills"] += record.price != maker.price
      if 1 - maker.side in takers:
        takers[1 - maker.side].append((maker, volume))
      else:
        self.counts["fills_without_trade"] += 1
        rest = maker.remaining + maker.traded
        self._emit(CANCEL, maker, volume, rest, is_market_event=False)
    for maker, _ in hits:
      if maker:
        maker.filled = 0
    self.counts["hidden_trades"] += sum(not takers.get(side) for side in trades)
    for side, taken in takers.items():
      if taken:
        self._arrive(side, taken)

  def _arrive(self, side, taken):
    """Emits an aggressive order with its remainder and trades."""
    worst = max if side == BID else min
    price = worst(maker.price for maker, _ in taken)
    order, rest = own_book.Order(side, price, 0), 0
    for place, (kind, other, volume, *_) in enumerate(self._late):
      reaches = other.side == side and worst(other.price, price) == other.price
      if kind == LIMIT and reaches:
        order, rest = other, volume
        del self._late[place]
        break
    event = self._num_events
    self._emit(LIMIT, order, rest + sum(volume for _, volume in taken))
    self.counts["aggressive_orders"] += 1
    self.counts["fills"] += len(taken)
    for maker, volume in taken:
      ids = events.trade_ids(side, order.order_id, maker.order_id)
      self._new[1].append((event, *ids, maker.price, volume, False))

  def _emit(self, kind, order, volume, remaining=-1, is_market_event=True):
    if kind == LIMIT:
      order.order_id = self._num_orders
      self._num_orders += 1
    if is_market_event:
      self.counts["limit_orders" if kind == LIMIT else "cancels"] += 1
    event = (
      order.side,
      order.price,
      volume,
      order.order_id,
      is_market_event,
      remaining,
    )
    self._new[0].append((self._time, kind, *event, self._row))
    self._num_events += 1
