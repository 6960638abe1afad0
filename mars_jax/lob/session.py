"""A venue through its day: phases, price limits, halts.

The phase is a function of the time of day (`Rules.schedule`). `step` checks an
order against the rules and the phase, then matches it; where the phase is that
of a call auction, orders collect. `uncross` ends a call auction: whoever drives
the market calls it between the last order of the one phase and the first of the
next.

`make_order` and `submit` are for Python code that sends single orders: they
refuse with a sentence what compiled code answers with a reason.
"""

import operator

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import auction
from mars_jax.lob import book as book_lib
from mars_jax.lob import matching
from mars_jax.lob import rules as rules_lib

_LARGEST_PRICE = {32: 2**30 - 1, 64: 2**62 - 1}  # By the bits of its type.


@struct.dataclass
class Exchange:
  """The book of one market, and what its venue's rules remember."""

  book: book_lib.Book  # leaves [2, N]
  reference: jax.Array  # [] int32, ticks, the day's: price limits, auctions
  last_price: jax.Array  # [] int32, ticks, of the last trade
  halt_price: jax.Array  # [] int32, ticks, what `VolatilityHalt` counts from
  resumes: jax.Array  # [] int32, seconds since midnight, the end of a halt


def init(book: book_lib.Book, *, reference: int) -> Exchange:
  """Returns a market at the start of its day.

  Args:
    book: what rests already, `lob.init(capacity)` for nothing.
    reference: ticks, the previous close.
  """
  price = jnp.asarray(reference, book.price.dtype)
  return Exchange(
    book=book,
    reference=price,
    last_price=price,
    halt_price=price,
    resumes=jnp.zeros([], jnp.int32),
  )


class OrderRejected(ValueError):
  """An order was rejected, wholly or in part.

  Attributes:
    reason: int, `types.Reason`.
    market: `Exchange` after the order, which counts it. An order that was stopped
      by `SELF_TRADE` or `CAPACITY` may have traded: go on with this market.
    report: `types.ExecutionReport`, what became of it.
  """

  def __init__(
    self, sentence: str, market: Exchange, report: types.ExecutionReport
  ):
    super().__init__(sentence)
    self.reason = int(report.reason)
    self.market = market
    self.report = report


def phase_at(rules: rules_lib.Rules, seconds: jax.Array) -> jax.Array:
  """Returns the phase at a time of day, int32 like `seconds`."""
  phase = jnp.full_like(seconds, rules_lib.Phase.CLOSED)
  for start, name in rules.schedule:
    phase = jnp.where(seconds >= start, jnp.int32(name), phase)
  return phase


def step(
  market: Exchange,
  order: types.Order,
  seconds: jax.Array,
  *,
  rules: rules_lib.Rules,
  max_fills: int | None = None,
) -> tuple[Exchange, types.ExecutionReport]:
  """Applies one order under the rules of a venue.

  Args:
    market: before the order.
    order: one order, leaves int32 `[]`.
    seconds: int32 `[]`, since midnight.
    rules: of the venue; static.
    max_fills: how many fills to list; static; see `matching.step`.

  Returns:
    The market after it, and what became of it.
  """
  phase = phase_at(rules, seconds)
  reason = rules_lib.check(
    rules,
    order,
    phase=phase,
    reference=market.reference,
    halted=seconds < market.resumes,
  )
  is_taken = reason == types.Reason.ACCEPTED
  kind = jnp.where(is_taken, order.kind, types.OrderKind.NONE)
  book, report = matching.step(
    market.book,
    order.replace(kind=kind),
    rules=rules,
    max_fills=max_fills,
    collects=~rules_lib.matches(phase),
  )
  book = book_lib.count(book, reason, (~is_taken).astype(jnp.int32))
  report = report.replace(reason=jnp.where(is_taken, report.reason, reason))
  traded = report.traded > 0
  last_price = jnp.where(traded, report.last_price, market.last_price)
  market = market.replace(book=book, last_price=last_price)
  if rules.halt is not None:
    width = rules_lib.halt_width(rules.halt, market.halt_price)
    halts = traded & (jnp.abs(last_price - market.halt_price) >= width)
    market = market.replace(
      halt_price=jnp.where(halts, last_price, market.halt_price),
      resumes=jnp.where(halts, seconds + rules.halt.seconds, market.resumes),
    )
  return market, report


def uncross(
  market: Exchange, *, rules: rules_lib.Rules
) -> tuple[Exchange, auction.Auction]:
  """Executes the call auction of the orders that have collected.

  Of prices as good, `AuctionTie.REFERENCE` takes that nearest to the last
  price: the day's reference at the open.
  """
  book, outcome = auction.uncross(
    market.book, reference=market.last_price, rules=rules
  )
  trades = outcome.volume > 0
  price = jnp.where(trades, outcome.price, market.last_price)
  halt_price = jnp.where(trades, outcome.price, market.halt_price)
  market = market.replace(book=book, last_price=price, halt_price=halt_price)
  return market, outcome


def make_order(
  kind: int,
  side: int,
  price: int,
  volume: int,
  id: int,
  owner: int = types.NO_OWNER,
  *,
  dtype: jax.typing.DTypeLike = jnp.int32,
) -> types.Order:
  """Returns an order of scalars; raises ValueError for what cannot be one.

  Args:
    kind: `types.OrderKind`.
    side: `types.Side`; of the resting order for a cancel.
    price: ticks, strictly between -2**30 and 2**30 (2**62 for int64). A market
      order's and a cancel's are not looked at.
    volume: lots; the venue rejects what is not positive.
    id: 0 or more, of an order that may rest not that of another one.
    owner: 0 or more, or `types.NO_OWNER`.
    dtype: of prices and volumes; that of the book.
  """
  bits = jnp.iinfo(dtype).bits
  far = _LARGEST_PRICE[bits]
  most, most_id = 2 ** (bits - 1) - 1, 2**31 - 1
  kinds = types.names(types.OrderKind)
  kind = _integer("kind", kind, min(kinds), max(kinds))
  side = _integer("side", side, types.Side.ASK, types.Side.BID)
  price = _integer("price", price, -far, far)
  volume = _integer("volume", volume, -most, most)
  id = _integer("id", id, 0, most_id)
  owner = _integer("owner", owner, types.NO_OWNER, most_id)
  return types.Order(
    kind=jnp.int32(kind),
    side=jnp.int32(side),
    price=jnp.asarray(price, dtype),
    volume=jnp.asarray(volume, dtype),
    id=jnp.int32(id),
    owner=jnp.int32(owner),
  )


def submit(
  market: Exchange,
  order: types.Order,
  seconds: int,
  *,
  rules: rules_lib.Rules,
) -> tuple[Exchange, types.ExecutionReport]:
  """Applies one order, and raises where the venue rejects it.

  For single orders from Python: it waits for the outcome. A simulation calls
  `step` in compiled code, which returns the reason instead.

  Args:
    market: before the order.
    order: one order, as of `make_order`.
    seconds: since midnight.
    rules: of the venue.

  Returns:
    The market after it, and what became of it.

  Raises:
    OrderRejected: a ValueError that says why and what to do, with the market
      after the order.
  """
  seconds = _integer("seconds", seconds, 0, 2**31 - 1)
  after, report = _compiled_step(market, order, jnp.int32(seconds), rules=rules)
  reason = int(report.reason)
  if reason == types.Reason.ACCEPTED:
    return after, report
  why = rules_lib.EXPLANATIONS[reason]
  details = _details(reason, market, order, seconds, rules, report)
  sentence = f"{_describe(order)} at {_time(seconds)}: {why}{details}."
  raise OrderRejected(sentence, after, report)


_compiled_step = jax.jit(step, static_argnames=("rules", "max_fills"))


def _integer(name: str, value: int, low: int, high: int) -> int:
  """Returns a value as an int; raises ValueError if it is none, or too far."""
  try:
    number = operator.index(value)
  except TypeError:
    raise ValueError(f"{name} is {value!r}; give a whole number") from None
  if isinstance(value, bool) or not low <= number <= high:
    raise ValueError(f"{name} is {value!r}; give a number in [{low}, {high}]")
  return number


def _time(seconds: int) -> str:
  minutes, seconds = divmod(int(seconds), 60)
  return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def _describe(order: types.Order) -> str:
  """Names an order: "Rejected limit bid 7 of 150 lots at 1000 ticks"."""
  kind = types.names(types.OrderKind)[int(order.kind)]
  side = types.names(types.Side)[int(order.side)]
  text = f"Rejected {kind} {side} {int(order.id)} of {int(order.volume)} lots"
  if order.kind in (types.OrderKind.CANCEL, types.OrderKind.MARKET):
    return text
  return f"{text} at {int(order.price)} ticks"


def _details(
  reason: int,
  market: Exchange,
  order: types.Order,
  seconds: int,
  rules: rules_lib.Rules,
  report: types.ExecutionReport,
) -> str:
  """Returns the numbers behind a rejection, to follow on its explanation."""
  reasons = types.Reason
  price, volume = int(order.price), int(order.volume)
  if reason in (reasons.WOULD_CROSS, reasons.NOT_FILLABLE):
    other = 1 - int(order.side)
    if market.book.volume[other, 0] == 0:
      return "; the other side is empty"
    best = int(market.book.price[other, 0])
    return f"; the best {types.names(types.Side)[other]} is {best}"
  if reason in (reasons.SELF_TRADE, reasons.CAPACITY):
    capacity = market.book.price.shape[1]
    room = f"; {capacity} orders fit" if reason == reasons.CAPACITY else ""
    return f"{room}; {int(report.traded)} of {volume} lots traded"
  if reason == reasons.OFF_TICK:
    tick = int(rules_lib.tick_at(rules, order.price))
    low = price // tick * tick
    return f", {tick}; the nearest prices are {low} and {low + tick}"
  if reason == reasons.OFF_LOT:
    return f", {rules.lot} lots"
  if reason == reasons.PRICE_LIMIT:
    low, high = rules_lib.price_limits(rules, market.reference)
    return f", {int(low)} to {int(high)} ticks"
  if reason == reasons.CLOSED:
    phase = phase_at(rules, jnp.int32(seconds))
    return f", in phase {types.names(rules_lib.Phase)[int(phase)]}"
  if reason == reasons.HALTED:
    return f", until {_time(market.resumes)}"
  return ""
