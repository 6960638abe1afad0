"""Sequences as files, in the format of LOB-Bench's loader.

  data_real/{STOCK}_{DAY}_message_real_id_{i}.csv            and orderbook
  data_cond/{STOCK}_{DAY}_message_real_id_{i}.csv            and orderbook
  {NAME}/{STOCK}_{DAY}_message_real_id_{i}_gen_id_0.csv      and orderbook

A message is time (seconds since midnight, 9 decimals), type, order id, size,
price (in ticks times 100: ten thousandths of a dollar where a tick is a cent)
and direction of the resting order, 1 for a bid; a row of the book is ask price,
ask size, bid price and bid size, level by level, after the message.
"""

import pathlib

import numpy as np

from mars_jax import types
from mars_jax.evals import messages as messages_lib

_UNITS = 100  # Of the files' price, in a tick.
_EMPTY = 9_999_999_999  # The ask price of a level that is not there.


def write(
  folder: pathlib.Path,
  sequences: messages_lib.Sequences,
  *,
  instrument: str,
  day: str,
  suffix: str = "",
) -> None:
  """Writes a pair of files of each sequence.

  Args:
    folder: made if it is not there.
    sequences: numbered from 0.
    instrument, day: of the names; the day as YYYY-MM-DD.
    suffix: of the names, "_gen_id_0" for what is generated.
  """
  folder.mkdir(parents=True, exist_ok=True)
  for number, m in enumerate(sequences):
    for kind, rows in (("message", _messages(m)), ("orderbook", _books(m))):
      name = f"{instrument}_{day}_{kind}_real_id_{number}{suffix}.csv"
      (folder / name).write_text("\n".join([*rows, ""]))


def _messages(m: messages_lib.Messages) -> list[str]:
  """Returns the lines of the messages."""
  seconds, rest = np.divmod(m.time, types.NANOSECONDS)
  direction = np.where(m.side == types.Side.BID, 1, -1)
  columns = (seconds, rest, m.kind, m.id, m.size, m.price * _UNITS, direction)
  return [
    f"{s}.{ns:09},{','.join(map(str, row))}"
    for s, ns, *row in zip(*(x.tolist() for x in columns), strict=True)
  ]


def _books(m: messages_lib.Messages) -> list[str]:
  """Returns the lines of the books."""
  sign = np.array([[1], [-1]])  # Of an empty level, by `types.Side`.
  is_there = m.book.volume > 0
  price = np.where(is_there, m.book.price * _UNITS, sign * _EMPTY)
  # [M, 2, L] each, to [M, L, side, price and volume].
  rows = np.stack([price, m.book.volume], axis=-1).transpose(0, 2, 1, 3)
  return [",".join(map(str, row)) for row in rows.reshape(len(m), -1).tolist()]
