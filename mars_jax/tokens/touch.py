"""Alphabet of orders measured at the touch, the default.

What an order does to the book is an explicit choice, and its price is counted
from there, so that nothing of it is lost (`log_code`):

  kind      a new ask or bid, or the cancel of one
  touch     a new order crosses the best price of the other side, improves its
            own, joins it, or stays behind; a cancel is at the best or behind
  bucket    how far: ticks beyond the other side's best, better than its own
            best, or behind it; of a cancel, price levels behind the best one
  place     which of the values of that bucket
  volume    lots; or all that there is: of the order that a cancel names, of
            what an order that crosses can trade with; with a rest, its lots
  queue     of a cancel, which order of the level: how many are younger; of an
            order that crosses, whether there is a rest, which stays in the book
  interval  microseconds since the order before

A cancel names its order by level and place in the queue, so that there is one
to cancel wherever the side has any. Against the mid, as in the paper, bins of a
few ticks lose all of that: real orders that are passed through such bins close
the spread within a hundred orders.
"""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.tokens import bins as bins_lib
from mars_jax.tokens import log_code

NUM_KINDS = 4  # `types.Side` of a new order, and 2 more of a cancel.
CROSSES, IMPROVES, JOINS, BEHIND = range(4)
NUM_TOUCHES = 4
_PRICE_BITS, _QUEUE_BITS = 24, 12
NUM_VOLUMES, NUM_INTERVALS = 128, 64
ALL = NUM_VOLUMES  # The volume that leaves nothing of what there is.

FIELDS = (
  *("kind", "touch", "bucket", "place", "volume", "queue"),
  "interval",
)
KIND, TOUCH, BUCKET, PLACE, VOLUME, QUEUE, INTERVAL = range(7)
FIELD_SIZES = (
  NUM_KINDS,
  NUM_TOUCHES,
  log_code.num_buckets(_PRICE_BITS),
  log_code.NUM_PLACES,
  NUM_VOLUMES + 1,
  log_code.num_buckets(_QUEUE_BITS),
  NUM_INTERVALS,
)


def encode(
  tokenizer,
  order: types.Order,
  *,
  place: types.Place,
  mid: jax.Array,
  interval: jax.Array,
) -> jax.Array:
  """Returns the symbols of orders, int32 `[..., 7]`.

  Args:
    tokenizer: a `features.Tokenizer`, of which the bins of volumes and
      intervals are used.
    order: leaves `[...]`.
    place: of each in the book that it met, leaves `[...]`.
    mid: not used.
    interval: int32 `[...]` microseconds since the order before.
  """
  del mid
  is_cancel = order.kind == types.OrderKind.CANCEL
  sign = _sign(order.side)
  best = _pick(place.best, order.side)
  beyond = sign * (_pick(place.best, 1 - order.side) - order.price)
  behind = sign * (order.price - best)
  touch = jnp.where(behind > 0, BEHIND, jnp.where(behind < 0, IMPROVES, JOINS))
  touch = jnp.where(beyond >= 0, CROSSES, touch)
  distance = jnp.select(
    [touch == CROSSES, touch == IMPROVES, touch == BEHIND],
    [beyond, -behind - 1, behind - 1],
    0,
  )
  touch = jnp.where(is_cancel, jnp.where(place.level > 0, BEHIND, JOINS), touch)
  distance = jnp.where(is_cancel, jnp.maximum(place.level - 1, 0), distance)
  bucket, within = log_code.encode(distance, num_bits=_PRICE_BITS)
  younger, _ = log_code.encode(place.younger, num_bits=_QUEUE_BITS)
  crosses = ~is_cancel & (touch == CROSSES) & (place.resting > 0)
  has_rest = crosses & (order.volume > place.resting)
  takes_all = (is_cancel | crosses) & (order.volume >= place.resting)
  volume = jnp.where(has_rest, order.volume - place.resting, order.volume)
  volume = bins_lib.encode(tokenizer.volume, volume)
  fields = [
    jnp.where(is_cancel, order.side + 2, order.side),
    touch,
    bucket,
    within,
    jnp.where(takes_all & ~has_rest, ALL, volume),
    jnp.where(is_cancel, younger, has_rest.astype(jnp.int32)),
    bins_lib.encode(tokenizer.interval, interval),
  ]
  return jnp.stack(fields, axis=-1)


def mirror(symbols: jax.Array) -> jax.Array:
  """Returns orders `[..., 7]` with buyers and sellers swapped."""
  kind = symbols[..., KIND] ^ 1
  return symbols.at[..., KIND].set(kind)


def side(symbols: jax.Array) -> jax.Array:
  """Returns `types.Side` of symbols `[..., 7]`, int32 `[...]`."""
  return symbols[..., KIND] % 2


def is_cancel(symbols: jax.Array) -> jax.Array:
  """Returns whether symbols `[..., 7]` are a cancel's, bool `[...]`."""
  return symbols[..., KIND] >= 2


def price(symbols: jax.Array, best: jax.Array, uniform: jax.Array) -> jax.Array:
  """Returns the price of new orders, int32 `[...]` ticks.

  An order that improves stays between the best prices, and joins where there is
  no tick between them.

  Args:
    symbols: `[..., 7]`.
    best: `[..., 2]` ticks, the best prices that it meets.
    uniform: float32 `[...]` in [0, 1).
  """
  own_side = side(symbols)
  sign = _sign(own_side)
  own, other = _pick(best, own_side), _pick(best, 1 - own_side)
  spread = sign * (own - other)
  distance = _distance(symbols, uniform)
  touch = symbols[..., TOUCH]
  # How far behind the best of its side.
  behind = jnp.select(
    [touch == CROSSES, touch == IMPROVES, touch == BEHIND],
    [-spread - distance, -jnp.minimum(distance + 1, spread - 1), distance + 1],
    0,
  )
  return own + sign * behind


def level(symbols: jax.Array, uniform: jax.Array) -> jax.Array:
  """Returns the price level of cancels, int32 `[...]`; the best is 0."""
  is_behind = symbols[..., TOUCH] == BEHIND
  return jnp.where(is_behind, _distance(symbols, uniform) + 1, 0)


def younger(symbols: jax.Array, uniform: jax.Array) -> jax.Array:
  """Returns how many orders are behind cancelled ones, int32 `[...]`."""
  return log_code.decode_bucket(symbols[..., QUEUE], uniform)


def volume(
  symbols: jax.Array, drawn: jax.Array, tradable: jax.Array
) -> jax.Array:
  """Returns the volume of new orders, int32 `[...]` lots.

  Args:
    symbols: `[..., 7]`.
    drawn: int32 `[...]` lots, of the bin of volumes.
    tradable: int32 `[...]` lots, what each can trade with.
  """
  has_rest = symbols[..., QUEUE] > 0
  taken = jnp.where(symbols[..., VOLUME] == ALL, tradable, drawn)
  taken = jnp.where(has_rest, tradable + drawn, jnp.minimum(taken, tradable))
  crosses = (symbols[..., TOUCH] == CROSSES) & (tradable > 0)
  return jnp.where(crosses, taken, drawn)


def _distance(symbols: jax.Array, uniform: jax.Array) -> jax.Array:
  """Returns how far symbols are, int32 `[...]` ticks or levels."""
  return log_code.decode(symbols[..., BUCKET], symbols[..., PLACE], uniform)


def _sign(side: jax.Array) -> jax.Array:
  """Returns 1 for asks, -1 for bids: of the worse prices."""
  return jnp.where(side == types.Side.ASK, 1, -1)


def _pick(best: jax.Array, side: jax.Array) -> jax.Array:
  """Returns the best price of a side, of `[..., 2]`."""
  asks, bids = best[..., types.Side.ASK], best[..., types.Side.BID]
  return jnp.where(side == types.Side.ASK, asks, bids)
