"""The simulator: a model of the order flow, and the clearing house, in a loop.

`init` makes the state of a market, `step` is one event of it, and `rollout` a
scan of events. `init_many` and `chunks` do so for many trajectories in step.
"""

from mars_jax.sim.rollout import chunks
from mars_jax.sim.rollout import init_many
from mars_jax.sim.rollout import rollout
from mars_jax.sim.state import Event
from mars_jax.sim.state import OrderFlow
from mars_jax.sim.state import Params
from mars_jax.sim.state import SimState
from mars_jax.sim.state import Start
from mars_jax.sim.state import init
from mars_jax.sim.state import state_axes
from mars_jax.sim.step import step

__all__ = (
  "Event",
  "OrderFlow",
  "Params",
  "SimState",
  "Start",
  "chunks",
  "init",
  "init_many",
  "rollout",
  "state_axes",
  "step",
)
