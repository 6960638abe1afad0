"""Sequences as files, in the format of LOB-Bench's loader.

  data_real/{STOCK}_{DAY}_message_real_id_{i}.csv            and orderbook
  data_cond/{STOCK}_{DAY}_message_real_id_{i}.csv            and orderbook
  {NAME}/{STOCK}_{DAY}_message_real_id_{i}_gen_id_0.csv      and orderbook

The lines are those of LOBSTER's files (`replay.lobster_writer`); a row of the
book is that after the message.
"""

import pathlib

import numpy as np

from mars_jax.evals import messages as messages_lib
from mars_jax.replay import lobster_writer


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
    for kind, lines in (("message", _messages(m)), ("orderbook", _books(m))):
      name = f"{instrument}_{day}_{kind}_real_id_{number}{suffix}.csv"
      (folder / name).write_text("".join(lines))


def _messages(m: messages_lib.Messages) -> list[str]:
  """Returns the lines of the messages."""
  columns = (m.time, m.kind, m.id, m.size, m.price, m.side)
  rows = zip(*(x.tolist() for x in columns), strict=True)
  return [lobster_writer.message_line(*row) for row in rows]


def _books(m: messages_lib.Messages) -> list[str]:
  """Returns the lines of the books."""
  levels = np.stack([m.book.price, m.book.volume], axis=-1)  # [M, 2, L, 2]
  return [lobster_writer.book_line(*sides) for sides in levels.tolist()]
