"""Reads Databento's market by order: DBN files of the schema `mbo`.

`databento_files` reads the records, `databento_reader` makes events of them.
What they mean (databento.com/docs: schemas, "Market by order"; conventions,
"MBO snapshots"; examples, "Limit order book"; datasets, "Nasdaq TotalView-ITCH"
and "CME Globex MDP 3.0"), where `action` is
  A  an order rests;
  C  `size` lots of it are taken off;
  M  it has another price and size; it keeps its place only where the price
     stays and the size does not grow, else it is cancelled and a new order;
  R  the book is cleared: events that are no flow;
  T  an aggressive order trades, on the side told;
  F  a resting order is filled. Neither T nor F changes the book: a C or M of
     the resting order does, which then is no cancel;
  N  nothing.
  - The flag F_LAST ends an event of the exchange. Its trades of one side are
    one aggressive order, with the order of that side that the event adds at or
    through their last price as its remainder. Events in a row at one `ts_event`
    are one until an order is added: Nasdaq sends an order's fills one by one.
  - What rests at the start, or after a gap, comes with the flag F_SNAPSHOT.
  - A T alone is a trade with hidden or implied orders, or off the book. An F
    may also be of the hidden part of an order. Neither makes an event.
  - An F without a T of the other side is of an auction, or of a trade against
    orders elsewhere (a spread): the order leaves by a cancel that is no flow.

Records are in the order of `ts_recv`; their place in the file is taken as the
exchange's order, and `ts_event` as its time. A file is of one session of 24
hours at most, which may run past midnight, as CME's do: times are counted from
the midnight, in UTC, of the day on which the first record was received. The
venue is "continuous", whatever the dataset, since the presets of a venue with
opening hours have them in local time; so call auctions are not replayed.
"""

import collections.abc
import os
import pathlib
import tempfile
import urllib.parse

import numpy as np

from mars_jax import types
from mars_jax.feeds import databento_files as files
from mars_jax.feeds import databento_reader
from mars_jax.feeds import events

LOT_SIZE = 1.0
_UNITS = 10**9  # Of a price, in one of the market's currency.
_PRICE_LIMIT = 2**30  # Ticks, of `lob`.
_MOST_EARLY = types.NANOSECONDS  # By which a day's first event may precede it.
_SPLIT_BYTES = 2**26  # Held at a time, to append much to few files.


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the symbols of the instruments that have records, sorted.

  The file is read through. One that the header does not name, as none in a live
  capture, goes by its id.
  """
  with files.open_dbn(path) as file:
    ids = set()
    for _, records in file.chunks():
      ids.update(np.unique(records["instrument_id"]).tolist())
    return tuple(sorted(name for i in ids for name in file.symbols(i)))


def read(
  path: pathlib.Path | str,
  *,
  instrument: str | None = None,
  tick_size: float | None = None,
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  stream, _ = read_checked(path, instrument=instrument, tick_size=tick_size)
  return stream


def read_checked(
  path: pathlib.Path | str,
  *,
  instrument: str | None = None,
  tick_size: float | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads an instrument of a file, and what to check its replay by.

  The file streams; in memory are the events, 72 bytes each, and the book.

  Args:
    path: `*.dbn`, plain or compressed, as `*.dbn.zst`.
    instrument: one of `instruments`, None for the only one.
    tick_size: in the currency of the market; None for the largest of which all
      prices of the instrument in the file are multiples. That may be more than
      the exchange's where few prices occur.

  Returns:
    The stream and the checks: `trades` are the fills of resting orders by
    aggressive ones, at the price at which the order rests; `left` is told of
    every cancel; `orders` are the feed's own at the end. The counts are
      records: of the instrument;
      other_records: of the file that are no orders;
      start_orders: orders of snapshots;
      limit_orders, cancels: events of the market, by kind;
      modifies: records that modify an order;
      aggressive_orders: those limit orders that trade as they arrive;
      trades: records of trades;
      fills: those of resting orders by aggressive ones;
      hidden_trades: trades with nothing that rests in the book;
      hidden_fills: fills that, in whole or in part, take nothing off the book;
      fills_without_trade: those that no aggressive order made, as in auctions;
      off_price_fills: fills at another price than that of the order;
      clears: records that clear the book;
      no_actions: records of no action;
      maybe_bad_book: records after a gap in the feed (F_MAYBE_BAD_BOOK);
      early: events before the midnight they are counted from, which are at it;
      unfinished: records of the last event, where the file ends within it;
      unseen: cancels and modifies of orders never added; an error where they
        are more than one in a thousand records. The order of such a modify is
        added by an event that is no flow.

  Raises:
    ImportError: if the extra `databento` is not installed.
    events.DataError: if the file is broken; names file, row (the record, from
      1) and reason.
  """
  path = pathlib.Path(path)
  if instrument is None:
    instrument = _only(path)
  reader = databento_reader.Reader(path)
  with files.open_dbn(path) as file:
    number = file.find(instrument)
    for first, records in file.chunks():
      rows = np.flatnonzero(records["instrument_id"] == number)
      if len(rows):
        reader.take(first + rows, records[rows])
  if not reader.counts["records"]:
    raise events.DataError(path, None, f"no records of {instrument}")
  reader.finish()
  reader.counts["other_records"] = file.num_other
  return _to_stream(path, file.metadata.dataset, instrument, reader, tick_size)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a file for each instrument, in one pass over a file of many.

  Such a file has the records of the instrument's orders as they are, under a
  name such as `ESH4_2024-03-05.dbn`; characters that are no letter, digit or
  one of `_.-~` are escaped as in a URL. The files appear when all are whole.

  Args:
    path: as for `read_checked`; it is never in memory as a whole.
    folder: where to write; it is made if need be.
    instruments: which; by default all that have records.

  Returns:
    The paths of the files, sorted.

  Raises:
    ImportError: if the extra `databento` is not installed.
    events.DataError: if the file is broken, or has no records of an instrument.
  """
  path, folder = pathlib.Path(path), pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  parts = {}  # {symbol: its file in progress}
  with tempfile.TemporaryDirectory(dir=folder, prefix=".split-") as scratch:
    with files.open_dbn(path) as file:
      for name, records in _by_symbol(file, instruments):
        if name not in parts:
          escaped = urllib.parse.quote(name, safe="")
          parts[name] = pathlib.Path(scratch, f"{escaped}_{file.day}.dbn")
          parts[name].write_bytes(file.header(name))
        with parts[name].open("ab") as part:
          part.write(records.tobytes())
    for name in instruments or ():
      if name not in parts:
        raise events.DataError(path, None, f"no records of {name}")
    for part in parts.values():
      os.replace(part, folder / part.name)
  return sorted(folder / part.name for part in parts.values())


def _by_symbol(file, instruments):
  """Yields (symbol, some records) of all instruments, or of these."""
  names = {}  # {id: symbols, of those}
  for _, records in file.chunks(_SPLIT_BYTES):
    records = records[np.argsort(records["instrument_id"], kind="stable")]
    ids, starts = np.unique(records["instrument_id"], return_index=True)
    runs = np.split(records, starts[1:])
    for number, mine in zip(ids.tolist(), runs, strict=True):
      if number not in names:
        names[number] = [
          name
          for name in file.symbols(number)
          if instruments is None or name in instruments
        ]
      for name in names[number]:
        yield name, mine


def _only(path):
  """Returns the one instrument of a file."""
  with files.open_dbn(path) as file:
    names = tuple(file.ids)
  if len(names) != 1:
    names = instruments(path)
  if len(names) != 1:
    reason = f"{len(names)} instruments; name one of {', '.join(names[:9])}"
    raise events.DataError(path, None, reason)
  return names[0]


def _to_stream(path, dataset, instrument, reader, tick_size):
  """Returns what a reader made of the records, in ticks and time of day."""
  if not reader.events[:, 6].any():
    reason = f"nothing happens to {instrument} after the start"
    raise events.DataError(path, None, reason)
  time, kind, side, price, volume, order_id, is_market_event, left, row = (
    reader.events.T
  )
  if (volume >= 2**31).any():
    reason = "the volume of an aggressive order is not below 2**31"
    raise events.DataError(path, int(row[volume.argmax()]), reason)
  time, day = _to_time(path, time, reader)
  tick = _tick(path, price, row, tick_size)
  stream = events.EventStream(
    market=dataset,
    instrument=instrument,
    day=str(day),
    time=time,
    kind=kind.astype(np.int32),
    side=side.astype(np.int32),
    price=(price // tick).astype(np.int32),
    volume=volume.astype(np.int32),
    order_id=order_id.astype(np.int32),
    is_market_event=is_market_event.astype(bool),
    tick_size=tick / _UNITS,
    lot_size=LOT_SIZE,
    counts=reader.counts,
  )
  return stream, events.GroundTruth(
    trades=events.continuous_trades(
      reader.trades // np.array([1, 1, 1, tick, 1]), np.int32
    ),
    orders=_to_orders(reader.resting.values(), tick),
    left=left,
  )


def _to_time(path, time, reader):
  """Returns the nanoseconds since midnight, and the day; counts early events.

  A record that is received just after midnight may have happened before.
  """
  happened, received = reader.first
  start = int(np.clip(received, happened, happened + _MOST_EARLY))
  midnight = start // files.DAY * files.DAY
  if time[-1] - start > files.DAY:
    raise events.DataError(path, None, "mixed days: more than 24 hours")
  time = np.maximum(time, happened)  # The snapshot at the start.
  reader.counts["early"] = int((time < midnight).sum())
  return np.maximum(time, midnight) - midnight, files.to_date(midnight)


def _tick(path, price, row, tick_size):
  """Returns the tick size in units; raises where a price does not fit it."""
  tick = int(np.gcd.reduce(price))
  if tick_size is not None:
    tick = round(tick_size * _UNITS)
    if tick < 1 or tick / _UNITS != tick_size:
      raise ValueError(f"tick_size {tick_size} is no multiple of 1e-9")
  is_bad = (price % tick != 0) | (price // tick >= _PRICE_LIMIT)
  if is_bad.any():
    i = is_bad.argmax()
    reason = f"price {price[i] / _UNITS} is off the grid of {tick / _UNITS}"
    if not price[i] % tick:
      reason = f"price {price[i] / _UNITS} is not below 2**30 ticks"
    raise events.DataError(path, int(row[i]), reason)
  return tick


def _to_orders(resting, tick):
  """Returns the orders that rest at the end."""
  orders = [(o.side, o.price // tick, o.left, o.order_id) for o in resting]
  side, price, volume, order_id = np.array(orders, np.int32).reshape(-1, 4).T
  return events.RestingOrders(side, price, volume, order_id)
