"""A simulation as a config file tells it, from its start to its files."""

import collections.abc
import dataclasses
import functools
import pathlib
from typing import Any

import jax

from mars_jax import lob
from mars_jax import sim
from mars_jax.apps import agents
from mars_jax.apps import forecast
from mars_jax.apps import simulation
from mars_jax.apps import start as start_lib
from mars_jax.apps.report import outputs as outputs_lib
from mars_jax.sim import saving

AUTO = "auto"  # The rules of the venue that the orders come from.
_CROWD = ("slots", "outbox", "levels", "views")  # Of the section `simulator`.


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Static.

  Attributes:
    seed: the same seed gives the same trajectories.
    trajectories: of each start.
    rules: of `lob.PRESETS`, or "auto".
    start: where it begins.
    horizon: where it ends.
    simulator: the agents, and how plans are carried out; `rules` are above.
    chunk: events of a trajectory in one compiled call.
    outputs: what is written.
  """

  seed: int
  trajectories: int
  rules: str
  start: start_lib.StartConfig
  horizon: forecast.Horizon
  simulator: sim.SimConfig
  chunk: int
  outputs: outputs_lib.OutputConfig

  def __post_init__(self):
    if self.rules not in (AUTO, *lob.PRESETS):
      names = ", ".join((AUTO, *lob.PRESETS))
      raise ValueError(f"rules {self.rules!r} are none of {names}")
    if self.trajectories < 1:
      raise ValueError(f"trajectories must be >= 1, not {self.trajectories}")
    if self.outputs.orders > self.trajectories:
      raise ValueError(
        f"orders of {self.outputs.orders} trajectories are asked for, of"
        f" {self.trajectories}"
      )

  def sim_config(self, exchange: str) -> sim.SimConfig:
    """Returns how the market of a venue is simulated."""
    rules = exchange if self.rules == AUTO else self.rules
    return dataclasses.replace(self.simulator, rules=lob.PRESETS[rules])


def make(sections: collections.abc.Mapping[str, Any]) -> Experiment:
  """Returns an experiment of the sections of a config; see configs/simulate.py.

  Raises:
    TypeError, ValueError: if a key is unknown or missing, or a value is none.
  """
  fields = dict(sections)
  simulator = dict(fields.pop("simulator"))
  chunk = simulator.pop("chunk")
  crowd = {name: simulator.pop(name) for name in _CROWD if name in simulator}
  made = agents.make(fields.pop("agents"))
  horizon = dict(fields.pop("horizon"))
  for name in ("seconds", "orders"):
    horizon[name] = horizon[name] or None
  return Experiment(
    start=start_lib.StartConfig(**fields.pop("start")),
    horizon=forecast.Horizon(**horizon),
    simulator=sim.SimConfig(
      crowd=sim.AgentsConfig(agents=made, **crowd), **simulator
    ),
    chunk=chunk,
    outputs=outputs_lib.OutputConfig(**fields.pop("outputs")),
    **fields,
  )


def run(
  experiment: Experiment,
  market: start_lib.Market,
  prefix: str,
  *,
  sections: collections.abc.Mapping[str, Any] | None = None,
  on_progress: collections.abc.Callable[[float, int], None] = (
    lambda share, num_events: None
  ),
) -> tuple[dict[str, Any], list[pathlib.Path]]:
  """Simulates a market and writes what came of it.

  Args:
    experiment: what to do.
    market: where it begins.
    prefix: path of what is written, less the endings.
    sections: of the config, for the summary.
    on_progress: as of `simulation.run`.

  Returns:
    The summary, and the paths of what was written.
  """
  config = experiment.sim_config(market.stream.rules)
  state, begin = _begin(experiment, market, config)
  horizon = experiment.horizon
  outputs = outputs_lib.Outputs(
    prefix,
    state,
    output=experiment.outputs,
    config=config,
    horizon=horizon,
    begin=begin,
  )
  outcome = simulation.run(
    market,
    state,
    config=config,
    horizon=horizon,
    begin=begin,
    recorders=outputs.recorders,
    chunk=experiment.chunk,
    mesh=simulation.mesh_of(experiment.trajectories, jax.devices()),
    on_progress=on_progress,
  )
  summary = simulation.summary(market, state, outcome, config=config)
  summary = {"config": sections or {}, **summary}
  return summary, outputs.write(market, outcome, summary)


def _begin(experiment, market, config):
  """Returns the state to begin with, and its time in nanoseconds."""
  make_state = functools.partial(
    simulation.init,
    market,
    config=config,
    num_trajectories=experiment.trajectories,
    seed=experiment.seed,
  )
  if not experiment.start.state:
    return make_state(), market.begin
  like = jax.eval_shape(make_state)
  state, about = saving.load(experiment.start.state, like)
  if outputs_lib.END not in about:
    path = experiment.start.state
    raise ValueError(f"{path}: it does not say when it goes on")
  return state, about[outputs_lib.END]
