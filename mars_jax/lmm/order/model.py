"""The order model: the next order, given orders and books before it.

An embedding, the transformer of `lmm.nn` and a head (MarS, section 3 and
appendix B.2), as pure functions over a tree of parameters: {"embed", "blocks",
"norm", "head"}. Two ways through it, with equal results:

  1. a whole sequence, for training, scoring and to start a simulation:
     `hidden, cache = apply(params, features, config=config)`;
  2. one token at a time against a ring buffer of the last W tokens:
     `hidden, cache = apply(params, token, cache, config=config)`.

`hidden` describes the order that follows: `log_prob` scores one, `sample` draws
one. Difference to the paper, besides those of `nn.transformer`: the head is
factored unless the config says otherwise.

All functions work on one sequence; batch with `jax.vmap`, and the caches of
trajectories that decode in step as `nn.cache` describes.

Dimensions: T tokens, W window, D embedding.
"""

import dataclasses

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.nn import transformer
from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import embed
from mars_jax.lmm.order import heads
from mars_jax.tokens import features as features_lib

TokenFeatures = features_lib.TokenFeatures
Params = transformer.Params


def _head(config: config_lib.LmmConfig):
  """Returns the module of the config's head."""
  return heads.HEADS[config.head](config.dim, config.field_sizes)


def init(key: jax.Array, *, config: config_lib.LmmConfig) -> Params:
  """Returns new parameters.

  Args:
    key: typed PRNG key, consumed.
    config: the model.
  """
  embed_key, block_key, _, head_key = jax.random.split(key, 4)
  zero = jnp.zeros((), jnp.int32)
  levels = jnp.zeros((2 * features_lib.NUM_LEVELS,), jnp.int32)
  names = [field.name for field in dataclasses.fields(TokenFeatures)]
  token = TokenFeatures(**dict.fromkeys(names, zero))
  symbols = jnp.zeros((len(config.fields),), jnp.int32)
  classes = jnp.zeros((2, types.DEPTH_CLASSES), jnp.int32)
  token = token.replace(
    symbols=symbols,
    volumes=levels,
    distances=levels,
    depth=types.Depth(classes, classes),
  )
  x = jnp.zeros((config.dim,), jnp.float32)
  return {
    "embed": embed.make(config).init(embed_key, token)["params"],
    **transformer.init(block_key, config=config),
    "head": _head(config).init(head_key, x, symbols, method="log_prob")[
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
    cache: the result of `apply`, `cache.init` or `cache.share`, or None.
    config: the model; static.
    key: typed PRNG key, consumed: dropout is on (training). Not with a cache.
    is_new: bool `[]`, with a cache: whether the token is appended to it. If
      not, the trajectory sits this step out while others go on.

  Returns:
    Without a cache: `[T, D]`, row `t` a function of tokens `0..t`, and a cache
    of the last W tokens, to decode from position T. With one: `[D]`, and the
    cache with the token appended.
  """
  params = transformer.cast(params, config)
  x = embed.make(config).apply({"params": params["embed"]}, features)
  if cache is None:
    return transformer.apply_sequence(params, x, key, config=config)
  if key is not None:
    raise ValueError("dropout (key) is for whole sequences, without a cache")
  is_new = jnp.asarray(is_new)
  return transformer.apply_token(params, x, cache, is_new, config=config)


def log_prob(
  params: Params,
  hidden: jax.Array,
  symbols: jax.Array,
  bias: jax.Array | None = None,
  *,
  config: config_lib.LmmConfig,
) -> jax.Array:
  """Returns the log-probability of the next order, by field.

  In nats.

  Args:
    params: as returned by `init`.
    hidden: `[..., D]` from `apply`.
    symbols: `[..., F]` int32, the order that FOLLOWS: pair `hidden[:-1]` with
      `features.symbols[1:]`.
    bias: `[K, V]` float32, of the logits of the V symbols of all fields, by
      kind (`adaptation.fit`), of a factored head; None for none.
    config: the model; static.

  Returns:
    `[..., F]` float32, of each field given those before it. The sum over the
    last axis is the order's log-probability.
  """
  head = transformer.cast(params["head"], config)
  return _head(config).apply(
    {"params": head}, hidden, symbols, *_given(bias), method="log_prob"
  )


def logits(
  params: Params,
  hidden: jax.Array,
  symbols: jax.Array,
  *,
  config: config_lib.LmmConfig,
) -> list[jax.Array]:
  """Returns the logits of the next order's fields.

  Of a factored head.

  Args:
    params, hidden, symbols, config: as of `log_prob`.

  Returns:
    Float32 `[..., size]` of each field, given those before it.
  """
  head = transformer.cast(params["head"], config)
  return _head(config).apply({"params": head}, hidden, symbols, method="logits")


def sample(
  params: Params,
  key: jax.Array,
  hidden: jax.Array,
  bias: jax.Array | None = None,
  *,
  config: config_lib.LmmConfig,
) -> jax.Array:
  """Draws the order that follows, with the probabilities of `log_prob`.

  Args:
    params: as returned by `init`.
    key: typed PRNG key, consumed.
    hidden: `[D]` from `apply`.
    bias: as of `log_prob`.
    config: the model; static.

  Returns:
    `[F]` int32, the fields of the order. A field is drawn from a uniform of 23
    bits: a value of probability below 1e-7 is drawn too often, too rarely or
    never.
  """
  uniforms = jax.random.uniform(key, (len(config.fields),), jnp.float32)
  return _head(config).apply(
    {"params": transformer.cast(params["head"], config)},
    hidden,
    uniforms,
    *_given(bias),
    method="sample",
  )


def _given(bias):
  """Returns the arguments that give a head a bias: the joint one takes none."""
  return () if bias is None else (bias,)
