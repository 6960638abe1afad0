"""TWAP: executes a volume evenly over time; see `execution`.

The defaults are the paper's L1-P0.9: ten slices of 30 s, the first 25 s of each
passive. `passive_s=20, ticks=5, passive_ratio=0.1, round_lot=100` are those of
the official code.
"""

from mars_jax.sim.agents import base
from mars_jax.sim.agents import execution


def make(
  *,
  slices: int = 10,
  name: str = "TWAP",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: int | float | None,
) -> base.Agent:
  """Returns the agent.

  Args:
    slices: of the same volume.
    name: for reports.
    count: how many there are; each executes the whole volume.
    delays: of all of them, shorter than any period in all.
    **fields: of `execution.Config`; side and volume are needed.
  """
  config = execution.Config(profile=(1.0,) * slices, **fields)
  return execution.make(config, name=name, count=count, delays=delays)
