"""The model's next order, made valid for the book.

Choices where the paper is silent. A cancel means, among the orders of nobody
(those of agents are theirs to cancel, as in the official code), the one of its
volume bin that is nearest to its price bin, see `find_cancel`. It takes the
whole order, as most cancels of real feeds do, unless its volume is under half
of it, mostly for want of an order of its volume: were larger ones to go for
small cancels, a side that has few orders would soon have none. A cancel of an
empty side does nothing.

A new order keeps to the venue's rules: its price goes to the nearest one of the
tick grid within the limits of the day, its volume to the nearest round lot, one
at least. Times run while the venue takes orders: a plan does not fall into a
break, it waits, and so does one that meets a halt.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import book as book_lib
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.sim import clock
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab

_MICROSECONDS = 1_000_000  # In a second.


@struct.dataclass
class PendingOrder:
  """An order drawn by the model and not yet sent."""

  index: jax.Array  # [] int32, of `tokens.vocab`
  time: types.Timestamp  # [] when to send it; never, if the day is over
  mid: jax.Array  # [] int32, ticks, when it was drawn


def make(
  tokenizer: features.Tokenizer,
  key: jax.Array,
  index: jax.Array,
  now: types.Timestamp,
  mid: jax.Array,
  *,
  rules: rules_lib.Rules,
) -> PendingOrder:
  """Returns the plan of an order index: its bin of intervals draws one.

  Args:
    tokenizer: the bins.
    key: typed PRNG key, consumed.
    index: `[]` of `tokens.vocab`.
    now: the time of the last event.
    mid: `[]` ticks, now.
    rules: of the venue; static.
  """
  *_, interval_bin = vocab.unpack(index)
  uniform = jax.random.uniform(key)
  interval = bins.decode(tokenizer.interval, interval_bin, uniform)
  return PendingOrder(index, _open_time(rules, now, interval), mid)


def when_open(rules: rules_lib.Rules, time: types.Timestamp) -> types.Timestamp:
  """Returns the first time from `time` with order entry."""
  for start, end in _closed(rules):
    is_inside = (time.seconds >= start) & (time.seconds < end)
    time = clock.select(is_inside, clock.at_second(end), time)
  return time


def end_of_day(rules: rules_lib.Rules) -> types.Timestamp:
  """Returns from when on a venue takes nothing any more."""
  starts = [start for start, end in _closed(rules) if end == clock.NEVER]
  return clock.at_second(min([*starts, clock.NEVER - 1]))


def _open_time(
  rules: rules_lib.Rules, now: types.Timestamp, interval: jax.Array
) -> types.Timestamp:
  """Returns the time `interval` microseconds of open venue later."""
  time = when_open(rules, now)
  seconds, microseconds = jnp.divmod(interval, _MICROSECONDS)
  parts = seconds, microseconds * features.MICROSECOND
  begun, time = time, clock.add_parts(time, *parts)
  for start, end in _closed(rules):
    is_passed = (begun.seconds < start) & (time.seconds >= start)
    jump = clock.add_parts(time, jnp.int32(end - start), jnp.int32(0))
    time = clock.select(is_passed, jump, time)
  return clock.earlier(time, clock.never())


def _closed(rules: rules_lib.Rules) -> list[tuple[int, int]]:
  """Returns the intervals without order entry.

  Seconds, [start, end).
  """
  starts = [0, *(start for start, _ in rules.schedule)]
  ends = [*starts[1:], clock.NEVER]
  phases = [rules_lib.Phase.CLOSED, *(phase for _, phase in rules.schedule)]
  return [
    (start, end)
    for start, end, phase in zip(starts, ends, phases, strict=True)
    if not rules_lib.takes_orders(phase) and end > start
  ]


def order(
  tokenizer: features.Tokenizer,
  key: jax.Array,
  plan: PendingOrder,
  exchange: session.Exchange,
  mid: jax.Array,
  next_id: jax.Array,
  *,
  rules: rules_lib.Rules,
) -> types.Order:
  """Returns a pending order, adapted to the present book.

  Args:
    tokenizer: the bins, each of which draws one of the values it was fitted to.
    key: typed PRNG key, consumed.
    plan: what to send.
    exchange: its book is that of this moment.
    mid: `[]` ticks that the price counts from.
    next_id: `[]`, the id of a new order.
    rules: of the venue; static.
  """
  kind, price_bin, volume_bin, _ = vocab.unpack(plan.index)
  uniform = jax.random.uniform(key, (2,))
  price = mid + bins.decode(tokenizer.price, price_bin, uniform[0])
  volume = bins.decode(tokenizer.volume, volume_bin, uniform[1])

  side = jnp.where(price > mid, types.Side.ASK, types.Side.BID)
  low, high = bins.bounds(tokenizer.price, price_bin)
  cancel = find_cancel(
    exchange.book,
    side,
    (mid + low, mid + high),
    bins.bounds(tokenizer.volume, volume_bin),
    volume,
    owner=jnp.int32(types.NO_OWNER),
  )
  is_part = volume < cancel.volume // 2
  cancel = cancel.replace(volume=jnp.where(is_part, volume, cancel.volume))
  limit = types.Order(
    kind=jnp.int32(types.OrderKind.LIMIT),
    side=kind,
    price=_valid_price(rules, price, exchange.reference),
    volume=_valid_volume(rules, kind, volume),
    id=next_id,
    owner=jnp.int32(types.NO_OWNER),
  )
  is_cancel = kind == vocab.KIND_CANCEL
  return jax.tree.map(lambda x, y: jnp.where(is_cancel, x, y), cancel, limit)


def find_cancel(
  book: book_lib.Book,
  side: jax.Array,
  prices: tuple[jax.Array, jax.Array],
  volumes: tuple[jax.Array, jax.Array],
  volume: jax.Array,
  *,
  owner: jax.Array | None = None,
) -> types.Order:
  """Finds the resting order that a model's cancel names.

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
  is_found = rests[found]
  return types.Order(
    kind=jnp.int32(types.OrderKind.CANCEL),
    side=side,
    price=jnp.where(is_found, book.price[side, found], low),
    volume=jnp.where(is_found, book.volume[side, found], 0),
    id=jnp.where(is_found, book.id[side, found], types.NO_ORDER),
    owner=jnp.where(is_found, book.owner[side, found], types.NO_OWNER),
  )


def _first_least(x: jax.Array) -> jax.Array:
  """Returns `jnp.argmin` of `[N]`.

  XLA makes a slow loop of `argmin` on a CPU.
  """
  slots = jnp.arange(len(x), dtype=jnp.int32)
  return jnp.min(jnp.where(x == x.min(), slots, len(x) - 1))


def _valid_price(rules, price, reference):
  """Returns the nearest price on the grid and within limits."""
  if rules.price_limit_bp is not None:
    price = jnp.clip(price, *rules_lib.price_limits(rules, reference))
  if all(tick == 1 for _, tick in rules.tick_bands):
    return price
  tick = rules_lib.tick_at(rules, price)
  nearest = (price + tick // 2) // tick * tick
  if rules.price_limit_bp is None:
    return nearest
  low, high = rules_lib.price_limits(rules, reference)
  nearest = jnp.where(nearest > high, nearest - tick, nearest)
  return jnp.where(nearest < low, nearest + tick, nearest)


def _valid_volume(rules, side, volume):
  """Rounds a volume to round lots, where required."""
  if rules.lot == 1:
    return volume
  lots = jnp.maximum((volume + rules.lot // 2) // rules.lot, 1)
  if not rules.odd_lots_on_sale:
    return lots * rules.lot
  return jnp.where(side == types.Side.BID, lots * rules.lot, volume)
