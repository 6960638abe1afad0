"""Reads one instrument of a DBN file; splits files."""

import collections.abc
import contextlib
import dataclasses
import pathlib
import urllib.parse

import numpy as np

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds.databento import csv_parse
from mars_jax.feeds.databento import parse
from mars_jax.feeds.databento import reconstruct
from mars_jax.utils import files

LOT_SIZE = 1.0
EXCHANGES = {"XNAS.ITCH": "NASDAQ"}  # By dataset, as other feeds name them.
# Datasets of futures and their spreads, whose prices may be 0 or less; what
# trades elsewhere are shares.
_FUTURES = ("GLBX.", "IFEU.", "IFLL.", "IFUS.", "NDEX.", "XEUR.", "XEEE.")
_UNITS = 10**9  # Of a price, in one of the market's currency.
_MOST_EARLY = types.NANOSECONDS  # By which a day's first event may precede it.
_PEEKED = 200  # Bytes in which a CSV file has a comma.
_SPLIT_BYTES = 2**26  # Held at a time, to append much to few files.


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the symbols of instruments that have records, sorted.

  The file is read through. One that the header does not name, as none in a live
  capture, goes by its id.
  """
  with _opened(path) as file:
    ids = set()
    for _, records in file.chunks():
      ids.update(np.unique(records["instrument_id"]).tolist())
    return tuple(sorted(name for i in ids for name in file.symbols(i)))


def read_checked(
  path: pathlib.Path | str,
  *,
  instrument: str | None = None,
  tick_size: float | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument, with the exchange's ground truth.

  The file streams; in memory are the events, 72 bytes each, and the book.

  Args:
    path: `*.dbn`, plain or compressed, as `*.dbn.zst`.
    instrument: one of `instruments`, None for the only one.
    tick_size: in the currency of the market; None for the largest of which all
      prices of the instrument in the file are multiples. That may be more than
      the exchange's where few prices occur.

  Returns:
    The stream and the ground truth: `trades` are the fills of resting orders by
    aggressive ones, at the price at which the order rests; `remaining` is given
    for every cancel; `orders` are the feed's own at the end. The counts are
      records: of the instrument;
      other_records: of the file that are no orders;
      start_orders: orders of snapshots;
      limit_orders, cancels: events of the market, by kind;
      modifies: records that modify an order;
      aggressive_orders: those limit orders that trade as they arrive;
      trades: records of trades;
      fills: those of resting orders by aggressive ones;
      hidden_trades: trades with no order of the book;
      hidden_fills: fills that, in whole or in part, do not change the book;
      fills_without_trade: those that no aggressive order made, as in auctions;
      off_price_fills: fills at another price than that of the order;
      clears: records that clear the book;
      no_actions: records of no action;
      maybe_bad_book: records after a gap in the feed (F_MAYBE_BAD_BOOK);
      early: events before the midnight they are counted from, which are at it;
      collected: events while the exchange's book was crossed, as before the
        open: they rest until a call auction, and are no tokens;
      auction_trades: trades of these auctions;
      clock_back: records whose `ts_event` is before that of an earlier one,
        as on ICE; they count at the latest so far;
      clock_ahead: those whose `ts_event` is over a second after their receipt,
        which is their time then;
      unfinished: records of the last event, where the file ends within it;
      unseen: cancels and modifies of orders never added; an error where they
        are more than one in a thousand records. The order of such a modify is
        added by an event that is no market event.

  Raises:
    events.DataError: if the file is broken; names file, row (the record, from
      1) and reason.
  """
  path = pathlib.Path(path)
  if instrument is None:
    instrument = _only(path)
  with _opened(path) as file:
    is_future = file.dataset.startswith(_FUTURES)
    reader = reconstruct.Reconstruction(
      path, least_price=None if is_future else 1
    )
    number = file.find(instrument)
    for first, records in file.chunks():
      rows = np.flatnonzero(records["instrument_id"] == number)
      if len(rows):
        reader.take(first + rows, records[rows])
  if not reader.counts["records"]:
    raise events.DataError(path, None, f"no records of {instrument}")
  reader.finish()
  reader.counts["other_records"] = file.num_other
  return _to_stream(path, file.dataset, instrument, reader, tick_size)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a file for each instrument, in one pass.

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
    events.DataError: if the file is broken, or has no records of an instrument.
  """
  path, folder = pathlib.Path(path), pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  paths, parts = {}, {}  # By symbol; a part is the file in progress.
  with contextlib.ExitStack() as stack:
    file = stack.enter_context(_opened(path))
    for name, records in _by_symbol(file, instruments):
      if name not in parts:
        escaped = urllib.parse.quote(name, safe="")
        paths[name] = folder / f"{escaped}_{file.day}.dbn"
        replacing = files.replacing(paths[name])
        parts[name] = stack.enter_context(replacing)
        parts[name].write_bytes(file.header(name))
      with parts[name].open("ab") as part:
        part.write(records.tobytes())
    for name in instruments or ():
      if name not in parts:
        raise events.DataError(path, None, f"no records of {name}")
  return sorted(paths.values())


@contextlib.contextmanager
def _opened(path):
  """Opens a DBN or a CSV file, plain or compressed.

  Raises:
    events.DataError: if it is none of the schema `mbo`, or is broken.
  """
  path = pathlib.Path(path)
  with compressed.open_binary(path) as file:
    is_dbn = file.peek(3)[:3] == parse.MAGIC
    is_text = b"," in file.peek(_PEEKED)[:_PEEKED] and not is_dbn
    yield (csv_parse.CsvFile if is_text else parse.File)(path, file)


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
  with _opened(path) as file:
    names = tuple(file.ids)
  if len(names) != 1:
    names = instruments(path)
  if len(names) != 1:
    reason = f"{len(names)} instruments; name one of {', '.join(names[:9])}"
    raise events.DataError(path, None, reason)
  return names[0]


def _to_stream(path, dataset, instrument, reader, tick_size):
  """Returns the reconstructed events in ticks and time of day."""
  if not reader.events[:, 6].any():
    reason = f"nothing happens to {instrument} after the start"
    raise events.DataError(path, None, reason)
  rows, row = reader.events[:, :8].copy(), reader.events[:, 8]
  time, _, _, price, volume, *_ = rows.T  # Views: they change the rows.
  if (volume >= 2**31).any():
    reason = "the volume of an aggressive order is not below 2**31"
    raise events.DataError(path, int(row[volume.argmax()]), reason)
  time[:], day = _to_time(path, time, reader)
  tick = _tick(path, price, row, tick_size)
  price //= tick
  stream, remaining = events.from_rows(
    rows,
    market=EXCHANGES.get(dataset, dataset),
    instrument=instrument,
    day=str(day),
    tick_size=tick / _UNITS,
    lot_size=LOT_SIZE,
    counts=reader.counts,
    auction=_auctions(reader, tick),
  )
  trades = events.continuous_trades(
    reader.trades[:, :5] // np.array([1, 1, 1, tick, 1]), np.int32
  )
  return stream, events.GroundTruth(
    trades=dataclasses.replace(
      trades, is_auction=reader.trades[:, 5].astype(bool)
    ),
    orders=_to_orders(reader.resting.values(), tick),
    remaining=remaining,
  )


def _auctions(reader, tick):
  """Returns `EventStream.auction`: None where no event is collected."""
  is_collected = reader.collected[:, 0].astype(bool)
  if not is_collected.any():
    return None
  is_auction = reader.trades[:, 5].astype(bool)
  ends, first = np.unique(reader.trades[is_auction, 0], return_index=True)
  price = reader.trades[is_auction, 3][first] // tick
  # The auction that ends the phase of each event, or none.
  is_end = is_collected & ~np.append(is_collected[1:], False)
  event_ends = np.flatnonzero(is_end) + 1
  place = np.searchsorted(event_ends, np.arange(len(is_collected)), "right")
  end = np.append(event_ends, -1)[place]
  found = np.searchsorted(ends, end)
  is_told = np.append(ends, -1)[found] == end
  price = np.append(price, types.UNTOLD_PRICE)[found]
  prices = np.where(is_told, price, types.UNTOLD_PRICE)
  return np.where(is_collected, prices, types.NO_AUCTION).astype(np.int32)


def _to_time(path, time, reader):
  """Returns nanoseconds since midnight and the day; counts early events.

  A record that is received just after midnight may have happened before.
  """
  happened, received = reader.first
  start = int(np.clip(received, happened, happened + _MOST_EARLY))
  midnight = start // parse.DAY * parse.DAY
  if time[-1] - start > parse.DAY:
    raise events.DataError(path, None, "mixed days: more than 24 hours")
  time = np.maximum(time, happened)  # The snapshot at the start.
  reader.counts["early"] = int((time < midnight).sum())
  return np.maximum(time, midnight) - midnight, parse.to_date(midnight)


def _tick(path, price, row, tick_size):
  """Returns the tick size in units.

  Raises:
    ValueError: if `tick_size` is no multiple of a unit.
    events.DataError: if a price is off the grid, or too large.
  """
  tick = int(np.gcd.reduce(price))
  if tick_size is not None:
    tick = round(tick_size * _UNITS)
    if tick < 1 or tick / _UNITS != tick_size:
      raise ValueError(f"tick_size {tick_size} is no multiple of 1e-9")
  elif not tick:
    reason = "all prices are 0: give the tick size"
    raise events.DataError(path, None, reason)
  is_bad = (price % tick != 0) | (np.abs(price // tick) > types.MAX_PRICE)
  if is_bad.any():
    i = is_bad.argmax()
    reason = f"price {price[i] / _UNITS} is off the grid of {tick / _UNITS}"
    if not price[i] % tick:
      reason = f"price {price[i] / _UNITS} is 2**30 ticks or more from 0"
    raise events.DataError(path, int(row[i]), reason)
  return tick


def _to_orders(resting, tick):
  """Returns the orders that rest at the end."""
  orders = [(o.side, o.price // tick, o.remaining, o.order_id) for o in resting]
  side, price, volume, order_id = np.array(orders, np.int32).reshape(-1, 4).T
  return events.RestingOrders(side, price, volume, order_id)
