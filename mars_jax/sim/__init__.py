"""The simulator: a model of the order flow, and the clearing house, in a loop.

`step` is one event; `rollout` scans it, `spread` turns one market into many
trajectories, `chunks` runs them from the host.
"""

from mars_jax.sim.rollout import chunks
from mars_jax.sim.rollout import rollout
from mars_jax.sim.rollout import spread
from mars_jax.sim.state import Event
from mars_jax.sim.state import OrderFlow
from mars_jax.sim.state import SimState
from mars_jax.sim.state import state_axes
from mars_jax.sim.step import step

__all__ = (
  "Event",
  "OrderFlow",
  "SimState",
  "chunks",
  "rollout",
  "spread",
  "state_axes",
  "step",
)
