"""Single orders from Python: checked, and rejected with a sentence.

`make_order` checks the fields of an order and `submit` sends it. Where compiled
code returns a `types.Reason`, `submit` raises `OrderRejected`, which says why
and what to do.
"""

import operator

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session

_MAX_PRICE = {32: types.MAX_PRICE, 64: types.MAX_PRICE_INT64}  # By bits.

EXPLANATIONS = {
  types.Reason.NO_VOLUME: "its volume is not positive",
  types.Reason.UNKNOWN_ID: "no order with its id rests; it was filled,"
  " cancelled, or never sent",
  types.Reason.WOULD_CROSS: "it is post-only and would trade; give a price that"
  " does not reach the other side",
  types.Reason.NOT_FILLABLE: "it is fill-or-kill and the book does not hold its"
  " volume at its price",
  types.Reason.SELF_TRADE: "it meets an order of the same owner; the rest"
  " of it expires",
  types.Reason.CAPACITY: "its side of the book is full and the order of the"
  " lowest priority is dropped; start with a larger capacity",
  types.Reason.OFF_TICK: "its price is not a multiple of the tick size there",
  types.Reason.OFF_LOT: "its volume is not a multiple of the round lot",
  types.Reason.PRICE_LIMIT: "its price is beyond the limits of the day",
  types.Reason.CLOSED: "the session does not take such orders at this time",
  types.Reason.HALTED: "trading is halted; only cancels are taken",
}
"""Why an order was rejected, in words, by `types.Reason`."""


class OrderRejected(ValueError):
  """An order was rejected, wholly or in part.

  Attributes:
    reason: int, `types.Reason`.
    exchange: `session.Exchange` after the order, which counts it. An order that
      was stopped by `SELF_TRADE` or `CAPACITY` may have traded: continue from
      this one.
    report: `types.ExecutionReport`, its outcome.
  """

  def __init__(
    self,
    sentence: str,
    exchange: session.Exchange,
    report: types.ExecutionReport,
  ):
    super().__init__(sentence)
    self.reason = int(report.reason)
    self.exchange = exchange
    self.report = report


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
  """Returns an order of scalars.

  Args:
    kind: `types.OrderKind`.
    side: `types.Side`; of the resting order for a cancel.
    price: ticks, within `types.MAX_PRICE` of 0 (`MAX_PRICE_INT64` for int64).
      That of a market order or a cancel is ignored.
    volume: lots; the venue rejects what is not positive.
    id: 0 or more; of an order that may rest, unique.
    owner: 0 or more, or `types.NO_OWNER`.
    dtype: of prices and volumes; that of the book.

  Raises:
    ValueError: if a field is not a whole number in its range.
  """
  bits = jnp.iinfo(dtype).bits
  far = _MAX_PRICE[bits]
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
  exchange: session.Exchange,
  order: types.Order,
  seconds: int,
  *,
  rules: rules_lib.Rules,
) -> tuple[session.Exchange, types.ExecutionReport]:
  """Applies one order; raises if the exchange rejects it.

  For single orders from Python: it waits for the outcome. A simulation calls
  `step` in compiled code, which returns the reason instead.

  Args:
    exchange: before the order.
    order: one order, as of `make_order`.
    seconds: since midnight.
    rules: of the venue.

  Returns:
    The exchange after it, and its report.

  Raises:
    ValueError: if its type is not that of the book, its id is that of an order
      that rests, or its side could hold more lots than can be counted.
    OrderRejected: a ValueError that says why and what to do, with the
      exchange after the order.
  """
  seconds = _integer("seconds", seconds, 0, 2**31 - 1)
  _check_new(exchange.book, order)
  after, report = _compiled_step(
    exchange, order, jnp.int32(seconds), rules=rules
  )
  reason = int(report.reason)
  if reason == types.Reason.ACCEPTED:
    return after, report
  why = EXPLANATIONS[reason]
  details = _details(reason, exchange, order, seconds, rules, report)
  sentence = f"{_describe(order)} at {_time(seconds)}: {why}{details}."
  raise OrderRejected(sentence, after, report)


_compiled_step = jax.jit(session.step, static_argnames=("rules", "max_fills"))


def _check_new(book, order: types.Order) -> None:
  """Raises ValueError for an order that the book cannot hold."""
  if order.volume.dtype != book.volume.dtype:
    raise ValueError(
      f"the order has numbers of {order.volume.dtype}, the book of"
      f" {book.volume.dtype}: give make_order that dtype"
    )
  if order.kind not in (types.OrderKind.LIMIT, types.OrderKind.POST_ONLY):
    return  # It brings no new order to rest.
  volume = jax.device_get(book.volume)
  ids = jax.device_get(book.id)
  if ((ids == int(order.id)) & (volume > 0)).any():
    raise ValueError(
      f"an order of id {int(order.id)} rests already: give another id, or"
      " modify that order"
    )
  total = sum(volume[int(order.side)].tolist()) + int(order.volume)
  if total > jnp.iinfo(volume.dtype).max:
    raise ValueError(
      f"its side could hold {total} lots, more than {volume.dtype} can count:"
      " use larger lots, or int64"
    )


def _integer(name: str, value: int, low: int, high: int) -> int:
  """Returns a value as an int; raises ValueError if invalid."""
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
  """Describes an order.

  As in "Rejected limit bid 7 of 150 lots at 1000 ticks".
  """
  kind = types.names(types.OrderKind)[int(order.kind)]
  side = types.names(types.Side)[int(order.side)]
  text = f"Rejected {kind} {side} {int(order.id)} of {int(order.volume)} lots"
  if order.kind in (types.OrderKind.CANCEL, types.OrderKind.MARKET):
    return text
  return f"{text} at {int(order.price)} ticks"


def _details(
  reason: int,
  exchange: session.Exchange,
  order: types.Order,
  seconds: int,
  rules: rules_lib.Rules,
  report: types.ExecutionReport,
) -> str:
  """Returns the numbers of a rejection, after its explanation."""
  reasons = types.Reason
  price, volume = int(order.price), int(order.volume)
  if reason in (reasons.WOULD_CROSS, reasons.NOT_FILLABLE):
    other = 1 - int(order.side)
    if exchange.book.volume[other, 0] == 0:
      return "; the other side is empty"
    best = int(exchange.book.price[other, 0])
    return f"; the best {types.names(types.Side)[other]} is {best}"
  if reason in (reasons.SELF_TRADE, reasons.CAPACITY):
    capacity = exchange.book.price.shape[1]
    room = f"; {capacity} orders fit" if reason == reasons.CAPACITY else ""
    return f"{room}; {int(report.traded)} of {volume} lots traded"
  if reason == reasons.OFF_TICK:
    tick = int(rules_lib.tick_at(rules, order.price))
    low = price // tick * tick
    return f", {tick}; the nearest prices are {low} and {low + tick}"
  if reason == reasons.OFF_LOT:
    return f", {rules.lot} lots"
  if reason == reasons.PRICE_LIMIT:
    low, high = rules_lib.price_limits(rules, exchange.reference)
    return f", {int(low)} to {int(high)} ticks"
  if reason == reasons.CLOSED:
    phase = session.phase_at(rules, jnp.int32(seconds))
    return f", in phase {types.names(rules_lib.Phase)[int(phase)]}"
  if reason == reasons.HALTED:
    return f", until {_time(exchange.resumes)}"
  return ""
