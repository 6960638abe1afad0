"""Copies of a past in messages."""

import dataclasses

import numpy as np
import pytest

from mars_jax.evals import messages as messages_lib
from mars_jax.evals import novelty
from tests.support.evals import made_up_messages


def _of_few_kinds(seed, count=60):
  """Messages that differ by their size alone, 1 or 2."""
  m = made_up_messages.make(seed)[:count]
  rng = np.random.default_rng(seed)
  zeros = np.zeros(count, np.int64)
  book = dataclasses.replace(
    m.book,
    price=np.zeros_like(m.book.price),
    volume=np.ones_like(m.book.volume),
  )
  return dataclasses.replace(
    m,
    kind=zeros + messages_lib.NEW,
    side=zeros,
    price=zeros,
    size=rng.integers(1, 3, count),
    book=book,
  )


def _runs(m, length):
  size = m.size[1:].tolist()
  return [tuple(size[i : i + length]) for i in range(len(size) - length + 1)]


def test_runs_and_longest_copies_are_those_of_a_search():
  sequences = [_of_few_kinds(seed) for seed in range(3)]
  past = [_of_few_kinds(seed) for seed in range(3, 6)]
  found = novelty.measure(sequences, past)
  longest = [0] * len(sequences)
  for length in range(1, 60):
    known = {run for m in past for run in _runs(m, length)}
    for i, m in enumerate(sequences):
      if any(run in known for run in _runs(m, length)):
        longest[i] = length
    if length in novelty.RUNS:
      runs = [run for m in sequences for run in _runs(m, length)]
      new = np.mean([run not in known for run in runs])
      assert found.new[length] == pytest.approx(new)
  assert found.longest == longest


def test_a_copy_is_found_in_full():
  past = made_up_messages.make(0)
  other = made_up_messages.make(1)
  found = novelty.measure([past[40:90], other], [past])
  # The first message has no book before it.
  assert found.longest[0] == 49
  assert found.longest[1] < 10
  alone = novelty.measure([past[40:90]], [past])
  assert set(alone.new.values()) == {0.0}


def test_nothing_of_another_market_is_a_copy():
  past, other = made_up_messages.make(0), made_up_messages.make(1)
  other = dataclasses.replace(other, size=other.size + 10**6)
  found = novelty.measure([other], [past])
  assert found.longest == [0]
  assert set(found.new.values()) == {1.0}
