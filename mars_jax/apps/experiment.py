"""Simulations described by a config file, from start to outputs."""

import collections.abc
import dataclasses
import functools
import pathlib
from typing import Any

import jax

from mars_jax import lob
from mars_jax import sim
from mars_jax.apps import agents
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import simulation
from mars_jax.apps import start as start_lib
from mars_jax.apps.report import outputs as outputs_lib
from mars_jax.sim import saving
from mars_jax.utils import checks
from mars_jax.utils import progress as progress_lib
from mars_jax.utils import time_of_day

_CAPACITIES = (
  "slots",
  "outbox",
  "levels",
  "views",
)  # Of the section `simulator`.


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A simulation from its start to its outputs; static.

  Attributes:
    seed: the same seed gives the same trajectories.
    trajectories: of each start.
    rules: of `lob.PRESETS`, or "auto".
    start: where it begins.
    horizon: where it ends.
    simulator: the agents, and how pending orders are sent; `rules` are above.
    chunk: events of a trajectory in one compiled call.
    outputs: what is written.
  """

  seed: int
  trajectories: int
  rules: str
  start: start_lib.StartConfig
  horizon: horizon_lib.Horizon
  simulator: sim.SimConfig
  chunk: int
  outputs: outputs_lib.OutputConfig

  def __post_init__(self):
    checks.one_of("rules", self.rules, (start_lib.AUTO, *lob.PRESETS))
    checks.at_least(1, trajectories=self.trajectories, chunk=self.chunk)
    if self.outputs.orders > self.trajectories:
      raise ValueError(
        f"orders of {self.outputs.orders} trajectories are asked for, of"
        f" {self.trajectories}"
      )


def make(sections: collections.abc.Mapping[str, Any]) -> Experiment:
  """Returns an experiment from the sections of a config.

  Args:
    sections: as configs/simulate.py has them.

  Raises:
    TypeError, ValueError: if a key is unknown or missing, or a value is none.
  """
  fields = dict(sections)
  simulator = dict(fields.pop("simulator"))
  chunk = simulator.pop("chunk")
  capacities = {
    name: simulator.pop(name) for name in _CAPACITIES if name in simulator
  }
  made = agents.make(fields.pop("agents"))
  horizon = dict(fields.pop("horizon"))
  for name in ("seconds", "orders"):
    horizon[name] = horizon[name] or None
  return Experiment(
    start=start_lib.StartConfig(**fields.pop("start")),
    horizon=horizon_lib.Horizon(**horizon),
    simulator=sim.SimConfig(
      agents=sim.AgentsConfig(kinds=made, **capacities), **simulator
    ),
    chunk=chunk,
    outputs=outputs_lib.OutputConfig(**fields.pop("outputs")),
    **fields,
  )


def run(
  experiment: Experiment,
  market: start_lib.Start,
  prefix: str,
  *,
  sections: collections.abc.Mapping[str, Any] | None = None,
  on_progress: collections.abc.Callable[[float, int], None] = (
    lambda share, num_events: None
  ),
) -> tuple[dict[str, Any], list[pathlib.Path]]:
  """Simulates a market and writes the results.

  Args:
    experiment: what to do.
    market: where it begins.
    prefix: path of what is written, less the endings.
    sections: of the config, for the summary.
    on_progress: as of `simulation.run`.

  Returns:
    The summary, and the paths of what was written.
  """
  config = market.sim_config(experiment.rules, experiment.simulator)
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
    market.flow,
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


def run_all(
  experiment: Experiment,
  prefix: str,
  *,
  sections: collections.abc.Mapping[str, Any] | None = None,
  progress: bool = True,
) -> collections.abc.Iterator[tuple[dict[str, Any], list[pathlib.Path]]]:
  """Runs an experiment from each of its starts.

  Args:
    experiment: what to do.
    prefix: path of what is written, less the endings; with several starts,
      each has its time in the names of its files.
    sections: of the config, for the summaries.
    progress: whether to show progress bars.

  Yields:
    What `run` returns for each start.
  """
  config = experiment.start
  model = start_lib.load_model(config.model)
  stream, truth = start_lib.read(config.path, config.instrument, config.day)
  times = start_lib.times(config.times, stream)
  for time in times:
    clock = time_of_day.clock_text(time)
    past = start_lib.before(stream, time)
    with progress_lib.replay_bar(len(past), visible=progress) as on_replay:
      market = start_lib.load_start(
        stream,
        time,
        model,
        reference=truth.reference,
        book_capacity=config.book_capacity,
        replay_capacity=config.replay_capacity,
        on_progress=on_replay,
      )
    ending = f"_{clock.replace(':', '-')}" if len(times) > 1 else ""
    title = f"simulate from {clock}"
    with progress_lib.simulation_bar(title, visible=progress) as on_progress:
      yield run(
        experiment,
        market,
        prefix + ending,
        sections=sections,
        on_progress=on_progress,
      )


def _begin(experiment, market, config):
  """Returns the initial state and its time in nanoseconds."""
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
