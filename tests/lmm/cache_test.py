"""The order model's cache: shared histories, and trajectories that sit out."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.lmm.nn import attention
from tests.support.train import random_params

pytestmark = pytest.mark.usefixtures("quick_compilation")

_TOLERANCE = 2e-5  # Of float32 sums in another order.
_CONFIG = lmm.LmmConfig(
  dim=16,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=24,
  window=6,
  short_window=3,
)
_NUM = 3  # Trajectories.


def _at(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


def _concatenate(*features):
  return jax.tree.map(lambda *x: np.concatenate(x), *features)


@pytest.fixture(scope="module")
def params():
  return random_params.params(_CONFIG)


@functools.partial(jax.jit, static_argnames="config")
def _whole(params, features, *, config=_CONFIG):
  return lmm.apply(params, features, config=config)


@functools.partial(jax.jit, static_argnames="config")
def _in_step(params, features, cache, is_new, *, config=_CONFIG):
  """Decodes `[B, T]` tokens of trajectories; returns `[T, B, D]`."""
  axes = lmm.cache.AXES

  def decode(cache, x):
    token, is_new = x
    hidden, cache = jax.vmap(
      lambda token, cache, is_new: lmm.apply(
        params, token, cache, config=config, is_new=is_new
      ),
      in_axes=(0, axes, 0),
      out_axes=(0, axes),
    )(token, cache, is_new)
    return cache, hidden

  by_step = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), features)
  cache, hidden = jax.lax.scan(decode, cache, (by_step, is_new.T))
  return hidden, cache


def _many(cache, count=_NUM):
  return jax.vmap(lambda _: cache, out_axes=lmm.cache.AXES)(jnp.arange(count))


@pytest.mark.parametrize("prefix", [1, 4, 6, 17])
def test_a_shared_history_equals_an_unshared_and_a_recomputed_one(
  params, prefix
):
  history, own = (
    random_params.tokens(prefix),
    random_params.tokens(_NUM, 15, seed=1),
  )
  _, cache = _whole(params, history)
  always = jnp.ones((_NUM, 15), bool)
  shared, _ = _in_step(params, own, _many(lmm.cache.share(cache)), always)
  unshared, _ = _in_step(params, own, _many(cache), always)
  chex.assert_trees_all_close(shared, unshared, atol=_TOLERANCE)
  for b in range(_NUM):
    again, _ = _whole(params, _concatenate(history, _at(own, b)))
    chex.assert_trees_all_close(shared[:, b], again[prefix:], atol=_TOLERANCE)


def test_blocks_of_the_ring_buffer_equal_the_whole_sequence(
  params, monkeypatch
):
  monkeypatch.setattr(attention, "BLOCK", 4)  # Of a window of 10: 12 slots.
  config = lmm.LmmConfig(**{**vars(_CONFIG), "window": 10})
  own = random_params.tokens(_NUM, 30, seed=1)
  cache = lmm.cache.init(config=config)
  assert [layer[0].shape for layer in cache.keys] == [(4, 3), (4, 12)]
  hidden, _ = _in_step(
    params, own, _many(cache), jnp.ones((_NUM, 30), bool), config=config
  )
  for b in range(_NUM):
    again, _ = _whole(params, _at(own, b), config=config)
    chex.assert_trees_all_close(hidden[:, b], again, atol=_TOLERANCE)


def test_trajectories_that_sat_out_go_on_as_if_they_had_not(params):
  history, own = random_params.tokens(9), random_params.tokens(_NUM, 24, seed=1)
  _, cache = _whole(params, history)
  cache = _many(lmm.cache.share(cache))
  # Each stops at another moment of the first 8 steps, for good.
  stops = jnp.asarray([8, 3, 0])
  is_new = jnp.arange(8)[None] < stops[:, None]
  _, cache = _in_step(params, _at(own, np.s_[:, :8]), cache, is_new)
  assert cache.num_skipped.tolist() == [0, 5, 8]
  cache = lmm.cache.align(cache)
  rest = [_at(own, np.s_[b, s : s + 16]) for b, s in enumerate(stops)]
  rest = jax.tree.map(lambda *x: jnp.stack(x), *rest)
  hidden, _ = _in_step(params, rest, cache, jnp.ones((_NUM, 16), bool))
  for b, stop in enumerate(stops):
    again, _ = _whole(
      params, _concatenate(history, _at(own, np.s_[b, : stop + 16]))
    )
    chex.assert_trees_all_close(
      hidden[:, b], again[9 + stop :], atol=_TOLERANCE
    )


def test_a_prefix_is_shared_once(params):
  _, cache = _whole(params, random_params.tokens(9))
  with pytest.raises(ValueError, match="already"):
    lmm.cache.share(lmm.cache.share(cache))
