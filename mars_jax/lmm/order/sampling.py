"""The order model as a generator of orders, as `sim` asks for it."""

import jax

from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import model
from mars_jax.tokens import features


def next_order(
  params: model.Params,
  key: jax.Array,
  token: features.TokenFeatures,
  cache: cache_lib.KvCache,
  is_new: jax.Array | bool = True,
  *,
  config: config_lib.LmmConfig,
) -> tuple[jax.Array, cache_lib.KvCache]:
  """Takes in one order and draws the one after it.

  Args:
    params: of the order model.
    key: typed PRNG key, consumed.
    token: the order and the book that it left, leaves `[]`.
    cache: of the orders before it.
    is_new: bool `[]`, whether the order enters the cache; if not, the
      trajectory sits this step out.
    config: of the order model; static.

  Returns:
    The int32 `[]` index of the next order, and the cache with the token.
  """
  hidden, cache = model.apply(
    params, token, cache, is_new=is_new, config=config
  )
  return model.sample(params, key, hidden, config=config), cache
