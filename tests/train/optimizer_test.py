"""Muon: the blocks' matrices by their singular vectors, the rest by NAdam."""

import dataclasses

import chex
import jax
import numpy as np
import optax
import pytest

from mars_jax.train import optimizer as optimizer_lib
from tests.support.train import random_params
from tests.support.train import tiny_run

MODEL = tiny_run.MODEL
CONFIG = dataclasses.replace(
  tiny_run.OPTIMIZER,
  name="muon",
  learning_rate=1.0,
  warmup_steps=0,
  weight_decay=0.0,
  max_grad_norm=1e6,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def params():
  return random_params.params(MODEL)


@pytest.fixture(scope="module")
def grads():
  return random_params.params(MODEL, seed=1)


def _updates(config, grads, params):
  optimizer = optimizer_lib.make_optimizer(config)
  return jax.jit(optimizer.update)(
    grads, jax.jit(optimizer.init)(params), params
  )[0]


def _matrices(block):
  """The matrices of each layer that map one vector space to another."""
  layers = MODEL.num_layers
  yield "qkv", block["qkv"]["kernel"].reshape(layers, MODEL.dim, -1)
  out = block["attention_out"]["kernel"]
  yield "attention_out", out.reshape(layers, -1, MODEL.dim)
  for half in range(2):
    yield "gate_up", block["gate_up"]["kernel"][:, :, half]
  yield "down", block["down"]["kernel"]


def test_steps_of_matrices_are_orthogonal_and_of_adamws_size(params, grads):
  updates = _updates(CONFIG, grads, params)
  for (name, steps), (_, slopes) in zip(
    _matrices(updates["blocks"]), _matrices(grads["blocks"]), strict=True
  ):
    for step, slope in zip(steps, slopes, strict=True):
      u, _, v = np.linalg.svd(slope, full_matrices=False)
      wanted = -0.2 * max(slope.shape) ** 0.5 * (u @ v)
      # Newton and Schulz's iteration leaves singular values in [0.7, 1.2].
      cosine = np.vdot(step, wanted) / np.linalg.norm(step)
      assert cosine / np.linalg.norm(wanted) > 0.97, name
      singular = np.linalg.svd(np.asarray(step), compute_uv=False)
      ratio = singular / (0.2 * max(slope.shape) ** 0.5)
      assert 0.6 < ratio.min() and ratio.max() < 1.3, name


def test_all_other_parameters_take_the_steps_of_nadam(params, grads):
  def others(tree):
    blocks = {
      name: leaf
      for name, leaf in tree["blocks"].items()
      if name.endswith("norm")
    }
    return {**tree, "blocks": blocks}

  nadam = optax.scale_by_adam(b2=CONFIG.beta2, nesterov=True)
  wanted, _ = jax.jit(nadam.update)(grads, jax.jit(nadam.init)(params))
  found = _updates(CONFIG, grads, params)
  chex.assert_trees_all_close(
    others(found), jax.tree.map(np.negative, others(wanted)), rtol=1e-4
  )


def test_norms_are_not_decayed_whichever_optimizer(params):
  for name in ("adamw", "muon"):
    config = dataclasses.replace(CONFIG, name=name, weight_decay=0.5)
    zeros = jax.tree.map(np.zeros_like, params)
    updates = _updates(config, zeros, params)
    leaves = jax.tree_util.tree_leaves_with_path(updates)
    for (path, update), leaf in zip(
      leaves, jax.tree.leaves(params), strict=True
    ):
      share = 0.0 if path[-1].key == "scale" else 0.5
      np.testing.assert_allclose(update, -share * leaf, atol=1e-6)


def test_an_unknown_optimizer_is_an_error():
  with pytest.raises(ValueError, match="'sgd' is none of adamw, muon"):
    dataclasses.replace(CONFIG, name="sgd")


ADAMW = dataclasses.replace(tiny_run.OPTIMIZER, num_steps=100, warmup_steps=10)


def test_rate_warms_up_peaks_and_decays_to_a_tenth():
  schedule = optimizer_lib.make_schedule(ADAMW)
  rates = np.array([schedule(step) for step in range(101)])
  np.testing.assert_allclose(rates[:11], np.linspace(0, 1e-2, 11), rtol=1e-5)
  assert rates.argmax() == 10
  assert (np.diff(rates[10:]) < 0).all()
  # Halfway through the cosine it is halfway between the peak and a tenth.
  np.testing.assert_allclose(rates[55], 5.5e-3, rtol=1e-5)
  np.testing.assert_allclose(rates[100], 1e-3, rtol=1e-5)


def test_only_matrices_and_tables_are_decayed(params):
  config = dataclasses.replace(ADAMW, warmup_steps=0)
  optimizer = optimizer_lib.make_optimizer(config)
  ones = jax.tree.map(np.ones_like, params)
  zeros = jax.tree.map(np.zeros_like, params)
  state = jax.jit(optimizer.init)(ones)
  updates, _ = jax.jit(optimizer.update)(zeros, state, ones)
  leaves = jax.tree_util.tree_leaves_with_path(updates)
  decay = config.learning_rate * config.weight_decay
  num_scales = 0
  for path, update in leaves:
    is_scale = "scale" in jax.tree_util.keystr(path)
    num_scales += is_scale
    expected = 0.0 if is_scale else -decay
    np.testing.assert_allclose(
      update, np.full_like(update, expected), rtol=1e-5, err_msg=str(path)
    )
  assert num_scales == 5  # Four of the block, one after it.


def test_large_gradients_are_scaled_down():
  config = dataclasses.replace(ADAMW, warmup_steps=0, weight_decay=0.0)
  optimizer = optimizer_lib.make_optimizer(config)
  params = {"w": np.zeros((2, 2), np.float32)}
  small = {"w": np.full((2, 2), 0.5, np.float32)}  # Of norm 1.
  large = {"w": np.full((2, 2), 5e5, np.float32)}
  state = optimizer.init(params)
  chex.assert_trees_all_close(
    optimizer.update(small, state, params),
    optimizer.update(large, state, params),
    rtol=1e-5,
  )
