"""The trainer serves a second model: the frequencies of order kinds."""

import dataclasses

import jax
import numpy as np
import pytest

from mars_jax.train import checkpoint
from mars_jax.train import order_task
from mars_jax.train import sweep
from mars_jax.train import task as task_lib
from mars_jax.train import trainer
from tests.support.train import tiny_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Config:
  num_kinds: int


def _init(key, *, config):
  return {"logits": jax.random.normal(key, (config.num_kinds,))}


def _loss(params, inputs, batch, key, *, config):
  del inputs, key, config
  return -jax.nn.log_softmax(params["logits"])[batch["kind"]].mean()


def _validate(params, dataset, *, config, split, max_orders):
  log_prob = jax.nn.log_softmax(jax.device_get(params["logits"]))
  found = {}
  for part in dataset.parts[split]:
    kinds = part.day.read(part.start, part.stop).order.kind[:max_orders]
    found[part.market] = -np.asarray(log_prob)[kinds][:, None]
  return found


_TASK = dataclasses.replace(
  order_task.TASK,
  model_type=_Config,
  parts=lambda config: ("kind",),
  init=_init,
  inputs=lambda dataset, *, config: (),
  bins=lambda dataset, *, config: {},
  loss=_loss,
  validate=_validate,
  flops_per_token=lambda config, batch: 1.0,
)
_CONFIGS = {
  **tiny_run.CONFIGS,
  "model": _Config(num_kinds=3),
  "optimizer": dataclasses.replace(
    tiny_run.OPTIMIZER, learning_rate=0.3, num_steps=60
  ),
  "train": dataclasses.replace(
    tiny_run.TRAIN, eval_every=30, checkpoint_every=30
  ),
}


def _train(dataset, workdir, on_progress=lambda progress: None):
  return trainer.train(
    _TASK, dataset, workdir, **_CONFIGS, on_progress=on_progress
  )


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("kinds")
  return workdir, _train(dataset, workdir)


def test_it_learns_the_frequencies(dataset, trained):
  kinds = np.concatenate(
    [
      part.day.read(part.start, part.stop).order.kind
      for part in dataset.parts["train"]
    ]
  )
  counts = np.bincount(kinds, minlength=_CONFIGS["model"].num_kinds)
  seen = counts > 0
  found = jax.nn.softmax(trained[1].params["logits"])
  np.testing.assert_allclose(
    np.asarray(found)[seen], counts[seen] / counts.sum(), atol=0.03
  )


def test_it_resumes_to_the_same(dataset, trained, tmp_path):
  with pytest.raises(tiny_run.Killed):
    _train(dataset, tmp_path, tiny_run.kill_at(40))
  resumed = _train(dataset, tmp_path)
  np.testing.assert_array_equal(
    resumed.params["logits"], trained[1].params["logits"]
  )
  assert tiny_run.metrics(tmp_path) == tiny_run.metrics(trained[0])
  assert "valid_kind" in tiny_run.metrics(tmp_path)[0]


def test_its_checkpoint_has_its_config(trained):
  workdir, result = trained
  found = checkpoint.load(_TASK, workdir / "checkpoints")
  assert found.config == _CONFIGS["model"]
  np.testing.assert_array_equal(found.params["logits"], result.params["logits"])
  nats = found.card["validation_nats_per_order"]
  assert nats == pytest.approx(task_lib.mean(result.valid).sum())


def test_a_sweep_scores_it(dataset, trained, tmp_path):
  result = sweep.run(_TASK, "kinds", _CONFIGS, dataset, tmp_path)
  valid = task_lib.mean(trained[1].valid).sum()
  assert result["valid"]["nats"] == pytest.approx(valid)
  assert result["valid"].keys() == {"orders", "nats", "kind"}
  assert result["params"] == _CONFIGS["model"].num_kinds
  assert result["flops"] == result["tokens"] == 60 * 16 * 16


def test_the_last_validation_is_not_computed_twice(dataset, trained):
  def validate(*_, **__):
    raise AssertionError("scored again")

  task = dataclasses.replace(_TASK, validate=validate)
  _, result = trained
  nats = task_lib.held_out(
    task, result.params, dataset, config=_CONFIGS["model"], valid=result.valid
  )
  assert nats == {"valid": result.valid}


def test_a_run_that_is_done_has_no_last_validation(dataset, trained):
  assert _train(dataset, trained[0]).valid is None
