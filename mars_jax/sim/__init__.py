"""The simulator: order flow, agents and the matching engine, in a loop.

`init` makes the state of a market from a `Start`, `step` is one event of it,
`rollout` a scan of events: pure functions of a `Flow` (a model, its parameters
and bins) and a `SimState`. `init_many` and `run` do so for many trajectories in
step, from the host. `submit` matches an order before a simulation starts.
`to_records` gives simulated orders the type of real ones.
The modules `agents` and `clock` are for those who write agents.
"""

from mars_jax.sim import agents
from mars_jax.sim import clock
from mars_jax.sim import money
from mars_jax.sim import saving
from mars_jax.sim.agents.state import AgentsConfig
from mars_jax.sim.agents.state import AgentsState
from mars_jax.sim.market import MarketState
from mars_jax.sim.recording import to_records
from mars_jax.sim.run import ObserveFn
from mars_jax.sim.run import ProgressFn
from mars_jax.sim.run import init_each
from mars_jax.sim.run import init_many
from mars_jax.sim.run import resume
from mars_jax.sim.run import rollout
from mars_jax.sim.run import run
from mars_jax.sim.run import trajectory_keys
from mars_jax.sim.state import Cache
from mars_jax.sim.state import Context
from mars_jax.sim.state import Event
from mars_jax.sim.state import Flow
from mars_jax.sim.state import FlowInput
from mars_jax.sim.state import OrderModelFns
from mars_jax.sim.state import Params
from mars_jax.sim.state import SimConfig
from mars_jax.sim.state import SimState
from mars_jax.sim.state import Start
from mars_jax.sim.state import init
from mars_jax.sim.state import start_axes
from mars_jax.sim.state import state_axes
from mars_jax.sim.step import step
from mars_jax.sim.step import submit

__all__ = (
  "AgentsConfig",
  "AgentsState",
  "Cache",
  "Context",
  "Event",
  "Flow",
  "FlowInput",
  "MarketState",
  "ObserveFn",
  "OrderModelFns",
  "Params",
  "ProgressFn",
  "SimConfig",
  "SimState",
  "Start",
  "agents",
  "clock",
  "init",
  "init_each",
  "init_many",
  "money",
  "resume",
  "rollout",
  "run",
  "saving",
  "start_axes",
  "state_axes",
  "step",
  "submit",
  "to_records",
  "trajectory_keys",
)
