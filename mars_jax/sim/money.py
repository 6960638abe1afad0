"""Amounts of money, exact: ticks times lots, in 64 bits.

JAX has no 64 bits by default, and a price times a volume has more than 32. So
an amount is four limbs of 16 bits, `[..., 4]` int32, the lowest first; all but
the last are in [0, 2**16), and the last has the sign. Limbs can be added, and
summed over up to 2**15 amounts, like any numbers; `carry` puts them right
again.
"""

import jax
import jax.numpy as jnp
import numpy as np

LIMBS = 4
_BITS = 16
_MASK = 2**_BITS - 1


def zeros(shape: tuple[int, ...] = ()) -> jax.Array:
  """Returns zero amounts, `[..., 4]`."""
  return jnp.zeros((*shape, LIMBS), jnp.int32)


def product(price: jax.Array, volume: jax.Array) -> jax.Array:
  """Returns price times volume as an amount.

  int32 `[...]` each, to `[..., 4]`.
  """
  a, b = jnp.abs(price).astype(jnp.uint32), jnp.abs(volume).astype(jnp.uint32)
  low_a, high_a, low_b, high_b = a & _MASK, a >> _BITS, b & _MASK, b >> _BITS
  low, high = low_a * low_b, high_a * high_b
  middle = low_a * high_b, high_a * low_b
  limbs = jnp.stack(
    [
      low & _MASK,
      (low >> _BITS) + (middle[0] & _MASK) + (middle[1] & _MASK),
      (middle[0] >> _BITS) + (middle[1] >> _BITS) + (high & _MASK),
      high >> _BITS,
    ],
    axis=-1,
  ).astype(jnp.int32)
  sign = jnp.sign(price) * jnp.sign(volume)
  return carry(limbs * sign[..., None])


def carry(limbs: jax.Array) -> jax.Array:
  """Returns sums of limbs as amounts, `[..., 4]`."""
  parts, over = [], 0
  for i in range(LIMBS - 1):
    part = limbs[..., i] + over
    parts.append(part & _MASK)
    over = part >> _BITS  # Rounds down, for negative ones too.
  return jnp.stack([*parts, limbs[..., -1] + over], axis=-1)


def to_int(amount: np.ndarray) -> np.ndarray:
  """Returns numpy amounts `[..., 4]` as int64 `[...]`."""
  limbs = np.asarray(amount, np.int64)
  return sum(limbs[..., i] << (_BITS * i) for i in range(LIMBS))
