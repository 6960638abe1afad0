"""What a run writes of its steps: a table, and TensorBoard's files."""

import dataclasses
import sys
import types

import jax
import numpy as np
import pytest

from mars_jax.tokens import vocab
from mars_jax.train import progress as progress_lib
from tests.support.train import tiny_run

PROGRESS = progress_lib.Progress(
  step=3,
  train_nats=9.0,
  orders=8,
  learning_rate=1e-3,
  grad_norm=0.5,
  num_skipped=1,
)


def _board(monkeypatch):
  """Puts what records its calls in the place of TensorBoard's writer."""
  calls = []

  class Recorder:
    def __init__(self, folder, purge_step):
      calls.append((folder, purge_step))

    def add_scalar(self, name, value, step):
      calls.append((name, value, step))

    def close(self):
      calls.append("closed")

  module = types.SimpleNamespace(SummaryWriter=Recorder)
  monkeypatch.setitem(sys.modules, "tensorboardX", module)
  return calls


def test_scalars_of_every_step_go_to_tensorboard(monkeypatch, tmp_path):
  calls = _board(monkeypatch)
  nats = np.array([1.0, 2.0, 3.0, 4.0])
  valid = dataclasses.replace(
    PROGRESS, step=4, valid={"A": 2 * nats}, valid_nats=nats
  )
  with progress_lib.Writer(
    tmp_path, vocab.FIELDS, step=2, tensorboard=True
  ) as writer:
    writer.write(PROGRESS)
    assert not (tmp_path / "metrics.csv").exists()
    writer.write(valid)
  # What was written of steps after 2 is hidden.
  assert calls[0] == (str(tmp_path / "tensorboard"), 3)
  assert calls[-1] == "closed"
  third = {call[0]: call[1] for call in calls if call[-1] == 3}
  assert third.pop("train/orders_per_s") > 0
  del third[calls[0][0]]
  assert third == {
    "train/nats": 9.0,
    "train/learning_rate": 1e-3,
    "train/grad_norm": 0.5,
    "train/skipped": 1,
  }
  fourth = {call[0]: call[1] for call in calls if call[-1] == 4}
  assert fourth["valid/nats"] == 10.0
  assert fourth["valid_price/all"] == 2.0
  assert fourth["valid_price/A"] == 4.0
  assert tiny_run.metrics(tmp_path)[1][0] == "4"


def test_tensorboard_that_is_not_installed_says_what_to_install(
  monkeypatch, tmp_path
):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  with pytest.raises(ImportError, match=r"pip install 'mars-jax\[log\]'"):
    progress_lib.Writer(tmp_path, vocab.FIELDS, step=0, tensorboard=True)


def test_only_the_first_process_writes(monkeypatch, tmp_path):
  calls = _board(monkeypatch)
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  with progress_lib.Writer(
    tmp_path, vocab.FIELDS, step=0, tensorboard=True
  ) as writer:
    writer.write(
      dataclasses.replace(
        PROGRESS, valid={}, valid_nats=np.zeros(4, np.float64)
      )
    )
  assert not calls
  assert not list(tmp_path.iterdir())
