"""Reads one instrument of an ITCH file."""

import pathlib

from mars_jax.feeds import events
from mars_jax.feeds import nasdaq
from mars_jax.feeds.itch import parse
from mars_jax.feeds.itch import reconstruct


def read_checked(
  path: pathlib.Path | str,
  *,
  instrument: str | None = None,
  tick_size: float | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, with the exchange's ground truth.

  Args:
    path: a file of messages, plain or compressed; only those of the instrument
      are kept as it streams by. To read many instruments, `split` it first.
    instrument: the symbol; may be left out where only one has orders.
    tick_size: price of one tick, in dollars; found if None
      (`reconstruct.find_tick`).

  Returns:
    The stream, and the ground truth: `trades` are the executions that make up
    the aggressive orders, one for each resting order that is hit; `remaining`
    is given for every cancel; `orders` rest after the last message, by the
    feed's own numbers, but for those outside the book. Prices and volumes are
    int64 where int32 cannot hold a price.

  Raises:
    events.DataError: the input is broken, or the instrument not in it; names
      file, row (the message, from 1) and reason.
  """
  if instrument is None:
    there = parse.instruments(path)
    if len(there) != 1:
      reason = f"{len(there)} instruments have orders, name one"
      listed = f": {parse.listed(there)}" if there else ""
      raise events.DataError(path, None, reason + listed)
    instrument = there[0]
  messages = parse.load(path, instrument)
  tick = round((tick_size or 0) * nasdaq.UNITS)
  if tick_size is None:
    tick = reconstruct.find_tick(messages)
  elif tick < 1:
    raise ValueError(f"tick_size = {tick_size:g} is below 0.0001 dollar")
  reader = reconstruct.Reconstruction(path, messages, tick)
  reader.run()
  highest = max((price for _, _, _, price, *_ in reader.events), default=0)
  dtype = events.integer_type(highest)
  stream, remaining = events.from_rows(
    reader.events,
    dtype,
    market="NASDAQ",
    instrument=instrument,
    day=parse.day(path),
    tick_size=tick / nasdaq.UNITS,
    lot_size=1.0,
    counts=reader.counts,
    rules="nasdaq" if reader.has_hours else "continuous",
  )
  return stream, events.GroundTruth(
    trades=events.continuous_trades(reader.trades, dtype),
    orders=reader.orders(dtype),
    remaining=remaining,
  )
