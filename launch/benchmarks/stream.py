"""Random, valid messages for the engines to match.

Every book begins with `depth` resting orders a side and then sees limit orders,
partial cancels and deletes, in shares near to those of a real market. A cancel
names an order that rests, so each message is drawn from the book that those
before it left: one scan over mars_jax's own matching engine, for many books at
once. A book's messages depend on the seed and on its number only.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import book_setup
from mars_jax import lob
from mars_jax import types

PASSIVE, MARKETABLE, REDUCE, DELETE = range(4)  # What a message is meant to do.
_SHARES = (0.445, 0.10, 0.08, 0.375)  # Of these, in a side of `depth` orders.
# An empty side sees this much more of limit orders and less of deletes, so that
# in some hundred messages the number of orders returns to `depth`, or near it.
_LEAN = 0.06
_MID = 2**20  # Ticks: where the prices of a book begin.
_MEAN_VOLUME = 50  # Lots of a resting order.
_MEAN_TAKEN = 38  # Lots of a marketable order.


@dataclasses.dataclass(frozen=True)
class Stream:
  """Resting orders and messages of `B` books; NumPy arrays, int32.

  Ids begin at 1 and grow from one limit order of a book to the next.
  """

  resting: (
    book_setup.Messages
  )  # [B, 2, depth], by `types.Side`, best price first
  messages: book_setup.Messages  # [B, T]
  intent: np.ndarray  # [B, T], PASSIVE, MARKETABLE, REDUCE or DELETE
  orders: np.ndarray  # [B, T, 2], resting orders before the message, by side
  fills: np.ndarray  # [B, T], how many resting orders the message took from

  @property
  def shape(self) -> tuple[int, int]:
    """Books and messages a book: `(B, T)`."""
    return self.intent.shape

  def first(self, num_books: int) -> "Stream":
    """Returns the stream of the first books."""
    return jax.tree.map(lambda x: x[:num_books], self)

  def statistics(self) -> dict[str, float]:
    """Returns the shares and sizes of the stream."""
    taken = self.fills[self.intent == MARKETABLE]

    def share(*intents):
      return float(np.isin(self.intent, intents).mean())

    return {
      "limit_share": share(PASSIVE, MARKETABLE),
      "marketable_share": share(MARKETABLE),
      "partial_cancel_share": share(REDUCE),
      "delete_share": share(DELETE),
      "fills_per_aggressor": float(taken.mean()) if taken.size else 0.0,
      "most_fills": int(self.fills.max()),
      "orders_a_side": float(self.orders.mean()),
      "most_orders_a_side": int(self.orders.max()),
    }


jax.tree_util.register_dataclass(Stream)


def generate(
  num_books: int, num_messages: int, *, capacity: int, depth: int, seed: int
) -> Stream:
  """Draws the messages of many books.

  Args:
    num_books: `B`.
    num_messages: `T`, of one book.
    capacity: of one side of a book; no side ever needs more.
    depth: orders that rest on a side at first and, about, later.
    seed: the same seed gives the same messages.
  """
  book, stream = jax.device_get(
    _all_books(jax.random.key(seed), num_books, num_messages, capacity, depth)
  )
  if book.dropped.any() or book.unknown.any():
    raise ValueError("a message of the stream is not valid")
  return stream


# Without optimizations, which would take longer than they save.
@functools.partial(
  jax.jit,
  static_argnums=(1, 2, 3, 4),
  compiler_options={"xla_backend_optimization_level": 0},
)
def _all_books(
  key: jax.Array, num_books: int, num_messages: int, capacity: int, depth: int
) -> tuple[lob.Book, Stream]:
  """Draws the messages of all books; returns the books after."""
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_books))
  return jax.vmap(lambda key: _one_book(key, num_messages, capacity, depth))(
    keys
  )


def _one_book(
  key: jax.Array, num_messages: int, capacity: int, depth: int
) -> tuple[lob.Book, Stream]:
  """Draws the messages of one book; returns the book after."""
  resting_key, flow_key = jax.random.split(key)
  resting = _resting(resting_key, depth)

  def body(book, x):
    draws, id_ = x
    orders = (book.volume > 0).sum(axis=1, dtype=jnp.int32)
    message, intent = _next(book, orders, draws, id_, depth)
    book, fills, _ = book_setup.step(book, message, capacity)
    taken = (fills.volume > 0).sum(dtype=jnp.int32)
    return book, (message, intent, orders, taken)

  draws = jax.random.uniform(flow_key, (num_messages, 5))
  ids = 2 * depth + 1 + jnp.arange(num_messages)
  book = book_setup.fill_book(resting, capacity)
  book, (messages, *others) = jax.lax.scan(body, book, (draws, ids))
  return book, Stream(resting, messages, *others)


def _resting(key: jax.Array, depth: int) -> book_setup.Messages:
  """Returns the orders that rest at first, leaves `[2, depth]`."""
  shape = (2, depth)
  distance = 1 + _exponential((jnp.arange(depth) + 0.5) / depth, depth / 4)
  away = jnp.array([[1], [-1]])  # By `types.Side`.
  return book_setup.Messages(
    kind=jnp.full(shape, types.OrderKind.LIMIT),
    side=jnp.broadcast_to(jnp.arange(2)[:, None], shape),
    price=_MID + away * distance[None],
    volume=1 + _exponential(jax.random.uniform(key, shape), _MEAN_VOLUME),
    id=1 + jnp.arange(2 * depth).reshape(shape),
  )


def _next(
  book: lob.Book,
  orders: jax.Array,
  draws: jax.Array,
  id_: jax.Array,
  depth: int,
) -> tuple[book_setup.Messages, jax.Array]:
  """Draws a valid message for the book, and its intent.

  Args:
    book: leaves `[2, N]`.
    orders: `[2]`, how many rest on each side.
    draws: `[5]`, uniform in [0, 1).
    id_: of the message, should it be a limit order.
    depth: orders that a side should have.
  """
  which, side_draw, slot_draw, price_draw, volume_draw = draws
  side = (side_draw < 0.5).astype(jnp.int32)
  own, other = orders[side], orders[1 - side]
  # Any order that rests, oldest or newest, near or far, is as likely named.
  slot = jnp.minimum((slot_draw * own).astype(jnp.int32), own - 1)
  named = jax.tree.map(
    lambda x: x[side, slot], (book.price, book.volume, book.id)
  )
  intent = _intent(which, own, other, named[1], book.price.shape[1], depth)

  away = 1 - 2 * side  # From the other side: up for asks, down for bids.
  distance = _exponential(price_draw, depth / 4)
  is_marketable = intent == MARKETABLE
  touch = jnp.where(
    other > 0,
    book.price[1 - side, 0],
    jnp.where(own > 0, book.price[side, 0], _MID),
  )
  price = touch + away * jnp.where(is_marketable, -distance, 1 + distance)
  mean_volume = jnp.where(is_marketable, _MEAN_TAKEN, _MEAN_VOLUME)
  volume = 1 + _exponential(volume_draw, mean_volume)
  reduction = 1 + (volume_draw * (named[1] - 1)).astype(jnp.int32)

  is_limit = intent <= MARKETABLE
  limit = book_setup.Messages(types.OrderKind.LIMIT, side, price, volume, id_)
  cancel = book_setup.Messages(
    types.OrderKind.CANCEL,
    side,
    named[0],
    jnp.where(intent == REDUCE, jnp.minimum(reduction, named[1] - 1), named[1]),
    named[2],
  )
  message = jax.tree.map(lambda x, y: jnp.where(is_limit, x, y), limit, cancel)
  return message, intent


def _intent(
  draw: jax.Array,
  own: jax.Array,
  other: jax.Array,
  volume: jax.Array,
  capacity: int,
  depth: int,
) -> jax.Array:
  """Returns an intent that the side has room for.

  Args:
    draw: uniform in [0, 1).
    own, other: orders on the message's side and on the other.
    volume: of the order that a cancel would name.
    capacity, depth: of a side.
  """
  lean = _LEAN * (1 - own / depth)
  limits = np.cumsum(_SHARES[:-1])
  intent = (draw - lean >= limits).sum(dtype=jnp.int32)
  intent = jnp.where((intent == REDUCE) & (volume == 1), DELETE, intent)
  intent = jnp.where((intent == MARKETABLE) & (other == 0), PASSIVE, intent)
  intent = jnp.where((intent > MARKETABLE) & (own == 0), PASSIVE, intent)
  return jnp.where((own == capacity) & (intent <= MARKETABLE), DELETE, intent)


def _exponential(draw: jax.Array, mean: jax.Array | float) -> jax.Array:
  """Turns uniform draws into exponential ones, rounded down."""
  return (-jnp.log1p(-draw) * mean).astype(jnp.int32)
