"""Reads NASDAQ TotalView-ITCH 5.0 into an event stream of one instrument.

`itch_chunks` describes the files. The feed tells all displayed orders from the
first of the day on, each with a reference, and what becomes of them; the order
that trades with them is not told. So:
  Aggressive orders. Executions of one side in a row, at one time, are one
    order that takes them all (trades with hidden orders in between do not end
    the row, and are no part of it). If a new order of the other side follows at
    that time, at the price of the last execution or beyond, it is what is left
    of that order and tells its limit; else the limit is the last price.
  Replaces. A cancel of what is left of the order, and a new order: the feed
    always gives it a new place in the queue, even where it only loses shares.
  Crosses. What leaves the book in an auction (opening, closing, after a halt)
    trades with no aggressive order: executions that are not printed, that have
    the time of a cross (Q), or that come right before one. They become cancels
    that are no flow.
  Turns. The venue may execute an order before others that price and time put
    first. The reader keeps a price-time book in step and sees that; the row
    of executions then becomes cancels that are no flow, since no order would
    trade like this.
  Crossing orders. An order may rest at a price that would trade: before the
    cross that ends a halt, say. It waits outside the book until it no longer
    would, and enters it then (no flow) with what it has left.
  Executions at another price than the order's (C) are trades at the order's,
    as in any replay.

One tick is 1 cent, one lot one share. Orders that are off this grid (below a
dollar prices may be in 1/100 cent) are left out as long as they only rest; one
that trades outside of a cross is an error: such a stock is not for this reader.

The counts of a stream are
  messages: those of the instrument and the events of the whole market =
    limit_orders + replaces + cancels + executions + hidden_executions +
    cross_trades + broken_trades + trading_actions + directory + system_events +
    those of the other types, each under `type_` and its letter.
  limit_orders, replaces, cancels, executions: A and F, U, X and D, E and C.
  hidden_executions, cross_trades, broken_trades: P, Q, B; these leave the book
    as it is, and yield no event.
  trading_actions, halts: H, and those of them that halt or pause trading.
  directory, system_events: R and S.
  aggressive_orders: orders put together from executions.
  remainders: limit_orders that are what such an order left over.
  cross_executions, out_of_turn_executions: executions that are cancels here.
  repriced_executions: others, at another price than the order's.
  off_grid_orders: new orders, by A, F or U, that are left out.
  crossing_orders: new orders that have to wait outside the book.
  outside: cancels, replaces and executions of orders that are not in the book,
    for one of these reasons; these yield no event.
  late_cancels: cancels from 20:00 on, when the venue is closed and clears its
    book: these yield no event, and the orders count as those that rest last.
"""

import pathlib

import numpy as np

from mars_jax.feeds import events
from mars_jax.feeds import itch_messages
from mars_jax.feeds import itch_reader

_NAMES = (
  "time",
  "kind",
  "side",
  "price",
  "volume",
  "order_id",
  "is_market_event",
)
_DTYPES = (np.int64, *[np.int32] * 5, bool)

instruments = itch_messages.instruments
split = itch_messages.split


def read(
  path: pathlib.Path | str, *, instrument: str | None = None
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, instrument=instrument)[0]


def read_checked(
  path: pathlib.Path | str, *, instrument: str | None = None
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, and what to check its replay by.

  Args:
    path: a file of messages, plain or compressed; only those of the instrument
      are kept as it streams by. To read many instruments, `split` it first.
    instrument: the symbol; may be left out where only one has orders.

  Returns:
    The stream, and the checks: `trades` are the executions that make up the
    aggressive orders, one for each resting order that is hit; `left` is told of
    every cancel; `orders` rest after the last message, by the feed's own
    numbers, but for those outside the book.

  Raises:
    events.DataError: the input is broken, or the instrument not in it; names
      file, row (the message, from 1) and reason.
  """
  if instrument is None:
    there = instruments(path)
    if len(there) != 1:
      reason = f"{len(there)} instruments have orders, name one"
      listed = f": {itch_messages.listed(there)}" if there else ""
      raise events.DataError(path, None, reason + listed)
    instrument = there[0]
  messages = itch_messages.load(path, instrument)
  reader = itch_reader.Reader(path, messages)
  reader.run()
  *columns, left = np.array(reader.events, np.int64).reshape(-1, 8).T
  arrays = zip(_NAMES, columns, _DTYPES, strict=True)
  stream = events.EventStream(
    market="NASDAQ",
    instrument=instrument,
    day=itch_messages.day(path),
    **{name: column.astype(dtype) for name, column, dtype in arrays},
    tick_size=0.01,
    lot_size=1.0,
    counts=reader.counts,
    rules="nasdaq",
  )
  return stream, events.GroundTruth(
    trades=events.continuous_trades(reader.trades, np.int32),
    orders=reader.orders(),
    left=left,
  )
