"""Two processes under `jax.distributed` train as one does.

As a script, is one of the two: `distributed_test.py PROCESS PORT FOLDER`.
"""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import sys
import time

import chex
import jax
import numpy as np
import pytest

from mars_jax.train import checkpoint
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.processes import scripts
from tests.support.train import tiny_run

_NUM_STEPS = 20
_CONFIGS = {
  "model": dataclasses.replace(tiny_run.MODEL, has_book=False),
  "optimizer": dataclasses.replace(tiny_run.OPTIMIZER, num_steps=_NUM_STEPS),
  "train": dataclasses.replace(
    tiny_run.TRAIN, eval_every=10, checkpoint_every=20
  ),
}
# A process has two devices, so that a copy of the model is on both.
_PARALLEL = sharding.ParallelConfig(model=2, strategy="fsdp")


def main(process, port, folder):
  """Trains twice, the second time with an interruption."""
  jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
  with pytest.raises(ValueError, match="model = 4 spans processes"):
    sharding.make_mesh(sharding.ParallelConfig(model=4))
  data = tiny_run.dataset()

  def run(name, **options):
    return tiny_run.run(
      data, folder / name, parallel=_PARALLEL, **_CONFIGS, **options
    )

  params, reports = run("whole")

  def interrupt(progress):
    time.sleep(0.1)  # For the notice to get round.
    if process == 1 and progress.step == 2:
      os.kill(os.getpid(), signal.SIGTERM)

  with pytest.raises(trainer.Preempted) as raised:
    run("interrupted", on_progress=interrupt)
  saved = checkpoint.load(folder / "interrupted" / "checkpoints")
  resumed, _ = run("interrupted")
  chex.assert_trees_all_close(
    sharding.gather(resumed), sharding.gather(params), rtol=1e-6
  )
  out = {
    "stopped": raised.value.step,
    "saved": saved.card["step"],
    "losses": [report.train_nats for report in reports],
    "orders": reports[0].orders,
    "valid": reports[-1].valid_nats.tolist(),
  }
  (folder / f"{process}.json").write_text(json.dumps(out))
  jax.distributed.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where both processes have written."""
  folder = tmp_path_factory.mktemp("distributed")
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = str(probe.getsockname()[1])
  tiny_run.finish(
    *(
      tiny_run.start(
        *("train/distributed_test.py", number, port, folder),
        num_devices=2,
        xla_flags=scripts.QUICK_XLA,
      )
      for number in "01"
    )
  )
  return folder


@pytest.fixture(scope="module")
def outcomes(folder):
  return [json.loads((folder / f"{i}.json").read_text()) for i in range(2)]


@pytest.mark.usefixtures("quick_compilation")
def test_losses_are_those_of_one_process(outcomes):
  parallel = sharding.ParallelConfig()
  mesh = sharding.make_mesh(parallel, jax.devices()[:1])
  init, _, step = trainer.programs(
    mesh, 0, _CONFIGS["model"], _CONFIGS["optimizer"], parallel
  )
  _, losses = tiny_run.steps(tiny_run.dataset(), mesh, init(), step, 5)
  for outcome in outcomes:
    np.testing.assert_allclose(outcome["losses"][:5], losses, rtol=1e-5)
    assert outcome["orders"] == 16 * 17


def test_both_report_the_same_and_stop_after_the_same_step(outcomes):
  first, second = outcomes
  assert first == second
  assert 2 < first["stopped"] < _NUM_STEPS
  assert first["saved"] == first["stopped"]
  assert first["losses"][-1] < first["losses"][0]


def test_one_of_them_writes_the_metrics(folder):
  for name in ("whole", "interrupted"):
    rows = tiny_run.metrics(folder / name)
    assert [row[0] for row in rows] == ["step", "10", "20"]


def test_the_checkpoint_of_both_is_a_model_here(folder):
  model = checkpoint.load(folder / "whole" / "checkpoints", "best")
  assert model.config == _CONFIGS["model"]
  assert set(model.tokenizers) == {"A", "B"}


if __name__ == "__main__":
  main(int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]))
