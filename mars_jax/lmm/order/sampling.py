"""The order model as the order flow of the simulator."""

import jax

from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import model


def next_order(
  params: model.Params,
  key: jax.Array,
  inputs,
  cache: cache_lib.KvCache,
  *,
  config: config_lib.LmmConfig,
) -> tuple[jax.Array, cache_lib.KvCache]:
  """Takes in one order and draws the one after it.

  Args:
    params: of the order model.
    key: typed PRNG key, consumed.
    inputs: a `sim.FlowInput`: `token`, the order and the book that it left,
      leaves `[]`; `is_new`, bool `[]`, whether the order enters the cache (if
      not, the trajectory sits this step out), `context`, the bias of
      `adaptation.read`, or None.
    cache: of the orders before it.
    config: of the order model; static.

  Returns:
    The int32 `[F]` fields of the next order, and the cache with the token.
  """
  hidden, cache = model.apply(
    params, inputs.token, cache, is_new=inputs.is_new, config=config
  )
  symbols = model.sample(params, key, hidden, inputs.context, config=config)
  return symbols, cache
