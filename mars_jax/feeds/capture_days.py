"""Days of captures of markets that never close.

A reader of such a market reads a capture as one stream, in nanoseconds since
midnight of its first day (UTC), and hands it to `pick`.
"""

import datetime
import pathlib

import numpy as np

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import price_time_book

_DAY = 86_400 * types.NANOSECONDS


def names(first: str, numbers: np.ndarray) -> tuple[str, ...]:
  """Returns the days of a capture, as 2024-10-04.

  Args:
    first: its first day.
    numbers: of all days in it, counted from that one.
  """
  start = datetime.date.fromisoformat(first)
  days = np.unique(numbers).tolist()
  return tuple(str(start + datetime.timedelta(days=day)) for day in days)


def pick(
  path: pathlib.Path | str,
  stream: events.EventStream,
  truth: events.GroundTruth,
  day: str | None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Returns one day of a capture.

  A later day begins with the orders that rest after the days before it, as a
  market of price-time priority leaves them: events at midnight, no market
  events, which the count `carried_orders` has. The other counts are of the
  whole capture. The book at the end is that of the last day.

  Args:
    path: of the capture, for errors.
    stream: all of it; `day` is its first.
    truth: of all of it, without levels.
    day: which one; may be None where there is only one.

  Raises:
    events.DataError: there is no such day, or several and none is named.
  """
  numbers = stream.time // _DAY
  there = names(stream.day, numbers)
  if day is None and len(there) == 1:
    return stream, truth
  if day not in there:
    problem = "several" if day is None else f"no {day}"
    reason = f"{problem} among the days {', '.join(there)}; name one of them"
    raise events.DataError(path, None, reason)
  if len(there) == 1:
    return stream, truth
  number = np.unique(numbers)[there.index(day)]
  first, end = np.searchsorted(numbers, [number, number + 1])
  carried = _carried(stream[:first])
  columns = np.array(carried, np.int64).reshape(-1, 4).T
  shift = len(carried) - first
  ids = _renumber(np.concatenate([columns[3], stream.order_id[first:end]]))
  arrays = {
    "time": np.full(len(carried), 0, np.int64),
    "kind": np.full(len(carried), types.OrderKind.LIMIT),
    **dict(zip(("side", "price", "volume", "order_id"), columns, strict=True)),
    "is_market_event": np.zeros(len(carried), bool),
  }
  own = stream[first:end]
  arrays = {
    name: np.concatenate([values, getattr(own, name)]).astype(
      getattr(own, name).dtype
    )
    for name, values in arrays.items()
  }
  arrays["time"][len(carried) :] -= number * _DAY
  arrays["order_id"] = ids[arrays["order_id"]]
  picked = events.EventStream(
    **arrays,
    market=stream.market,
    instrument=stream.instrument,
    day=day,
    tick_size=stream.tick_size,
    lot_size=stream.lot_size,
    counts={**stream.counts, "carried_orders": len(carried)},
    rules=stream.rules,
  )
  return picked, _truth_of(truth, first, end, shift, ids, end == len(stream))


def _carried(stream: events.EventStream) -> list[tuple[int, int, int, int]]:
  """Returns what rests after a stream, in time priority.

  These are (side, price, volume, order id).
  """
  book = price_time_book.Book()
  columns = (stream.kind, stream.side, stream.price, stream.volume)
  for kind, side, price, volume, order_id in zip(
    *(column.tolist() for column in columns),
    stream.order_id.tolist(),
    strict=True,
  ):
    key = -price if side == types.Side.BID else price
    if kind == types.OrderKind.LIMIT:
      fills = list(book.match(1 - side, -key, volume))
      volume -= sum(filled for _, filled in fills)
      if volume:
        book.add(side, key, order_id, volume)
    elif order_id in book.levels[side].get(key, {}):
      book.take(side, key, order_id, volume)
  return [
    (side, -key if side == types.Side.BID else key, volume, order_id)
    for side in (types.Side.ASK, types.Side.BID)
    for key in book.keys[side]
    for order_id, volume in book.levels[side][key].items()
  ]


def _renumber(order_ids: np.ndarray) -> np.ndarray:
  """Returns new ids by old ones, in order of appearance.

  Those that do not appear have none.
  """
  old, place = np.unique(order_ids, return_index=True)
  ids = np.full(old.max(initial=0) + 1, types.NO_ORDER, np.int32)
  ids[old[np.argsort(place)]] = np.arange(len(old))
  return ids


def _truth_of(truth, first, end, shift, ids, is_last):
  """Returns the ground truth of some events.

  Args:
    truth: of the whole capture.
    first: event of it, the first of the day.
    end: behind the last.
    shift: from an event's number there to that in the day.
    ids: new ones by old ones.
    is_last: whether the day is the last.
  """

  def known(old: np.ndarray) -> np.ndarray:
    is_known = (old >= 0) & (old < len(ids))
    return np.where(is_known, ids[np.where(is_known, old, 0)], types.NO_ORDER)

  trades, orders, remaining = truth.trades, truth.orders, truth.remaining
  if trades is not None:
    rows = (trades.event >= first) & (trades.event < end)
    trades = events.Trades(
      event=trades.event[rows] + shift,
      is_auction=trades.is_auction[rows],
      bid_id=known(trades.bid_id[rows]),
      ask_id=known(trades.ask_id[rows]),
      price=trades.price[rows],
      volume=trades.volume[rows],
    )
  if orders is not None:
    orders = is_last and events.RestingOrders(
      orders.side, orders.price, orders.volume, known(orders.order_id)
    )
  if remaining is not None:
    carried = np.full(first + shift, -1, remaining.dtype)
    remaining = np.concatenate([carried, remaining[first:end]])
  return events.GroundTruth(
    trades=trades, orders=orders or None, remaining=remaining
  )
