"""Alphabet of orders: four binned fields, one index (App. B.2.1).

An order is (kind, price, volume, interval): what it is, its price against the
mid of the book that it meets, how much, and how long after the order before.
Price and volume have 32 bins, the interval 16, so that there are 3 * 32 * 32 *
16 = 49,152 orders. The order of the kinds is that of the official code: ask,
bid, cancel. A cancel's volume is what it takes off the resting order.
"""

import jax
import jax.numpy as jnp

KIND_ASK, KIND_BID, KIND_CANCEL = 0, 1, 2  # The first two are `types.Side`.

FIELDS = ("kind", "price", "volume", "interval")
NUM_KINDS, NUM_PRICES, NUM_VOLUMES, NUM_INTERVALS = 3, 32, 32, 16
FIELD_SIZES = (NUM_KINDS, NUM_PRICES, NUM_VOLUMES, NUM_INTERVALS)
NUM_ORDERS = NUM_KINDS * NUM_PRICES * NUM_VOLUMES * NUM_INTERVALS  # 49,152


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
