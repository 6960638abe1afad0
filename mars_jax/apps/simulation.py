"""Simulations run from the host: many trajectories to a horizon.

`run` hands chunks of events to recorders of what is kept; `summary` has the
results that a user wants at the end, fit for JSON.
"""

import collections.abc
import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import start as start_lib
from mars_jax.apps.report import bars as bars_lib
from mars_jax.apps.report import tables
from mars_jax.utils import checks
from mars_jax.utils import progress as progress_lib
from mars_jax.utils import time_of_day

_QUANTILES = (0.05, 0.5, 0.95)
_REJECTIONS = {
  reason: name
  for reason, name in types.names(types.Reason).items()
  if reason not in (types.Reason.ACCEPTED, types.Reason.CAPACITY)
}

Recorder = collections.abc.Callable[[bars_lib.Kept], None]


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The end of a run.

  Attributes:
    state: the last, of B trajectories.
    begin: nanoseconds since midnight.
    end: int64 `[B]` nanoseconds since midnight, of each trajectory.
    num_events: of all trajectories.
    seconds: that it took, compilation included.
    is_complete: whether all trajectories have reached the horizon.
  """

  state: sim.SimState
  begin: int
  end: np.ndarray
  num_events: int
  seconds: float
  is_complete: bool


def init(
  start: start_lib.Start,
  *,
  config: sim.SimConfig,
  num_trajectories: int,
  seed: int,
) -> sim.SimState:
  """Returns the trajectories of a market.

  They differ in their random keys.

  Trajectory b depends on the seed and on b, not on how many there are.
  """
  keys = sim.trajectory_keys(jax.random.key(seed), num_trajectories)
  return sim.init_many(start.flow, keys, start.initial, config=config)


def mesh_of(
  num_trajectories: int, devices: collections.abc.Sequence[jax.Device]
) -> jax.sharding.Mesh | None:
  """Returns as many of the devices as share the trajectories; None for one."""
  num = max(n for n in range(1, len(devices) + 1) if num_trajectories % n == 0)
  if num == 1:
    return None
  return jax.sharding.Mesh(np.array(devices[:num]), ("data",))


def run(
  flow: sim.Flow,
  state: sim.SimState,
  *,
  config: sim.SimConfig,
  horizon: horizon_lib.Horizon,
  begin: int,
  recorders: collections.abc.Sequence[Recorder] = (),
  chunk: int = 256,
  mesh: jax.sharding.Mesh | None = None,
  on_progress: sim.ProgressFn = lambda share, num_events: None,
) -> Outcome:
  """Simulates B trajectories to a horizon.

  Args:
    flow: the order flow.
    state: of B trajectories.
    config: static.
    horizon: where to stop; exactly there, if in orders, or before the first
      event after it. Trajectories also end with the exchange's day.
    begin: nanoseconds since midnight, from which a horizon in seconds counts.
    recorders: called with what is kept of each chunk.
    chunk: events of a trajectory in one compiled call.
    mesh: devices to cut the trajectories over.
    on_progress: see `sim.run`.
  """
  began = time.time()
  before = np.asarray(state.num_events).sum(dtype=np.int64)
  end = horizon.end(begin)
  for chunk_result in sim.run(
    flow,
    state,
    horizon.until(begin),
    observe_fn=bars_lib.observe,
    config=config,
    max_events=horizon.max_events,
    chunk=chunk,
    mesh=mesh,
    on_progress=on_progress,
  ):
    state, kept = chunk_result
    for record in recorders:
      record(kept)
  ends = time_of_day.nanoseconds(state.market.clock)
  is_complete = end is None or not kept.is_event[:, -1].any()
  if end is not None and is_complete:
    ends = np.full_like(ends, end)
  return Outcome(
    state=state,
    begin=begin,
    end=ends,
    num_events=int(np.asarray(state.num_events).sum() - before),
    seconds=time.time() - began,
    is_complete=is_complete,
  )


def summary(
  market: start_lib.Start,
  before: sim.SimState,
  outcome: Outcome,
  *,
  config: sim.SimConfig,
) -> dict[str, Any]:
  """Returns a run's results in market units, for JSON.

  Args:
    market: what was simulated.
    before: the state before it.
    outcome: of the run.
    config: static.
  """
  stream, state = market.stream, outcome.state
  counts = np.asarray(state.market.exchange.book.counts, np.int64).sum(axis=0)
  counts -= np.asarray(before.market.exchange.book.counts, np.int64).sum(axis=0)
  found = {
    "market": stream.name,
    "tick_size": stream.tick_size,
    "lot_size": stream.lot_size,
    "begin_s": outcome.begin / types.NANOSECONDS,
    "end_s": outcome.end.max().item() / types.NANOSECONDS,
    "is_complete": outcome.is_complete,
    "trajectories": len(outcome.end),
    "events": outcome.num_events,
    "seconds": outcome.seconds,
    "orders_per_second": outcome.num_events / outcome.seconds,
    "mid_at_start": _spread(before.market.mid, stream.tick_size),
    "mid_at_end": _spread(state.market.mid, stream.tick_size),
    "dropped_by_full_books": int(counts[types.Reason.CAPACITY]),
    "left_out_at_start": market.num_truncated,
    "rejected": {
      name: int(counts[reason])
      for reason, name in _REJECTIONS.items()
      if counts[reason]
    },
  }
  if state.agents is not None:
    found["owners"] = _owners(state, config.agents.owner_names, stream)
  return found


@dataclasses.dataclass(frozen=True)
class Simulation:
  """A market that was simulated.

  Attributes:
    start: where it began.
    config: by which it was simulated.
    before: the state at the start, of B trajectories.
    outcome: the end of the run.
    bars: of its mid, trades and book; `[B, K]` each.
  """

  start: start_lib.Start
  config: sim.SimConfig
  before: sim.SimState
  outcome: Outcome
  bars: bars_lib.Bars

  def summary(self) -> dict[str, Any]:
    """Returns the results in the market's units, fit for JSON."""
    return summary(self.start, self.before, self.outcome, config=self.config)

  def plot(self, path: pathlib.Path | str) -> None:
    """Draws price, spread, depth and volume; needs the extra `plot`."""
    from mars_jax.apps.report import market_plot  # Takes matplotlib.

    stream = self.start.stream
    begin = time_of_day.clock_text(self.outcome.begin)
    market_plot.draw(
      path, self.bars, stream, title=f"{stream.name}, simulated from {begin}"
    )


def simulate(
  data: str = "synthetic-0",
  *,
  model: str = start_lib.NO_MODEL,
  start: str | None = None,
  agents: collections.abc.Sequence[sim.agents.Agent] = (),
  horizon_s: float = 60.0,
  horizon_orders: int | None = None,
  trajectories: int = 16,
  seed: int = 0,
  instrument: str = "",
  day: str = "",
  rules: str = start_lib.AUTO,
  bar_s: float = 1.0,
  book_capacity: int = 512,
  replay_capacity: int = 4096,
  progress: bool = True,
) -> Simulation:
  """Simulates a market, with agents or without.

  Args:
    data: the day to start from: "synthetic-0" needs no data, "bitstamp-sample",
      or a path of any format of `feeds`.
    model: path of a model, or "none" to draw orders from the past.
    start: HH:MM:SS of the market's clock; five sixths into the day if None.
    agents: that trade beside the order flow, as the modules of `sim.agents`
      make them.
    horizon_s: seconds of market time to simulate.
    horizon_orders: orders of each trajectory to simulate, in place of
      `horizon_s`.
    trajectories: B.
    seed: the same seed gives the same trajectories.
    instrument: which one of a file of several.
    day: the same; the last one if "".
    rules: of `lob.PRESETS`, or "auto" for those of the day's exchange.
    bar_s: seconds of a bar.
    book_capacity: orders that one side of a simulated book can hold.
    replay_capacity: the same of the book of the replayed day.
    progress: whether to show progress bars.

  Raises:
    FileNotFoundError, events.DataError: if the day cannot be read.
    ValueError: if an argument is invalid, or the start is not in the day.
  """
  horizon = horizon_lib.Horizon(
    seconds=None if horizon_orders else horizon_s, orders=horizon_orders
  )
  checks.at_least(1, trajectories=trajectories)
  start_lib.check_capacities(book_capacity, replay_capacity)
  loaded = start_lib.load_model(model)
  stream, truth = start_lib.read(data, instrument, day)
  (time_ns,) = start_lib.times([start] if start else [], stream)
  with progress_lib.replay_bar(
    len(start_lib.before(stream, time_ns)), visible=progress
  ) as on_replay:
    market = start_lib.load_start(
      stream,
      time_ns,
      loaded,
      reference=truth.reference,
      book_capacity=book_capacity,
      replay_capacity=replay_capacity,
      on_progress=on_replay,
    )
  config = market.sim_config(
    rules, sim.SimConfig(agents=sim.AgentsConfig(kinds=tuple(agents)))
  )
  before = init(market, config=config, num_trajectories=trajectories, seed=seed)
  recorder = bars_lib.Recorder(before, begin=market.begin, seconds=bar_s)
  with progress_lib.simulation_bar(visible=progress) as on_progress:
    outcome = run(
      market.flow,
      before,
      config=config,
      horizon=horizon,
      begin=market.begin,
      recorders=[recorder.add],
      mesh=mesh_of(trajectories, jax.devices()),
      on_progress=on_progress,
    )
  bars = recorder.table(outcome.end)
  return Simulation(market, config, before, outcome, bars)


def _spread(values, unit=1.0):
  """Returns quantiles and the mean over trajectories, in units."""
  values = np.asarray(values, np.float64) * unit
  low, median, high = np.quantile(values, _QUANTILES).tolist()
  mean = float(values.mean())
  return {"mean": mean, "p5": low, "median": median, "p95": high}


def _owners(state, names, stream):
  """Returns the accounts of each owner over all trajectories."""
  accounts = tables.accounts(state)
  units = tables.account_units(stream)
  counts = ("rejected", "dropped", "stale")
  owners = []
  for row, name in enumerate(names):
    owner = {"name": name}
    for column, values in accounts.items():
      owner[column] = _spread(values[:, row], units[column])
    if row < len(names) - 1:  # The last is the rest of the market.
      for count in counts:
        values = np.asarray(getattr(state.agents, count))
        owner[count] = int(values[:, row].sum())
    owners.append(owner)
  return owners
