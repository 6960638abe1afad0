"""Reads LOBSTER message and order-book files into an event stream.

The files and their columns are described in `lobster_files`; row `i` of the
order-book file is the book after row `i` of the message file.

Three things are missing from such files, and the reader puts them back:
  Aggressive orders. Only the resting orders that they hit are told; executions
    at one time stamp become the one order that caused them.
  Depth. Only events within the levels of the file are told: what rests at the
    start, or scrolls into view, is set up as synthetic orders, and orders that
    were deleted out of sight are taken off when their level is seen again.
  Turns. Some executions are not in time priority as we know it. The reader
    keeps the book of a price-time matching engine in step (`lobster_reader`), so
    that its levels equal the file's after every row.

Hidden executions, halts and cross trades (the trades of an auction; the orders
that one takes out of the visible book have messages of their own) leave that
book as it is: they are counted, and yield no event.

The counts of a stream are
  messages: rows of the file = limit_orders + cancels + executions +
    hidden_executions + cross_trades + halts.
  limit_orders, cancels, executions: rows of type 1, of 2 and 3, of 4.
  hidden_executions, cross_trades, halts: rows of type 5, 6 and 7, which yield
    no event.
  aggressive_orders: orders put together from executions.
  remainders: limit_orders that are what an aggressive order left over, and
    so part of its event.
  start_orders: synthetic orders of the book before the first message.
  scrolled_in: synthetic orders at prices worse than all in the row before (of
    a sweep, before its first).
  scrolled_out: CANCEL events at such prices, of orders that went out of view
    and were gone when their price came back into it.
  added, removed: the same at prices that were in view: 0 unless the two files
    contradict each other.
  out_of_turn_executions: executions that price-time priority gives to another
    order than the feed does.
  reassigned_cancels: cancels that take volume off another order than the one
    they name, since price-time priority consumed that one, or a correction
    removed it.
  split_cancels: CANCEL events beyond the first of a cancel that takes volume
    off several orders.
  short_deletes: deletes of less than what the feed had left of the order.
  unexplained: cancels and executions of more than rests at their price, which
    are an error unless `corrections` is False.
With corrections, the events of `is_market_event` are limit_orders - remainders +
aggressive_orders + cancels + split_cancels.
"""

import pathlib
import re

import numpy as np

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import lobster_files as files
from mars_jax.feeds import lobster_reader

_NAME = re.compile(r"([^_]+)_(\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+")


def read(
  path: pathlib.Path | str, book_path: pathlib.Path | str | None = None
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, book_path)[0]


def read_checked(
  path: pathlib.Path | str,
  book_path: pathlib.Path | str | None = None,
  *,
  corrections: bool = True,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, and what to check its replay by.

  Args:
    path: a zip or a folder with exactly one pair of files, or a message file;
      each plain or compressed.
    book_path: the order-book file, where `path` is a message file and its name
      with "orderbook" for "message" is not the order-book file's.
    corrections: whether to put right what happens out of view. If not, the
      stream is the start orders and the market's own messages alone, and drifts
      away from the file: a cancel takes what there is at its price, and an
      aggressive order that finds too little rests.

  Returns:
    The stream, and the checks: `levels` are the rows of the order-book file but
    for those inside a sweep (an aggressive order is one event, which completes
    its last row); `left` is 0 where a delete takes all that the file has told
    of its order, and -1 else.

  Raises:
    events.DataError: the input is broken; names file, row (from 1) and reason.
    ImportError: polars is not installed.
  """
  message_file, book_file = files.open_pair(path, book_path)
  messages = files.parse_messages(*message_file)
  rows = files.parse_book(*book_file)
  count, book_count = len(messages["time"]), len(rows.price)
  if count != book_count:
    raise events.DataError(
      book_file[0],
      min(count, book_count) + 1,
      f"{book_count} rows of the book for {count} messages",
    )
  reader = lobster_reader.Reader(message_file[0], messages, rows, corrections)
  reader.run()
  stream, left = _make_stream(
    compressed.stem(message_file[0]), reader.events, reader.counts
  )
  num_events = np.array(reader.events_at_row, np.int64)
  is_complete = num_events != lobster_reader.INSIDE_SWEEP
  levels = events.Levels(
    num_events=num_events[is_complete],
    price=rows.price[is_complete],
    volume=rows.volume[is_complete],
  )
  return stream, events.GroundTruth(levels=levels, left=left)


def _make_stream(stem, rows, counts):
  """Returns the stream of the events of the reader, and what cancels leave."""
  match = _NAME.fullmatch(stem)
  names = (
    "time",
    "kind",
    "side",
    "price",
    "volume",
    "order_id",
    "is_market_event",
  )
  dtypes = (np.int64, *[np.int32] * 5, bool)
  *columns, left = np.array(rows, np.int64).reshape(-1, len(names) + 1).T
  stream = events.EventStream(
    market="NASDAQ",
    instrument=match[1] if match else stem,
    day=match[2] if match else "",
    **{n: c.astype(d) for n, c, d in zip(names, columns, dtypes, strict=True)},
    tick_size=0.01,
    lot_size=1.0,
    counts=counts,
  )
  return stream, left
