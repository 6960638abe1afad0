"""The interface of agents: two pure functions of an observation.

  init(key, observation) -> (state, first wake-up)
  act(state, observation) -> (state, Action)

An agent sleeps until a moment that it names, sees the market as it was a while
ago (`Delays.observation`), and sends orders, which arrive a while later. It has
`slots` of its own for orders that may rest: it names an order by its slot, and
the simulator finds the id. In ten lines, one that buys a lot every second:

  def init(key, observation):
    return (), observation.time

  def act(state, observation):
    order = agents.order(types.OrderKind.MARKET, types.Side.BID, volume=1)
    wake = clock.add(observation.time, 1_000_000_000)
    return state, agents.Action(agents.orders(order), wake)

  buyer = agents.Agent("buyer", init, act)

Randomness comes from `observation.key`, which is another one at every wake-up.
"""

import collections.abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types

AgentState = Any  # Whatever the functions of a kind of agent pass on.


@struct.dataclass
class OpenOrders:
  """The orders of an agent that rest, by its slots."""

  side: jax.Array  # [R] int32, `types.Side`
  price: jax.Array  # [R] int32, ticks
  volume: jax.Array  # [R] int32, lots that are still open; 0: the slot is free


@struct.dataclass
class Account:
  """An agent's trades since the start; it begins at zero."""

  cash: jax.Array  # [4] int32, ticks times lots, an amount of `sim.money`
  inventory: jax.Array  # [] int32, lots; negative if it is short


@struct.dataclass
class View:
  """The market and an agent's own affairs at one moment."""

  time: types.Timestamp  # [] of the last event that it knows
  snapshot: types.Snapshot  # [2, L], the best levels
  mid: jax.Array  # [] int32, ticks
  last_price: jax.Array  # [] int32, ticks, of the last trade
  traded: jax.Array  # [] int32, lots since the start, all trades; wraps round
  account: Account
  orders: OpenOrders
  rejected: jax.Array  # [] int32, its orders that the exchange rejected


@struct.dataclass
class Observation:
  """The information of an agent when it wakes up."""

  time: types.Timestamp  # [] now
  key: jax.Array  # [] typed PRNG key, for this wake-up
  index: jax.Array  # [] int32, which of its kind it is
  view: View  # as old as the agent's delay makes it


@struct.dataclass
class Action:
  """The result of an agent's wake-up."""

  # [M] M orders at most, sent in this order; of `NO_ORDERS` none. The id of an
  # order is the slot of the agent that it rests in, cancels or modifies.
  orders: types.Order
  # [] when to wake up next, `clock.never()` for not again.
  wake: types.Timestamp


InitFn = collections.abc.Callable[
  [jax.Array, Observation], tuple[AgentState, types.Timestamp]
]
ActFn = collections.abc.Callable[
  [AgentState, Observation], tuple[AgentState, Action]
]


@dataclasses.dataclass(frozen=True)
class Delays:
  """Latencies of an agent, in nanoseconds.

  Attributes:
    computation: from waking up to sending.
    communication: from sending to the venue.
    observation: from the venue to what the agent sees, its own fills too.
  """

  computation: int = 0
  communication: int = 0
  observation: int = 0

  def __post_init__(self):
    for name, value in vars(self).items():
      if not isinstance(value, int) or not 0 <= value < 2**30 * 10**9:
        raise ValueError(f"{name} must be nanoseconds >= 0, not {value!r}")

  @property
  def round_trip(self) -> int:
    """Nanoseconds from a wake-up until its orders' outcome is seen."""
    return self.computation + self.communication + self.observation


NO_DELAYS = Delays()


@dataclasses.dataclass(frozen=True)
class Agent:
  """One kind of agent; static.

  Attributes:
    name: for reports.
    init: gives its state and the moment that it first wakes up; called when the
      simulation starts.
    act: called when it wakes up.
    count: how many there are.
    delays: of all of them.
  """

  name: str
  init: InitFn
  act: ActFn
  count: int = 1
  delays: Delays = NO_DELAYS

  def __post_init__(self):
    if self.count < 1:
      raise ValueError(f"{self.name}: count must be >= 1, not {self.count}")


def order(
  kind: jax.Array | int,
  side: jax.Array | int = types.Side.ASK,
  *,
  price: jax.Array | int = 0,
  volume: jax.Array | int = 0,
  slot: jax.Array | int = 0,
) -> types.Order:
  """Returns an order of an agent, leaves `[]`.

  Args:
    kind: `types.OrderKind`; `NONE` for no order.
    side: `types.Side`; ignored for a cancel.
    price: ticks; ignored for a market order or a cancel.
    volume: lots; of a cancel, the most to take back.
    slot: of the agent, in [0, R): where it may rest, or what to cancel.
  """
  return types.Order(
    kind=jnp.asarray(kind, jnp.int32),
    side=jnp.asarray(side, jnp.int32),
    price=jnp.asarray(price, jnp.int32),
    volume=jnp.asarray(volume, jnp.int32),
    id=jnp.asarray(slot, jnp.int32),
    owner=jnp.int32(types.NO_OWNER),
  )


def cancel(
  slot: jax.Array | int, *, condition: jax.Array | bool = True
) -> types.Order:
  """Returns a cancel of a slot's order, under a condition.

  It takes all that rests.
  """
  kinds = types.OrderKind
  kind = jnp.where(jnp.asarray(condition), kinds.CANCEL, kinds.NONE)
  return order(kind, volume=2**31 - 1, slot=slot)


def orders(*each: types.Order) -> types.Order:
  """Returns orders to send together, leaves `[M]`."""
  return jax.tree.map(lambda *x: jnp.stack(x), *each)
