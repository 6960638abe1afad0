"""An agent with orders from outside, one stream per trajectory.

What-if analysis sends one order at one time (`apps.impact`); a trading
environment steps its market until the external agent is due, shows the
observation, and sends the action:

  config = sim.SimConfig(agents=sim.AgentsConfig(kinds=(external.make(),)))
  state = sim.init_many(flow, keys, start, config=config)
  agents = external.send(state.agents, orders, time, config=config.agents)
  state = state.replace(agents=agents)

Other orders and times take no other program.
"""

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import state as state_lib

NAME = "external"


def make(
  *,
  name: str = NAME,
  max_orders: int = 1,
  delays: base.Delays = base.NO_DELAYS,
) -> base.Agent:
  """Returns an agent that sleeps until `send` gives it orders.

  Args:
    name: for reports and `send`.
    max_orders: M, orders that it sends at once.
    delays: from the time of `send` to the exchange.
  """
  none = base.order(types.OrderKind.NONE)

  def init(key, observation):
    del key, observation
    return base.orders(*[none] * max_orders), clock.never()

  def act(orders, observation):
    del observation
    return orders, base.Action(orders, clock.never())

  return base.Agent(name, init, act, delays=delays)


def send(
  agents: state_lib.AgentsState,
  orders: types.Order,
  time: types.Timestamp,
  *,
  config: state_lib.AgentsConfig,
  name: str = NAME,
) -> state_lib.AgentsState:
  """Gives the external agent of each market orders to send.

  It has one set of orders at a time: what an earlier call gave and was not yet
  sent is replaced.

  Args:
    agents: of one market, or of many with leading axes `[B]`.
    orders: leaves `[M]` or `[B, M]`, as `agents.orders` makes them; kind `NONE`
      for no order, so that some trajectories may go without.
    time: `[]` or `[B]`, when to send them; times that have passed are sent at
      once.
    config: static.
    name: of the agent.

  Raises:
    ValueError: if no agent has that name.
  """
  names = [kind.name for kind in config.kinds]
  if name not in names:
    raise ValueError(f"no agent is named {name!r}, but {', '.join(names)}")
  kind = names.index(name)
  row = sum(agent.count for agent in config.kinds[:kind])
  states = list(agents.states)
  states[kind] = jax.tree.map(
    lambda old, new: jnp.broadcast_to(
      jnp.expand_dims(new, -2), old.shape
    ).astype(old.dtype),
    states[kind],
    orders,
  )
  wake = jax.tree.map(
    lambda old, new: old.at[..., row].set(new), agents.wake, time
  )
  return agents.replace(states=tuple(states), wake=wake)
