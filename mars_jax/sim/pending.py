"""The model's next order, made valid for the book.

Choices where the paper is silent. A cancel is of an order of nobody (those of
agents are theirs to cancel, as in the official code). In the alphabet "touch"
it names one by level and place in the queue. In the paper's it means the one of
its volume bin that is nearest to its price bin, and takes the whole order, as
most cancels of real feeds do, unless its volume is under half of it, mostly for
want of an order of its volume: were larger ones to go for small cancels, a side
that has few orders would soon have none. `cancels` finds both. A cancel of an
empty side does nothing.

A new order keeps to the venue's rules: its price goes to the nearest one of the
tick grid within the limits of the day, its volume to the nearest round lot, one
at least. Times run while the venue takes orders: a plan does not fall into a
break, it waits, and so does one that meets a halt.
"""

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import book as book_lib
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.sim import cancels
from mars_jax.sim import clock
from mars_jax.sim import market as market_lib
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import touch
from mars_jax.tokens import vocab

_MICROSECONDS = 1_000_000  # In a second.


@struct.dataclass
class Reference:
  """The prices that a price counts from."""

  mid: jax.Array  # [] int32, ticks
  best: jax.Array  # [2] int32, ticks, as of `lob.best_prices`


def reference(market: market_lib.MarketState) -> Reference:
  """Returns the reference prices of this moment."""
  best = book_lib.best_prices(market.exchange.book, fallback=market.mid)
  return Reference(market.mid, best)


@struct.dataclass
class PendingOrder:
  """An order drawn by the model and not yet sent."""

  symbols: jax.Array  # [F] int32, by the fields of the alphabet
  time: types.Timestamp  # [] when to send it; never, if the day is over
  seen: Reference  # [] when it was drawn


def make(
  tokenizer: features.Tokenizer,
  key: jax.Array,
  symbols: jax.Array,
  market: market_lib.MarketState,
  *,
  rules: rules_lib.Rules,
) -> PendingOrder:
  """Returns the plan of an order: its bin of intervals draws one.

  Args:
    tokenizer: the bins.
    key: typed PRNG key, consumed.
    symbols: `[F]`, of its alphabet; the last is the interval.
    market: after the last event.
    rules: of the venue; static.
  """
  uniform = jax.random.uniform(key)
  interval = bins.decode(tokenizer.interval, symbols[-1], uniform)
  time = _open_time(rules, market.clock, interval)
  return PendingOrder(symbols, time, reference(market))


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
  seen: Reference,
  next_id: jax.Array,
  *,
  rules: rules_lib.Rules,
) -> types.Order:
  """Returns a pending order, adapted to the present book.

  Args:
    tokenizer: its alphabet says what the symbols mean; each bin draws one of
      the values it was fitted to.
    key: typed PRNG key, consumed.
    plan: what to send.
    exchange: its book is that of this moment.
    seen: what the price counts from.
    next_id: `[]`, the id of a new order.
    rules: of the venue; static.
  """
  uniforms = jax.random.uniform(key, (2,))
  draw = _READERS[tokenizer.alphabet]
  is_cancel, side, price, volume, cancel = draw(
    tokenizer, plan.symbols, uniforms, exchange.book, seen
  )
  limit = types.Order(
    kind=jnp.int32(types.OrderKind.LIMIT),
    side=side,
    price=_valid_price(rules, price, exchange.reference),
    volume=_valid_volume(rules, side, volume),
    id=next_id,
    owner=jnp.int32(types.NO_OWNER),
  )
  return jax.tree.map(lambda x, y: jnp.where(is_cancel, x, y), cancel, limit)


def _read_touch(tokenizer, symbols, uniforms, book, seen):
  """Reads an order of the alphabet "touch".

  Returns:
    Whether it is a cancel; of a new order side, price and volume; the cancel.
  """
  side = touch.side(symbols)
  in_bin = jnp.minimum(symbols[touch.VOLUME], touch.ALL - 1)
  volume = bins.decode(tokenizer.volume, in_bin, uniforms[1])
  cancel = cancels.at_level(
    book,
    side,
    touch.level(symbols, uniforms[0]),
    touch.younger(symbols, uniforms[1]),
  )
  takes_all = symbols[touch.VOLUME] == touch.ALL
  taken = jnp.where(takes_all, cancel.volume, volume)
  cancel = cancel.replace(volume=jnp.minimum(taken, cancel.volume))
  price = touch.price(symbols, seen.best, uniforms[0])
  tradable = book_lib.tradable(book, side, price)
  volume = touch.volume(symbols, volume, tradable)
  return touch.is_cancel(symbols), side, price, volume, cancel


def _read_mid(tokenizer, symbols, uniforms, book, seen):
  """Reads an order of the alphabet "mid"; returns as `_read_touch`."""
  kind, price_bin, volume_bin, _ = symbols
  price = seen.mid + bins.decode(tokenizer.price, price_bin, uniforms[0])
  volume = bins.decode(tokenizer.volume, volume_bin, uniforms[1])
  low, high = bins.bounds(tokenizer.price, price_bin)
  cancel = cancels.nearest(
    book,
    jnp.where(price > seen.mid, types.Side.ASK, types.Side.BID),
    (seen.mid + low, seen.mid + high),
    bins.bounds(tokenizer.volume, volume_bin),
    volume,
    owner=jnp.int32(types.NO_OWNER),
  )
  is_part = volume < cancel.volume // 2
  cancel = cancel.replace(volume=jnp.where(is_part, volume, cancel.volume))
  return kind == vocab.KIND_CANCEL, kind, price, volume, cancel


_READERS = {"touch": _read_touch, "mid": _read_mid}  # By alphabet.


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
