"""Sharding: the rules by name, and the same numbers on any devices."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from mars_jax import lmm
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.processes import devices
from tests.support.processes import sharded_steps
from tests.support.train import tiny_run

MODEL = sharded_steps.MODEL
SIZES = {"data": 4, "model": 2}


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
  """Returns what the program wrote, and the folder of its checkpoint."""
  folder = tmp_path_factory.mktemp("eight")
  process = devices.start("sharded_steps", folder, num_devices=8)
  devices.finish(process)
  return json.loads((folder / "out.json").read_text()), folder


@pytest.mark.slow
class TestOnEightDevices:
  # One test, since workers that share these would each train all over again.
  def test_they_train_as_one_does_hold_their_shares_and_save_a_model(
    self, eight
  ):
    runs_by_name, workdir = eight
    expected = runs_by_name["one device"]["losses"]
    for name in sharded_steps.LAYOUTS:
      losses = runs_by_name[name]["losses"]
      assert losses[-1] < losses[0]
      np.testing.assert_allclose(losses, expected, rtol=1e-5, err_msg=name)
    shapes = {
      "whole": {
        "qkv": [2, 16, 2, 4, 4],
        "attention_out": [2, 4, 4, 16],
        "gate_up": [2, 16, 2, 24],
        "down": [2, 24, 16],
      },
      "cut in 8": {
        "qkv": [2, 2, 2, 4, 4],
        "attention_out": [2, 4, 4, 2],
        "gate_up": [2, 16, 2, 3],
        "down": [2, 3, 16],
      },
      "cut in 2": {
        "qkv": [2, 16, 1, 4, 4],
        "attention_out": [2, 2, 4, 16],
        "gate_up": [2, 16, 2, 12],
        "down": [2, 12, 16],
      },
      "cut in 4 x 2": {
        "qkv": [2, 4, 1, 4, 4],
        "attention_out": [2, 2, 4, 4],
        "gate_up": [2, 4, 2, 12],
        "down": [2, 12, 4],
      },
    }
    for name, params, moments in (
      ("8 x 1 zero2", "whole", "cut in 8"),
      ("4 x 2 replicated", "cut in 2", "cut in 2"),
      ("4 x 2 fsdp", "cut in 4 x 2", "cut in 4 x 2"),
    ):
      assert runs_by_name[name]["params"] == shapes[params], name
      assert runs_by_name[name]["moments"] == shapes[moments], name
    model = order_task.load(workdir / "checkpoints")
    assert model.config == MODEL
    assert model.card["step"] == sharded_steps.NUM_STEPS
    for leaf in jax.tree.leaves(model.params):
      assert leaf.devices() == {jax.devices()[0]}
    bins = tiny_run.dataset().tokenizers[model.config.alphabet]
    chex.assert_trees_all_equal(model.tokenizers, bins)


def _shapes(config):
  return jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=config))


class TestRules:
  def test_each_kernel_is_cut_where_its_rule_says(self):
    specs = sharding.specs(_shapes(MODEL), SIZES, over_data=True)
    blocks = specs["blocks"]
    assert blocks["qkv"]["kernel"] == P(None, "data", "model", None, None)
    assert blocks["attention_out"]["kernel"] == P(None, "model", None, "data")
    assert blocks["gate_up"]["kernel"] == P(None, "data", None, "model")
    assert blocks["down"]["kernel"] == P(None, "model", "data")
    assert blocks["mlp_norm"]["scale"] == P(None, "data")
    assert specs["head"]["kernel"] == P("model", "data")
    assert specs["norm"]["scale"] == P("data")

  def test_every_rule_is_of_a_parameter_of_its_rank(self):
    leaves = jax.tree_util.tree_leaves_with_path(_shapes(MODEL))
    ranks = {
      jax.tree_util.keystr(path, simple=True, separator="/"): len(leaf.shape)
      for path, leaf in leaves
    }
    for name, spec in sharding._MODEL_RULES.items():
      assert len(spec) <= ranks[name]

  def test_layers_are_never_cut_and_what_cannot_be_is_named(self):
    odd = dataclasses.replace(
      MODEL, dim=17, num_layers=8, mlp_dim=23, head="factored"
    )
    sizes = {"data": 8, "model": 1}
    shapes = _shapes(odd)
    specs = sharding.specs(shapes, sizes, over_data=True)
    for leaf in jax.tree.leaves(
      specs["blocks"], is_leaf=lambda x: isinstance(x, P)
    ):
      assert "data" not in leaf
    uncut = sharding.uncut(shapes, sizes)
    assert "blocks/qkv/kernel" in uncut and "norm/scale" in uncut
    assert sharding.uncut(_shapes(MODEL), {"data": 1, "model": 1}) == []

  @pytest.mark.parametrize("name", ["adamw", "muon"])
  def test_moments_are_cut_as_their_parameters(self, name):
    optimizer = dataclasses.replace(tiny_run.OPTIMIZER, name=name)
    state = jax.eval_shape(
      lambda: trainer.init_state(order_task.TASK, 0, MODEL, optimizer)
    )
    params = _named_specs(state.params)
    num_found = 0
    for path, spec in _named_specs(state.optimizer).items():
      # The longest: "norm/scale" is an end of others too.
      names = [name for name in params if path.endswith(f"/{name}")]
      owner = max(names, key=len, default=None)
      num_found += owner is not None
      expected = params[owner] if owner else P(*[None] * len(spec))
      assert spec == expected, path
    # Adam has two of each, Muon one of each matrix.
    num_matrices = 4 if name == "muon" else 0
    assert num_found == 2 * len(params) - num_matrices

  def test_a_device_of_16_holds_a_sixteenth_of_a_large_model(self):
    large = lmm.LmmConfig(
      dim=2048,
      num_layers=4,
      num_heads=16,
      num_kv_heads=4,
      head_dim=128,
      mlp_dim=5632,
      window=1024,
      alphabet="mid",
      head="joint",
    )
    sizes = {"data": 8, "model": 2}
    shapes = _shapes(large)
    specs = sharding.specs(shapes, sizes, over_data=True)

    def share(leaf, spec):
      return leaf.size / np.prod([sizes[axis] for axis in spec if axis])

    held = sum(jax.tree.leaves(jax.tree.map(share, shapes, specs)))
    # The embedding and norms are whole over "model".
    assert held == pytest.approx(lmm.num_params(shapes) / 16, rel=0.05)


def _named_specs(tree):
  """Returns the spec of each leaf by its name."""
  specs = sharding.specs(tree, SIZES, over_data=True)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): spec
    for path, spec in jax.tree_util.tree_leaves_with_path(
      specs, is_leaf=lambda x: isinstance(x, P)
    )
  }


class TestChecks:
  @pytest.mark.parametrize(
    ("changes", "message"),
    [
      ({"num_kv_heads": 4}, None),
      ({"num_kv_heads": 1}, "model = 2 does not divide model.num_kv_heads = 1"),
      ({"mlp_dim": 23}, "model = 2 does not divide model.mlp_dim = 23"),
    ],
  )
  def test_a_model_that_cannot_be_cut_is_refused(self, changes, message):
    config = sharding.ParallelConfig(model=2)
    model = dataclasses.replace(MODEL, **changes)
    mesh = jax.sharding.AbstractMesh((4, 2), sharding.AXES)
    if message is None:
      sharding.check(config, mesh, model, 8)
    else:
      with pytest.raises(ValueError, match=message):
        sharding.check(config, mesh, model, 8)

  def test_a_batch_that_cannot_be_cut_is_refused(self):
    config = sharding.ParallelConfig(accumulation=3)
    mesh = jax.sharding.AbstractMesh((4, 1), sharding.AXES)
    sharding.check(config, mesh, MODEL, 24)
    with pytest.raises(ValueError, match="batch_size = 8 must be .* of 12"):
      sharding.check(config, mesh, MODEL, 8)

  def test_devices_that_do_not_divide_are_refused(self):
    config = sharding.ParallelConfig(model=2)
    with pytest.raises(ValueError, match="does not divide 1 devices"):
      sharding.make_mesh(config, jax.devices()[:1])

  @pytest.mark.parametrize(
    "changes", [{"model": 0}, {"accumulation": 0}, {"strategy": "zero1"}]
  )
  def test_nonsense_is_refused_by_name(self, changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
      sharding.ParallelConfig(**changes)


def test_micro_batches_have_every_window_once():
  batch = {"x": np.arange(24).reshape(12, 2)}
  split = sharding.micro_batches(batch, 3)["x"]
  assert split.shape == (3, 4, 2)
  np.testing.assert_array_equal(
    np.sort(split.reshape(12, 2), axis=0), batch["x"]
  )
  # A device that has the first windows has some of each.
  assert set(split[:, 0, 0].tolist()) == {0, 2, 4}
