"""Novelty of messages: how much of a past they repeat.

A message is its kind, side, size, and price in ticks from the best price of its
side before it. Long runs of messages are new in any market, real or generated;
short ones come again in a real one too, so that the share of new ones is to be
read beside that of real sequences, and so is the longest run that is copied.
"""

import dataclasses

import numpy as np

from mars_jax.evals import messages as messages_lib

RUNS = (2, 4)  # Messages of a run.


@dataclasses.dataclass(frozen=True)
class Novelty:
  """The novelty of sequences.

  Attributes:
    new: {messages of a run: share of such runs that the past lacks}.
    longest: of each sequence, the messages of its longest run that the past
      has too.
  """

  new: dict[int, float]
  longest: list[int]


def measure(
  sequences: messages_lib.Sequences, past: messages_lib.Sequences
) -> Novelty:
  """Finds the runs of sequences that a past has too.

  Runs grow by a message at a time, and only where a run was found are longer
  ones looked for.

  Args:
    sequences: of messages.
    past: the same, to look in.
  """
  words, owner, left = _words([*sequences, *past])
  is_past = owner >= len(sequences)
  at, run = np.arange(len(words)), words
  longest = np.zeros(len(sequences), np.int64)
  totals = np.array([len(m) - 1 for m in sequences])
  new, length = dict.fromkeys(RUNS, 1.0), 1
  while len(at):
    both = np.zeros((2, run.max() + 1), bool)
    both[is_past[at].astype(int), run] = True
    is_found = both.all(axis=0)[run]
    at, run = at[is_found], run[is_found]
    found = at[~is_past[at]]
    longest[owner[found]] = length
    if length in new:
      total = np.maximum(totals - length + 1, 0).sum()
      new[length] = float(1 - len(found) / total) if total else float("nan")
    goes_on = left[at] > length
    at, run = at[goes_on], run[goes_on]
    # Runs of one number are those of the same messages.
    pair = run * (words.max() + 1) + words[at + length]
    run = np.unique(pair, return_inverse=True)[1]
    length += 1
  return Novelty(new=new, longest=longest.tolist())


def _words(sequences):
  """Returns all messages as numbers, equal ones as the same.

  Returns:
    int64 `[M]` each: the number, the sequence, and the messages from there to
    the end of the sequence.
  """
  columns = []
  for m in sequences:
    rows = np.arange(1, len(m))
    best = m.book.price[rows - 1, m.side[rows], 0]
    ticks = m.price[1:] - best
    columns.append(np.stack([m.kind[1:], m.side[1:], m.size[1:], ticks], 1))
  sizes = [len(found) for found in columns]
  # One number for a row: quicker to sort than rows.
  number = np.zeros(sum(sizes), np.int64)
  for column in np.concatenate(columns).T:
    values, inverse = np.unique(column, return_inverse=True)
    number = number * len(values) + inverse
    number = np.unique(number, return_inverse=True)[1]
  owner = np.repeat(np.arange(len(sizes)), sizes)
  left = np.concatenate([np.arange(size, 0, -1) for size in sizes])
  return number, owner, left
