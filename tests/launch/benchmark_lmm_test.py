"""The speed of the order model: what is timed, and what is printed."""

import dataclasses
import json
import sys

import chex
import jax
import numpy as np
import pytest

from tests.support import paths
from tests.support.processes import scripts
from tests.support.train import tiny_run

sys.path.append(str(paths.ROOT / "launch"))

from benchmarks import lmm as lmm_benchmark

from mars_jax import lmm
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.train import cost
from tests.support.train import day_records

_CONFIG = lmm_benchmark.LmmBenchmark(
  model=dataclasses.replace(tiny_run.MODEL, num_layers=1),
  optimizer=tiny_run.OPTIMIZER,
  parallel=tiny_run.CONFIGS["parallel"],
  num_windows=2,
  length=16,
  batch=(1, 3),
  decode_steps=4,
  repeats=2,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def result():
  """The command, as its user runs it."""
  tiny = {
    "model.num_layers": 1,
    "batch.batch_size": 2,
    "batch.window_length": 17,
    "parallel.accumulation": 1,
  }
  return scripts.run(
    *("benchmark", "lmm", "--config=configs/order_model.py:2m,tiny"),
    *(f"--config.{name}={value}" for name, value in tiny.items()),
    *("--batch=1,3", "--decode_steps=4", "--repeats=2", "--json"),
  )


@pytest.mark.slow
def test_tables_are_shown(result):
  assert result.returncode == 0, result.stderr
  for text in (
    "model FLOP utilisation",
    "forward and backward",
    "attention",
    "optimizer, once a step",
    "orders a second",
  ):
    assert text in result.stdout


@pytest.mark.slow
def test_json_is_the_last_line(result):
  found = json.loads(result.stdout.splitlines()[-1])
  assert found["benchmark"] == "lmm"
  assert found["config"]["length"] == 16
  assert found["micro_batch"] == 2
  model = lmm.LmmConfig(**found["config"]["model"])
  params = jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=model))
  assert found["parameters"] == lmm.num_params(params)
  row = found["train"]
  rate = row["tokens_per_s"]
  assert 0 < row["tokens_per_s_min"] <= rate <= row["tokens_per_s_max"]
  flops = cost.flops_per_token(model, 16)
  assert row["flops_per_token"] == flops
  assert row["mfu"] == pytest.approx(rate * flops / row["peak_flops"])
  forward, whole, *parts, optimizer = found["parts"]
  assert whole["share"] == 1
  assert min(forward["seconds"], optimizer["seconds"]) > 0
  seconds = sum(part["seconds"] for part in parts)
  assert seconds == pytest.approx(whole["seconds"])
  assert [row["trajectories"] for row in found["decode"]] == [1, 3]
  for row in found["decode"]:
    assert row["orders_per_s_min"] <= row["orders_per_s"]


def test_the_windows_are_like_those_of_data():
  records = day_records.make(40)
  part = windows_lib.Part(store.MemoryDay(records), "A", 0, 40)
  wanted = windows_lib.Windows([part], 17, 17)[0]
  found = lmm_benchmark._batch(3, 17)
  assert found.keys() == wanted.keys()
  for name, leaf in wanted.items():
    assert found[name].shape == (3, *leaf.shape), name
    assert found[name].dtype == leaf.dtype, name


@pytest.mark.parametrize("scheme", ["levels", "ticks"])
def test_the_orders_are_of_many_bins(scheme):
  config = dataclasses.replace(tiny_run.MODEL, inputs=scheme)
  tokens = lmm_benchmark.random_tokens(config, 4, 200)
  assert len(np.unique(tokens.symbols.reshape(-1, 7), axis=0)) > 700
  assert len(np.unique(tokens.volumes)) == 33


def test_what_is_timed_is_the_gradient_of_the_training_loss():
  """The parts are of one function: the trunk's and the head's gradients."""
  config = _CONFIG.model
  shapes = jax.eval_shape(lambda: lmm.init(jax.random.key(1), config=config))
  params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  tokens = lmm_benchmark.random_tokens(config, 2, 17)
  programs = lmm_benchmark._programs(_CONFIG, params, tokens)
  assert programs.keys() == set(lmm_benchmark._PROGRAMS)
  shapes = {
    name: jax.eval_shape(program, *arguments)
    for name, (program, arguments) in programs.items()
  }
  chex.assert_trees_all_equal_shapes(shapes["whole"][1], params)
  chex.assert_trees_all_equal_shapes(shapes["trunk"], params)
  chex.assert_trees_all_equal_shapes(shapes["embed"], params["embed"])
  chex.assert_trees_all_equal_shapes(shapes["mlp"][0], params["blocks"])
