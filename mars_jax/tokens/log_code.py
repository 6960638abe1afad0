"""A code of integers, exact near 0, relative beyond.

Values below 16 are buckets of their own; above, each power of two is four
buckets of equal width, and a bucket has up to 64 places. A value is (bucket,
place), and nothing of it is lost below 512; beyond, a place stands for 2, 4, 8,
... values, a share of 1/128 to 1/256 of them.
"""

import jax
import jax.numpy as jnp

NUM_PLACES = 64
_EXACT_BITS = 4  # Values below 16 are buckets of their own.
_SPLIT_BITS = 2  # A power of two is four buckets.
_PLACE_BITS = 6
_NUM_EXACT = 1 << _EXACT_BITS
_NUM_SPLIT = 1 << _SPLIT_BITS


def num_buckets(num_bits: int) -> int:
  """Returns the buckets of the values below `2 ** num_bits`."""
  return _NUM_EXACT + _NUM_SPLIT * (num_bits - _EXACT_BITS)


def encode(value: jax.Array, *, num_bits: int) -> tuple[jax.Array, jax.Array]:
  """Returns bucket and place of values.

  Args:
    value: int32 `[...]`, >= 0. What is too large counts as the largest.
    num_bits: of the largest value, from 5 to 30.

  Returns:
    int32 `[...]` each, below `num_buckets(num_bits)` and `NUM_PLACES`.
  """
  value = jnp.clip(value, 0, (1 << num_bits) - 1)
  powers = jnp.asarray([1 << b for b in range(1, num_bits)], jnp.int32)
  top = jnp.searchsorted(powers, value, side="right", method="compare_all")
  width_bits = jnp.maximum(top - _SPLIT_BITS, 0)  # Of a bucket.
  quarter = (value >> width_bits) & (_NUM_SPLIT - 1)
  far = _NUM_EXACT + _NUM_SPLIT * (top - _EXACT_BITS) + quarter
  is_near = value < _NUM_EXACT
  rest = value & ((1 << width_bits) - 1)
  place = rest >> jnp.maximum(width_bits - _PLACE_BITS, 0)
  bucket = jnp.where(is_near, value, far)
  return bucket.astype(jnp.int32), jnp.where(is_near, 0, place)


def decode(
  bucket: jax.Array, place: jax.Array, uniform: jax.Array
) -> jax.Array:
  """Returns a value of each bucket and place.

  Args:
    bucket: int32 `[...]`.
    place: int32 `[...]`; beyond the last of its bucket, it is that.
    uniform: float32 `[...]` in [0, 1), which of several values it is.

  Returns:
    int32 `[...]`
  """
  low, width_bits = _range(bucket)
  step_bits = jnp.maximum(width_bits - _PLACE_BITS, 0)
  place = jnp.minimum(place, (1 << jnp.minimum(width_bits, _PLACE_BITS)) - 1)
  within = (uniform * (1 << step_bits)).astype(jnp.int32)
  return low + (place << step_bits) + within


def decode_bucket(bucket: jax.Array, uniform: jax.Array) -> jax.Array:
  """Returns a value of each bucket, int32 `[...]`."""
  low, width_bits = _range(bucket)
  return low + (uniform * (1 << width_bits)).astype(jnp.int32)


def num_values(bucket: jax.Array) -> jax.Array:
  """Returns how many values share a place of a bucket."""
  _, width_bits = _range(bucket)
  return 1 << jnp.maximum(width_bits - _PLACE_BITS, 0)


def _range(bucket):
  """Returns the least value and the width's bits of buckets."""
  top, quarter = jnp.divmod(bucket - _NUM_EXACT, _NUM_SPLIT)
  width_bits = jnp.maximum(top + _EXACT_BITS - _SPLIT_BITS, 0)
  far = (quarter + _NUM_SPLIT) << width_bits
  is_near = bucket < _NUM_EXACT
  return jnp.where(is_near, bucket, far), jnp.where(is_near, 0, width_bits)
