"""Handmade pairs of LOBSTER files, and their replay."""

import numpy as np

from mars_jax import types
from tests.support.oracles import plain_book

MESSAGE = "XYZ_2020-01-02_34200000_57600000_message_2.csv"
BOOK = MESSAGE.replace("message", "orderbook")

BASE = ([(101, 10), (102, 20)], [(99, 10), (98, 20)])


def level_row(asks, bids, depth=2):
  """A row of a book file from (cents, volume) pairs."""
  asks = list(asks) + [(99999999.99, 0)] * (depth - len(asks))
  bids = list(bids) + [(-99999999.99, 0)] * (depth - len(bids))
  pairs = [pair for both in zip(asks, bids, strict=True) for pair in both]
  return ",".join(f"{round(price * 100)},{volume}" for price, volume in pairs)


def write(folder, messages, rows, depth=2):
  """Writes a pair; messages in cents, rows as (asks, bids)."""
  lines = []
  for time, kind, order_id, size, cents, direction in messages:
    price = round(cents * 100)
    lines.append(f"{time},{kind},{order_id},{size},{price},{direction}")
  (folder / MESSAGE).write_text("\n".join(lines) + "\n")
  book = [level_row(asks, bids, depth) for asks, bids in rows]
  (folder / BOOK).write_text("\n".join(book) + "\n")
  return folder / MESSAGE


GOOD_MESSAGES = ["1,1,7,9,10000,1", "2,2,7,4,10000,1", "3,3,7,5,10000,1"]
GOOD_ROWS = [
  level_row(BASE[0], [(100, 9), (99, 10)]),
  level_row(BASE[0], [(100, 5), (99, 10)]),
  level_row(BASE[0], [(99, 10), (98, 20)]),
]


def make_pair(folder):
  (folder / MESSAGE).write_text("\n".join(GOOD_MESSAGES) + "\n")
  (folder / BOOK).write_text("\n".join(GOOD_ROWS) + "\n")
  return folder / MESSAGE, folder / BOOK


def shares_right(stream, checks, depths):
  """Replays the events; returns the right rows' share by depth.

  Also returns how many cancels leave another volume than the file tells, and
  the book at the end.
  """
  levels, book, done = checks.levels, plain_book.Book(), 0
  rows = plain_book.rows(stream)
  have = np.zeros((len(levels.num_events), 2, 2, levels.price.shape[2]), int)
  num_wrong = 0
  for shown, count in enumerate(levels.num_events.tolist()):
    for row, left in zip(
      rows[done:count], checks.remaining[done:count], strict=True
    ):
      num_wrong += left >= 0 and book.held(*row) - row[3] != left
      book.apply(*row)
    done = count
    have[shown] = [
      book.levels(side, have.shape[3])
      for side in (types.Side.ASK, types.Side.BID)
    ]
  assert done == len(stream)
  is_right = have == np.stack([levels.price, levels.volume], axis=2)
  shares = [is_right[..., :best].all((1, 2, 3)).mean() for best in depths]
  return shares, num_wrong, book
