"""What tests of simulations share: a market of no data, and an agent."""

import functools

import jax.numpy as jnp

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import start as start_lib
from mars_jax.baselines import zero_intelligence
from mars_jax.sim import agents
from mars_jax.sim import clock


@functools.cache
def market() -> start_lib.Start:
  """Returns a zero-intelligence market after 600 orders; made once."""
  stream = zero_intelligence.stream(seed=0, num_orders=600, capacity=128)
  return start_lib.load_start(
    stream, int(stream.time[-1]), None, book_capacity=128, replay_capacity=128
  )


def restless(period_ns: int = 200_000_000) -> agents.Agent:
  """Returns an agent that sends another kind of order at each wake-up.

  A market order, a limit order at the mid, one behind it that it then modifies,
  makes smaller, and takes back.
  """
  kinds = types.OrderKind
  script = [
    (kinds.MARKET, types.Side.BID, 0, 7, 0),
    (kinds.LIMIT, types.Side.BID, -3, 9, 1),
    (kinds.MODIFY, types.Side.BID, -3, 4, 1),
    (kinds.MODIFY, types.Side.BID, -2, 6, 1),
    (kinds.IOC, types.Side.ASK, -1, 40, 0),
    (kinds.LIMIT, types.Side.ASK, 0, 30, 2),
    (kinds.POST_ONLY, types.Side.BID, 9, 5, 0),
    (kinds.FOK, types.Side.BID, 2, 10_000, 0),
    (kinds.CANCEL, types.Side.BID, 0, 2, 1),
    (kinds.CANCEL, types.Side.BID, 0, 99, 1),
    (kinds.CANCEL, types.Side.ASK, 0, 99, 2),
  ]
  rows = jnp.array(script, jnp.int32)

  def init(key, observation):
    del key
    return observation.index, observation.time

  def act(state, observation):
    kind, side, offset, volume, slot = rows[state % len(script)]
    price = observation.view.mid + offset
    order = agents.order(kind, side, price=price, volume=volume, slot=slot)
    wake = clock.add(observation.time, period_ns)
    return state + 1, agents.Action(agents.orders(order), wake)

  return agents.Agent("restless", init, act)


CONFIG = sim.SimConfig(agents=sim.AgentsConfig(kinds=(restless(),)))
