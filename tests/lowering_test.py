"""Every main program lowers for GPUs and TPUs, without one at hand.

At least nothing in them is for CPUs only: no callback, no primitive that other
platforms lack.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from mars_jax import lmm
from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.lob import session
from mars_jax.sim import agents
from mars_jax.train import order_task
from mars_jax.train import trainer
from tests.support.sim import small_markets
from tests.support.train import random_params
from tests.support.train import tiny_run

_PLATFORMS = ("cuda", "tpu")
_MODEL = lmm.LmmConfig(
  dim=8, num_layers=2, num_heads=2, head_dim=4, mlp_dim=16, window=8
)


def _lowered(function, *arguments):
  """The text of a program, for both platforms."""
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(jnp.shape(x), x.dtype), arguments
  )
  export = jax.export.export(jax.jit(function), platforms=_PLATFORMS)
  exported = export(*shapes)
  assert exported.platforms == _PLATFORMS
  return exported.mlir_module()


@pytest.mark.parametrize("rules", ["continuous", "shanghai"])
def test_matching_of_many_books(rules):
  exchanges = jax.vmap(lambda _: session.init(lob.init(16), reference=1000))
  order = lob.make_order(types.OrderKind.LIMIT, types.Side.BID, 999, 100, 7)
  step = functools.partial(session.step, rules=lob.PRESETS[rules])
  text = _lowered(
    jax.vmap(step, (0, None, None)),
    exchanges(jnp.arange(4)),
    order,
    jnp.int32(40_000),
  )
  assert "callback" not in text


def test_a_call_auction():
  exchange = session.init(lob.init(16), reference=1000)
  uncross = functools.partial(session.uncross, rules=lob.PRESETS["shanghai"])
  assert "callback" not in _lowered(uncross, exchange)


def test_a_train_step():
  data = tiny_run.dataset()
  mesh = jax.make_mesh(
    (1, 1), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2
  )
  step = functools.partial(
    trainer.train_step,
    order_task.TASK,
    seed=0,
    config=tiny_run.MODEL,
    optimizer=tiny_run.OPTIMIZER,
    parallel=tiny_run.CONFIGS["parallel"],
  )
  init = functools.partial(
    trainer.init_state, order_task.TASK, 0, tiny_run.MODEL, tiny_run.OPTIMIZER
  )
  tokenizers = data.tokenizer_list(
    tiny_run.MODEL.alphabet, tiny_run.MODEL.scheme
  )
  with jax.set_mesh(mesh):
    state = jax.eval_shape(init)
    text = _lowered(step, state, tokenizers, next(tiny_run.batches(data)))
  assert "callback" not in text


def test_reading_a_history_and_decoding():
  params = random_params.params(_MODEL)
  tokens = random_params.tokens(12)
  apply = functools.partial(lmm.apply, config=_MODEL)
  assert "callback" not in _lowered(apply, params, tokens)
  token = jax.tree.map(lambda leaf: leaf[0], tokens)
  cache = lmm.cache.init(config=_MODEL)
  assert "callback" not in _lowered(apply, params, token, cache)


@pytest.mark.slow
def test_a_chunk_of_a_simulation_with_agents():
  # The alphabet that the small market has bins of.
  model = dataclasses.replace(_MODEL, alphabet="mid")
  fns = sim.OrderModelFns(
    functools.partial(lmm.next_order, config=model),
    cache_axes=lmm.cache.AXES,
    align_cache=lmm.cache.align,
  )
  params = random_params.params(model)
  flow = sim.Flow(params, small_markets.tokenizer(50_000), fns)
  kinds = (agents.market_maker.make(volume=5, limit=50),)
  config = sim.SimConfig(
    rules=lob.PRESETS["shanghai"], agents=sim.AgentsConfig(kinds=kinds)
  )
  cache = lmm.cache.share(lmm.cache.init(config=_MODEL))
  start = small_markets.start(seconds=40_000, capacity=16)
  start = start.replace(cache=cache)
  axes = sim.state_axes(fns)

  def chunk(flow, keys, start):
    init = functools.partial(sim.init, config=config)
    state = jax.vmap(init, (None, 0, None), axes)(flow, keys, start)
    rollout = functools.partial(
      sim.rollout,
      config=config,
      num_events=4,
      observe_fn=lambda state, event: event.mid,
    )
    return jax.vmap(rollout, (None, axes), (axes, 0))(flow, state)

  keys = jax.random.split(jax.random.key(0), 3)
  assert "callback" not in _lowered(chunk, flow, keys, start)
