"""Reads a pair of LOBSTER files."""

import pathlib
import re

import numpy as np

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import nasdaq
from mars_jax.feeds.lobster import inferred
from mars_jax.feeds.lobster import parse
from mars_jax.feeds.lobster import reconstruct

_MAX_LEVELS = 200  # LOBSTER gives no more.
_NAME = re.compile(r"([^_]+)_(\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+")


def read_checked(
  path: pathlib.Path | str,
  book_path: pathlib.Path | str | None = None,
  *,
  corrections: bool = True,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, with the exchange's ground truth.

  Args:
    path: a zip or a folder with exactly one pair of files, or a message file;
      each plain or compressed. Without an order-book file the book is what the
      messages imply (`inferred`), and nothing checks its levels; the count
      `unchecked_rows` has how many rows that are.
    book_path: the order-book file, where `path` is a message file and its name
      with "orderbook" for "message" is not the order-book file's.
    corrections: whether to put right what happens out of view. If not, the
      stream is the start orders and the market's own messages alone, and drifts
      away from the file: a cancel takes what there is at its price, and an
      aggressive order that finds too little rests.

  Returns:
    The stream, and the ground truth: `levels` are the rows of the order-book
    file but for those inside a sweep (an aggressive order is one event, which
    completes its last row) and those where bids reach asks; `remaining` is 0
    where a delete takes all that the file has of its order, and -1 else.

  Raises:
    events.DataError: the input is broken; names file, row (from 1) and reason.
  """
  message_file, *book_files = parse.open_pair(path, book_path)
  messages = parse.parse_messages(*message_file)
  if book_files:
    (book_file,) = book_files
    rows, counts = _load_book(book_file, messages), {}
  else:
    book_file = message_file
    rows, counts = inferred.infer(messages, _num_levels(message_file[0]))
    counts["unchecked_rows"] = len(rows.price)
  halted = parse.find_halts(book_file[0], messages, rows)
  messages, rows, tick = parse.to_ticks(messages, rows)
  reader = reconstruct.Reconstruction(
    message_file[0], messages, rows, halted, corrections
  )
  reader.run()
  stem = compressed.stem(message_file[0])
  match = _NAME.fullmatch(stem)
  stream, remaining = events.from_rows(
    reader.events,
    rows.price.dtype,
    market="NASDAQ",
    instrument=match[1] if match else stem,
    day=match[2] if match else "",
    tick_size=tick / nasdaq.UNITS,
    lot_size=1.0,
    counts=reader.counts | counts,
  )
  if not book_files:
    return stream, events.GroundTruth(remaining=remaining)
  num_events = np.array(reader.events_at_row, np.int64)
  is_complete = num_events != reconstruct.INSIDE_SWEEP
  levels = events.Levels(
    num_events=num_events[is_complete],
    price=rows.price[is_complete],
    volume=rows.volume[is_complete],
  )
  return stream, events.GroundTruth(levels=levels, remaining=remaining)


def _num_levels(path):
  """Returns the levels that messages are about."""
  match = re.search(r"_message_(\d+)$", compressed.stem(path))
  return int(match[1]) if match else _MAX_LEVELS


def _load_book(file, messages):
  """Returns the rows of an order-book file, one a message."""
  rows = parse.parse_book(*file)
  count, book_count = len(messages["time"]), len(rows.price)
  if count != book_count:
    raise events.DataError(
      file[0],
      min(count, book_count) + 1,
      f"{book_count} rows of the book for {count} messages",
    )
  return rows
