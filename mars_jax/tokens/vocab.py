"""The paper's alphabet, one index of four bins (App. B.2.1).

An order is (kind, price, volume, interval): what it is, its price against the
mid of the book that it meets, how much, and how long after the order before.
Price and volume have 32 bins, the interval 16, so that there are 3 * 32 * 32 *
16 = 49,152 orders. The order of the kinds is that of the official code: ask,
bid, cancel. A cancel's volume is what it takes off the resting order.
"""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.tokens import bins as bins_lib

KIND_ASK, KIND_BID, KIND_CANCEL = 0, 1, 2  # The first two are `types.Side`.

FIELDS = ("kind", "price", "volume", "interval")
NUM_KINDS, NUM_PRICES, NUM_VOLUMES, NUM_INTERVALS = 3, 32, 32, 16
FIELD_SIZES = (NUM_KINDS, NUM_PRICES, NUM_VOLUMES, NUM_INTERVALS)
NUM_ORDERS = NUM_KINDS * NUM_PRICES * NUM_VOLUMES * NUM_INTERVALS  # 49,152


def encode(
  tokenizer,
  order: types.Order,
  *,
  place: types.Place,
  mid: jax.Array,
  interval: jax.Array,
) -> jax.Array:
  """Returns the fields of orders, int32 `[..., 4]`.

  Args:
    tokenizer: a `features.Tokenizer`.
    order: leaves `[...]`.
    place: not used.
    mid: int32 `[...]` ticks, of the book that each met.
    interval: int32 `[...]` microseconds since the order before.
  """
  del place
  is_cancel = order.kind == types.OrderKind.CANCEL
  fields = [
    jnp.where(is_cancel, KIND_CANCEL, order.side),
    bins_lib.encode(tokenizer.price, order.price - mid),
    bins_lib.encode(tokenizer.volume, order.volume),
    bins_lib.encode(tokenizer.interval, interval),
  ]
  return jnp.stack(fields, axis=-1)


def pack(fields: jax.Array) -> jax.Array:
  """Returns the order index of binned fields.

  Args:
    fields: int32 `[..., 4]`, (kind, price, volume, interval), each within its
      `FIELD_SIZES`.

  Returns:
    int32 `[...]` in [0, `NUM_ORDERS`).
  """
  kind, price, volume, interval = jnp.moveaxis(fields, -1, 0)
  index = kind * NUM_PRICES + price
  index = index * NUM_VOLUMES + volume
  return index * NUM_INTERVALS + interval


def unpack(index: jax.Array) -> jax.Array:
  """Returns int32 `[..., 4]`, the fields of order indices `[...]`."""
  rest, interval = jnp.divmod(index, NUM_INTERVALS)
  rest, volume = jnp.divmod(rest, NUM_VOLUMES)
  kind, price = jnp.divmod(rest, NUM_PRICES)
  return jnp.stack([kind, price, volume, interval], axis=-1)
