"""Simulated futures of one market, as arrays on the host."""

import dataclasses
import pathlib

import jax
import numpy as np

from mars_jax import sim
from mars_jax.apps import horizon as horizon_lib
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True)
class Futures:
  """B simulated trajectories, numpy, in step by event.

  A trajectory that has ended before the others has entries that are no events:
  they repeat the time of its last event and its last mid.

  Attributes:
    start: int64 nanoseconds since midnight, of the state they start from.
    start_mid: ticks, of that state.
    is_event: bool `[B, E]`.
    time: int64 `[B, E]` nanoseconds since midnight, of each event.
    mid: int32 `[B, E]` ticks, after each event.
    kind: int8 `[B, E]` `types.OrderKind`.
    side: int8 `[B, E]` `types.Side`.
    price: int32 `[B, E]` ticks.
    volume: int32 `[B, E]` lots.
    traded: int32 `[B, E]` lots taken by each event.
    dropped: int32 `[B]` orders that the simulated book had no room for.
  """

  start: int
  start_mid: int
  is_event: np.ndarray
  time: np.ndarray
  mid: np.ndarray
  kind: np.ndarray
  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  traded: np.ndarray
  dropped: np.ndarray

  def mid_at(self, time: np.ndarray) -> np.ndarray:
    """Returns the mids `[B, n]` at times `[n]`.

    Times are int64 nanoseconds since midnight.
    """
    return mids_at(time, self.time, self.mid, self.start_mid)

  @property
  def num_events(self) -> int:
    """The events of all trajectories."""
    return int(self.is_event.sum())

  def save(self, path: pathlib.Path | str) -> None:
    """Writes all arrays to a compressed `.npz`."""
    np.savez_compressed(path, **dataclasses.asdict(self))


def step_function(
  time: np.ndarray, event_time: np.ndarray, value: np.ndarray, before: int
) -> np.ndarray:
  """Returns the last value at or before each time.

  Args:
    time: `[n]`.
    event_time: `[E]`, never decreasing.
    value: `[E]`, from each event on.
    before: the value before the first event.
  """
  last = np.searchsorted(event_time, time, side="right")
  return np.concatenate([[before], value])[last]


def mids_at(
  time: np.ndarray, event_time: np.ndarray, mid: np.ndarray, start_mid: int
) -> np.ndarray:
  """Returns the mids `[B, n]` of trajectories at times.

  Args:
    time: `[n]`.
    event_time: `[B, E]`, never decreasing.
    mid: `[B, E]`, from each event on.
    start_mid: before the first event.
  """
  return np.stack(
    [
      step_function(time, *trajectory, start_mid)
      for trajectory in zip(event_time, mid, strict=True)
    ]
  )


def simulate(
  flow: sim.Flow,
  key: jax.Array,
  start: sim.Start,
  *,
  config: sim.SimConfig,
  num_trajectories: int,
  horizon: horizon_lib.Horizon,
  chunk: int = 256,
  on_progress: sim.ProgressFn = lambda share, num_events: None,
) -> Futures:
  """Simulates futures of one market up to a horizon.

  Args:
    flow: the order flow.
    key: typed PRNG key, consumed. Trajectory b depends on the key and on b,
      not on how many there are.
    start: the market.
    config: of the simulation; static.
    num_trajectories: B.
    horizon: where to stop, exactly.
    chunk: events of a trajectory in one compiled call.
    on_progress: see `sim.run`.
  """
  begin = int(time_of_day.nanoseconds(start.market.clock))
  keys = sim.trajectory_keys(key, num_trajectories)
  chunks = list(
    sim.run(
      flow,
      sim.init_many(flow, keys, start, config=config),
      horizon.until(begin),
      observe_fn=_keep,
      config=config,
      max_events=horizon.max_events,
      chunk=min(chunk, horizon.max_events),
      on_progress=on_progress,
    )
  )
  state, _ = chunks[-1]
  events = jax.tree.map(
    lambda *x: np.concatenate(x, axis=1), *(events for _, events in chunks)
  )
  before = start.market.exchange.book.dropped
  return Futures(
    start=begin,
    start_mid=int(start.market.mid),
    is_event=events["is_event"],
    time=time_of_day.nanoseconds(events["time"]),
    mid=events["mid"],
    kind=events["order"].kind.astype(np.int8),
    side=events["order"].side.astype(np.int8),
    price=events["order"].price,
    volume=events["order"].volume,
    traded=events["traded"],
    dropped=np.asarray(state.market.exchange.book.dropped - before),
  )


def _keep(state: sim.SimState, event: sim.Event):
  """Keeps what `Futures` has of an event."""
  del state
  return {
    "is_event": event.is_event,
    "time": event.time,
    "mid": event.mid,
    "order": event.order,
    "traded": event.report.traded,
  }
