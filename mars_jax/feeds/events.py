"""The event stream and ground truth that every reader returns.

A stream is all that happened to the book of one instrument, in the order in
which the exchange saw it. Most events are the market's own orders
(`is_market_event`): they become tokens. The others only keep the book right:
the orders that rested before the file starts, liquidity that scrolls into view
of a feed of limited depth, resting orders that the feed forgot to delete.

An aggressive order is one event of its full volume, whatever the feed says: the
fills are what the matching engine makes of it. Where it was filled at once, its
price is that of its last fill, since some feeds know no other, or its own limit
where the feed has no fills.
"""

import collections.abc
import dataclasses
import pathlib

import numpy as np

from mars_jax import types


class DataError(ValueError):
  """Broken input; names the file, the row and the reason."""

  def __init__(self, path: pathlib.Path | str, row: int | None, reason: str):
    where = str(path) if row is None else f"{path}, row {row}"
    super().__init__(f"{where}: {reason}")


@dataclasses.dataclass(frozen=True)
class EventStream:
  """Events of one instrument, `[E]` each, in the exchange's order.

  Attributes:
    market: the exchange, or the feed.
    instrument: what is traded, as the feed names it.
    day: its date, as 2012-06-21; empty if unknown.
    time: int64 nanoseconds since midnight, never decreasing.
    kind: int32 `types.OrderKind`.
    side: int32 `types.Side`, of the resting order for a cancel.
    price: int32 ticks; int64 where int32 cannot hold the feed's.
    volume: lots, > 0, of the same type as the price.
    order_id: int32 from 0, numbered in order of appearance.
    is_market_event: bool, False where the event only sets up or corrects the
    book.
    tick_size: price of one tick, in the currency of the market.
    lot_size: volume of one lot, in shares or coins.
    counts: what the reader saw and did, for reports.
    rules: the exchange's trading rules, a name of `lob.PRESETS`.
    auction: int32 ticks, the price of the call auction for which the feed shows
      an event to collect, `types.UNTOLD_PRICE` without a trade;
      `types.NO_AUCTION` for an event in the phase of the rules' schedule. None
      where that goes for all.
  """

  market: str
  instrument: str
  day: str
  time: np.ndarray
  kind: np.ndarray
  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  order_id: np.ndarray
  is_market_event: np.ndarray
  tick_size: float
  lot_size: float
  counts: collections.abc.Mapping[str, int]
  rules: str = "continuous"
  auction: np.ndarray | None = None

  @property
  def name(self) -> str:
    """Market, instrument and day, for titles."""
    return f"{self.market} {self.instrument} {self.day}".strip()

  def __len__(self) -> int:
    return len(self.time)

  def __getitem__(self, rows: slice) -> "EventStream":
    """Returns some of the events, under the same name."""
    arrays = {
      field.name: getattr(self, field.name)[rows]
      for field in dataclasses.fields(self)
      if isinstance(getattr(self, field.name), np.ndarray)
    }
    return dataclasses.replace(self, **arrays)


def integer_type(price: int, volume: int = 0) -> type[np.integer]:
  """Returns int32, or int64 where numbers need it.

  Args:
    price: the highest, in ticks.
    volume: the largest, in lots.
  """
  is_small = price <= types.MAX_PRICE and volume < 2**31
  return np.int32 if is_small else np.int64


def from_rows(
  rows: np.ndarray | list[tuple[int, ...]],
  dtype: np.typing.DTypeLike = np.int32,
  **fields,
) -> tuple[EventStream, np.ndarray]:
  """Returns the stream of some rows, and their `GroundTruth.remaining`.

  Args:
    rows: integers `[E, 8]`: time, kind, side, price, volume, order id, whether
      it is a market event, and the lots that a cancel leaves, or -1.
    dtype: of prices and volumes.
    **fields: those of `EventStream` that are no arrays.
  """
  columns = np.array(rows, np.int64).reshape(-1, 8).T
  time, kind, side, price, volume, order_id, is_market_event, remaining = (
    columns
  )
  stream = EventStream(
    time=time,
    kind=kind.astype(np.int32),
    side=side.astype(np.int32),
    price=price.astype(dtype),
    volume=volume.astype(dtype),
    order_id=order_id.astype(np.int32),
    is_market_event=is_market_event.astype(bool),
    **fields,
  )
  return stream, remaining


@dataclasses.dataclass(frozen=True)
class Trades:
  """The exchange's own trades, `[M]` each, in its order.

  Attributes:
    event: int64, the index of the event whose order traded on arrival; for the
      trades of a call auction the number of events before it.
    is_auction: bool, whether a call auction made the trade.
    bid_id: int32 order id of the buyer, `types.NO_ORDER` if unknown.
    ask_id: int32 order id of the seller, `types.NO_ORDER` if unknown.
    price: ticks.
    volume: lots.
  """

  event: np.ndarray
  is_auction: np.ndarray
  bid_id: np.ndarray
  ask_id: np.ndarray
  price: np.ndarray
  volume: np.ndarray


def continuous_trades(
  rows: np.ndarray | list[tuple[int, ...]], dtype: np.typing.DTypeLike
) -> Trades:
  """Returns trades of continuous trading.

  Args:
    rows: integers `[M, 5]`: event, bid id, ask id, price and volume of each.
    dtype: of prices and volumes.
  """
  columns = np.array(rows, np.int64).reshape(-1, 5).T
  event, bid_id, ask_id, price, volume = columns
  return Trades(
    event=event,
    is_auction=np.zeros(len(event), bool),
    bid_id=bid_id.astype(np.int32),
    ask_id=ask_id.astype(np.int32),
    price=price.astype(dtype),
    volume=volume.astype(dtype),
  )


def trade_ids(side: int, taker_id: int, maker_id: int) -> tuple[int, int]:
  """Returns the bid id and ask id of a trade.

  Args:
    side: of the taker, the aggressive order.
    taker_id: its order id.
    maker_id: that of the resting order.
  """
  is_buy = side == types.Side.BID
  return (taker_id, maker_id) if is_buy else (maker_id, taker_id)


@dataclasses.dataclass(frozen=True)
class Levels:
  """The feed's best levels at some points, `[S]` each.

  Attributes:
    num_events: int64, never decreasing, after how many events.
    price: `[S, 2, L]` ticks, by `types.Side`, best first.
    volume: `[S, 2, L]` lots, 0 where there is no such level.
  """

  num_events: np.ndarray
  price: np.ndarray
  volume: np.ndarray


@dataclasses.dataclass(frozen=True)
class RestingOrders:
  """All resting orders at one point, `[M]` each, unordered."""

  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  order_id: np.ndarray


@dataclasses.dataclass(frozen=True)
class GroundTruth:
  """The exchange's own record, to check a replay by.

  An attribute is None where the feed lacks it.

  Attributes:
    trades: the exchange's trades.
    levels: the book's levels.
    orders: the book after the last event, order by order.
    reference: ticks, the previous close, for the day's price limits.
    remaining: `[E]`, lots that a cancel leaves of its order; -1 where the feed
      does not say, and for other events.
  """

  trades: Trades | None = None
  levels: Levels | None = None
  orders: RestingOrders | None = None
  reference: int | None = None
  remaining: np.ndarray | None = None
