"""Applies one order to the book, in one pass over its slots.

What an order takes from the other side is a prefix of it. With `ahead` the
volume that rests before a slot, among the slots that the order's price crosses,

  fill = clip(order volume - ahead, 0, slot volume)

A filled prefix and a cancelled order leave a gap, and an order that comes to
rest needs one. No side of the book has both in one step, so the rest is one
shift of what stands behind the gap: to the left by the number of orders that
are gone, or to the right by one. There is no loop and no branch, and every
order costs the same: the program is the same for one book and for many.
"""

import chex
import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lob import book as book_lib


def step(
  book: book_lib.Book, order: types.Order
) -> tuple[book_lib.Book, types.Fills]:
  """Applies one order to the book under price-time priority.

  A marketable order trades against the opposite side, best price first and
  oldest first within a price; what is left of a limit order rests. A cancel
  takes at most `order.volume` off the resting order with the same id, on
  whichever side it rests; what is left of that order keeps its priority. A
  cancel whose id does not rest changes nothing and adds one to `book.unknown`.
  An order with volume <= 0, or of a kind not in `types.OrderKind`, is a no-op.

  `N` is the capacity of one side. If a remainder must rest on a full side, the
  order of lowest priority, maybe the new one, is lost, and `book.dropped` grows
  by one. The total volume of a side must stay below 2**31.

  `(book, order)` is the signature of a scan body:
  `jax.lax.scan(lob.step, book, orders)`. Batch with `jax.vmap`.

  Args:
    book: the book before the order, leaves `[2, N]`.
    order: one order, leaves int32 `[]`. A cancel is known by its id alone.

  Returns:
    The book after the order, and its fills, leaves `[N]`: best price first, at
    the price of the resting order. Rows that are not in use come last and have
    volume 0, price 0 and id `types.NO_ORDER`.
  """
  chex.assert_shape(book.price, (2, None))
  chex.assert_equal_shape([book.price, book.volume, book.id])
  chex.assert_rank(jax.tree.leaves(order), 0)
  chex.assert_type(jax.tree.leaves((book, order)), int)

  capacity = book.price.shape[1]
  side = jax.lax.broadcasted_iota(jnp.int32, (2, 1), 0)
  slot = jax.lax.broadcasted_iota(jnp.int32, (2, capacity), 1)
  is_limit = order.kind == types.OrderKind.LIMIT
  is_cancel = order.kind == types.OrderKind.CANCEL
  is_own = side == order.side
  rests = book.volume > 0
  volume = jnp.maximum(order.volume, 0)
  # Own side: the orders that go before the new one; other side: the crossed.
  is_ahead = book_lib.KEY_SIGN * book.price <= book_lib.KEY_SIGN * order.price

  crossed = jnp.where(is_limit & is_ahead & ~is_own, book.volume, 0).sum(axis=0)
  through = jnp.cumsum(crossed)
  filled = jnp.clip(volume - (through - crossed), 0, crossed)
  remainder = jnp.where(is_limit, jnp.maximum(volume - through[-1], 0), 0)

  is_named = is_cancel & rests & (book.id == order.id)
  cancelled = jnp.where(is_named, jnp.minimum(book.volume, volume), 0)

  left = book.volume - jnp.where(is_own, 0, filled[None]) - cancelled
  num_gone = (rests & (left == 0)).sum(axis=1, keepdims=True, dtype=jnp.int32)
  is_joined = is_own & (remainder > 0)
  can_move = jnp.where(is_limit, ~(is_ahead & is_own), is_named)
  gap = jnp.where(can_move, slot, capacity).min(axis=1, keepdims=True)

  start = 1 + num_gone - is_joined.astype(jnp.int32)

  def shift(x, new):
    return _shift(x, start, gap, jnp.where(is_joined, new, 0))

  new_volume = shift(left, remainder)
  is_empty = new_volume == 0
  price, id_ = shift(book.price, order.price), shift(book.id, order.id)
  is_full = is_own & rests[:, -1:]
  is_unknown = is_cancel & (volume > 0) & ~is_named.any()
  new_book = book_lib.Book(
    price=jnp.where(is_empty, book_lib.NO_PRICE, price),
    volume=new_volume,
    id=jnp.where(is_empty, types.NO_ORDER, id_),
    dropped=book.dropped + (is_joined & is_full).any().astype(jnp.int32),
    unknown=book.unknown + is_unknown.astype(jnp.int32),
  )
  return new_book, _fills(book, order, filled)


def _shift(
  x: jax.Array, start: jax.Array, gap: jax.Array, new: jax.Array
) -> jax.Array:
  """Closes or opens a gap in each side; slots free at the end become 0.

  Args:
    x: `[2, N]`.
    start: `[2, 1]`, 0 to make room for `new` in the gap, 1 + n to close n of
      the slots there.
    gap: `[2, 1]`, the first slot that changes.
    new: `[2, 1]`, what goes into the gap where there is room for it.
  """
  capacity = x.shape[1]
  slot = jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
  padded = jnp.pad(x, ((0, 0), (1, capacity)))
  behind = jax.vmap(
    lambda row, i: jax.lax.dynamic_slice_in_dim(row, i, capacity)
  )(padded, start[:, 0])
  behind = jnp.where((start == 0) & (slot == gap), new, behind)
  return jnp.where(slot < gap, x, behind)


def _fills(
  book: book_lib.Book, order: types.Order, filled: jax.Array
) -> types.Fills:
  """Returns the fills of volumes `[N]` taken off the side opposite."""

  def opposite(x):
    return jnp.where(order.side == types.Side.ASK, x[1], x[0])

  return types.Fills(
    price=jnp.where(filled > 0, opposite(book.price), 0),
    volume=filled,
    id=jnp.where(filled > 0, opposite(book.id), types.NO_ORDER),
  )
