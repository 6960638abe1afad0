"""Runs of a sweep: done once, told apart, resumed when killed."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.train import order_task
from mars_jax.train import progress as progress_lib
from mars_jax.train import sharding
from mars_jax.train import sweep
from mars_jax.train import trainer
from mars_jax.train import validation
from tests.support.train import tiny_run

pytestmark = [
  pytest.mark.slow,
  pytest.mark.usefixtures("quick_compilation"),
]


@pytest.fixture(scope="module")
def done(quick_compilation, dataset, tmp_path_factory):
  """The folder of a sweep with a run that is done, and its result."""
  folder = tmp_path_factory.mktemp("sweep")
  return folder, sweep.run(
    order_task.TASK, "one", tiny_run.CONFIGS, dataset, folder
  )


def _changed(section, **changes):
  part = dataclasses.replace(tiny_run.CONFIGS[section], **changes)
  return {**tiny_run.CONFIGS, section: part}


def _killed_at(step):
  def on_progress(progress):
    if progress.step == step:
      raise tiny_run.Killed

  return on_progress


def test_the_result_is_that_of_the_trained_model(dataset, done, tmp_path):
  folder, result = done
  params, _ = tiny_run.run(dataset, tmp_path)
  nats = validation.model_nats(params, dataset, config=tiny_run.MODEL)
  assert result["markets"].keys() == {"valid"}
  assert result["test"] is None  # These days have no such part.
  markets = result["markets"]["valid"]
  assert markets.keys() == {"A", "B"}
  for market, rows in nats.items():
    scores = markets[market]
    assert scores["orders"] == len(rows)
    assert scores["nats"] == pytest.approx(rows.sum(axis=1).mean(), rel=1e-5)
    assert scores["touch"] == pytest.approx(rows[:, 1].mean(), rel=1e-5)
  rows = np.concatenate(list(nats.values()))
  assert result["valid"]["orders"] == len(rows)
  assert result["valid"]["nats"] == pytest.approx(rows.sum(axis=1).mean())
  assert result["params"] == lmm.num_params(params)
  tables = lmm.num_params(params["embed"])
  assert result["params_without_tables"] == lmm.num_params(params) - tables
  assert result["tokens"] == 6 * 16 * 16  # Steps, windows, orders predicted.
  assert result["epochs"] == 6 * 16 * 16 / dataset.num_orders("train")
  assert (
    json.loads((folder / "one.json").read_text())["valid"] == (result["valid"])
  )


def test_what_is_done_is_not_done_again(dataset, done, monkeypatch):
  folder, result = done
  monkeypatch.delattr(trainer, "train")
  again = sweep.run(order_task.TASK, "one", tiny_run.CONFIGS, dataset, folder)
  assert again == json.loads(json.dumps(result))


def test_only_what_is_small_is_kept(done):
  folder, _ = done
  assert not (folder / "one" / "checkpoints").exists()
  assert (folder / "one" / "metrics.csv").exists()


def test_another_run_of_the_same_name_is_refused(dataset, done):
  folder, _ = done
  configs = _changed("optimizer", learning_rate=0.5)
  with pytest.raises(
    ValueError, match=r"optimizer\.learning_rate was 0\.01, is 0\.5"
  ):
    sweep.run(order_task.TASK, "one", configs, dataset, folder)
  other = dataclasses.replace(dataset, source={"days": 3})
  with pytest.raises(ValueError, match=r"source\.days was 2, is 3"):
    sweep.run(order_task.TASK, "one", tiny_run.CONFIGS, other, folder)
  with pytest.raises(ValueError, match="max_orders was None, is 5"):
    sweep.run(
      order_task.TASK, "one", tiny_run.CONFIGS, dataset, folder, max_orders=5
    )


def test_how_it_is_spread_makes_no_other_run(dataset, done):
  folder, result = done
  configs = {
    **tiny_run.CONFIGS,
    "parallel": sharding.ParallelConfig(accumulation=2),
  }
  assert (
    sweep.run(order_task.TASK, "one", configs, dataset, folder)["valid"]
    == result["valid"]
  )


def test_a_run_that_was_killed_goes_on(dataset, done, tmp_path):
  _, result = done
  with pytest.raises(tiny_run.Killed):
    sweep.run(
      order_task.TASK,
      "one",
      tiny_run.CONFIGS,
      dataset,
      tmp_path,
      on_progress=_killed_at(5),
    )
  assert not (tmp_path / "one.json").exists()
  steps = []
  resumed = sweep.run(
    order_task.TASK,
    "one",
    tiny_run.CONFIGS,
    dataset,
    tmp_path,
    on_progress=lambda progress: steps.append(progress.step),
  )
  assert steps == [4, 5, 6]
  assert resumed["valid"] == result["valid"]
  assert (resumed["resumed"], result["resumed"]) == (True, False)


def test_the_speed_is_that_of_steps_after_the_first_without_validation(
  dataset, done, tmp_path, monkeypatch
):
  shapes = jax.eval_shape(
    lambda: lmm.init(jax.random.key(0), config=tiny_run.MODEL)
  )
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
  clock = 0.0

  def train(task, dataset, workdir, *, on_progress, **configs):
    nonlocal clock
    for step, seconds in enumerate((50, 9, 2, 2, 30, 2), start=1):
      clock += seconds
      on_progress(
        progress_lib.Progress(
          step=step,
          train_nats=1.0,
          orders=16 * 16,
          learning_rate=0.1,
          grad_norm=1.0,
          num_skipped=0,
          valid_nats=np.zeros(4) if seconds == 30 else None,
        )
      )
    return trainer.Trained(params, None)

  monkeypatch.setattr(trainer, "train", train)
  monkeypatch.setattr(sweep.time, "perf_counter", lambda: clock)
  result = sweep.run(
    order_task.TASK, "fake", tiny_run.CONFIGS, dataset, tmp_path
  )
  assert result["tokens_per_second"] == 16 * 16 / 2
