"""Times of a simulation: exact to the nanosecond, in two int32.

`NEVER` lies far beyond any simulation, and still has room for delays on top.
"""

import jax
import jax.numpy as jnp

from mars_jax import types

NEVER = 2**30  # Seconds.


def never(shape: tuple[int, ...] = ()) -> types.Timestamp:
  """Returns moments that do not come."""
  return types.Timestamp(
    seconds=jnp.full(shape, NEVER, jnp.int32),
    nanoseconds=jnp.zeros(shape, jnp.int32),
  )


def at_second(seconds: jax.Array | int) -> types.Timestamp:
  """Returns the starts of seconds since midnight."""
  seconds = jnp.asarray(seconds, jnp.int32)
  return types.Timestamp(seconds, jnp.zeros_like(seconds))


def add(time: types.Timestamp, nanoseconds: int) -> types.Timestamp:
  """Returns the moments some nanoseconds, a Python integer, later; or earlier.

  Args:
    time: leaves `[...]`.
    nanoseconds: under 2**30 seconds, either way.
  """
  seconds, rest = divmod(nanoseconds, types.NANOSECONDS)
  return add_parts(time, jnp.int32(seconds), jnp.int32(rest))


def add_parts(
  time: types.Timestamp, seconds: jax.Array, nanoseconds: jax.Array
) -> types.Timestamp:
  """Adds seconds and nanoseconds to times.

  int32 seconds, and nanoseconds in [0, 1e9).
  """
  total = time.nanoseconds + nanoseconds
  carry = total >= types.NANOSECONDS
  return types.Timestamp(
    seconds=time.seconds + seconds + carry,
    nanoseconds=total - carry * types.NANOSECONDS,
  )


def add_seconds(time: types.Timestamp, seconds: jax.Array) -> types.Timestamp:
  """Adds float32 seconds >= 0 to times.

  To a relative precision of 1e-7.
  """
  whole = jnp.floor(jnp.minimum(seconds, NEVER))
  fraction = (jnp.minimum(seconds, NEVER) - whole) * types.NANOSECONDS
  fraction = jnp.clip(fraction, 0, types.NANOSECONDS - 1)
  return add_parts(time, whole.astype(jnp.int32), fraction.astype(jnp.int32))


def is_before(a: types.Timestamp, b: types.Timestamp) -> jax.Array:
  """Returns whether `a` is strictly before `b`.

  bool `[...]`.
  """
  return (a.seconds < b.seconds) | (
    (a.seconds == b.seconds) & (a.nanoseconds < b.nanoseconds)
  )


def select(
  condition: jax.Array, a: types.Timestamp, b: types.Timestamp
) -> types.Timestamp:
  """Returns `a` where the condition holds, else `b`."""
  return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def earlier(a: types.Timestamp, b: types.Timestamp) -> types.Timestamp:
  """Returns the earlier of two moments."""
  return select(is_before(b, a), b, a)


def later(a: types.Timestamp, b: types.Timestamp) -> types.Timestamp:
  """Returns the later of two moments."""
  return select(is_before(a, b), b, a)


def first(times: types.Timestamp) -> tuple[jax.Array, types.Timestamp]:
  """Returns the earliest of `[n]` times and its index.

  Index first.

  Of several as early it is the first.
  """
  second = times.seconds.min()
  far = jnp.int32(types.NANOSECONDS)
  rest = jnp.where(times.seconds == second, times.nanoseconds, far)
  return jnp.argmin(rest), types.Timestamp(second, rest.min())


def seconds_between(a: types.Timestamp, b: types.Timestamp) -> jax.Array:
  """Returns the float32 seconds from `a` to `b`."""
  whole = (b.seconds - a.seconds).astype(jnp.float32)
  rest = (b.nanoseconds - a.nanoseconds).astype(jnp.float32)
  return whole + rest / types.NANOSECONDS
