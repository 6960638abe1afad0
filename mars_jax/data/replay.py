"""Replays an event stream through the clearing house.

The exchange's own orders, matched by our rules, give back its book: what each
order met (the mid before it) and what it left (the best levels after it).
"""

import collections.abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lob
from mars_jax import types
from mars_jax.data import events
from mars_jax.lob import rules as rules_lib

CHUNK = 8192  # Events in one compiled call; the last one is padded.


@dataclasses.dataclass(frozen=True)
class Records:
  """The market's orders with the book before and after them, `[T]` each.

  Attributes:
    time: int64 nanoseconds since midnight.
    order: what was sent, leaves `[T]`.
    mid_before: int32 ticks, of the book that the order met.
    mid_after: int32 ticks, of the book that it left.
    snapshot: the best levels after it, leaves `[T, 2, L]`.
    traded: int32 lots that it took.
  """

  time: np.ndarray
  order: types.Order
  mid_before: np.ndarray
  mid_after: np.ndarray
  snapshot: types.Snapshot
  traded: np.ndarray

  def __len__(self) -> int:
    return len(self.time)

  def __getitem__(self, rows: slice | np.ndarray) -> "Records":
    """Returns some of the rows."""
    cut = functools.partial(jax.tree.map, lambda leaf: leaf[rows])
    fields = dataclasses.fields(self)
    return Records(**{f.name: cut(getattr(self, f.name)) for f in fields})


def replay(
  stream: events.EventStream,
  book: lob.Book,
  *,
  num_levels: int,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> tuple[Records, lob.Book]:
  """Matches a stream.

  Args:
    stream: the events.
    book: the book before them, `lob.init(capacity)` at the start of a day. What
      exceeds its capacity is counted in its `dropped`.
    num_levels: levels of the snapshots.
    on_progress: called with the number of events just done, now and then.

  Returns:
    The records of the market's own orders, as numpy arrays, and the book after
    the last event.

  Raises:
    ValueError: if there is no event, the venue has call auctions (see
      `verify`), the numbers of stream and book are not of one type, or the
      volumes of one side could exceed it.
  """
  if not len(stream):
    raise ValueError(f"{stream.name}: no events to replay")
  schedule = rules_lib.PRESETS[stream.venue].schedule
  if any(phase in rules_lib.AUCTION_PHASES for _, phase in schedule):
    raise ValueError(
      f"{stream.name}: {stream.venue} has call auctions, which tokens do not"
      " know yet; launch/replay.py replays such a day"
    )
  if stream.volume.dtype != book.volume.dtype:
    raise ValueError(
      f"{stream.name}: numbers are {stream.volume.dtype}, those of the book"
      f" {book.volume.dtype}; use a larger lot size, or launch/replay.py"
    )
  held = np.asarray(book.volume, np.int64).sum(axis=1)
  most = most_volume(stream, held)
  if most > np.iinfo(book.volume.dtype).max:
    raise ValueError(
      f"{stream.name}: one side could hold {most} lots, more than"
      f" {book.volume.dtype} can count; use a larger lot size"
    )
  mid = lob.mid(book, fallback=jnp.int32(0))
  book = jax.tree.map(jnp.copy, book)  # As each chunk donates its own.
  outputs = []
  for start in range(0, len(stream), CHUNK):
    orders = padded_orders(stream, start, start + CHUNK)
    num_events = len(stream.time[start : start + CHUNK])
    (book, mid), output = _replay_chunk((book, mid), orders, num_levels)
    outputs.append(
      jax.tree.map(lambda x, n=num_events: np.asarray(x)[:n], output)
    )
    on_progress(num_events)
  mid_before, mid_after, snapshot, traded = jax.tree.map(
    lambda *leaves: np.concatenate(leaves)[stream.is_flow], *outputs
  )
  records = Records(
    time=stream.time[stream.is_flow],
    order=orders_of(stream, stream.is_flow),
    mid_before=mid_before,
    mid_after=mid_after,
    snapshot=snapshot,
    traded=traded,
  )
  return records, book


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


@functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
def _replay_chunk(carry, orders, num_levels):
  """Scans over orders; see `Records` for what it gives for each."""

  def step(carry, order):
    book, mid_before = carry
    book, report = lob.step(book, order, max_fills=0)
    mid_after = lob.mid(book, fallback=mid_before)
    snapshot = lob.snapshot(book, num_levels=num_levels)
    output = mid_before, mid_after, snapshot, report.traded
    return (book, mid_after), output

  return jax.lax.scan(step, carry, orders)


def padded_orders(
  stream: events.EventStream, start: int, end: int
) -> types.Order:
  """Returns the orders of some events, padded to `CHUNK` with `NONE`."""
  orders = orders_of(stream, slice(start, end))
  padding = (0, CHUNK - len(orders.kind))
  padded = jax.tree.map(lambda leaf: np.pad(leaf, padding), orders)
  is_padding = np.arange(CHUNK) >= len(orders.kind)
  kind = np.where(is_padding, types.OrderKind.NONE, padded.kind)
  return padded.replace(kind=kind.astype(np.int32))


def most_volume(stream: events.EventStream, held: np.ndarray) -> int:
  """Returns a bound of what one side holds at any time, in lots.

  What trades is not taken off: that would need the matching.

  Args:
    stream: the events.
    held: `[2]` lots before them, by `types.Side`.
  """
  sign = np.where(stream.kind == types.OrderKind.CANCEL, -1, 1)
  volume = sign * stream.volume.astype(np.int64)
  return max(
    int(held[side] + np.cumsum(volume * (stream.side == side)).max(initial=0))
    for side in (types.Side.ASK, types.Side.BID)
  )
