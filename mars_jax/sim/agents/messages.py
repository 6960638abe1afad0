"""Messages of agents on their way to the exchange.

A message lies in its sender's outbox until it arrives. One that is rejected
before it meets the book leaves no trace there: it is counted as `rejected`.

Dimensions: A agents, Q messages of an outbox, R slots of an agent.
"""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import state as state_lib


def next_arrival(
  agents: state_lib.AgentsState,
) -> tuple[jax.Array, types.Timestamp]:
  """Returns the next message's flat index and arrival time.

  The index is `[]`.
  """
  flat = jax.tree.map(jnp.ravel, agents.arrival)
  return clock.first(flat)


def send(
  agents: state_lib.AgentsState, messages: types.Order, arrival: types.Timestamp
) -> state_lib.AgentsState:
  """Puts messages into the outboxes of their senders.

  Args:
    agents: of the market.
    messages: `[A, Q]`, kind `NONE` for no message.
    arrival: `[A]`, when those of an agent arrive.

  Returns:
    The agents; what found no room is counted in `dropped`.
  """
  none = types.OrderKind.NONE
  is_free = agents.outbox.kind == none
  is_sent = messages.kind != none
  # The n-th message goes to the n-th free place.
  place = jnp.cumsum(is_free, axis=1) - 1  # [A, Q] of the outbox
  number = jnp.cumsum(is_sent, axis=1) - 1  # [A, Q] of the messages
  # [A, Q, Q]: place of the outbox, message.
  matches = (place[:, :, None] == number[:, None]) & is_free[:, :, None]
  matches &= is_sent[:, None]
  takes = matches.any(axis=2)  # [A, Q] places that take a message

  def put(old: jax.Array, new: jax.Array) -> jax.Array:
    new = jnp.where(matches, new[:, None], 0).sum(axis=2, dtype=old.dtype)
    return jnp.where(takes, new, old)

  arrival = jax.tree.map(lambda x: x[:, None], arrival)
  dropped = is_sent.sum(axis=1) - takes.sum(axis=1)
  return agents.replace(
    outbox=jax.tree.map(put, agents.outbox, messages),
    arrival=clock.select(takes, arrival, agents.arrival),
    dropped=agents.dropped + dropped.astype(jnp.int32),
  )


def to_order(
  agents: state_lib.AgentsState,
  index: jax.Array,
  next_id: jax.Array,
  *,
  config: state_lib.AgentsConfig,
) -> types.Order:
  """Returns a message as an order, owned by its sender.

  Args:
    agents: of the market.
    index: `[]`, as of `next_arrival`.
    next_id: `[]`, the id of a new order.
    config: static.

  Returns:
    The order. Where a cancel or a modify means a slot in which nothing rests,
    or an order that may rest one that is taken, its volume is 0, and
    `pretrade` rejects it.
  """
  sender = index // config.outbox
  order = jax.tree.map(lambda x: x.ravel()[index], agents.outbox)
  kinds = types.OrderKind
  takes_back = (order.kind == kinds.CANCEL) | (order.kind == kinds.MODIFY)
  slot = jnp.clip(order.id, 0, config.slots - 1)
  resting = jax.tree.map(lambda x: x[sender, slot], agents.orders)
  may_rest = (order.kind == kinds.LIMIT) | (order.kind == kinds.POST_ONLY)
  is_taken = resting.volume > 0
  is_possible = jnp.where(takes_back, is_taken, ~(may_rest & is_taken))
  is_possible &= slot == order.id
  is_cancel = order.kind == kinds.CANCEL
  volume = jnp.where(
    is_cancel, jnp.minimum(order.volume, resting.volume), order.volume
  )
  return order.replace(
    side=jnp.where(takes_back, resting.side, order.side),
    price=jnp.where(is_cancel, resting.price, order.price),
    volume=jnp.where(is_possible, volume, 0),
    id=jnp.where(takes_back, agents.ids[sender, slot], next_id),
    owner=sender,
  )


def remove(
  agents: state_lib.AgentsState, index: jax.Array, is_removed: jax.Array
) -> state_lib.AgentsState:
  """Takes a message out of its outbox where `is_removed`."""
  num, size = agents.outbox.kind.shape
  removed = (jnp.arange(num * size) == index).reshape(num, size) & is_removed
  none = jnp.int32(types.OrderKind.NONE)
  kind = jnp.where(removed, none, agents.outbox.kind)
  return agents.replace(
    outbox=agents.outbox.replace(kind=kind),
    arrival=clock.select(removed, clock.never(removed.shape), agents.arrival),
  )


def reject(
  agents: state_lib.AgentsState, index: jax.Array, rejected: jax.Array
) -> state_lib.AgentsState:
  """Removes a rejected message from its outbox and counts it.

  Only where `rejected`.
  """
  num, size = agents.outbox.kind.shape
  is_sender = jnp.arange(num) == index // size
  counted = agents.rejected + (is_sender & rejected)
  return remove(agents, index, rejected).replace(rejected=counted)
