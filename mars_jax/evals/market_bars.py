"""Bars of real and simulated markets, counted from their starts.

`Recorder` takes orders in chunks, with the book after each, and keeps sums of
each bar: its memory is that of its bars. Real and simulated orders go through
the same code. (`apps.report.bars` has the bars of the clock, open to close, of
one simulation: for pictures.)
"""

import jax
import numpy as np
from flax import struct

from mars_jax import types

ASK, BID = types.Side.ASK, types.Side.BID


@struct.dataclass
class Orders:
  """Orders with the book after each.

  Leaves are `[B, E]`, of B markets and a chunk of E orders.
  """

  is_event: jax.Array  # bool, False where there is none
  time: jax.Array  # int64 nanoseconds since midnight
  is_cancel: jax.Array  # bool
  is_buy: jax.Array  # bool, of the side of the order
  volume: jax.Array  # lots that were sent
  traded: jax.Array  # lots that it took
  first_price: jax.Array  # ticks, of its first fill, if it traded
  ask: jax.Array  # ticks, best
  bid: jax.Array  # ticks, best
  is_two_sided: jax.Array  # bool, whether there are both
  level_volume: jax.Array  # lots on the best levels of both sides
  book_volume: jax.Array  # lots in the book
  book_orders: jax.Array  # orders in the book


@struct.dataclass
class Bars:
  """K bars of each of P paths, float `[P, K]`; NaN after a path's end.

  Means are over the orders of a bar. One without an order has the book and the
  price of the one before.

  Attributes:
    last: ticks, the price of the last trade.
    mean: ticks, the mean over orders of the price of the trade before or by
      it, as the MarS paper's code has it.
    traded: lots.
    events: orders sent, cancels among them.
    new: orders sent but for cancels.
    trades: orders that traded.
    buys: new orders that buy.
    sent_volume: lots of the new orders.
    volatility: root of the sum of the squared changes of the logarithm of the
      mid, order by order.
    spread: mean, ticks; of books with both sides.
    level_volume: mean lots on the best levels of both sides.
    book_volume: mean lots in the book, or in as much of it as is counted.
    book_orders: mean number of these orders.
    one_sided: orders that left a book without one of its sides.
  """

  last: np.ndarray
  mean: np.ndarray
  traded: np.ndarray
  events: np.ndarray
  new: np.ndarray
  trades: np.ndarray
  buys: np.ndarray
  sent_volume: np.ndarray
  volatility: np.ndarray
  spread: np.ndarray
  level_volume: np.ndarray
  book_volume: np.ndarray
  book_orders: np.ndarray
  one_sided: np.ndarray

  def __len__(self) -> int:
    return len(self.last)

  def __getitem__(self, index) -> "Bars":
    """Returns some of the paths, or of their bars."""
    return jax.tree.map(lambda leaf: leaf[index], self)

  @property
  def is_known(self) -> np.ndarray:
    """Bool `[P, K]`, False after a path's end."""
    return np.isfinite(self.events)


_COUNTS = (
  *("events", "new", "trades", "buys", "sent_volume", "traded", "one_sided"),
  *("price_sum", "square_sum", "two_sided"),
)
_STATES = ("spread", "level_volume", "book_volume", "book_orders")


class Recorder:
  """Makes bars of orders."""

  def __init__(
    self,
    begin: np.ndarray,
    price: np.ndarray,
    *,
    seconds: float,
    num_bars: int,
  ):
    """Begins the first bar.

    Args:
      begin: int64 `[B]` nanoseconds since midnight, of each path.
      price: `[B]` ticks, of the last trade before.
      seconds: length of a bar, > 0.
      num_bars: K; orders after the last are left out.
    """
    self._begin = np.asarray(begin, np.int64)
    self._length = round(seconds * types.NANOSECONDS)
    self._price = np.asarray(price, float)
    self._first_price = self._price
    self._log_mid = np.full(len(self._begin), np.nan)
    shape = (len(self._begin), num_bars)
    self._sums = {name: np.zeros(shape) for name in (*_COUNTS, *_STATES)}
    self._last = np.full(shape, np.nan)

  def add(self, orders: Orders) -> None:
    """Takes a chunk, numpy leaves `[B, E]`."""
    orders = jax.tree.map(np.asarray, orders)
    num_bars = self._last.shape[1]
    bar = (orders.time - self._begin[:, None]) // self._length
    is_in = orders.is_event & (bar >= 0) & (bar < num_bars)
    trades = is_in & (orders.traded > 0)
    price = _carried(np.where(trades, orders.first_price, np.nan), self._price)
    both = is_in & orders.is_two_sided
    mid = np.where(both, (orders.ask + orders.bid) / 2, np.nan)
    log_mid = _carried(_log(mid), self._log_mid)
    before = np.c_[self._log_mid[:, None], log_mid[:, :-1]]
    self._price, self._log_mid = price[:, -1], log_mid[:, -1]
    row = np.broadcast_to(np.arange(len(bar))[:, None], bar.shape)
    at = row[is_in], bar[is_in]
    is_new = ~orders.is_cancel
    for name, values in {
      "events": is_in,
      "new": is_new,
      "trades": trades,
      "buys": is_new & orders.is_buy,
      "sent_volume": is_new * orders.volume.astype(float),
      "traded": orders.traded,
      "one_sided": ~orders.is_two_sided,
      "price_sum": np.nan_to_num(price),
      "square_sum": np.nan_to_num((log_mid - before) ** 2),
      "two_sided": orders.is_two_sided,
      "spread": np.where(both, orders.ask - orders.bid, 0),
      "level_volume": orders.level_volume,
      "book_volume": orders.book_volume,
      "book_orders": orders.book_orders,
    }.items():
      np.add.at(self._sums[name], at, values[is_in])
    # Of several values for one place the last stays.
    self._last[at] = price[is_in]

  def bars(self, end: np.ndarray) -> Bars:
    """Returns the bars so far.

    Args:
      end: int64 `[B]` nanoseconds since midnight, of each path; a bar that it
        cuts is left out.
    """
    sums = self._sums
    whole = (np.asarray(end) - self._begin) // self._length
    is_known = np.arange(self._last.shape[1]) < whole[:, None]
    last = _carried(self._last, self._first_price)
    before = np.c_[self._first_price[:, None], last[:, :-1]]
    counts = np.maximum(sums["events"], 1)
    mean = np.where(sums["events"] > 0, sums["price_sum"] / counts, before)
    states = {}
    for name in _STATES:
      weight = sums["two_sided" if name == "spread" else "events"]
      value = np.where(weight > 0, sums[name] / np.maximum(weight, 1), np.nan)
      states[name] = _carried(value, np.full(len(value), np.nan))
    kept = {
      "last": last,
      "mean": mean,
      "volatility": np.sqrt(sums["square_sum"]),
      **{name: sums[name] for name in _COUNTS[:7]},
      **states,
    }
    return Bars(
      **{name: np.where(is_known, x, np.nan) for name, x in kept.items()}
    )


def _log(values: np.ndarray) -> np.ndarray:
  """Returns logarithms; NaN of what is not positive."""
  logs = np.full_like(values, np.nan)
  np.log(values, out=logs, where=values > 0)
  return logs


def _carried(values: np.ndarray, before: np.ndarray) -> np.ndarray:
  """Returns values with the last known in place of NaN."""
  every = np.c_[before[:, None], values]
  index = np.where(np.isfinite(every), np.arange(every.shape[1]), 0)
  newest = np.maximum.accumulate(index, axis=1)
  return np.take_along_axis(every, newest, axis=1)[:, 1:]
