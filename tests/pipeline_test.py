"""Tests of the batches of token windows."""

import dataclasses

import jax
import numpy as np
import pytest

from mars_jax.data import pipeline
from mars_jax.tokens import features

FIELDS = [field.name for field in dataclasses.fields(features.TokenFeatures)]


def make_tokens(num_tokens):
  """Tokens of which every leaf counts up, each from a start of its own."""
  leaves = {
    name: np.arange(num_tokens, dtype=np.int32) + 1_000 * i
    for i, name in enumerate(FIELDS)
  }
  leaves["volumes"] = np.repeat(leaves["volumes"][:, None], 10, axis=1)
  return features.TokenFeatures(**leaves)


def make_batches(*, batch_size=4, seed=0):
  """Batches of 20 windows of 5 tokens, which start 3 apart."""
  windows = pipeline.Windows(make_tokens(62), length=5, stride=3)
  assert len(windows) == 20
  return pipeline.batches(windows, batch_size=batch_size, seed=seed)


def starts(batches, num_batches):
  """The first token of each window of the next batches."""
  return [next(batches)["index"][:, 0].tolist() for _ in range(num_batches)]


def test_windows_hold_successive_tokens_of_all_leaves():
  tokens = make_tokens(11)
  windows = pipeline.Windows(tokens, length=4, stride=3)
  assert len(windows) == 3  # From 0, 3 and 6; 9 has too little after it.
  assert set(windows[0]) == set(FIELDS)
  for i in range(3):
    for name in FIELDS:
      want = getattr(tokens, name)[3 * i : 3 * i + 4]
      np.testing.assert_array_equal(windows[i][name], want)


def test_as_many_tokens_as_a_window_are_one_window():
  windows = pipeline.Windows(make_tokens(4), length=4, stride=100)
  assert len(windows) == 1


def test_fewer_tokens_than_a_window_are_an_error():
  with pytest.raises(ValueError, match="windows of 5 tokens .* there are 4"):
    pipeline.Windows(make_tokens(4), length=5, stride=1)


def test_batches_stack_windows():
  batch = next(make_batches())
  assert batch["index"].shape == (4, 5)
  assert batch["volumes"].shape == (4, 5, 10)
  assert (np.diff(batch["index"], axis=1) == 1).all()
  assert (batch["index"][:, 0] % 3 == 0).all()


def test_every_epoch_has_every_window_once_in_a_new_order():
  batches = make_batches()
  epochs = [np.ravel(starts(batches, 5)).tolist() for _ in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == list(range(0, 60, 3))
  assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_seed_gives_the_same_batches_and_another_one_others():
  assert starts(make_batches(), 8) == starts(make_batches(), 8)
  assert starts(make_batches(), 8) != starts(make_batches(seed=1), 8)


def test_a_state_returns_to_the_batch_that_would_have_come_next():
  batches = make_batches()
  starts(batches, 7)  # Into the second epoch.
  state = batches.get_state()
  want = starts(batches, 6)
  batches.set_state(state)
  assert starts(batches, 6) == want
  again = make_batches()
  again.set_state(state)
  assert starts(again, 6) == want


def test_two_processes_together_have_the_batches_of_one(monkeypatch):
  want = starts(make_batches(), 7)
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  shares = []
  for process in (0, 1):
    monkeypatch.setattr(jax, "process_index", lambda i=process: i)
    shares.append(starts(make_batches(), 7))
  assert all(len(batch) == 2 for share in shares for batch in share)
  for batch, *parts in zip(want, *shares, strict=True):
    assert sorted(batch) == sorted(parts[0] + parts[1])
