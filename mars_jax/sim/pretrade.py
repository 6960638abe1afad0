"""Pre-trade checks of agents' messages."""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session

_MOST_VOLUME = 2**31 - 1  # Lots of one side of a book.


def is_rejected(
  order: types.Order,
  time: types.Timestamp,
  exchange: session.Exchange,
  *,
  rules: rules_lib.Rules,
) -> jax.Array:
  """Returns whether a message is rejected before matching, bool `[]`."""
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
  """Returns whether order totals stay below overflow.

  bool `[]`.
  """
  kinds = types.OrderKind
  may_rest = (order.kind == kinds.LIMIT) | (order.kind == kinds.POST_ONLY)
  may_rest |= order.kind == kinds.MODIFY
  has_price = may_rest | (order.kind == kinds.IOC) | (order.kind == kinds.FOK)
  is_near = order.price >= -types.MAX_PRICE
  is_near &= order.price <= types.MAX_PRICE
  room = _MOST_VOLUME - exchange.book.volume[order.side].sum(dtype=jnp.int32)
  return (is_near | ~has_price) & ((order.volume <= room) | ~may_rest)
