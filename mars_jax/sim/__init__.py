"""The simulator: order flow, agents and the matching engine, in a loop.

`init` makes the state of a market, `step` is one event of it, and `rollout` a
scan of events. `init_many` and `chunks` do so for many trajectories in step.
The modules `agents` and `clock` are for those who write agents.
"""

from mars_jax.sim import agents
from mars_jax.sim import clock
from mars_jax.sim import money
from mars_jax.sim import saving
from mars_jax.sim.agents.runtime import AgentsConfig
from mars_jax.sim.rollout import chunks
from mars_jax.sim.rollout import init_many
from mars_jax.sim.rollout import resume
from mars_jax.sim.rollout import rollout
from mars_jax.sim.rollout import stack
from mars_jax.sim.rollout import trajectory_keys
from mars_jax.sim.state import Cache
from mars_jax.sim.state import Event
from mars_jax.sim.state import OrderModelFns
from mars_jax.sim.state import Params
from mars_jax.sim.state import SimConfig
from mars_jax.sim.state import SimState
from mars_jax.sim.state import Start
from mars_jax.sim.state import init
from mars_jax.sim.state import state_axes
from mars_jax.sim.step import step

__all__ = (
  "Cache",
  "AgentsConfig",
  "Event",
  "OrderModelFns",
  "Params",
  "SimConfig",
  "SimState",
  "Start",
  "agents",
  "chunks",
  "clock",
  "init",
  "init_many",
  "money",
  "resume",
  "rollout",
  "saving",
  "stack",
  "state_axes",
  "step",
  "trajectory_keys",
)
