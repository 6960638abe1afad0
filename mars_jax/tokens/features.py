"""What the order model reads: one token an order (paper App. B.2.1).

A token is the order and the book right after it: the binned volumes of the five
best levels of each side, the mid-price change, and the time. The model predicts
the index of the order that follows.

Added to the paper's: how far each level is from the mid. Without it the model
cannot tell an order that improves the best price from one that trades, nor a
dense book from a thin one.

Choices where the paper is silent or its sources differ: the levels are bid1 to
bid5, ask1 to ask5 (the released code has ten ticks round the mid instead); an
empty level is 0 and a bin b is b + 1, as in that code; the mid-price change is
given in ticks since the open (the paper's) and since the previous order, which
stays meaningful however far the market has moved from its open.
"""

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.tokens import bins as bins_lib
from mars_jax.tokens import vocab

NUM_LEVELS = 5  # Of each side.
MICROSECOND = 1_000  # In nanoseconds.
MAX_SECONDS = 2_000  # Intervals saturate here, to stay within int32.


@struct.dataclass
class Tokenizer:
  """The bins of all fields, fitted on the training part of one market."""

  price: bins_lib.Bins  # 32 bins of ticks from the mid before the order
  volume: bins_lib.Bins  # 32 bins of lots
  interval: bins_lib.Bins  # 16 bins of microseconds since the order before
  level_volume: bins_lib.Bins  # 32 bins of lots resting at a price level


@struct.dataclass
class TokenFeatures:
  """The input of one token, or of `[T]`, or `[B, T]`."""

  index: jax.Array  # [T] int32, the order, in [0, vocab.NUM_ORDERS)
  volumes: jax.Array  # [T, 10] int32, bid1..bid5, ask1..ask5, in [0, 32]
  distances: jax.Array  # [T, 10] int32, ticks from the mid, 0 where empty
  mid_change: jax.Array  # [T] int32, ticks since the open
  mid_move: jax.Array  # [T] int32, ticks since the previous order
  time: jax.Array  # [T] int32, seconds since midnight


def interval(earlier: types.Timestamp, later: types.Timestamp) -> jax.Array:
  """Returns the int32 microseconds between two moments, at most 2,000 s."""
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
  mid_before: jax.Array,
  mid_after: jax.Array,
  snapshot: types.Snapshot,
  time: jax.Array,
) -> TokenFeatures:
  """Returns the tokens of orders, leaves `[...]`.

  Args:
    tokenizer: the bins.
    order: what was sent to the clearing house, leaves `[...]`.
    interval: int32 `[...]` microseconds since the order before.
    open_mid: int32 `[]` ticks, of the book before the first order.
    mid_before: int32 `[...]` ticks, of the book that the order met.
    mid_after: int32 `[...]` ticks, of the book that it left.
    snapshot: that book, leaves `[..., 2, L]`, of which the best `NUM_LEVELS`
      are taken.
    time: int32 `[...]` seconds since midnight.
  """
  is_cancel = order.kind == types.OrderKind.CANCEL
  fields = [
    jnp.where(is_cancel, vocab.KIND_CANCEL, order.side),
    bins_lib.encode(tokenizer.price, order.price - mid_before),
    bins_lib.encode(tokenizer.volume, order.volume),
    bins_lib.encode(tokenizer.interval, interval),
  ]
  snapshot = jax.tree.map(lambda x: x[..., :NUM_LEVELS], snapshot)
  is_used = snapshot.volume > 0
  volumes = bins_lib.encode(tokenizer.level_volume, snapshot.volume) + 1
  distances = jnp.abs(snapshot.price - mid_after[..., None, None])
  return TokenFeatures(
    index=vocab.pack(jnp.stack(fields, axis=-1)),
    volumes=_bids_then_asks(jnp.where(is_used, volumes, 0)),
    distances=_bids_then_asks(jnp.where(is_used, distances, 0)),
    mid_change=mid_after - open_mid,
    mid_move=mid_after - mid_before,
    time=time,
  )


def _bids_then_asks(levels: jax.Array) -> jax.Array:
  """Returns `[..., 10]`, bid1..bid5, ask1..ask5, of `[..., 2, 5]`."""
  sides = [levels[..., types.Side.BID, :], levels[..., types.Side.ASK, :]]
  return jnp.concatenate(sides, axis=-1)
