"""Input of the order model: a token each (App. B.2.1).

A token is the order and the book right after it: the binned volumes of the five
best levels of each side, the mid-price change, and the time. The model predicts
the order that follows.

Added to the paper's: how far each level is from the mid. Without it the model
cannot tell an order that improves the best price from one that trades, nor a
dense book from a thin one.

A token describes the book in one of two schemes. "levels": the volumes of
bid1 to bid5, ask1 to ask5, and the mid's change in ticks since the open, as the
paper has it. "ticks", of the released code and weights: the volumes at the ten
prices from five ticks below the mid to four above, and the change in basis
points. In both an empty level is 0 and a bin b is b + 1, as in that code.

What rests on each side by distance, volume and number of orders, is there in
both (`types.Depth`): the book beyond the five best levels.

Choices where the paper is silent: the mid's change since the previous order is
also given, which stays meaningful however far the market has moved from its
open; and so are the numbers themselves of which price, volume and interval are
bins.
"""

import typing

import jax
import jax.numpy as jnp
from flax import serialization
from flax import struct

from mars_jax import types
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import bins as bins_lib

NUM_LEVELS = 5  # Of each side, in the scheme "levels".
# Of each side, of what tokens are made: with a spread of one tick the mid is
# the best bid, and the scheme "ticks" looks at six bids.
SNAPSHOT_LEVELS = 6
SCHEMES = ("levels", "ticks")
MAX_BASIS_POINTS = 2_000  # Of the mid's change in "ticks", either way.
_TICKS_BELOW, _NUM_TICKS = 5, 10
MICROSECOND = 1_000  # In nanoseconds.
MAX_SECONDS = 2_000  # Intervals saturate here, to stay within int32.


@struct.dataclass
class Tokenizer:
  """Bins of all fields, fitted on a market's training part."""

  volume: bins_lib.Bins  # of lots
  interval: bins_lib.Bins  # of microseconds since the order before
  level_volume: bins_lib.Bins  # of lots resting at a price level
  # Of ticks from the mid before the order, where the alphabet has them.
  price: bins_lib.Bins | None = None
  # The name of the alphabet that the bins are for, of `ALPHABETS`; static.
  alphabet: str = struct.field(pytree_node=False, default=alphabet_lib.DEFAULT)
  # What tokens say of the book, see the top of this file; static.
  scheme: typing.Literal["levels", "ticks"] = struct.field(
    pytree_node=False, default="levels"
  )


@struct.dataclass
class TokenFeatures:
  """Input of tokens, leaves `[]`, `[T]` or `[B, T]`."""

  symbols: jax.Array  # [T, F] int32, the order, by the fields of the alphabet
  volumes: jax.Array  # [T, 10] int32, by level or tick, in [0, 32]
  distances: jax.Array  # [T, 10] int32, ticks of the levels from the mid, or 0
  depth: types.Depth  # [T, 2, C], after it
  mid_change: jax.Array  # [T] int32, since the open: ticks or basis points
  mid_move: jax.Array  # [T] int32, ticks since the previous order
  time: jax.Array  # [T] int32, seconds since midnight
  price_offset: (
    jax.Array
  )  # [T] int32, ticks of the order from the mid before it
  order_volume: jax.Array  # [T] int32, lots
  interval: jax.Array  # [T] int32, microseconds since the previous order


def bins_of(tokenizer: Tokenizer) -> dict[str, dict[str, jax.Array]]:
  """Returns the bins that a tokenizer has, {field: {leaf: array}}."""
  fields = serialization.to_state_dict(tokenizer)
  return {name: leaves for name, leaves in fields.items() if leaves is not None}


def interval(earlier: types.Timestamp, later: types.Timestamp) -> jax.Array:
  """Returns int32 microseconds between moments, at most 2,000 s."""
  # A second more than needed, since the nanoseconds can take one off again.
  seconds = jnp.minimum(later.seconds - earlier.seconds, MAX_SECONDS + 1)
  nanoseconds = later.nanoseconds - earlier.nanoseconds
  microseconds = seconds * 1_000_000 + nanoseconds // MICROSECOND
  return jnp.minimum(microseconds, MAX_SECONDS * 1_000_000)


def encode(
  tokenizer: Tokenizer,
  order: types.Order,
  *,
  interval: jax.Array,
  open_mid: jax.Array,
  place: types.Place,
  mid_before: jax.Array,
  mid_after: jax.Array,
  snapshot: types.Snapshot,
  depth: types.Depth,
  time: jax.Array,
) -> TokenFeatures:
  """Returns the tokens of orders, leaves `[...]`.

  Args:
    tokenizer: the bins.
    order: what was sent to the matching engine, leaves `[...]`.
    interval: int32 `[...]` microseconds since the order before.
    open_mid: int32 `[]` ticks, of the book before the first order.
    place: of the order in the book that it met, leaves `[...]`.
    mid_before: int32 `[...]` ticks, of that book.
    mid_after: int32 `[...]` ticks, of the book that it left.
    snapshot: that book, leaves `[..., 2, L]`, of which the best
      `SNAPSHOT_LEVELS` are taken.
    depth: of that book, leaves `[..., 2, C]`.
    time: int32 `[...]` seconds since midnight.
  """
  alphabet = alphabet_lib.ALPHABETS[tokenizer.alphabet]
  levels = jax.tree.map(lambda x: x[..., :NUM_LEVELS], snapshot)
  distances = jnp.abs(levels.price - mid_after[..., None, None])
  distances = _bids_then_asks(jnp.where(levels.volume > 0, distances, 0))
  if tokenizer.scheme == "levels":
    volumes = _bids_then_asks(_volume_bins(tokenizer, levels.volume))
    mid_change = mid_after - open_mid
  else:
    volumes = _volume_bins(tokenizer, _volumes_by_tick(snapshot, mid_after))
    mid_change = _basis_points(mid_after, open_mid)
  return TokenFeatures(
    symbols=alphabet.encode(
      tokenizer, order, place=place, mid=mid_before, interval=interval
    ),
    volumes=volumes,
    distances=distances,
    depth=depth,
    mid_change=mid_change,
    mid_move=mid_after - mid_before,
    time=time,
    price_offset=order.price - mid_before,
    order_volume=order.volume,
    interval=interval,
  )


def mirror(tokens: TokenFeatures, alphabet: str) -> TokenFeatures:
  """Returns tokens with buyers and sellers swapped.

  Prices count the other way. A market has no reason to prefer a side, so that a
  model may learn from both.

  Args:
    tokens: leaves `[...]`, of the scheme "levels".
    alphabet: of their symbols; one that has a `mirror`.
  """

  def swap_levels(x):
    return jnp.roll(x, NUM_LEVELS, axis=-1)

  return tokens.replace(
    symbols=alphabet_lib.ALPHABETS[alphabet].mirror(tokens.symbols),
    volumes=swap_levels(tokens.volumes),
    distances=swap_levels(tokens.distances),
    depth=jax.tree.map(lambda x: jnp.flip(x, axis=-2), tokens.depth),
    mid_change=-tokens.mid_change,
    mid_move=-tokens.mid_move,
    price_offset=-tokens.price_offset,
  )


def _volume_bins(tokenizer: Tokenizer, volume: jax.Array) -> jax.Array:
  """Returns 0 for no volume, else its bin and one."""
  bins = bins_lib.encode(tokenizer.level_volume, volume) + 1
  return jnp.where(volume > 0, bins, 0)


def _bids_then_asks(levels: jax.Array) -> jax.Array:
  """Returns `[..., 10]`, bid1..bid5, ask1..ask5, of `[..., 2, 5]`."""
  sides = [levels[..., types.Side.BID, :], levels[..., types.Side.ASK, :]]
  return jnp.concatenate(sides, axis=-1)


def _volumes_by_tick(snapshot: types.Snapshot, mid: jax.Array) -> jax.Array:
  """Returns the lots at ticks near the mid, `[..., 10]`.

  From mid - 5 to mid + 4 ticks.
  """
  best = jax.tree.map(lambda x: x[..., :SNAPSHOT_LEVELS], snapshot)
  slots = best.price - mid[..., None, None] + _TICKS_BELOW
  # A price has orders of one side only, so that no two volumes are added.
  is_there = slots[..., None] == jnp.arange(
    _NUM_TICKS, dtype=jnp.int32
  ).reshape(*(1,) * slots.ndim, _NUM_TICKS)
  volumes = jnp.where(is_there, best.volume[..., None], 0)
  return volumes.sum(axis=(-3, -2), dtype=jnp.int32)


def _basis_points(mid: jax.Array, open_mid: jax.Array) -> jax.Array:
  """Returns the change since the open in basis points, clipped.

  It is clipped at 20 %, as in the released code. There it is relative to the
  first trade of continuous trading, here to the mid
  before the first order.
  """
  change = (mid - open_mid).astype(jnp.float32) * 10_000
  points = jnp.trunc(change / jnp.maximum(open_mid, 1).astype(jnp.float32))
  points = jnp.clip(points, -MAX_BASIS_POINTS, MAX_BASIS_POINTS)
  return points.astype(jnp.int32)
