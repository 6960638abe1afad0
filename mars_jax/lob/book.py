"""The limit order book as two sorted arrays of a fixed capacity.

Each side is sorted best price first and, within a price, oldest first, so that
priority is the position in the array and a price level is a run of slots. The
filled slots form a prefix. A price times the sign of its side is a key, and for
both sides the smaller key is the better one: one expression serves asks and
bids.

Prices lie strictly between -2**30 and 2**30, so that no difference of two
overflows, and the volumes of one side add up to less than 2**31. Nothing here
checks it: the readers of `mars_jax.data` do, once for a file.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import types

# By `types.Side`: turns a price into a key, the smaller the better.
KEY_SIGN = np.array([[1], [-1]], np.int32)  # [2, 1]
# The price in an empty slot: its key is worse than that of every order.
NO_PRICE = KEY_SIGN * np.int32(2**31 - 1)  # [2, 1]

_FAR = np.int32(2**31 - 1)  # The distance to what must not be chosen.


@struct.dataclass
class Book:
  """The resting orders of one market, and what the capacity cost so far.

  An empty slot has volume 0, id `types.NO_ORDER` and price `NO_PRICE`.
  """

  price: jax.Array  # [2, N] int32, ticks, by `types.Side`, best first
  volume: jax.Array  # [2, N] int32, lots
  id: jax.Array  # [2, N] int32
  dropped: jax.Array  # [] int32, orders lost because a side was full
  unknown: jax.Array  # [] int32, cancels that named no resting order


def init(capacity: int) -> Book:
  """Returns an empty book for `capacity` orders a side."""
  shape = (2, capacity)
  return Book(
    price=jnp.broadcast_to(NO_PRICE, shape),
    volume=jnp.zeros(shape, jnp.int32),
    id=jnp.full(shape, types.NO_ORDER, jnp.int32),
    dropped=jnp.zeros([], jnp.int32),
    unknown=jnp.zeros([], jnp.int32),
  )


def snapshot(book: Book, *, num_levels: int) -> types.Snapshot:
  """Adds the orders up to price levels, and returns the best ones.

  Args:
    book: the book, leaves `[2, N]`.
    num_levels: how many levels to return, `L`; static.

  Returns:
    Prices and volumes `[2, L]`, best first. A level that is not in use has
    price 0 and volume 0: tell by the volume, since 0 may be a price.
  """
  chex.assert_shape(book.price, (2, None))
  key = KEY_SIGN * book.price
  level_key = key[:, :1]
  prices, volumes = [], []
  # Two reductions a level: quicker than numbering the levels by a prefix sum.
  for _ in range(num_levels):
    volume = jnp.where(key == level_key, book.volume, 0).sum(
      axis=1, keepdims=True
    )
    prices.append(jnp.where(volume > 0, KEY_SIGN * level_key, 0))
    volumes.append(volume)
    level_key = jnp.where(key > level_key, key, _FAR).min(axis=1, keepdims=True)
  return types.Snapshot(
    price=jnp.concatenate(prices, axis=1),
    volume=jnp.concatenate(volumes, axis=1),
  )


def mid(book: Book, *, fallback: jax.Array | int) -> jax.Array:
  """Returns the mid-price in whole ticks, rounded down: int32 `[]`.

  `bid + (ask - bid) // 2`, as MarS has it (mlib, `mid_price`). Where one side
  is empty it is the best price of the other, and where both are, `fallback`
  (the last price, say).
  """
  chex.assert_shape(book.price, (2, None))
  ask, bid = book.price[types.Side.ASK, 0], book.price[types.Side.BID, 0]
  has_ask, has_bid = book.volume[:, 0] > 0
  one_sided = jnp.where(has_ask, ask, jnp.where(has_bid, bid, fallback))
  return jnp.where(has_ask & has_bid, bid + (ask - bid) // 2, one_sided)


def resize(book: Book, capacity: int) -> Book:
  """Returns the book with `capacity` slots a side, the best orders kept.

  The orders that are cut off count as `dropped`.
  """
  chex.assert_shape(book.price, (2, None))
  grow = max(capacity - book.price.shape[1], 0)
  empty = init(grow)
  cut = (book.volume[:, capacity:] > 0).sum(dtype=jnp.int32)

  def fit(x, padding):
    return jnp.concatenate([x[:, :capacity], padding], axis=1)

  return book.replace(
    price=fit(book.price, empty.price),
    volume=fit(book.volume, empty.volume),
    id=fit(book.id, empty.id),
    dropped=book.dropped + cut,
  )


def find_cancel(
  book: Book,
  side: jax.Array,
  low: jax.Array,
  high: jax.Array,
  volume: jax.Array,
) -> types.Order:
  """Finds the resting order that a cancel of `volume` at a price may mean.

  The model says of a cancel only a price and a volume. It is taken to mean an
  order priced from `low` to `high`, of these the one of the nearest volume, of
  several as near the best price, then the oldest. Where no order is priced so,
  the nearest price serves, the better of two as near. With `low == high` this
  is the rule of MarS (mlib, `BackgroundAgent`), which looks for the nearest
  price among the orders of one agent, takes any of two as near, and cancels
  oldest first there.

  Args:
    book: the book, leaves `[2, N]`.
    side: int32 `[]`, `types.Side` of the resting orders.
    low, high: int32 `[]`, ticks, within 2**30 of 0.
    volume: int32 `[]`, lots, > 0.

  Returns:
    A cancel of all that the order rests with. If the side is empty its id is
    `types.NO_ORDER`, its price `low` and its volume 0, and it does nothing.
  """
  chex.assert_shape(book.price, (2, None))
  prices, volumes, ids = book.price[side], book.volume[side], book.id[side]
  rests = volumes > 0
  distance = jnp.maximum(jnp.maximum(low - prices, prices - high), 0)
  distance = jnp.where(rests, distance, _FAR)
  # The first of equal minima is the better price, then the older order.
  nearest = prices[jnp.argmin(distance)]
  is_candidate = (distance == 0) | (rests & (prices == nearest))
  found = jnp.argmin(jnp.where(is_candidate, jnp.abs(volumes - volume), _FAR))
  return types.Order(
    kind=jnp.int32(types.OrderKind.CANCEL),
    side=side,
    price=jnp.where(rests[found], prices[found], low),
    volume=volumes[found],
    id=ids[found],
  )
