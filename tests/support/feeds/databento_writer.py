"""A small random market, written as MBO records of Databento."""

import datetime

import databento_dbn as dbn
import numpy as np

from tests.support.oracles import python_book

ASK, BID = python_book.ASK, python_book.BID
LIMIT, CANCEL = python_book.LIMIT, python_book.CANCEL
DAY = datetime.date(2024, 3, 5)
MIDNIGHT = 1_709_596_800 * 10**9  # Of `DAY`, UTC.
START = MIDNIGHT + 52_200 * 10**9  # 14:30.
TICK = 250_000_000  # A quarter, in units of 1e-9.
ID = 17  # Of the instrument.
LAST, SNAPSHOT = 128, 32
TRANSIT = 150_000  # From the exchange to the capture, nanoseconds.


def record(action, name=0, side="N", price=0, size=0, time=START, **fields):
  """A record that ends its event, price in ticks."""
  return dbn.MBOMsg(
    action=dbn.Action(action),
    order_id=name,
    side=dbn.Side(side),
    price=price * TICK,
    size=size,
    ts_event=time,
    **{
      "publisher_id": 1,
      "instrument_id": ID,
      "flags": LAST,
      "ts_recv": time + TRANSIT,
    }
    | fields,
  )


class Named:
  """An object that has the given attributes."""

  def __init__(self, **fields):
    self.__dict__.update(fields)


def header(symbols=None, **changes):
  """A header that maps {symbol: id} on two days."""
  symbols = {"ESH4": ID} if symbols is None else symbols
  end = DAY + datetime.timedelta(2)
  mappings = [
    Named(
      raw_symbol=name,
      intervals=[Named(start_date=DAY, end_date=end, symbol=str(number))],
    )
    for name, number in symbols.items()
  ]
  fields = {
    "dataset": "GLBX.MDP3",
    "start": MIDNIGHT,
    "stype_in": dbn.SType.RAW_SYMBOL,
    "stype_out": dbn.SType.INSTRUMENT_ID,
    "schema": dbn.Schema.MBO,
    "symbols": list(symbols),
    "mappings": mappings,
  }
  return dbn.Metadata(**fields | changes).encode()


def encode(records, symbols=None, **changes):
  """A file of these records."""
  return header(symbols, **changes) + b"".join(map(bytes, records))


class Market:
  """Random orders through the plain book, as records and events.

  Attributes:
    records: what the exchange sends.
    events: (kind, side, price, volume, order id) of what happens.
    left: what each cancel leaves, -1 for others.
    fills: (event, price, volume, resting order id).
    book: what rests, by our order ids.
  """

  def __init__(self, *, by_fill=False, instrument_id=ID, seed=0, snapshot=0):
    """Begins with a snapshot of so many orders.

    Args:
      by_fill: whether every fill is an event of its own, as Nasdaq's, or an
        order with all it does one, as CME's.
      instrument_id: of the records.
      seed: of the orders.
      snapshot: how many orders.
    """
    self.records, self.events, self.left, self.fills = [], [], [], []
    self.book = python_book.PythonBook(10**6)
    self._rng = np.random.default_rng(seed)
    self._by_fill, self._id = by_fill, instrument_id
    self._names = []  # The exchange's id, by ours.
    self._now = START
    if snapshot:
      self._write("R", 0, "N", 0, 0, time=0, flags=SNAPSHOT)
    for i in range(snapshot):
      price = 1000 + (1 + i // 4) * (1 if i % 2 == ASK else -1)
      self._apply(LIMIT, i % 2, price, 5, self._new())
      flags = SNAPSHOT | (LAST if i == snapshot - 1 else 0)
      self._write("A", self._names[-1], i % 2, price, 5, time=i, flags=flags)

  def run(self, num_orders):
    """Sends orders, cancels and modifies; half of the orders rest."""
    for _ in range(num_orders):
      self._now += 1 + int(self._rng.exponential(10**7))
      draw, side = self._rng.random(), int(self._rng.integers(2))
      rows = self.book.rows(side)
      if draw < 0.25 and len(rows) > 8:
        self._cancel(side, rows[self._rng.integers(len(rows))])
      elif draw < 0.5 and len(rows) > 8:
        self._modify(side, rows[self._rng.integers(len(rows))])
      else:
        away = int(self._rng.integers(-6, 8)) * (1 if side == ASK else -1)
        self._order(side, 1000 + away, int(self._rng.integers(1, 30)))
    return self

  def _new(self):
    self._names.append(6_000_000_000_000 + 7 * len(self._names))
    return len(self._names) - 1

  def _apply(self, kind, side, price, volume, order_id, left=-1):
    event = python_book.Message(kind, side, price, volume, order_id)
    fills = self.book.apply(event)
    self.fills += [(len(self.events), *fill) for fill in fills]
    self.events.append(tuple(event))
    self.left.append(left)
    return fills

  def _write(self, action, name, side, price, size, **fields):
    side = side if side == "N" else "AB"[side]
    fields = {"time": self._now, "instrument_id": self._id} | fields
    self.records.append(record(action, name, side, price, size, **fields))

  def _order(self, side, price, volume):
    order_id = self._new()
    held = {row.id: row.volume for row in self.book.rows(1 - side)}
    fills = self._apply(LIMIT, side, price, volume, order_id)
    rest = volume - sum(fill.volume for fill in fills)
    if fills and not rest:  # The feed tells no limit then.
      self.events[-1] = (LIMIT, side, fills[-1].price, volume, order_id)
    first, removals = len(self.records), []
    for fill in fills:
      name, where = self._names[fill.id], (1 - side, fill.price)
      self._write("T", 0, side, fill.price, fill.volume, flags=0)
      self._write("F", name, *where, fill.volume, flags=0)
      left = held[fill.id] - fill.volume
      if left and not self._by_fill:
        removals.append(("M", name, *where, left))
      else:
        removals.append(("C", name, *where, fill.volume))
      if self._by_fill:
        self._write(*removals.pop())
    for removal in removals:
      self._write(*removal, flags=0)
    if rest:
      self._write("A", self._names[order_id], side, price, rest)
    if not self._by_fill:
      for sent in self.records[first:-1]:
        sent.flags = 0
      self.records[-1].flags = LAST

  def _cancel(self, side, row):
    volume = int(self._rng.integers(1, row.volume + 1))
    self._apply(CANCEL, side, row.price, volume, row.id, row.volume - volume)
    self._write("C", self._names[row.id], side, row.price, volume)

  def _modify(self, side, row):
    """Changes price or size without making the order trade."""
    price, volume = row.price, int(self._rng.integers(1, 30))
    if self._rng.random() < 0.5:
      price += 3 if side == ASK else -3
    if (price, volume) == (row.price, row.volume):
      return
    name = self._names[row.id]
    self._write("M", name, side, price, volume)
    if price == row.price and volume < row.volume:
      gone = row.volume - volume
      self._apply(CANCEL, side, price, gone, row.id, volume)
      return
    self._apply(CANCEL, side, row.price, row.volume, row.id, 0)
    order_id = self._new()
    self._names[order_id] = name
    self._apply(LIMIT, side, price, volume, order_id)
