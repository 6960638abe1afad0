"""Replay of events through the matching engine, in chunks.

Under the rules of any venue: where the schedule ends the phase of a call
auction between two events, the auction is executed. `recorder` and
`verification` build on it.
"""

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
_VIEW = 128  # Slots of a side that snapshots are taken of, at the start.


@struct.dataclass
class Output:
  """The outcome of each event; leaves `[T, ...]`."""

  fills: types.Fills  # [T, F]
  num_fills: jax.Array  # [T], of all fills, those beyond F included
  traded: jax.Array  # [T] lots
  cancelled: jax.Array  # [T] lots taken off resting orders, untraded
  remaining: jax.Array  # [T] lots that rest of the order that it names
  is_crossed: jax.Array  # [T] bool, whether bids reach asks after it
  in_view: jax.Array  # [T] bool, whether the snapshot has all of its levels
  mid_before: jax.Array  # [T] ticks
  mid_after: jax.Array  # [T] ticks
  snapshot: types.Snapshot  # [T, 2, L], after it


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Some events in a row, replayed.

  Attributes:
    first, last: they are the events in `[first, last)`.
    phase: `[T]` `rules.Phase` in which each came.
    output: the outcome of each, numpy leaves. The snapshot and mid after the
      last are of the book after the auction, if one follows.
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
    exchange: the state after the last chunk.
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
    """
    self.exchange = exchange
    self.max_fills = max_fills
    self._stream, self._rules, self._grows = stream, rules, grows
    self._phase = phases(stream, rules)
    self._num_levels = num_levels
    self._view = _VIEW
    zero = jnp.zeros([], exchange.book.price.dtype)
    self._mid = lob.mid(exchange.book, fallback=zero)

  def run(
    self, start: int = 0, *, ends_in_auction: bool = False
  ) -> collections.abc.Iterator[Chunk]:
    """Replays the events from `start` on.

    An auction is executed where the schedule ends its phase between two events,
    and after the last event if `ends_in_auction`.
    """
    for end, has_auction in self._segments(ends_in_auction):
      for first in range(start, end, CHUNK):
        last = min(first + CHUNK, end)
        yield self._run_chunk(first, last, has_auction and last == end)
      start = max(start, end)

  def _segments(self, ends_in_auction):
    """Yields the ends of runs, and whether an auction follows."""
    in_auction = np.isin(self._phase, rules_lib.AUCTION_PHASES)
    for end in np.flatnonzero(in_auction[:-1] & ~in_auction[1:]) + 1:
      yield int(end), True
    yield len(in_auction), bool(in_auction[-1] and ends_in_auction)

  def _run_chunk(self, first, last, has_auction):
    """Replays events of one phase, and its closing auction."""
    orders = padded_orders(self._stream, first, last)
    seconds = _seconds(self._stream)[first:last]
    seconds = np.pad(seconds, (0, CHUNK - len(seconds)), mode="edge")
    output = self._matched(orders, seconds)
    output = jax.tree.map(lambda x: np.array(x[: last - first]), output)
    outcome = None
    if has_auction:
      self.exchange, outcome = _uncross(self.exchange, rules=self._rules)
      self._mid = lob.mid(self.exchange.book, fallback=self._mid)
      snapshot = lob.snapshot(self.exchange.book, num_levels=self._num_levels)
      output.mid_after[-1] = self._mid
      output.snapshot.price[-1] = snapshot.price
      output.snapshot.volume[-1] = snapshot.volume
      outcome = jax.device_get(outcome)
    return Chunk(first, last, self._phase[first:last], output, outcome)

  def _matched(self, orders, seconds):
    """Matches a chunk, with capacities that grow if they may."""
    while True:
      (exchange, mid), output = _replay_chunk(
        (self.exchange, self._mid),
        orders,
        seconds,
        rules=self._rules,
        max_fills=self.max_fills,
        num_levels=self._num_levels,
        view=self._view,
      )
      book = self.exchange.book
      if self._grows and 0 < self.max_fills < output.num_fills.max():
        self.max_fills *= GROWTH
      elif self._grows and exchange.book.dropped > book.dropped:
        book = lob.resize(book, GROWTH * book.price.shape[1])
        self.exchange = self.exchange.replace(book=book)
      elif not output.in_view.all():
        self._view *= GROWTH
      else:
        self.exchange, self._mid = exchange, mid
        return output


def phases(stream: events.EventStream, rules: rules_lib.Rules) -> np.ndarray:
  """Returns the `rules.Phase` in which each event came, `[E]`."""
  starts, names = np.array(rules.schedule).T
  index = np.searchsorted(starts, _seconds(stream), "right") - 1
  return np.where(index < 0, rules_lib.Phase.CLOSED, names[index])


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
  stream: events.EventStream, start: int, end: int
) -> types.Order:
  """Returns events as orders, padded to `CHUNK` with `NONE`."""
  orders = orders_of(stream, slice(start, end))
  padding = (0, CHUNK - len(orders.kind))
  padded = jax.tree.map(lambda leaf: np.pad(leaf, padding), orders)
  is_padding = np.arange(CHUNK) >= len(orders.kind)
  kind = np.where(is_padding, types.OrderKind.NONE, padded.kind)
  return padded.replace(kind=kind.astype(np.int32))


@functools.partial(
  jax.jit, static_argnames=("rules", "max_fills", "num_levels", "view")
)
def _replay_chunk(
  carry, orders, seconds, *, rules, max_fills, num_levels, view
):
  """Scans over orders and the seconds at which they came."""

  def step(carry, inputs):
    exchange, mid_before = carry
    order, now = inputs
    exchange, report = session.step(
      exchange, order, now, rules=rules, max_fills=max_fills
    )
    book = exchange.book
    mid_after = lob.mid(book, fallback=mid_before)
    is_named = (book.id == order.id) & (book.volume > 0)
    ask, bid = book.price[types.Side.ASK, 0], book.price[types.Side.BID, 0]
    snapshot, in_view = _snapshot(book, num_levels, view)
    output = Output(
      fills=report.fills,
      num_fills=report.num_fills,
      traded=report.traded,
      cancelled=report.cancelled,
      remaining=jnp.where(is_named, book.volume, 0).sum(
        dtype=book.volume.dtype
      ),
      is_crossed=(book.volume[:, 0] > 0).all() & (bid >= ask),
      in_view=in_view,
      mid_before=mid_before,
      mid_after=mid_after,
      snapshot=snapshot,
    )
    return (exchange, mid_after), output

  return jax.lax.scan(step, carry, (orders, seconds))


def _snapshot(book, num_levels, view):
  """Returns the best levels, and whether all are in view.

  A book may be long, its best levels are a few orders: this is the quicker way.
  They are whole where a further level begins in view, or the book ends there.
  """
  if view >= book.price.shape[1]:
    return lob.snapshot(book, num_levels=num_levels), jnp.bool(True)
  first = book.replace(price=book.price[:, :view], volume=book.volume[:, :view])
  seen = lob.snapshot(first, num_levels=num_levels + 1)
  ends = book.volume[:, view] == 0
  in_view = (ends | (seen.volume[:, num_levels] > 0)).all()
  return jax.tree.map(lambda x: x[:, :num_levels], seen), in_view


_uncross = jax.jit(session.uncross, static_argnames="rules")
