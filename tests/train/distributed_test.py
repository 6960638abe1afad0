"""Two processes under `jax.distributed` train as one does."""

import json
import socket

import jax
import numpy as np
import pytest

from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.processes import devices
from tests.support.processes import two_processes
from tests.support.train import tiny_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Returns the folder that both processes have written to."""
  folder = tmp_path_factory.mktemp("distributed")
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = str(probe.getsockname()[1])
  devices.finish(
    *(
      devices.start(
        *("two_processes", number, port, folder),
        num_devices=2,
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
    order_task.TASK,
    mesh,
    0,
    two_processes.CONFIGS["model"],
    two_processes.CONFIGS["optimizer"],
    parallel,
  )
  _, losses = tiny_run.steps(tiny_run.dataset(), mesh, init(), step, 5)
  for outcome in outcomes:
    np.testing.assert_allclose(outcome["losses"][:5], losses, rtol=1e-5)
    assert outcome["orders"] == 16 * 16


def test_both_report_the_same_and_stop_after_the_same_step(outcomes):
  first, second = outcomes
  assert first == second
  assert 2 < first["stopped"] < two_processes.NUM_STEPS
  assert first["saved"] == first["stopped"]
  assert first["losses"][-1] < first["losses"][0]


def test_one_of_them_writes_the_metrics(folder):
  for name in ("whole", "interrupted"):
    rows = tiny_run.metrics(folder / name)
    assert [row[0] for row in rows] == ["step", "10", "20"]


def test_the_checkpoint_of_both_is_a_model_here(folder):
  model = order_task.load(folder / "whole" / "checkpoints", "best")
  assert model.config == two_processes.CONFIGS["model"]
  assert set(model.tokenizers) == {"A", "B"}
