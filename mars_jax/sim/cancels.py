"""The resting order that a cancel names, by each alphabet."""

import chex
import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lob import book as book_lib


def at_level(
  book: book_lib.Book, side: jax.Array, level: jax.Array, younger: jax.Array
) -> types.Order:
  """Finds the order at a place of a level's queue.

  Args:
    book: the book, leaves `[2, N]`.
    side: int32 `[]`, `types.Side` of the resting orders.
    level: int32 `[]`, price levels better than that of the order; with fewer
      levels than that it is on the last one.
    younger: int32 `[]`, orders behind it in the queue of its level; with fewer
      than that it is the first of it.

  Returns:
    A cancel of all that the order rests with. An order of an agent is not
    cancelled: it is the one nearest to it in priority instead. If there is
    none, the id is `types.NO_ORDER` and the volume 0, and it does nothing.
  """
  chex.assert_shape(book.price, (2, None))
  price, volume = book.price[side], book.volume[side]
  slots = jnp.arange(len(price), dtype=jnp.int32)
  rests = volume > 0
  is_first = jnp.append(True, price[1:] != price[:-1]) & rests  # Of a level.
  number = jnp.cumsum(is_first, dtype=jnp.int32) - 1
  number = jnp.where(rests, number, -1)
  is_level = number == jnp.minimum(level, number.max())
  first = jnp.min(jnp.where(is_level, slots, len(price) - 1))
  last = jnp.max(jnp.where(is_level, slots, 0))
  wanted = jnp.maximum(last - younger, first)
  is_free = rests & (book.owner[side] == types.NO_OWNER)
  found = _first_least(jnp.where(is_free, jnp.abs(slots - wanted), len(price)))
  return _cancel(book, side, found, is_found=is_free[found], price=price[0])


def nearest(
  book: book_lib.Book,
  side: jax.Array,
  prices: tuple[jax.Array, jax.Array],
  volumes: tuple[jax.Array, jax.Array],
  volume: jax.Array,
  *,
  owner: jax.Array | None = None,
) -> types.Order:
  """Finds the order nearest to a price and volume.

  The model names only a bin of prices and one of volumes. The cancel is of an
  order whose volume is in that bin, or of any order if there is none. Of these
  it is the one nearest to the bin of prices; among those in the bin, the one
  nearest to `volume`; of several as near, the better price, then the older.

  The volume comes first because it distinguishes more, as prices crowd at the
  mid, and so that the volume drawn is the volume cancelled. MarS (mlib,
  `BackgroundAgent`) looks for the price only: it cancels at the level nearest
  to it, the oldest orders first.

  Args:
    book: the book, leaves `[2, N]`.
    side: int32 `[]`, `types.Side` of the resting orders.
    prices: int32 `[]` each, from and to, ticks, within 2**30 of 0.
    volumes: int32 `[]` each, from and to, lots.
    volume: int32 `[]`, lots, > 0.
    owner: int32 `[]`, the owner whose orders count; None for all.

  Returns:
    A cancel of all that the order rests with. If there is none its id is
    `types.NO_ORDER`, its price the first of `prices` and its volume 0, and it
    does nothing.
  """
  chex.assert_shape(book.price, (2, None))
  low, high = prices
  resting, price = book.volume[side], book.price[side]
  far = jnp.iinfo(price.dtype).max
  rests = resting > 0
  if owner is not None:
    rests &= book.owner[side] == owner
  fits = rests & (resting >= volumes[0]) & (resting <= volumes[1])
  rests = jnp.where(fits.any(), fits, rests)
  distance = jnp.maximum(jnp.maximum(low - price, price - high), 0)
  distance = jnp.where(rests, distance, far)
  # The first of equal minima is the better price, then the older order.
  nearest = price[_first_least(distance)]
  is_candidate = rests & ((distance == 0) | (price == nearest))
  gap = jnp.where(is_candidate, jnp.abs(resting - volume), far)
  found = _first_least(gap)
  return _cancel(book, side, found, is_found=rests[found], price=low)


def _cancel(book, side, slot, *, is_found, price) -> types.Order:
  """Returns a cancel of a slot, or of nothing."""
  return types.Order(
    kind=jnp.int32(types.OrderKind.CANCEL),
    side=side,
    price=jnp.where(is_found, book.price[side, slot], price),
    volume=jnp.where(is_found, book.volume[side, slot], 0),
    id=jnp.where(is_found, book.id[side, slot], types.NO_ORDER),
    owner=jnp.where(is_found, book.owner[side, slot], types.NO_OWNER),
  )


def _first_least(x: jax.Array) -> jax.Array:
  """Returns `jnp.argmin` of `[N]`.

  XLA makes a slow loop of `argmin` on a CPU.
  """
  slots = jnp.arange(len(x), dtype=jnp.int32)
  return jnp.min(jnp.where(x == x.min(), slots, len(x) - 1))
