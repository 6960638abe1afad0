"""Trading agents that act in a simulated market.

`base` says what an agent is. A module a kind has a `Config` and `make`, which
takes its fields: `twap.make(side=types.Side.BID, volume=1000)`.
"""

from mars_jax.sim.agents import execution
from mars_jax.sim.agents import external
from mars_jax.sim.agents import market_maker
from mars_jax.sim.agents import momentum
from mars_jax.sim.agents import noise
from mars_jax.sim.agents import pov
from mars_jax.sim.agents import replay
from mars_jax.sim.agents import twap
from mars_jax.sim.agents import value
from mars_jax.sim.agents import vwap
from mars_jax.sim.agents import zero_intelligence
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
  "execution",
  "external",
  "market_maker",
  "momentum",
  "noise",
  "order",
  "orders",
  "pov",
  "replay",
  "twap",
  "value",
  "vwap",
  "zero_intelligence",
)
