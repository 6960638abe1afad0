"""A LLaMA-style decoder without its embedding and its head.

Parameters are {"blocks", "norm"}, where every leaf of "blocks" has a leading
axis `[layers]`. Embedded tokens go in and hidden states come out, in two ways
with equal results: a whole sequence (`apply_sequence`), or one token against a
ring buffer of the last W tokens (`apply_token`). Both work on one sequence;
batch with `jax.vmap`, and caches of trajectories that decode in step as `cache`
describes.

Differences to the paper (MarS, section 3 and appendix B.2): attention is
limited to a sliding window, so that the cost of an order does not grow over the
day; dropout is on the embedding and the sublayers' outputs, not on the
attention weights.

Dimensions: T tokens, W window, D embedding.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp

from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.nn import config as config_lib
from mars_jax.lmm.nn import layers

Params = Any  # A nested dict of float32 arrays.


def init(key: jax.Array, *, config: config_lib.TransformerConfig) -> Params:
  """Returns new parameters, {"blocks", "norm"}.

  Args:
    key: typed PRNG key, consumed.
    config: the transformer.
  """
  x = jnp.zeros((config.dim,), jnp.float32)

  def init_block(key):
    return layers.Block(config, config.window).init(key, x[None])["params"]

  return {
    "blocks": jax.vmap(init_block)(jax.random.split(key, config.num_layers)),
    # All ones, whatever the key.
    "norm": layers.norm().init(key, x)["params"],
  }


def cast(params: Params, config: config_lib.TransformerConfig) -> Params:
  """Returns (a part of) the parameters in the compute type."""
  dtype = config.compute_dtype
  return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def apply_sequence(
  params: Params,
  x: jax.Array,
  key: jax.Array | None = None,
  *,
  config: config_lib.TransformerConfig,
) -> tuple[jax.Array, cache_lib.KvCache]:
  """Transforms a sequence from position 0.

  Args:
    params: as returned by `init`, cast.
    x: `[T, D]`, embedded tokens, T >= 1.
    key: typed PRNG key, consumed: dropout is on (training).
    config: the transformer; static.

  Returns:
    `[T, D]`, row `t` a function of tokens `0..t`, and a cache of the last W
    tokens, to decode from position T.
  """
  block_keys = None
  if key is not None:
    embed_key, block_key = jax.random.split(key)
    x = layers.dropout(embed_key, x, config.dropout)
    block_keys = jax.random.split(block_key, config.num_layers)

  def body(window, x, layer):
    block, key = layer
    x, kv = layers.Block(config, window).apply(
      {"params": block}, layers.constrain_to_devices(x), key
    )
    return layers.constrain_to_devices(x), kv

  keys, values, first = [], [], 0
  # Layers of one window are one loop.
  for window, same in itertools.groupby(config.windows):
    count = len(list(same))
    rows = slice(first, first + count)
    one = functools.partial(body, window)
    if config.remat:
      one = jax.checkpoint(one, prevent_cse=False)
    stacked = jax.tree.map(
      lambda leaf, rows=rows: leaf[rows], (params["blocks"], block_keys)
    )
    x, (k, v) = jax.lax.scan(one, x, stacked)
    keys += list(k)
    values += list(v)
    first += count
  cache = cache_lib.of_sequence(keys, values, config=config)
  return layers.norm().apply({"params": params["norm"]}, x), cache


def apply_token(
  params: Params,
  x: jax.Array,
  cache: cache_lib.KvCache,
  is_new: jax.Array,
  *,
  config: config_lib.TransformerConfig,
) -> tuple[jax.Array, cache_lib.KvCache]:
  """Transforms one token at `cache.position`.

  Args:
    params: as returned by `init`, cast.
    x: `[D]`, the embedded token.
    cache: of the tokens before it.
    is_new: bool `[]`, whether the token is appended to the cache.
    config: the transformer; static.

  Returns:
    `[D]`, and the cache with the token appended.
  """
  new = []
  for i, (layer, window) in enumerate(
    zip(cache_lib.layers(cache), config.windows, strict=True)
  ):
    block = jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])
    place = cache_lib.place(cache, is_new, window=window)
    x, layer = layers.Block(config, window).apply(
      {"params": block}, x, layer, place, method="decode"
    )
    new.append(layer)
  hidden = layers.norm().apply({"params": params["norm"]}, x)
  return hidden, cache_lib.advance(cache, new, is_new)


def num_params(params: Params) -> int:
  """Returns the number of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
