"""Allocation of an order's volume to the resting orders.

All functions take the resting orders of the other side by slot, best price
first and oldest first within a price: `resting` `[N]` lots, 0 where the order
does not reach by its price, and `level` `[N]`, their prices.
"""

import itertools

import jax
import jax.numpy as jnp

from mars_jax.lob import rules as rules_lib


def fill(
  volume: jax.Array,
  resting: jax.Array,
  level: jax.Array,
  rules: rules_lib.Rules,
) -> jax.Array:
  """Shares out `volume` lots under the rules; `[N]` lots."""
  if rules.allocation is rules_lib.Allocation.PRICE_TIME:
    return price_time(volume, resting)
  return pro_rata(
    volume,
    resting,
    level,
    top_order=rules.top_order,
    min_allocation=rules.min_allocation,
  )


def ahead(
  resting: jax.Array, level: jax.Array, rules: rules_lib.Rules
) -> jax.Array:
  """Returns the lots that trade before each slot: `[N]`."""
  if rules.allocation is rules_lib.Allocation.PRICE_TIME:
    return _ahead(resting)
  return _level_bounds(resting, level)[0]


def total(resting: jax.Array) -> jax.Array:
  """Returns the sum of the lots: `[]`.

  It comes from the running sums, which `price_time` needs anyway.
  """
  return _ahead(resting)[-1] + resting[-1]


def price_time(volume: jax.Array, resting: jax.Array) -> jax.Array:
  """Fills by price, then by time.

    fill = clip(volume - what rests ahead, 0, resting volume)

  Args:
    volume: `[]` lots to share out.
    resting: `[N]` lots.

  Returns:
    `[N]` lots.
  """
  return jnp.clip(volume - _ahead(resting), 0, resting)


def pro_rata(
  volume: jax.Array,
  resting: jax.Array,
  level: jax.Array,
  *,
  top_order: bool,
  min_allocation: int,
) -> jax.Array:
  """Fills by price, then at the last price by volume.

  A price whose orders are all filled needs no rule. At the last one, with the
  volume that remains for it:
    1. With `top_order`, its oldest order is filled as far as it goes.
    2. Each other order gets its share by volume, rounded down to lots, or
       nothing where that is less than `min_allocation`.
    3. What rounding leaves goes to these orders by time.

  Args:
    volume: `[]` lots to share out, at most what rests.
    resting: `[N]` lots.
    level: `[N]` prices.
    top_order, min_allocation: see `rules.Rules`; static.

  Returns:
    `[N]` lots.
  """
  start, end = _level_bounds(resting, level)
  is_last = (start < volume) & (volume < end) & (resting > 0)
  shared = jnp.where(is_last, resting, 0)
  remaining = jnp.where(is_last, volume - start, 0).max()
  top = jnp.zeros_like(resting)
  if top_order:
    is_top = is_last & (jnp.cumsum(is_last) == 1)
    top = jnp.where(is_top, jnp.minimum(resting, remaining), 0)
    shared = jnp.where(is_top, 0, shared)
    remaining -= top.sum(dtype=remaining.dtype)
  share = _share(shared, remaining, shared.sum(dtype=remaining.dtype))
  share = jnp.where(share >= min_allocation, share, 0)
  rest = remaining - share.sum(dtype=remaining.dtype)
  by_time = price_time(rest, shared - share)
  return jnp.where(end <= volume, resting, top + share + by_time)


def _ahead(resting: jax.Array) -> jax.Array:
  """Returns the sum of all slots before each, `[N]`.

  `jnp.cumsum(resting) - resting`, in half the time on a CPU: running sums
  within blocks of 8 slots, of all blocks at once, and then over the blocks.
  """
  blocks = jnp.pad(resting, (0, -len(resting) % 8)).reshape(-1, 8)  # [N / 8, 8]
  within = list(itertools.accumulate(blocks[:, i] for i in range(8)))
  before = jnp.cumsum(within[-1]) - within[-1]
  through = jnp.stack([column + before for column in within], axis=1)
  return through.ravel()[: len(resting)] - resting


def _level_bounds(
  resting: jax.Array, level: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the lots before and through each slot's level."""
  through = jnp.cumsum(resting)
  is_first = jnp.concatenate([jnp.ones(1, bool), level[1:] != level[:-1]])
  is_final = jnp.concatenate([is_first[1:], jnp.ones(1, bool)])
  start = jax.lax.cummax(jnp.where(is_first, through - resting, 0))
  far = jnp.iinfo(through.dtype).max
  end = jax.lax.cummin(jnp.where(is_final, through, far), reverse=True)
  return start, end


def _share(volumes: jax.Array, part: jax.Array, whole: jax.Array) -> jax.Array:
  """Returns `volumes * part // whole` without overflow.

  `part` is at most `whole`; `whole` 0 gives 0. Long division, a bit of the
  volumes at a time.
  """
  bits = jnp.iinfo(volumes.dtype).bits - 1
  unsigned = jnp.dtype(f"uint{bits + 1}")
  volumes_, part, whole = (
    x.astype(unsigned) for x in (volumes, part, jnp.maximum(whole, 1))
  )
  one = jnp.ones([], unsigned)

  def reduce(quotient, rest):
    is_over = rest >= whole
    quotient += is_over.astype(unsigned)
    return quotient, jnp.where(is_over, rest - whole, rest)

  def body(i, carry):
    quotient, rest = carry
    bit = (volumes_ >> (bits - 1 - i).astype(unsigned)) & one
    quotient, rest = reduce(quotient << one, rest << one)
    return reduce(quotient, rest + bit * part)

  zeros = jnp.zeros_like(volumes_)
  quotient, _ = jax.lax.fori_loop(0, bits, body, (zeros, zeros))
  return quotient.astype(volumes.dtype)
