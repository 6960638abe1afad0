"""Shared helpers of agents: times, prices, slots, orders."""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base


def check_delays(name: str, delays: base.Delays, seconds: float) -> None:
  """Checks that the round trip is shorter than a period.

  So an agent knows the outcome of its last orders when it sends others.

  Args:
    name: of the agent.
    delays: its own.
    seconds: the shortest time from one wake-up to the next.

  Raises:
    ValueError: if it does not.
  """
  if delays.round_trip >= seconds * types.NANOSECONDS:
    raise ValueError(
      f"{name}: delays of {delays.round_trip / types.NANOSECONDS} s in all must"
      f" be shorter than its {seconds} s between wake-ups"
    )


def at(seconds: float | None) -> types.Timestamp:
  """Returns a moment by its seconds since midnight; midnight for None."""
  return clock.add(
    clock.at_second(0), round((seconds or 0) * types.NANOSECONDS)
  )


def after(time: types.Timestamp, seconds: float) -> types.Timestamp:
  """Returns the moment some seconds, a Python number, later."""
  return clock.add(time, round(seconds * types.NANOSECONDS))


def poisson(
  key: jax.Array, time: types.Timestamp, mean: float
) -> types.Timestamp:
  """Returns the next moment of a Poisson process.

  Args:
    key: typed PRNG key, consumed.
    time: now.
    mean: seconds between two moments.
  """
  return clock.add_seconds(time, mean * jax.random.exponential(key))


def when(condition: jax.Array, order: types.Order) -> types.Order:
  """Returns orders `[...]` where the condition `[...]` holds, else none."""
  none = jnp.int32(types.OrderKind.NONE)
  return order.replace(kind=jnp.where(condition, order.kind, none))


def own_orders(view: base.View, count: int) -> base.OpenOrders:
  """Returns the first `count` slots, `[count]`.

  Raises:
    ValueError: if agents have fewer; when the simulation is compiled.
  """
  slots = view.orders.volume.shape[-1]
  if slots < count:
    raise ValueError(
      f"an agent needs {count} slots; raise slots = {slots} to that"
    )
  return jax.tree.map(lambda x: x[:count], view.orders)


def slot_for(resting: base.OpenOrders, price: jax.Array) -> jax.Array:
  """Returns the slot `[]` for an order of a price: the first that is free.

  Where none is, it is that of the order farthest from the price, which the
  market will miss least; it has to be cancelled first.
  """
  far = jnp.abs(resting.price - price)
  worth = jnp.where(resting.volume > 0, far, jnp.int32(2**31 - 1))
  return jnp.argmax(worth).astype(jnp.int32)


def best_prices(view: base.View) -> jax.Array:
  """Returns the best ask and bid, `[2]` ticks, by `types.Side`.

  That of an empty side is a tick from the mid, which is then the best price of
  the other side, or the last mid: as the official code has it.
  """
  beyond = view.mid + jnp.array([1, -1], jnp.int32)
  best = view.snapshot
  return jnp.where(best.volume[:, 0] > 0, best.price[:, 0], beyond)


def is_two_sided(view: base.View) -> jax.Array:
  """Returns whether both sides have orders, bool `[]`."""
  return (view.snapshot.volume[:, 0] > 0).all()


def replace_order(
  view: base.View,
  slot: int,
  side: jax.Array,
  *,
  price: jax.Array,
  volume: jax.Array,
  condition: jax.Array | bool = True,
) -> types.Order:
  """Returns a cancel of a slot's order and its replacement.

  The cancel comes first.

  Args:
    view: what the agent sees.
    slot: of the agent.
    side: `[]` of the order.
    price: `[]` ticks.
    volume: `[]` lots; where it is 0 there is only the cancel.
    condition: `[]` bool, where it does not hold there is neither.

  Returns:
    Leaves `[2]`.
  """
  new = base.order(
    types.OrderKind.LIMIT, side, price=price, volume=volume, slot=slot
  )
  condition = jnp.asarray(condition)
  return base.orders(
    base.cancel(slot, condition=condition & (view.orders.volume[slot] > 0)),
    when(condition & (new.volume > 0), new),
  )
