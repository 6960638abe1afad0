"""Bars of a simulation: what a market did in stretches of time of one length.

A `Recorder` takes events chunk by chunk, so that the memory of a long
simulation is that of its bars; `table` gives them.
"""

import dataclasses

import jax
import numpy as np
from flax import struct

from mars_jax import sim
from mars_jax import types
from mars_jax.utils import time_of_day

ASK, BID = types.Side.ASK, types.Side.BID


@struct.dataclass
class Kept:
  """The values kept of one event.

  Leaves are numpy, `[B, E, ...]`.
  """

  is_event: jax.Array  # [] bool, False once the trajectory has ended
  time: types.Timestamp  # []
  order: types.Order  # []
  reason: jax.Array  # [] int32, `types.Reason`
  traded: jax.Array  # [] int32, lots that the order took
  num_fills: jax.Array  # [] int32, of the order
  best: types.Snapshot  # [2, 1] the best level of each side, after it
  mid: jax.Array  # [] int32, ticks, after it
  all_traded: jax.Array  # [] int32, lots since the start; wraps round
  last_price: jax.Array  # [] int32, ticks, of the last trade


def observe(state: sim.SimState, event: sim.Event) -> Kept:
  """Returns what is kept of an event: the `observe_fn` of `sim.run`."""
  return Kept(
    is_event=event.is_event,
    time=event.time,
    order=event.order,
    reason=event.report.reason,
    traded=event.report.traded,
    num_fills=event.report.num_fills,
    best=jax.tree.map(lambda x: x[:, :1], event.snapshot),
    mid=event.mid,
    all_traded=state.market.traded,
    last_price=state.market.exchange.last_price,
  )


@dataclasses.dataclass(frozen=True)
class Bars:
  """K bars of each of B trajectories.

  Fields are int64 `[B, K]` if nothing else is said.

  A bar opens at the mid at which the one before closed. One without an event
  has the mid and the book of the one before.

  Attributes:
    begin: `[K]` nanoseconds since midnight, multiples of the length.
    is_bar: bool, whether the trajectory goes on so long.
    mid: `[4, B, K]` ticks: open, high, low, close.
    trade: `[4, B, K]` ticks, the same of trades, 0 where there is none. An
      order that trades at several prices counts with the last.
    has_trade: bool.
    volume: lots traded, in call auctions too.
    trades: fills, but for those of call auctions.
    orders: those sent, cancels apart.
    cancels: those sent.
    best_price: `[2, B, K]` ticks, by `types.Side`, at the end.
    best_volume: `[2, B, K]` lots, at the end; 0 where that side is empty.
  """

  begin: np.ndarray
  is_bar: np.ndarray
  mid: np.ndarray
  trade: np.ndarray
  has_trade: np.ndarray
  volume: np.ndarray
  trades: np.ndarray
  orders: np.ndarray
  cancels: np.ndarray
  best_price: np.ndarray
  best_volume: np.ndarray

  @property
  def spread(self) -> np.ma.MaskedArray:
    """Bid-ask spread in ticks, masked for one-sided books."""
    is_empty = (self.best_volume == 0).any(axis=0)
    return np.ma.masked_array(
      self.best_price[ASK] - self.best_price[BID], is_empty
    )


class Recorder:
  """Makes bars of chunks of events."""

  def __init__(self, state: sim.SimState, *, begin: int, seconds: float):
    """Begins the first bar.

    Args:
      state: before the first event, of B trajectories.
      begin: nanoseconds since midnight, of the simulation.
      seconds: length of a bar, > 0.

    Raises:
      ValueError: if a bar has no length.
    """
    self._length = round(seconds * types.NANOSECONDS)
    if self._length < 1:
      raise ValueError(f"a bar must last longer than {seconds} s")
    self._first = begin // self._length
    book = state.market.exchange.book
    best = [np.asarray(x)[:, :, 0].T for x in (book.price, book.volume)]
    self._start = np.stack([np.asarray(state.market.mid), *best[0], *best[1]])
    self._traded = np.asarray(state.market.traded)
    shape = (len(self._traded), 1)
    counts = ("volume", "trades", "orders", "cancels")
    self._data = {
      **{name: np.zeros(shape, np.int64) for name in counts},
      "mid": np.zeros((4, *shape), np.int64),
      "trade": np.zeros((4, *shape), np.int64),
      "has_trade": np.zeros(shape, bool),
      "has_mid": np.zeros(shape, bool),
      # As `_start`: mid, ask, bid, lots at the ask, at the bid.
      "last": np.zeros((5, *shape), np.int64),
    }

  def _make_room(self, num_bars: int) -> None:
    more = num_bars - self._data["volume"].shape[1]
    if more > 0:
      self._data = {
        name: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more)])
        for name, x in self._data.items()
      }

  def add(self, kept: Kept) -> None:
    """Takes a chunk, numpy leaves `[B, E, ...]`."""
    bar = time_of_day.nanoseconds(kept.time) // self._length - self._first
    if bar.max() >= self._data["volume"].shape[1]:
      self._make_room(2 * (int(bar.max()) + 1))
    # Volumes wrap round, and so do their differences.
    before = np.c_[self._traded[:, None], kept.all_traded[:, :-1]]
    self._traded = kept.all_traded[:, -1]
    volume = kept.all_traded - before
    # A call auction may come without an event, at the end.
    happens = kept.is_event | (volume != 0)
    row = np.broadcast_to(np.arange(len(bar))[:, None], bar.shape)
    at, is_event = (row[happens], bar[happens]), kept.is_event
    is_cancel = kept.order.kind == types.OrderKind.CANCEL
    for name, values in (
      ("volume", volume),
      ("trades", np.where(is_event, kept.num_fills, 0)),
      ("orders", is_event & ~is_cancel),
      ("cancels", is_event & is_cancel),
    ):
      np.add.at(self._data[name], at, values[happens])
    best = kept.best.price[..., 0], kept.best.volume[..., 0]
    last = np.stack([kept.mid, *np.moveaxis(np.concatenate(best, -1), -1, 0)])
    self._data["last"][:, *at] = last[:, happens]
    self._add_prices("mid", at, kept.mid[happens])
    trades = volume != 0
    self._add_prices(
      "trade", (row[trades], bar[trades]), kept.last_price[trades]
    )

  def _add_prices(self, name, at, price):
    """Takes prices in order of time: open, high, low and close of each bar."""
    data, seen = self._data[name], self._data[f"has_{name}"]
    is_first = ~seen[at]
    # Backwards, since of several values for one place the last stays.
    first = tuple(index[is_first][::-1] for index in at)
    data[:, *first] = price[is_first][::-1]
    seen[at] = True
    np.maximum.at(data[1], at, price)
    np.minimum.at(data[2], at, price)
    data[3][at] = price

  def table(self, end: np.ndarray) -> Bars:
    """Returns the bars so far.

    Args:
      end: int64 `[B]` nanoseconds since midnight, of each trajectory.
    """
    used = np.flatnonzero(self._data["has_mid"].any(axis=0)).max(initial=0) + 1
    num_bars = max(used, -(-end.max() // self._length) - self._first)
    self._make_room(num_bars)
    data = {name: x[..., :num_bars] for name, x in self._data.items()}
    number = np.arange(num_bars)
    begin = (self._first + number) * self._length
    is_new = data["has_mid"]
    newest = np.maximum.accumulate(np.where(is_new, number, -1), axis=1)
    # The start is what was last before the first event.
    known = np.concatenate([self._start[:, :, None], data["last"]], axis=2)
    last = np.take_along_axis(known, newest[None] + 1, axis=2)
    opening = np.c_[self._start[0][:, None], last[0][:, :-1]]
    _, high, low, _ = data["mid"]
    high = np.where(is_new, np.maximum(high, opening), opening)
    low = np.where(is_new, np.minimum(low, opening), opening)
    names = ("trade", "has_trade", "volume", "trades", "orders", "cancels")
    return Bars(
      begin=begin,
      is_bar=is_new | (begin < end[:, None]),
      mid=np.stack([opening, high, low, last[0]]),
      **{name: data[name] for name in names},
      best_price=last[1:3],
      best_volume=last[3:],
    )
