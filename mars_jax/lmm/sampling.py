"""The order model as a generator of orders: the function that `sim` asks for.

Trajectories in step share the position in their caches, which `CACHE_AXES`
tells `jax.vmap`: the ring buffer is then written as a slice.
"""

import jax

from mars_jax.lmm import config as config_lib
from mars_jax.lmm import order_model
from mars_jax.tokens import features

CACHE_AXES = order_model.KvCache(keys=0, values=0, position=None)


def next_order(
  params: order_model.Params,
  key: jax.Array,
  token: features.TokenFeatures,
  cache: order_model.KvCache,
  *,
  config: config_lib.LmmConfig,
) -> tuple[jax.Array, order_model.KvCache]:
  """Takes in one order and draws the one after it.

  Args:
    params: of the order model.
    key: typed PRNG key, consumed.
    token: the order and the book that it left, leaves `[]`.
    cache: of the orders before it.
    config: of the order model; static.

  Returns:
    The int32 `[]` index of the next order, and the cache with the token.
  """
  hidden, cache = order_model.apply(params, token, cache, config=config)
  return order_model.sample(params, key, hidden, config=config), cache
