"""VWAP: executes a volume as the market is expected to; see `execution`.

The profile is the volume that the market trades in each slice, say the mean of
some days before; only its shape counts.
"""

from mars_jax.sim.agents import base
from mars_jax.sim.agents import execution


def make(
  *,
  profile: tuple[float, ...],
  name: str = "VWAP",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: int | float | None,
) -> base.Agent:
  """Returns the agent.

  Args:
    profile: the volume of each slice, relative to the others.
    name: for reports.
    count: how many there are; each executes the whole volume.
    delays: of all of them, shorter than any period in all.
    **fields: of `execution.Config`; side and volume are needed.
  """
  config = execution.Config(profile=tuple(profile), **fields)
  return execution.make(config, name=name, count=count, delays=delays)
