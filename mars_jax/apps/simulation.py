"""Runs a simulation from the host, and says what came of it.

`run` takes chunks of events to the recorders of what is kept, up to a horizon;
`summary` is what a user wants to know at the end, fit for JSON.
"""

import collections.abc
import dataclasses
import functools
import time
from typing import Any

import jax
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import forecast
from mars_jax.apps import start
from mars_jax.apps.report import bars as bars_lib
from mars_jax.apps.report import tables
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
  """What a run ended as.

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
  market: start.Market,
  *,
  config: sim.SimConfig,
  num_trajectories: int,
  seed: int,
) -> sim.SimState:
  """Returns trajectories of a market, that differ in what is drawn.

  Trajectory b depends on the seed and on b, not on how many there are.
  """
  keys = sim.trajectory_keys(jax.random.key(seed), num_trajectories)
  return sim.init_many(
    market.params,
    market.tokenizer,
    keys,
    market.start,
    flow=market.flow,
    config=config,
  )


def mesh_of(
  num_trajectories: int, devices: collections.abc.Sequence[jax.Device]
) -> jax.sharding.Mesh | None:
  """Returns as many of the devices as share the trajectories; None for one."""
  num = max(n for n in range(1, len(devices) + 1) if num_trajectories % n == 0)
  if num == 1:
    return None
  return jax.sharding.Mesh(np.array(devices[:num]), ("data",))


def run(
  market: start.Market,
  state: sim.SimState,
  *,
  config: sim.SimConfig,
  horizon: forecast.Horizon,
  begin: int,
  recorders: collections.abc.Sequence[Recorder] = (),
  chunk: int = 256,
  mesh: jax.sharding.Mesh | None = None,
  on_progress: collections.abc.Callable[[float, int], None] = (
    lambda share, num_events: None
  ),
) -> Outcome:
  """Simulates B trajectories to a horizon.

  Args:
    market: the model and its bins.
    state: of B trajectories.
    config: static.
    horizon: where to stop; exactly there, if in orders, or before the first
      event after it. Trajectories also end with the venue's day.
    begin: nanoseconds since midnight, from which a horizon in seconds counts.
    recorders: called with what is kept of each chunk.
    chunk: events of a trajectory in one compiled call.
    mesh: devices to cut the trajectories over.
    on_progress: called with the share of the horizon that all trajectories have
      passed, and the events simulated so far.
  """
  if chunk < 1:
    raise ValueError(f"chunk must be >= 1, not {chunk}")
  began, until, end = time.time(), None, None
  if horizon.seconds is not None:
    end = begin + round(horizon.seconds * types.NANOSECONDS)
    until = jax.tree.map(np.asarray, time_of_day.timestamps(end))
  most = horizon.orders or horizon.max_orders
  before = np.asarray(state.num_events).sum(dtype=np.int64)
  play = functools.partial(
    sim.chunks,
    market.params,
    market.tokenizer,
    until=until,
    flow=market.flow,
    config=config,
    observe_fn=bars_lib.observe,
    mesh=mesh,
  )
  done = num_events = 0
  for state, kept in _chunks(play, state, most, chunk):  # noqa: B020
    for record in recorders:
      record(kept)
    done += kept.mid.shape[1]
    num_events = int(np.asarray(state.num_events).sum() - before)
    share = done / most
    if end is not None:
      passed = time_of_day.nanoseconds(state.clock).min() - begin
      share = max(share, passed / (end - begin))
    on_progress(min(share, 1.0), num_events)
  ends = time_of_day.nanoseconds(state.clock)
  is_complete = end is None or not kept.is_event[:, -1].any()
  if end is not None and is_complete:
    ends = np.full_like(ends, end)
    on_progress(1.0, num_events)
  seconds = time.time() - began
  return Outcome(state, begin, ends, num_events, seconds, is_complete)


def _chunks(play, state, most, size):
  """Yields as `sim.chunks` does, `most` events of a trajectory and no more."""
  done = 0
  while done < most:
    # What is less than a chunk at the end is a program of its own.
    size = min(size, most - done)
    for state, kept in play(state=state, num_events=size):  # noqa: B020
      yield state, kept
      done += size
      if done + size > most:
        break
    else:
      return


def summary(
  market: start.Market,
  before: sim.SimState,
  outcome: Outcome,
  *,
  config: sim.SimConfig,
) -> dict[str, Any]:
  """Returns what came of a run, in the market's units, fit for JSON.

  Args:
    market: what was simulated.
    before: the state before it.
    outcome: of the run.
    config: static.
  """
  stream, state = market.stream, outcome.state
  counts = np.asarray(state.exchange.book.counts, np.int64).sum(axis=0)
  counts -= np.asarray(before.exchange.book.counts, np.int64).sum(axis=0)
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
    "mid_at_start": _spread(before.mid, stream.tick_size),
    "mid_at_end": _spread(state.mid, stream.tick_size),
    "dropped_by_full_books": int(counts[types.Reason.CAPACITY]),
    "left_out_at_start": market.num_cut,
    "rejected": {
      name: int(counts[reason])
      for reason, name in _REJECTIONS.items()
      if counts[reason]
    },
  }
  if state.crowd is not None:
    found["owners"] = _owners(state, config.crowd.owner_names, stream)
  return found


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
  counts = ("refused", "lost", "stale")
  owners = []
  for row, name in enumerate(names):
    owner = {"name": name}
    for column, values in accounts.items():
      owner[column] = _spread(values[:, row], units[column])
    if row < len(names) - 1:  # The last is the rest of the market.
      for count in counts:
        values = np.asarray(getattr(state.crowd, count))
        owner[count] = int(values[:, row].sum())
    owners.append(owner)
  return owners
