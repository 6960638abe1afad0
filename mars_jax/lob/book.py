"""The limit order book: two sorted arrays of fixed capacity.

Each side is sorted best price first and, within a price, oldest first, so that
priority is the position in the array and a price level is a run of slots. The
filled slots form a prefix. A price times the sign of its side is a key, and for
both sides the smaller key is the better one: one expression serves asks and
bids.

Prices lie strictly between -2**30 and 2**30, so that no difference of two
overflows, and the volumes of one side add up to less than 2**31. Nothing here
checks it: the readers of `mars_jax.feeds` do, once for a file. A book of int64
holds prices up to 2**62 and volumes up to 2**63.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import types

SLOT_FIELDS = ("price", "volume", "id", "owner")  # Of a `Book`.
_SIGN = np.array([[1], [-1]])  # [2, 1], by `types.Side`


@struct.dataclass
class Book:
  """The resting orders of one book, and counts by reason.

  An empty slot has volume 0, id `types.NO_ORDER`, owner `types.NO_OWNER` and
  the price `no_price`.
  """

  price: jax.Array  # [2, N] int32, ticks, by `types.Side`, best first
  volume: jax.Array  # [2, N] int32, lots
  id: jax.Array  # [2, N] int32
  owner: jax.Array  # [2, N] int32
  counts: jax.Array  # [Reason.COUNT] int32, orders by `types.Reason`

  @property
  def dropped(self) -> jax.Array:
    """Orders dropped because a side was full, int32 `[]`."""
    return self.counts[..., types.Reason.CAPACITY]

  @property
  def unknown(self) -> jax.Array:
    """Cancels and modifies that named no resting order, int32 `[]`."""
    return self.counts[..., types.Reason.UNKNOWN_ID]


def init(capacity: int, *, dtype: jax.typing.DTypeLike = jnp.int32) -> Book:
  """Returns an empty book.

  Args:
    capacity: orders that fit on a side, N.
    dtype: of prices and volumes. int64 needs JAX's x64 to be on.

  Raises:
    ValueError: if the capacity is negative, the type is neither int32 nor
      int64, or it is int64 without x64.
  """
  if capacity < 0:
    raise ValueError(f"capacity is {capacity}; give a number of orders, >= 0")
  if np.dtype(dtype) not in (np.int32, np.int64):
    raise ValueError(f"dtype is {np.dtype(dtype)}; give int32 or int64")
  if np.dtype(dtype) == np.int64 and not jax.config.jax_enable_x64:
    raise ValueError("a book of int64 needs x64: jax.enable_x64(True)")
  shape = (2, capacity)
  return Book(
    price=jnp.broadcast_to(no_price(dtype), shape),
    volume=jnp.zeros(shape, dtype),
    id=jnp.full(shape, types.NO_ORDER, jnp.int32),
    owner=jnp.full(shape, types.NO_OWNER, jnp.int32),
    counts=jnp.zeros([types.Reason.COUNT], jnp.int32),
  )


def from_orders(orders: types.Order, capacity: int) -> Book:
  """Returns a book of resting orders; not for compiled code.

  They are not matched.

  Args:
    orders: what rests, numpy leaves `[M]`, oldest first; kinds do not matter.
    capacity: orders that fit on a side, N.

  Raises:
    ValueError: if a side has no room, or more lots than its type can count; if
      a side is none, an id is negative or twice there, a volume is not
      positive, or a price out of range; or if the best bid is not below the
      best ask.
  """
  _check_resting(orders)
  sides = np.asarray(orders.side)
  book = jax.tree.map(np.array, init(capacity, dtype=orders.price.dtype))
  for side in (types.Side.ASK, types.Side.BID):
    rows = np.flatnonzero(sides == side)
    if len(rows) > capacity:
      raise ValueError(f"{len(rows)} orders rest on a side of {capacity} slots")
    keys = orders.price[rows] * _SIGN[side]
    rows = rows[np.argsort(keys, kind="stable")]
    for name in SLOT_FIELDS:
      getattr(book, name)[side, : len(rows)] = getattr(orders, name)[rows]
  ask, bid = book.price[types.Side.ASK, 0], book.price[types.Side.BID, 0]
  if (book.volume[:, 0] > 0).all() and bid >= ask:
    raise ValueError(f"orders rest at a bid of {bid} and an ask of {ask}")
  return jax.tree.map(jnp.asarray, book)


def _check_resting(orders: types.Order) -> None:
  """Raises ValueError for orders that cannot rest."""
  names = ("side", "price", "volume", "id")
  side, price, volume, ids = (np.asarray(getattr(orders, n)) for n in names)
  if not np.isin(side, (types.Side.ASK, types.Side.BID)).all():
    raise ValueError("the side of a resting order must be 0 (ask) or 1 (bid)")
  if (volume <= 0).any():
    raise ValueError("the volume of a resting order must be positive")
  far = types.MAX_PRICE
  if price.dtype == np.int64:
    far = types.MAX_PRICE_INT64
  if ((price < -far) | (price > far)).any():
    raise ValueError(f"the price of a resting order must be in [{-far}, {far}]")
  if (ids < 0).any() or len(np.unique(ids)) != len(ids):
    raise ValueError("resting orders must have ids of their own, 0 or more")
  most = np.iinfo(volume.dtype).max
  for one in (types.Side.ASK, types.Side.BID):
    total = sum(volume[side == one].tolist())
    if total > most:
      raise ValueError(
        f"{total} lots rest on a side, more than {volume.dtype} can count: use"
        " larger lots, or int64"
      )


def key(price: jax.Array) -> jax.Array:
  """Returns prices `[2, ...]`, by side, as keys.

  The smaller key is the better price. A scalar gives `[2, 1]`: its key on
  either side.
  """
  return jnp.asarray(_SIGN, price.dtype) * price


def no_price(dtype: jax.typing.DTypeLike) -> jax.Array:
  """Returns an empty slot's price, the worst: `[2, 1]`."""
  return jnp.asarray(_SIGN, dtype) * jnp.iinfo(dtype).max


def count(book: Book, reason: jax.Array, number: jax.Array | int = 1) -> Book:
  """Returns the book with orders counted under a reason."""
  one_hot = jnp.arange(types.Reason.COUNT, dtype=jnp.int32) == reason
  return book.replace(counts=book.counts + jnp.where(one_hot, number, 0))


def wipe(book: Book) -> Book:
  """Makes the slots without volume empty ones."""
  is_empty = book.volume == 0
  blank = no_price(book.price.dtype)
  return book.replace(
    price=jnp.where(is_empty, blank, book.price),
    id=jnp.where(is_empty, types.NO_ORDER, book.id),
    owner=jnp.where(is_empty, types.NO_OWNER, book.owner),
  )


def compact(book: Book) -> Book:
  """Moves the slots with volume to the front, in order."""
  order = jnp.argsort(book.volume == 0, axis=1, stable=True)  # [2, N]
  slots = {
    name: jnp.take_along_axis(getattr(book, name), order, axis=1)
    for name in SLOT_FIELDS
  }
  return wipe(book.replace(**slots))


def snapshot(book: Book, *, num_levels: int) -> types.Snapshot:
  """Returns the best price levels of each side.

  Args:
    book: the book, leaves `[2, N]`.
    num_levels: how many levels to return, `L`; static.

  Returns:
    Prices and volumes `[2, L]`, best first. A level that is not in use has
    price 0 and volume 0; only the volume shows it, since 0 may be a price.
  """
  chex.assert_shape(book.price, (2, None))
  keys = key(book.price)  # [2, N]
  level_key = keys[:, :1]  # [2, 1]
  worst = jnp.iinfo(keys.dtype).max
  prices, volumes = [], []
  # Two reductions a level: quicker than numbering the levels by a prefix sum.
  for _ in range(num_levels):
    volume = jnp.where(keys == level_key, book.volume, 0).sum(
      axis=1, keepdims=True, dtype=keys.dtype
    )
    prices.append(jnp.where(volume > 0, key(level_key), 0))
    volumes.append(volume)
    level_key = jnp.where(keys > level_key, keys, worst).min(
      axis=1, keepdims=True
    )
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


def best_prices(book: Book, *, fallback: jax.Array) -> jax.Array:
  """Returns the best price of each side, int32 `[2]` ticks.

  Of a side that is empty it is one tick beyond that of the other, and where
  both are, the bid is `fallback`, the last mid say.
  """
  ask, bid = book.price[types.Side.ASK, 0], book.price[types.Side.BID, 0]
  has_ask, has_bid = book.volume[:, 0] > 0
  low = jnp.where(has_bid, bid, jnp.where(has_ask, ask - 1, fallback))
  return jnp.stack([jnp.where(has_ask, ask, low + 1), low])


def place(
  book: Book, order: types.Order, *, fallback: jax.Array
) -> types.Place:
  """Returns the place of an order in a book.

  Args:
    book: the book, leaves `[2, N]`.
    order: leaves `[]`; a cancel is of the order of its id, any other kind
      counts as a limit order.
    fallback: ticks, see `best_prices`.
  """
  chex.assert_shape(book.price, (2, None))
  is_cancel = order.kind == types.OrderKind.CANCEL
  is_named = is_cancel & (book.id == order.id) & (book.volume > 0)  # [2, N]
  keys = key(book.price)
  worst = jnp.iinfo(keys.dtype).max
  # Of the side without the order the key is the worst: nothing lies behind it.
  own = jnp.where(is_named, keys, worst).min(axis=1, keepdims=True)
  is_side = is_named.any(axis=1, keepdims=True)
  is_level = keys != jnp.concatenate([keys[:, :1] - 1, keys[:, :-1]], axis=1)
  slots = jnp.arange(keys.shape[1], dtype=jnp.int32)
  slot = jnp.where(is_named, slots, -1).max(axis=1, keepdims=True)
  is_younger = (keys == own) & (slots[None] > slot) & (book.volume > 0)

  def total(x):
    return (is_side & x).sum(dtype=jnp.int32)

  named = jnp.where(is_named, book.volume, 0).sum(dtype=book.volume.dtype)
  return types.Place(
    best=best_prices(book, fallback=fallback),
    level=total(is_level & (keys < own)),
    younger=total(is_younger),
    resting=jnp.where(
      is_cancel, named, tradable(book, order.side, order.price)
    ),
  )


def tradable(book: Book, side: jax.Array, price: jax.Array) -> jax.Array:
  """Returns the lots that a limit order can take."""
  # The keys of the other side, of which it takes those up to its price.
  is_other = jnp.arange(2, dtype=jnp.int32).reshape(2, 1) != side
  is_met = is_other & (key(book.price) <= key(price))
  return jnp.where(is_met, book.volume, 0).sum(dtype=book.volume.dtype)


def depth(book: Book) -> types.Depth:
  """Returns the resting volume of each side by distance."""
  chex.assert_shape(book.price, (2, None))
  keys = key(book.price)
  # The key of an empty slot is the worst: beyond all that rests.
  last = jnp.iinfo(keys.dtype).max
  rests = book.volume > 0
  distance = jnp.where(rests, keys - keys[:, :1], last)
  volumes, orders = [], []
  # Two reductions a class: quicker than prefix sums, or all classes at once.
  for c in range(types.DEPTH_CLASSES):
    is_last = c == types.DEPTH_CLASSES - 1
    is_near = distance < (last if is_last else 1 << (2 * c))
    volume = jnp.where(is_near, book.volume, 0)
    volumes.append(volume.sum(axis=1, dtype=book.volume.dtype))
    orders.append(is_near.sum(axis=1, dtype=jnp.int32))
  volumes, orders = jnp.stack(volumes, axis=1), jnp.stack(orders, axis=1)
  return types.Depth(
    volume=jnp.diff(volumes, axis=1, prepend=0),
    orders=jnp.diff(orders, axis=1, prepend=0),
  )


def resize(book: Book, capacity: int) -> Book:
  """Returns the book with `capacity` slots a side.

  The best orders stay; the others count as `dropped`.
  """
  chex.assert_shape(book.price, (2, None))
  grow = max(capacity - book.price.shape[1], 0)
  empty = init(grow, dtype=book.price.dtype)
  cut = (book.volume[:, capacity:] > 0).sum(dtype=jnp.int32)

  def fit(name: str) -> jax.Array:
    kept = getattr(book, name)[:, :capacity]
    return jnp.concatenate([kept, getattr(empty, name)], axis=1)

  slots = {name: fit(name) for name in SLOT_FIELDS}
  return count(book.replace(**slots), types.Reason.CAPACITY, cut)
