"""A day at a Python exchange, as Shenzhen level-2 files."""

import bisect
import collections
import dataclasses
import itertools

import numpy as np

from mars_jax import types
from mars_jax.lob import venues
from tests.support.oracles import python_exchange

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
RULES = dataclasses.replace(venues.SHENZHEN, lot=1)
REFERENCE = 1_000  # Ticks, the previous close.
DAY = "2023-07-11"
COLUMNS = {  # Of orders and executions, by layout.
  "order.csv": (
    *("ChannelNo", "ApplSeqNum", "MDStreamID", "SecurityID"),
    *("SecurityIDSource", "TransactTime", "OrdType", "Side", "Price"),
    "OrderQty",
  ),
  "trade.csv": (
    *("ChannelNo", "ApplSeqNum", "MDStreamID", "SecurityID"),
    *("SecurityIDSource", "TransactTime", "ExecType", "BidApplSeqNum"),
    *("OfferApplSeqNum", "LastPx", "LastQty"),
  ),
  "SZorders.csv": (
    *("ChannelNo", "ApplSeqNum", "SecurityID", "MDDate", "MDTime"),
    *("OrderType", "OrderBSFlag", "OrderPrice", "OrderQty"),
  ),
  "SZtrans.csv": (
    *("ChannelNo", "ApplSeqNum", "SecurityID", "MDDate", "MDTime"),
    *("TradeType", "TradeBuyNo", "TradeSellNo", "TradePrice", "TradeQty"),
  ),
}
SPECIFIED, VENDOR = ("order.csv", "trade.csv"), ("SZorders.csv", "SZtrans.csv")
_VENDOR_KINDS = {"U": "3", "F": "0", "4": "1"}

Order = collections.namedtuple("Order", "sequence time kind side price volume")
Execution = collections.namedtuple(
  "Execution", "sequence time kind bid ask price volume"
)


def write(
  folder, orders, executions, *, names=SPECIFIED, code="000001", channel=2011
):
  """Writes rows in a layout; appends to existing files."""
  is_vendor = names == VENDOR
  for name, rows in zip(names, (orders, executions), strict=True):
    path = folder / name
    lines = [] if path.exists() else [",".join(COLUMNS[name])]
    for sequence, time, kind, *rest in rows:
      if is_vendor:
        kind = _VENDOR_KINDS.get(kind, kind)
        start = (channel, sequence, f"{code}.SZ", DAY.replace("-", "."), time)
      else:
        moment = DAY.replace("-", "") + time.replace(":", "").replace(".", "")
        start = (channel, sequence, "010", code, 102, moment)
      lines.append(",".join(map(str, (*start, kind, *rest))))
    with open(path, "a") as file:
      file.write("\n".join(lines) + "\n")
  return folder


class Session:
  """One day of random orders and its recorded rows.

  Attributes:
    orders: rows of messages 300192.
    executions: rows of messages 300191.
    events: what was sent: (kind, side, price, volume, id), where the price is
      that of the last fill if a market order has any.
    trades: (event, is_auction, bid id, ask id, price, volume); the event is the
      number of those before an auction.
    exchange: as it is at the end.
  """

  def __init__(self, seed: int, num_orders: int):
    self._rng = np.random.default_rng(seed)
    self._sequence = 0
    self._sequences = []  # By id.
    self.orders, self.executions = [], []
    self.events, self.trades = [], []
    self.exchange = python_exchange.PythonExchange(RULES, 10**6, REFERENCE)
    share = num_orders // 10
    self._phase("09:15", "09:20", 2 * share, self._collect)
    self._phase("09:20", "09:25", share, self._rest)
    self._uncross("09:25")
    self._phase("09:30", "11:30", 3 * share, self._trade)
    self._phase("13:00", "14:57", 3 * share, self._trade)
    self._phase("14:57", "15:00", share, self._rest)
    self._uncross("15:00")

  def _phase(self, start, end, count, act):
    first, last = (100 * _seconds(clock) for clock in (start, end))
    for time in np.sort(self._rng.integers(first, last, count)).tolist():
      self._time = time
      act()

  def _collect(self):
    """Rests an order or cancels one, in a call auction."""
    if self._rng.random() < 0.2:
      self._cancel_any()
    else:
      self._rest()

  def _rest(self):
    """Sends a limit order around the last price."""
    side, volume = int(self._rng.integers(2)), self._volume()
    price = self.exchange.last_price + int(self._rng.normal(0, 6))
    self._send("2", side, price, volume)

  def _trade(self):
    """Performs a random action of continuous trading."""
    draw = self._rng.random()
    if draw < 0.3:
      self._cancel_any()
    elif draw < 0.7:
      self._rest()
    else:
      kind = ("other best", "own best", "five levels", "all or none", "all")
      side = int(self._rng.integers(2))
      self._market(kind[int(self._rng.integers(5))], side)

  def _market(self, kind, side):
    """Sends a market order of some kind."""
    own, other = (self.exchange.rows(x) for x in (side, 1 - side))
    levels = list(dict.fromkeys(row.price for row in other))
    volume = self._volume() * int(self._rng.integers(1, 8))
    held = sum(row.volume for row in other)
    if kind == "own best":
      limits = [row.price for row in own[:1]]
    elif kind == "all or none" and held < volume:
      limits = []
    else:
      limits = levels[: {"other best": 1, "five levels": 5}.get(kind)]
    row_kind = "U" if kind == "own best" else "1"
    if not limits:
      self._order(row_kind, side, 0, volume)
      self._cancel(self._sequence, side, volume)
      return
    rested = self._send(row_kind, side, limits[-1], volume)
    if rested and kind not in ("own best", "other best"):
      self._cancel_id(len(self._sequences) - 1)

  def _send(self, kind, side, price, volume):
    """Sends an order; returns what rests of it, lots."""
    id_ = len(self._sequences)
    self._order(kind, side, price if kind == "2" else 0, volume)
    self._sequences.append(self._sequence)
    result = self._apply(LIMIT, side, price, volume, id_)
    for fill in result.fills:
      pair = (id_, fill.id) if side == BID else (fill.id, id_)
      event = len(self.events)
      self._fill(event, False, *pair, fill.price, fill.volume)
    if kind == "1":
      price = result.fills[-1].price
    self.events.append((LIMIT, side, price, volume, id_))
    return result.rested

  def _cancel_any(self):
    rows = [*self.exchange.rows(ASK), *self.exchange.rows(BID)]
    if rows:
      self._cancel_id(rows[int(self._rng.integers(len(rows)))].id)

  def _cancel_id(self, id_):
    """Cancels what is left of an order."""
    side, row = next(
      (side, row)
      for side in (ASK, BID)
      for row in self.exchange.rows(side)
      if row.id == id_
    )
    self._apply(CANCEL, side, row.price, row.volume, id_)
    self.events.append((CANCEL, side, row.price, row.volume, id_))
    self._cancel(self._sequences[id_], side, row.volume)

  def _uncross(self, clock):
    """Executes a call auction."""
    self._time = 100 * _seconds(clock)
    auction = self.exchange.uncross()
    assert auction.volume
    asks, bids = auction.fills
    ends = [
      list(itertools.accumulate(fill.volume for fill in side))
      for side in (asks, bids)
    ]
    cuts = sorted({*ends[ASK], *ends[BID]})
    for start, end in itertools.pairwise([0, *cuts]):
      ask, bid = (
        side[bisect.bisect_left(ends[i], end)].id
        for i, side in enumerate((asks, bids))
      )
      event = len(self.events)
      self._fill(event, True, bid, ask, auction.price, end - start)

  def _apply(self, kind, side, price, volume, id_):
    message = python_exchange.Message(kind, side, price, volume, id_)
    result = self.exchange.apply(message, self._time // 100)
    assert result.reason == types.Reason.ACCEPTED
    return result

  def _fill(self, event, is_auction, bid, ask, price, volume):
    """Writes down a trade."""
    self.trades.append((event, is_auction, bid, ask, price, volume))
    pair = self._sequences[bid], self._sequences[ask]
    row = (*self._next(), "F", *pair, f"{price / 100:.4f}", volume)
    self.executions.append(Execution(*row))

  def _cancel(self, sequence, side, volume):
    pair = (sequence, 0) if side == BID else (0, sequence)
    row = (*self._next(), "4", *pair, "0.0000", f"{volume}.00")
    self.executions.append(Execution(*row))

  def _order(self, kind, side, price, volume):
    number = 1 if side == BID else 2
    row = (*self._next(), kind, number, f"{price / 100:.4f}", volume)
    self.orders.append(Order(*row))

  def _next(self):
    """The next sequence number and time.

    Some numbers are other instruments'."""
    self._sequence += int(self._rng.integers(1, 4))
    seconds, hundredths = divmod(self._time, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours:02d}:{minutes:02d}:{seconds:02d}.{hundredths:02d}0"
    return self._sequence, clock

  def _volume(self):
    return 100 * int(self._rng.integers(1, 10))


def _seconds(clock: str) -> int:
  hours, minutes = clock.split(":")
  return (60 * int(hours) + int(minutes)) * 60
