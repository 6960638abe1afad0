"""The order model as a generator of orders, for `sim`.

`start` reads a history, `next_order` goes on by one token; both draw the order
that follows. Trajectories in step share the position in their caches, which
`CACHE_AXES` tells `jax.vmap`: the ring buffer is then written as a slice.
"""

import jax

from mars_jax.lmm import config as config_lib
from mars_jax.lmm import order_model
from mars_jax.tokens import features

CACHE_AXES = order_model.KvCache(keys=0, values=0, position=None)


def start(
  params: order_model.Params,
  key: jax.Array,
  tokens: features.TokenFeatures,
  *,
  config: config_lib.LmmConfig,
) -> tuple[jax.Array, order_model.KvCache]:
  """Reads the history of one market and draws the next order.

  Args:
    params: of the order model.
    key: typed PRNG key, consumed.
    tokens: the last orders, leaves `[T]`.
    config: of the order model; static.

  Returns:
    The int32 `[]` order index, and the cache to go on from.
  """
  hidden, cache = order_model.apply(params, tokens, config=config)
  return order_model.sample(params, key, hidden[-1], config=config), cache


def next_order(
  params: order_model.Params,
  key: jax.Array,
  token: features.TokenFeatures,
  cache: order_model.KvCache,
  *,
  config: config_lib.LmmConfig,
) -> tuple[jax.Array, order_model.KvCache]:
  """Takes in one order, leaves `[]`, and draws the one after it."""
  hidden, cache = order_model.apply(params, token, cache, config=config)
  return order_model.sample(params, key, hidden, config=config), cache
