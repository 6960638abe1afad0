"""Trading agents that live in a simulation, beside the order flow.

`base` says what an agent is; a module a kind follows.
"""

from mars_jax.sim.agents.base import Account
from mars_jax.sim.agents.base import Action
from mars_jax.sim.agents.base import Agent
from mars_jax.sim.agents.base import Delays
from mars_jax.sim.agents.base import Observation
from mars_jax.sim.agents.base import OpenOrders
from mars_jax.sim.agents.base import View
from mars_jax.sim.agents.base import cancel
from mars_jax.sim.agents.base import order
from mars_jax.sim.agents.base import orders

__all__ = (
  "Account",
  "Action",
  "Agent",
  "Delays",
  "Observation",
  "OpenOrders",
  "View",
  "cancel",
  "order",
  "orders",
)
