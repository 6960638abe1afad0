"""An exchange through its day: phases, price limits, halts.

The phase is a function of the time of day (`Rules.schedule`). `step` checks an
order against the rules and the phase, then matches it; where the phase is that
of a call auction, orders collect. `uncross` ends a call auction: whoever drives
the market calls it between the last order of the one phase and the first of the
next.

All of it is compiled code, which returns a `types.Reason`; `submit` is for
single orders from Python.
"""

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import auction
from mars_jax.lob import book as book_lib
from mars_jax.lob import matching
from mars_jax.lob import rules as rules_lib


@struct.dataclass
class Exchange:
  """A book, and the state of its rules."""

  book: book_lib.Book  # leaves [2, N]
  reference: jax.Array  # [] int32, ticks, the day's: price limits, auctions
  last_price: jax.Array  # [] int32, ticks, of the last trade
  halt_price: jax.Array  # [] int32, ticks, what `VolatilityHalt` counts from
  resumes: jax.Array  # [] int32, seconds since midnight, the end of a halt


def init(book: book_lib.Book, *, reference: int) -> Exchange:
  """Returns an exchange at the start of its day.

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


def phase_at(rules: rules_lib.Rules, seconds: jax.Array) -> jax.Array:
  """Returns the phase at a time: int32, as `seconds`."""
  phase = jnp.full_like(seconds, rules_lib.Phase.CLOSED)
  for start, name in rules.schedule:
    phase = jnp.where(seconds >= start, jnp.int32(name), phase)
  return phase


def step(
  exchange: Exchange,
  order: types.Order,
  seconds: jax.Array,
  *,
  rules: rules_lib.Rules,
  max_fills: int | None = None,
  phase: jax.Array | None = None,
) -> tuple[Exchange, types.ExecutionReport]:
  """Applies one order under the rules of a venue.

  Args:
    exchange: before the order.
    order: one order, leaves int32 `[]`.
    seconds: int32 `[]`, since midnight.
    rules: of the venue; static.
    max_fills: how many fills to list; static; see `matching.step`.
    phase: int32 `[]` `Phase`; that of the schedule if None.

  Returns:
    The exchange after it, and its report.
  """
  if phase is None:
    phase = phase_at(rules, seconds)
  reason = rules_lib.check(
    rules,
    order,
    phase=phase,
    reference=exchange.reference,
    halted=seconds < exchange.resumes,
  )
  is_taken = reason == types.Reason.ACCEPTED
  kind = jnp.where(is_taken, order.kind, types.OrderKind.NONE)
  book, report = matching.step(
    exchange.book,
    order.replace(kind=kind),
    rules=rules,
    max_fills=max_fills,
    in_auction=~rules_lib.matches(phase),
  )
  book = book_lib.count(book, reason, (~is_taken).astype(jnp.int32))
  report = report.replace(reason=jnp.where(is_taken, report.reason, reason))
  traded = report.traded > 0
  last_price = jnp.where(traded, report.last_price, exchange.last_price)
  exchange = exchange.replace(book=book, last_price=last_price)
  if rules.halt is not None:
    width = rules_lib.halt_width(rules.halt, exchange.halt_price)
    halts = traded & (jnp.abs(last_price - exchange.halt_price) >= width)
    exchange = exchange.replace(
      halt_price=jnp.where(halts, last_price, exchange.halt_price),
      resumes=jnp.where(halts, seconds + rules.halt.seconds, exchange.resumes),
    )
  return exchange, report


def uncross(
  exchange: Exchange,
  *,
  rules: rules_lib.Rules,
  price: jax.Array | None = None,
) -> tuple[Exchange, auction.Auction]:
  """Executes the call auction of the orders that have collected.

  Of equally good prices, `AuctionTie.REFERENCE` takes that nearest to the last
  price: the day's reference at the open. `price` is as for `auction.uncross`.
  """
  book, outcome = auction.uncross(
    exchange.book, reference=exchange.last_price, rules=rules, price=price
  )
  trades = outcome.volume > 0
  price = jnp.where(trades, outcome.price, exchange.last_price)
  halt_price = jnp.where(trades, outcome.price, exchange.halt_price)
  exchange = exchange.replace(
    book=book, last_price=price, halt_price=halt_price
  )
  return exchange, outcome
