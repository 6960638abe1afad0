"""Replay of events through the matching engine, in chunks.

Under the rules of any venue: where the schedule, or the feed
(`EventStream.auction`), ends the phase of a call auction between two events,
the auction is executed. `recorder` and
`verification` build on it.
"""

import bisect
import collections.abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.lob import auction
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session

CHUNK = 8192  # Events in one compiled call; the last one is padded.
GROWTH = 4  # Of a capacity that is too small; each costs a compilation.
_START = 512  # Slots of a side that a replay begins with, or fewer.


@struct.dataclass
class Output:
  """The outcome of each event; leaves `[T, ...]`."""

  fills: types.Fills  # [T, F]
  num_fills: jax.Array  # [T], of all fills, those beyond F included
  traded: jax.Array  # [T] lots
  cancelled: jax.Array  # [T] lots taken off resting orders, untraded
  remaining: jax.Array  # [T] lots that rest of the order that it names
  is_crossed: jax.Array  # [T] bool, whether bids reach asks after it
  place: types.Place | None  # [T], before it; None unless they are kept
  mid_before: jax.Array  # [T] ticks
  mid_after: jax.Array  # [T] ticks
  snapshot: types.Snapshot  # [T, 2, L], after it
  depth: types.Depth | None  # [T, 2, C], after it; None as above


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Some events in a row, replayed.

  Attributes:
    first, last: they are the events in `[first, last)`.
    phase: `[T]` `rules.Phase` in which each came.
    output: the outcome of each, numpy leaves. The snapshot, the depth and the
      mid after the last are of the book after the auction, if one follows.
    auction: the call auction that follows on the last of them, or None.
  """

  first: int
  last: int
  phase: np.ndarray
  output: Output
  auction: auction.Auction | None


class Replayer:
  """One replay in progress.

  Attributes:
    max_fills: fills of an event that are listed.
  """

  def __init__(
    self,
    stream: events.EventStream,
    exchange: session.Exchange,
    *,
    rules: rules_lib.Rules,
    num_levels: int,
    max_fills: int,
    grows: bool,
    stops: collections.abc.Sequence[int] = (),
    keeps_places: bool = True,
  ):
    """Starts a replay.

    Args:
      stream: the events.
      exchange: before them.
      rules: of the venue.
      num_levels: levels of the snapshots.
      max_fills: fills of an event to list.
      grows: whether the capacity of the book, and `max_fills`, grow as needed.
        If not, the book counts what it has no room for.
      stops: numbers of events after which a chunk ends, ascending.
      keeps_places: whether places and depths are kept, which cost as much as
        the matching in a large book.
    """
    self.max_fills = max_fills
    self._stream, self._rules, self._grows = stream, rules, grows
    self._phase = phases(stream, rules)
    self._num_levels, self._keeps_places = num_levels, keeps_places
    self._stops = [*map(int, stops)]
    gaps = np.diff(self._stops)
    # Chunks are padded to one size: as small as lets stops near each other be.
    self._size = CHUNK
    while len(gaps) and self._size > 2 * np.median(gaps):
      self._size //= 2
    # A book as small as it may be is the quicker one: it begins so, and grows.
    self._capacity = exchange.book.price.shape[1]
    used = int((exchange.book.volume > 0).sum(axis=1).max())
    start = min(max(GROWTH * used, _START), self._capacity)
    self._exchange = _resize(exchange, start)
    zero = jnp.zeros([], exchange.book.price.dtype)
    self._mid = lob.mid(exchange.book, fallback=zero)

  @property
  def exchange(self) -> session.Exchange:
    """The state after the last chunk."""
    own = self._exchange.book.price.shape[1]
    return _resize(self._exchange, max(own, self._capacity))

  def run(
    self, start: int = 0, *, ends_in_auction: bool = False
  ) -> collections.abc.Iterator[Chunk]:
    """Replays the events from `start` on.

    An auction is executed where the schedule ends its phase between two events,
    and after the last event if `ends_in_auction`.
    """
    for end, has_auction in self._segments(ends_in_auction):
      while start < end:
        last = min(start + self._size, end, *self._stops_after(start))
        yield self._run_chunk(start, last, has_auction and last == end)
        start = last

  def _stops_after(self, event: int) -> list[int]:
    """Returns the next stop after so many events, if any."""
    place = bisect.bisect_right(self._stops, event)
    return self._stops[place : place + 1]

  def _segments(self, ends_in_auction):
    """Yields the ends of runs, and whether an auction follows."""
    in_auction = np.isin(self._phase, rules_lib.AUCTION_PHASES)
    for end in np.flatnonzero(in_auction[:-1] & ~in_auction[1:]) + 1:
      yield int(end), True
    yield len(in_auction), bool(in_auction[-1] and ends_in_auction)

  def _run_chunk(self, first, last, has_auction):
    """Replays events of one phase, and its closing auction."""
    orders = padded_orders(self._stream, first, last, size=self._size)
    padding = (0, self._size - (last - first))
    seconds, phase = (
      np.pad(column[first:last], padding, mode="edge")
      for column in (_seconds(self._stream), self._phase)
    )
    output = self._matched(orders, seconds, phase)
    output = jax.tree.map(lambda x: np.array(x[: last - first]), output)
    outcome = None
    if has_auction:
      self._exchange, outcome = self._uncrossed(last - 1)
      book = self._exchange.book
      self._mid = lob.mid(book, fallback=self._mid)
      snapshot = lob.snapshot(book, num_levels=self._num_levels)
      output.mid_after[-1] = self._mid
      output.snapshot.price[-1] = snapshot.price
      output.snapshot.volume[-1] = snapshot.volume
      if self._keeps_places:
        depth = lob.depth(book)
        output.depth.volume[-1] = depth.volume
        output.depth.orders[-1] = depth.orders
      outcome = jax.device_get(outcome)
    return Chunk(first, last, self._phase[first:last], output, outcome)

  def _uncrossed(self, event):
    """Executes the call auction after an event.

    It is at the price that the feed tells, if it does: exchanges that open with
    one differ in how they choose it. All else is ours.
    """
    told, price = self._stream.auction, None
    if told is not None and told[event] > types.UNTOLD_PRICE:
      price = jnp.asarray(told[event], self._exchange.last_price.dtype)
    return _uncross(self._exchange, rules=self._rules, price=price)

  def _matched(self, orders, seconds, phase):
    """Matches a chunk, with capacities that grow if they may."""
    while True:
      (exchange, mid), output = _replay_chunk(
        (self._exchange, self._mid),
        orders,
        seconds,
        phase,
        rules=self._rules,
        max_fills=self.max_fills,
        num_levels=self._num_levels,
        keeps_places=self._keeps_places,
      )
      book = self._exchange.book
      own = book.price.shape[1]
      if self._grows and 0 < self.max_fills < output.num_fills.max():
        self.max_fills *= GROWTH
      elif exchange.book.dropped > book.dropped and (
        self._grows or own < self._capacity
      ):
        larger = GROWTH * own
        if own < self._capacity:
          larger = min(larger, self._capacity)
        self._exchange = _resize(self._exchange, larger)
      else:
        self._exchange, self._mid = exchange, mid
        return output


def _resize(exchange: session.Exchange, capacity: int) -> session.Exchange:
  """Returns the exchange with a book of another capacity."""
  return exchange.replace(book=lob.resize(exchange.book, capacity))


def phases(stream: events.EventStream, rules: rules_lib.Rules) -> np.ndarray:
  """Returns the `rules.Phase` in which each event came, `[E]`.

  It is that of the schedule, except where the feed shows a call auction.
  """
  starts, names = np.array(rules.schedule).T
  index = np.searchsorted(starts, _seconds(stream), "right") - 1
  phase = np.where(index < 0, rules_lib.Phase.CLOSED, names[index])
  if stream.auction is not None:
    is_told = stream.auction != types.NO_AUCTION
    phase = np.where(is_told, rules_lib.Phase.CALL_AUCTION, phase)
  return phase.astype(np.int32)


def _seconds(stream):
  return (stream.time // types.NANOSECONDS).astype(np.int32)


def orders_of(
  stream: events.EventStream, rows: slice | np.ndarray
) -> types.Order:
  """Returns some events as orders, leaves `[rows]`."""
  return types.Order(
    kind=stream.kind[rows],
    side=stream.side[rows],
    price=stream.price[rows],
    volume=stream.volume[rows],
    id=stream.order_id[rows],
    owner=np.full_like(stream.order_id[rows], types.NO_OWNER),
  )


def padded_orders(
  stream: events.EventStream, start: int, end: int, *, size: int
) -> types.Order:
  """Returns events as orders, padded to `size` with `NONE`."""
  orders = orders_of(stream, slice(start, end))
  padding = (0, size - len(orders.kind))
  padded = jax.tree.map(lambda leaf: np.pad(leaf, padding), orders)
  is_padding = np.arange(size) >= len(orders.kind)
  kind = np.where(is_padding, types.OrderKind.NONE, padded.kind)
  return padded.replace(kind=kind.astype(np.int32))


@functools.partial(
  jax.jit, static_argnames=("rules", "max_fills", "num_levels", "keeps_places")
)
def _replay_chunk(
  carry, orders, seconds, phase, *, rules, max_fills, num_levels, keeps_places
):
  """Scans over orders, their seconds and their phases."""

  def step(carry, inputs):
    exchange, mid_before = carry
    order, now, phase = inputs
    place = None
    if keeps_places:
      place = lob.place(exchange.book, order, fallback=mid_before)
    exchange, report = session.step(
      exchange, order, now, rules=rules, max_fills=max_fills, phase=phase
    )
    book = exchange.book
    mid_after = lob.mid(book, fallback=mid_before)
    is_named = (book.id == order.id) & (book.volume > 0)
    ask, bid = book.price[types.Side.ASK, 0], book.price[types.Side.BID, 0]
    output = Output(
      fills=report.fills,
      num_fills=report.num_fills,
      traded=report.traded,
      cancelled=report.cancelled,
      remaining=jnp.where(is_named, book.volume, 0).sum(
        dtype=book.volume.dtype
      ),
      is_crossed=(book.volume[:, 0] > 0).all() & (bid >= ask),
      place=place,
      mid_before=mid_before,
      mid_after=mid_after,
      snapshot=lob.snapshot(book, num_levels=num_levels),
      depth=lob.depth(book) if keeps_places else None,
    )
    return (exchange, mid_after), output

  return jax.lax.scan(step, carry, (orders, seconds, phase))


_uncross = jax.jit(session.uncross, static_argnames="rules")
