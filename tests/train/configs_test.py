"""Configs of a training run refuse values that make no sense."""

import dataclasses

import pytest

from tests.support.train import tiny_run


@pytest.mark.parametrize(
  ("section", "changes"),
  [
    ("optimizer", {"warmup_steps": 6}),
    ("optimizer", {"warmup_steps": -1}),
    ("optimizer", {"num_steps": 0}),
    ("optimizer", {"learning_rate": 0.0}),
    ("optimizer", {"learning_rate": float("nan")}),
    ("optimizer", {"weight_decay": -0.1}),
    ("optimizer", {"beta2": 1.0}),
    ("optimizer", {"max_grad_norm": 0.0}),
    ("train", {"eval_every": 0}),
    ("train", {"checkpoint_every": -5}),
    ("train", {"max_to_keep": 0}),
    ("train", {"max_skipped": 0}),
    ("train", {"eval_orders": -1}),
    ("data", {"train_fraction": 1.0}),
    ("batch", {"window_stride": 0}),
    ("batch", {"window_length": 1}),
    ("batch", {"batch_size": 0}),
    ("data", {"book_capacity": 0}),
  ],
)
def test_nonsense_is_refused_by_name(section, changes):
  (name,) = changes
  with pytest.raises(ValueError, match=name):
    dataclasses.replace(tiny_run.CONFIGS[section], **changes)


@pytest.mark.parametrize("section", tiny_run.CONFIGS)
def test_an_unknown_key_is_refused_by_name(section):
  values = dataclasses.asdict(tiny_run.CONFIGS[section])
  with pytest.raises(TypeError, match="speed"):
    type(tiny_run.CONFIGS[section])(**values, speed=1)
