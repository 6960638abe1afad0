"""Records of the orders of an event stream, replayed.

The exchange's own orders, matched by our rules, give back its book: what each
order met (its place, the mid before it) and what it left (the best levels and
the depth after it).
`records` are the market's orders among what an `engine.Replayer` replays;
`replay` matches a stream into a book of fixed capacity, as a simulation would.
"""

import collections.abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.lob import venues
from mars_jax.replay import engine


def initial_exchange(
  stream: events.EventStream, *, capacity: int, reference: int
) -> tuple[session.Exchange, int]:
  """Returns the exchange before the first market event.

  The orders that rest at the start are in its book.

  Args:
    stream: the events; those before the first of the market's own are the book
      at the start.
    capacity: orders that a side has room for, more if the start needs them.
    reference: ticks, the previous close.

  Returns:
    The exchange, and how many events that was.
  """
  is_start = ~stream.is_market_event & (stream.kind == types.OrderKind.LIMIT)
  if stream.auction is not None:  # The book may be crossed.
    is_start &= stream.auction == types.NO_AUCTION
  count = int(np.logical_and.accumulate(is_start).sum())
  orders = engine.orders_of(stream, slice(count))
  while capacity < np.bincount(orders.side, minlength=2).max():
    capacity *= engine.GROWTH
  book = lob.from_orders(orders, capacity)
  return session.init(book, reference=reference), count


def records(
  stream: events.EventStream, chunk: engine.Chunk, *, num_levels: int
) -> records_lib.Records:
  """Returns the records of a chunk's orders that become tokens.

  These are the market's own in continuous trading. Those of call auctions are
  none: nothing answers them until the auction ends, and MarS, which counts time
  and price changes from the continuous open, has none either (official code;
  its time table has four hours a day).
  """
  rows = slice(chunk.first, chunk.last)
  output = chunk.output
  is_token = chunk.phase == rules_lib.Phase.CONTINUOUS
  return records_lib.Records(
    time=stream.time[rows],
    order=engine.orders_of(stream, rows),
    place=output.place,
    mid_before=output.mid_before,
    mid_after=output.mid_after,
    snapshot=jax.tree.map(lambda x: x[..., :num_levels], output.snapshot),
    depth=output.depth,
    traded=output.traded,
  )[stream.is_market_event[rows] & is_token]


def replay(
  stream: events.EventStream,
  book: lob.Book,
  *,
  num_levels: int,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
  stops: collections.abc.Sequence[int] = (),
  on_stop: collections.abc.Callable[
    [int, session.Exchange], None
  ] = lambda num_orders, exchange: None,
) -> tuple[records_lib.Records, lob.Book]:
  """Matches a stream under its rules, into a fixed capacity.

  Args:
    stream: the events.
    book: the book before them, `lob.init(capacity)` at the start of a day. What
      exceeds its capacity is counted in its `dropped`.
    num_levels: levels of the snapshots.
    on_progress: called with the number of events just done, now and then.
    stops: numbers of events, ascending, after each of which `on_stop` is called
      with the number of records so far and the exchange.

  Returns:
    The records of the market's own orders, as numpy arrays, and the book after
    the last event.

  Raises:
    ValueError: if there is no event, the numbers of stream and book are not of
      one type, or the volumes of one side could exceed it.
  """
  if not len(stream):
    raise ValueError(f"{stream.name}: no events to replay")
  if stream.volume.dtype != book.volume.dtype:
    raise ValueError(
      f"{stream.name}: numbers are {stream.volume.dtype}, those of the book"
      f" {book.volume.dtype}; use a larger lot size, or launch/replay.py"
    )
  held = np.asarray(book.volume, np.int64).sum(axis=1)
  most = max_side_volume(stream, held)
  if most > np.iinfo(book.volume.dtype).max:
    raise ValueError(
      f"{stream.name}: one side could hold {most} lots, more than"
      f" {book.volume.dtype} can count; use a larger lot size"
    )
  last_price = lob.mid(book, fallback=jnp.zeros([], book.price.dtype))
  replayer = engine.Replayer(
    stream,
    session.init(book, reference=last_price),
    # The previous close, of which the price limits are a share, is not known.
    rules=dataclasses.replace(feed_rules(stream), price_limit_bp=None),
    num_levels=num_levels,
    max_fills=0,
    grows=False,
    stops=stops,
  )
  parts, num_orders, wanted = [], 0, set(stops)
  for chunk in replayer.run():
    parts.append(records(stream, chunk, num_levels=num_levels))
    num_orders += len(parts[-1])
    on_progress(chunk.last - chunk.first)
    if chunk.last in wanted:
      on_stop(num_orders, replayer.exchange)
  return records_lib.concatenate(parts), replayer.exchange.book


def feed_rules(
  stream: events.EventStream, *, rules: str | None = None
) -> rules_lib.Rules:
  """Returns the rules to replay a feed by.

  The lot is 1, not the venue's own: of an order that trades at once a feed may
  give no more than what it traded, which need not be round.

  Args:
    stream: of the feed.
    rules: the name of a preset, of `lob.PRESETS`; the stream's if not given.
  """
  return dataclasses.replace(venues.PRESETS[rules or stream.rules], lot=1)


def max_side_volume(stream: events.EventStream, held: np.ndarray) -> int:
  """Returns an upper bound of the lots on one side.

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
