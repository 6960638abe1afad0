"""What a run costs, against counts by hand and what XLA says it needs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from mars_jax import lmm
from mars_jax import types
from mars_jax.data import pipeline
from mars_jax.tokens import features as features_lib
from mars_jax.tokens import vocab
from mars_jax.train import cost
from mars_jax.train import loss
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import sharding

_MODEL = lmm.LmmConfig(
  dim=128,
  num_layers=4,
  num_heads=4,
  num_kv_heads=2,
  head_dim=32,
  mlp_dim=352,
  window=512,
  dtype="float32",
)
_RUN = {
  "model": _MODEL,
  "batch": pipeline.BatchConfig(
    window_length=513, window_stride=512, batch_size=256
  ),
  "optimizer": optimizer_lib.OptimizerConfig(
    name="adamw",
    learning_rate=1e-3,
    num_steps=10,
    warmup_steps=1,
    weight_decay=0.1,
    beta2=0.95,
    max_grad_norm=1.0,
  ),
  "num_devices": 64,
  "device_kind": "NVIDIA H100 80GB HBM3",
}


def _make(**changes):
  parallel = sharding.ParallelConfig(**changes.pop("parallel", {}))
  return cost.make(**{**_RUN, **changes}, parallel=parallel)


@pytest.mark.parametrize(
  ("head", "head_flops"),
  [
    ("joint", 2 * vocab.NUM_ORDERS * 128),
    ("factored", 2 * (128 * 4 * 128 + 128 * 83)),
  ],
)
def test_flops_are_those_of_the_products_counted_by_hand(head, head_flops):
  config = dataclasses.replace(
    _MODEL,
    alphabet="mid",
    inputs="levels",
    head=head,
    has_values=False,
    qk_norm=False,
  )
  qkv = 2 * 128 * (4 + 2 * 2) * 32
  out = 2 * 4 * 32 * 128
  mlp = 3 * 2 * 128 * 352
  # Token t sees t + 1 tokens; scores and mixing are a product each.
  attention = 2 * 2 * 4 * 32 * (1 + 512) / 2
  smooth = 2 * (8 * 128 + 48 * 256 + 256 * 128)  # The time, the book.
  forward = 4 * (qkv + out + mlp + attention) + head_flops + smooth
  found = cost.flops_per_token(config, 512)
  assert found == pytest.approx(3 * forward, rel=1e-12)


def test_attention_costs_no_more_than_the_window():
  per_token = 3 * 4 * _MODEL.num_layers * 4 * 32
  wide = dataclasses.replace(_MODEL, window=512)
  narrow = dataclasses.replace(_MODEL, window=4)
  # Of 6 tokens, the last two see 4 instead of 5 and 6.
  less = cost.flops_per_token(wide, 6) - cost.flops_per_token(narrow, 6)
  assert less == pytest.approx(per_token * (1 + 2) / 6)


@pytest.mark.parametrize(
  ("kind", "flops", "memory"),
  [
    ("NVIDIA H100 80GB HBM3", 989e12, 80e9),
    ("NVIDIA H100 PCIe", 756e12, 80e9),
    ("nvidia h200", 989e12, 141e9),
    ("NVIDIA A100-SXM4-40GB", 312e12, 40e9),
    ("NVIDIA A10G", 70e12, 24e9),
    ("Tesla V100-SXM2-16GB", 125e12, 16e9),
    ("TPU v4", 275e12, 32 * 2**30),
    ("TPU v5 lite", 197e12, 16 * 2**30),
    ("TPU v5p", 459e12, 95 * 2**30),
    ("TPU v5", 459e12, 95 * 2**30),
    ("TPU v6 lite", 918e12, 32 * 2**30),
  ],
)
def test_devices_are_known_by_what_jax_calls_them(kind, flops, memory):
  known = cost.accelerator(kind)
  assert (known.peak_flops, known.memory) == (flops, memory)
  assert known.source


def test_a_device_that_is_not_known_is_an_error_or_nan():
  with pytest.raises(ValueError, match="'NVIDIA L40S'.*H100"):
    cost.accelerator("NVIDIA L40S")  # Not an L4.

  class Unknown:
    device_kind = "NVIDIA L40S"

  assert jnp.isnan(cost.peak_flops(Unknown()))


def test_a_cpu_is_timed_once():
  first = cost.peak_flops(jax.devices("cpu")[0])
  assert 1e8 < first < 1e14
  assert cost.peak_flops(jax.devices("cpu")[0]) == first


def test_a_device_has_its_share_of_the_state():
  params = 4 * lmm.num_params(
    jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=_MODEL))
  )
  whole = _make().memory
  assert whole["parameters"] == whole["gradients"] == params
  # Two moments, and the counts of steps.
  assert whole["optimizer"] == pytest.approx(2 * params, abs=16)
  cut = _make(parallel={"strategy": "zero2"}).memory
  assert cut["parameters"] == params
  # But for what no 64 devices divide, nothing is left whole.
  assert params / 64 <= cut["gradients"] < 1.1 * params / 64 + 2e5
  assert cut["optimizer"] == pytest.approx(2 * cut["gradients"], abs=16)
  fsdp = _make(parallel={"strategy": "fsdp"})
  assert fsdp.memory["parameters"] == cut["gradients"]
  assert 4 * fsdp.params_per_device == fsdp.memory["parameters"]
  model = _make(parallel={"model": 2})
  assert model.mesh == {"data": 32, "model": 2}
  assert params / 2 < model.memory["parameters"] < params


def test_micro_batches_and_devices_share_the_activations():
  one = _make(num_devices=1).memory["activations"]
  assert _make(num_devices=4).memory["activations"] == one / 4
  split = _make(num_devices=1, parallel={"accumulation": 8})
  assert split.memory["activations"] == one / 8
  remat = dataclasses.replace(_MODEL, remat=True)
  assert _make(num_devices=1, model=remat).memory["activations"] < one


def test_time_is_flops_over_the_rate_of_all_devices():
  found = _make(utilisation=0.5)
  assert found.tokens_per_step == 256 * 512
  assert found.tokens == 10 * 256 * 512
  assert found.flops == found.tokens * cost.flops_per_token(_MODEL, 512)
  seconds = found.flops / (0.5 * 989e12 * 64)
  assert found.hours == pytest.approx(seconds / 3600)
  rows = dict(found.rows())
  assert rows["devices"] == "64 data x 1 model, NVIDIA H100 80GB HBM3"
  assert rows["tokens in all"] == "1.31e+06"


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_devices": 3}, "batch_size = 256 must be a multiple of 3"),
    ({"parallel": {"model": 3}}, "model = 3 does not divide 64 devices"),
    ({"parallel": {"model": 4}}, "model = 4 does not divide .*num_kv_heads"),
    ({"device_kind": "abacus"}, "'abacus' is not known"),
  ],
)
def test_what_cannot_be_is_an_error_that_says_why(changes, message):
  with pytest.raises(ValueError, match=message):
    _make(**changes)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", [{}, {"qk_norm": True}, {"remat": True}])
def test_a_block_keeps_what_jax_keeps_for_its_gradient(dtype, change):
  num_windows, length = 3, 100
  shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.int32)
  names = [f.name for f in dataclasses.fields(features_lib.TokenFeatures)]
  tokens = features_lib.TokenFeatures(
    **dict.fromkeys(names, shape((3, 101)))
  ).replace(
    symbols=shape((3, 101, len(_MODEL.fields))),
    volumes=shape((3, 101, 10)),
    distances=shape((3, 101, 10)),
    depth=types.Depth(*[shape((3, 101, 2, types.DEPTH_CLASSES))] * 2),
  )

  def kept(config):
    """The bytes of the arrays of windows and tokens that a gradient needs."""
    params = jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=config))
    found = jax.eval_shape(
      lambda params, tokens: jax.vjp(
        lambda params: loss.nats(params, tokens, config=config).sum(), params
      )[1],
      params,
      tokens,
    )
    return sum(
      leaf.size * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(found)
      if num_windows in leaf.shape and length in leaf.shape
    )

  def estimate(config):
    return cost.activation_bytes(
      config,
      num_windows=num_windows,
      length=length,
      num_parts=1,
      itemsize=jnp.dtype(dtype).itemsize,
    )

  def of_a_block(count):
    few, more = (
      dataclasses.replace(
        _MODEL, **{"qk_norm": False, **change}, dtype=dtype, num_layers=layers
      )
      for layers in (5, 6)
    )
    return count(more) - count(few)

  # But for a few numbers of each norm.
  assert of_a_block(kept) == pytest.approx(of_a_block(estimate), rel=0.02)
