"""What a venue turns away before it meets the book."""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session

_FAR = 2**30  # Ticks.
_MOST_VOLUME = 2**31 - 1  # Lots of one side of a book.


def is_refused(
  order: types.Order,
  time: types.Timestamp,
  exchange: session.Exchange,
  *,
  rules: rules_lib.Rules,
) -> jax.Array:
  """Tells whether a venue turns a message away before it meets the book."""
  reason = rules_lib.check(
    rules,
    order,
    phase=session.phase_at(rules, time.seconds),
    reference=exchange.reference,
    halted=time.seconds < exchange.resumes,
  )
  is_nothing = order.volume <= 0
  return (
    (reason != types.Reason.ACCEPTED) | is_nothing | ~_fits(order, exchange)
  )


def _fits(order: types.Order, exchange: session.Exchange) -> jax.Array:
  """Tells whether a book can hold an order without overflow; see `lob.book`."""
  kinds = types.OrderKind
  may_rest = (order.kind == kinds.LIMIT) | (order.kind == kinds.POST_ONLY)
  may_rest |= order.kind == kinds.MODIFY
  has_price = may_rest | (order.kind == kinds.IOC) | (order.kind == kinds.FOK)
  is_near = (order.price > -_FAR) & (order.price < _FAR)
  room = _MOST_VOLUME - exchange.book.volume[order.side].sum(dtype=jnp.int32)
  return (is_near | ~has_price) & ((order.volume <= room) | ~may_rest)
