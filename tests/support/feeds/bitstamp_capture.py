"""A small random market as a capture of Bitstamp's feed."""

import csv
import functools
import pathlib
import tempfile

import numpy as np

from mars_jax.feeds import events
from mars_jax.feeds.bitstamp import reader
from tests.support.oracles import python_book

ASK, BID = python_book.ASK, python_book.BID
START_MS = 1_430_438_400_000  # 2015-05-01 00:00:00 UTC.
_MID = 10_000  # Dollars.
_LOTS = 1_000_000  # In a bitcoin.
_COLUMNS = (
  "id",
  "timestamp",
  "exchange_timestamp",
  "price",
  "volume",
  "action",
  "direction",
)


def write_bitstamp(
  path: pathlib.Path, *, num_orders: int, seed: int = 0, day: int = 0
) -> python_book.PythonBook:
  """Writes a capture: a start book, then orders.

  Half of the orders rest near the best prices, two of five cancel an order or
  a part of it, and one of ten takes from the other side.

  Args:
    path: of the `.csv`.
    num_orders: after the start; each is one event of the stream.
    seed: of the orders.
    day: after 2015-05-01, UTC.

  Returns:
    The book after the last of them, its orders by the ids of the file.
  """
  rng = np.random.default_rng(seed)
  book = python_book.PythonBook(10**6)
  rows, now = [], START_MS + day * 86_400_000
  for i in range(120):
    side = i % 2
    price = _MID + (1 if side == ASK else -1) * (1 + i // 4)
    _send(book, rows, now, side, price, int(rng.integers(1, 20)), i)
  for i in range(num_orders):
    # At a new time: rows of one time are of one event.
    now += 1 + int(rng.exponential(40))
    side = int(rng.integers(2))
    own, other = book.rows(side), book.rows(1 - side)
    draw = rng.random()
    if draw < 0.4 and len(own) > 20:
      _cancel(book, rows, now, side, own[int(rng.integers(len(own)))], rng)
    elif draw < 0.5 and len(other) > 20:
      price = other[int(rng.integers(3))].price
      _send(book, rows, now, side, price, int(rng.integers(1, 40)), 1000 + i)
    else:
      inside = -1 if side == ASK else 1
      price = other[0].price - inside * (1 + int(rng.geometric(0.2)))
      _send(book, rows, now, side, price, int(rng.integers(1, 20)), 1000 + i)
  with open(path, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
  return book


def _row(now, order_id, price, volume, action, side):
  """One row of the feed, with 1,000 lots for one."""
  direction = "ask" if side == ASK else "bid"
  bitcoin = f"{volume * 1000 / _LOTS:.8f}"
  return [order_id, now, now, f"{price:.2f}", bitcoin, action, direction]


def _send(book, rows, now, side, price, volume, order_id):
  """Sends a limit order, and writes two rows a fill."""
  resting = {row.id: row.volume for row in book.rows(1 - side)}
  fills = book.apply(
    python_book.Message(python_book.LIMIT, side, price, volume, order_id)
  )
  rows.append(_row(now, order_id, price, volume, "created", side))
  for fill in fills:
    volume -= fill.volume
    for number, left, at in (
      (order_id, volume, side),
      (fill.id, resting[fill.id] - fill.volume, 1 - side),
    ):
      action = "changed" if left else "deleted"
      rows.append(_row(now, number, fill.price, left, action, at))


def _cancel(book, rows, now, side, resting, rng):
  """Cancels an order, or with probability 1/4 a part."""
  taken = resting.volume
  if rng.random() < 0.25 and taken > 1:
    taken = int(rng.integers(1, taken))
  book.apply(
    python_book.Message(
      python_book.CANCEL, side, resting.price, taken, resting.id
    )
  )
  left = resting.volume - taken
  action, shown = ("changed", left) if left else ("deleted", resting.volume)
  rows.append(_row(now, resting.id, resting.price, shown, action, side))


@functools.cache
def stream(num_orders: int, seed: int = 0) -> events.EventStream:
  """Returns the events of a capture, read once a process."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "orders.csv"
    write_bitstamp(path, num_orders=num_orders, seed=seed)
    return reader.read_checked(path)[0]
