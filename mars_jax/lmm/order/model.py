"""The order model: predicts the next order from the orders and books before it.

A LLaMA-style decoder (MarS, section 3 and appendix B.2), as pure functions over
a tree of parameters: {"embed", "blocks", "norm", "head"}, where every leaf of
"blocks" has a leading axis `[layers]`. Two ways through it, with equal results:

  1. a whole sequence, for training, scoring and to start a simulation:
     `hidden, cache = apply(params, features, config=config)`;
  2. one token at a time against a ring buffer of the last W tokens:
     `hidden, cache = apply(params, token, cache, config=config)`.

`hidden` describes the order that follows: `log_prob` scores one, `sample` draws
one. Differences to the paper: attention is limited to a sliding window, so that
an order costs one token however long the day; the head is factored unless the
config says otherwise; dropout is on the embedding and the sublayers' outputs,
not on the attention weights.

Everything is written for one sequence; batch with `jax.vmap`, and the caches of
trajectories that decode in step as `cache` says.

Dimensions: T tokens, W window, D embedding.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.nn import layers
from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import embed
from mars_jax.lmm.order import heads
from mars_jax.tokens import features as features_lib
from mars_jax.tokens import vocab

TokenFeatures = features_lib.TokenFeatures
Params = Any  # A nested dict of float32 arrays.


def init(key: jax.Array, *, config: config_lib.LmmConfig) -> Params:
  """Returns new parameters.

  Args:
    key: typed PRNG key, consumed.
    config: the model.
  """
  embed_key, block_key, norm_key, head_key = jax.random.split(key, 4)
  zero = jnp.zeros((), jnp.int32)
  levels = jnp.zeros((2 * features_lib.NUM_LEVELS,), jnp.int32)
  names = [field.name for field in dataclasses.fields(TokenFeatures)]
  token = TokenFeatures(**dict.fromkeys(names, zero))
  token = token.replace(volumes=levels, distances=levels)
  x = jnp.zeros((config.dim,), jnp.float32)

  def init_block(key):
    return layers.Block(config).init(key, x[None])["params"]

  return {
    "embed": embed.make(config).init(embed_key, token)["params"],
    "blocks": jax.vmap(init_block)(
      jax.random.split(block_key, config.num_layers)
    ),
    "norm": layers.norm().init(norm_key, x)["params"],
    "head": heads.make(config).init(head_key, x, zero, method="log_prob")[
      "params"
    ],
  }


def apply(
  params: Params,
  features: TokenFeatures,
  cache: cache_lib.KvCache | None = None,
  *,
  config: config_lib.LmmConfig,
  key: jax.Array | None = None,
  is_new: jax.Array | bool = True,
) -> tuple[jax.Array, cache_lib.KvCache]:
  """Describes the order that follows each token of one sequence.

  Args:
    params: as returned by `init`.
    features: without a cache leaves `[T]`, volumes `[T, 10]`, T >= 1, from the
      start of the sequence; with one a single token, without the axis T.
    cache: what `apply`, `cache.init` or `cache.share` returned, or None.
    config: the model; static.
    key: typed PRNG key, consumed: dropout is on (training). Not with a cache.
    is_new: bool `[]`, with a cache: whether the token is appended to it. If
      not, the trajectory sits this step out while others go on.

  Returns:
    Without a cache: `[T, D]`, row `t` a function of tokens `0..t`, and a cache
    of the last W tokens, to decode from position T. With one: `[D]`, and the
    cache with the token appended.
  """
  params = cast(params, config)
  if cache is None:
    return _apply_sequence(params, features, key, config)
  if key is not None:
    raise ValueError("dropout (key) is for whole sequences, without a cache")
  return _apply_token(params, features, cache, jnp.asarray(is_new), config)


def cast(params: Params, config: config_lib.LmmConfig) -> Params:
  """Returns parameters, or some of them, in the type of the arithmetic."""
  dtype = config.compute_dtype
  return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _apply_sequence(params, features, key, config):
  """`apply` to tokens `[T]` from position 0."""
  x = embed.make(config).apply({"params": params["embed"]}, features)
  keys = None
  if key is not None:
    embed_key, block_key = jax.random.split(key)
    x = layers.dropout(embed_key, x, config.dropout)
    keys = jax.random.split(block_key, config.num_layers)

  def body(x, layer):
    block, key = layer
    x, kv = layers.Block(config).apply(
      {"params": block}, layers.constrain_to_devices(x), key
    )
    return layers.constrain_to_devices(x), kv

  if config.remat:
    body = jax.checkpoint(body, prevent_cse=False)
  x, (k, v) = jax.lax.scan(body, x, (params["blocks"], keys))
  cache = cache_lib.of_sequence(k, v, window=config.window)
  return layers.norm().apply({"params": params["norm"]}, x), cache


def _apply_token(params, features, cache, is_new, config):
  """`apply` to one token at `cache.position`."""
  x = embed.make(config).apply({"params": params["embed"]}, features)
  place = cache_lib.place(cache, is_new, window=config.window)
  new = []
  for i, layer in enumerate(cache_lib.layers(cache)):
    block = jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])
    x, layer = layers.Block(config).apply(
      {"params": block}, x, layer, place, method="decode"
    )
    new.append(layer)
  hidden = layers.norm().apply({"params": params["norm"]}, x)
  return hidden, cache_lib.advance(cache, new, is_new)


def log_prob(
  params: Params,
  hidden: jax.Array,
  index: jax.Array,
  *,
  config: config_lib.LmmConfig,
) -> jax.Array:
  """Log-probability, in nats, of the order that follows, field by field.

  Args:
    params: as returned by `init`.
    hidden: `[..., D]` from `apply`.
    index: `[...]` int32 in [0, 49152), the order that FOLLOWS: pair
      `hidden[:-1]` with `features.index[1:]`.
    config: the model; static.

  Returns:
    `[..., 4]` float32: kind, price given kind, volume given both, interval
    given all. The sum over the last axis is the order's log-probability.
  """
  head = cast(params["head"], config)
  return heads.make(config).apply(
    {"params": head}, hidden, index, method="log_prob"
  )


def sample(
  params: Params,
  key: jax.Array,
  hidden: jax.Array,
  *,
  config: config_lib.LmmConfig,
) -> jax.Array:
  """Draws the order that follows, with the probabilities of `log_prob`.

  Args:
    params: as returned by `init`.
    key: typed PRNG key, consumed.
    hidden: `[D]` from `apply`.
    config: the model; static.

  Returns:
    [] int32, the order index. A field is drawn from a uniform of 23 bits: a
    value of probability below 1e-7 is drawn too often, too rarely or never.
  """
  uniforms = jax.random.uniform(key, (len(vocab.FIELD_SIZES),), jnp.float32)
  fields = heads.make(config).apply(
    {"params": cast(params["head"], config)},
    hidden,
    uniforms,
    method="sample",
  )
  return vocab.pack(fields)


def num_params(params: Params) -> int:
  """The number of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
