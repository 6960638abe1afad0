"""Forecasts by simulation (paper, section 4.1): many futures of one moment.

`simulate` runs trajectories in step from the state of a market until all have
reached the horizon; `summarize` says where they end, and `plots` draws them.

The classes up, flat and down are the paper's: as frequent as each other over
the history. Chosen here: they are of the mid's change over the whole horizon.
"""

import collections.abc
import dataclasses
import math
import pathlib

import jax
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.tokens import features
from mars_jax.utils import time_of_day

_CHUNK = 256  # Events of a trajectory in one compiled call.


@dataclasses.dataclass(frozen=True)
class Horizon:
  """How far to simulate; one of the two is given.

  Attributes:
    seconds: of market time, or None.
    orders: events of each trajectory, or None.
    max_orders: where the horizon is in seconds, no trajectory has more events.
  """

  seconds: float | None = None
  orders: int | None = None
  max_orders: int = 1_000_000

  def __post_init__(self):
    if (self.seconds is None) == (self.orders is None):
      raise ValueError("give the horizon in seconds or in orders, one of them")
    if not 0 < (self.seconds or self.orders or 0) < math.inf:
      raise ValueError("the horizon must be positive and finite")
    if self.max_orders < 1:
      raise ValueError(f"max_orders must be >= 1, not {self.max_orders}")


@dataclasses.dataclass(frozen=True)
class Trajectories:
  """Simulated futures, numpy, in step by event.

  Attributes:
    start: int64 nanoseconds since midnight, of the state they start from.
    start_mid: ticks, of that state.
    time: int64 `[B, E]` nanoseconds since midnight, of each event.
    mid: int32 `[B, E]` ticks, after each event.
    kind: int8 `[B, E]` `types.OrderKind`.
    side: int8 `[B, E]` `types.Side`.
    price: int32 `[B, E]` ticks.
    volume: int32 `[B, E]` lots.
    traded: int32 `[B, E]` lots taken by each event.
    dropped: int32 `[B]` orders that the simulated book had no room for, in all
      that was simulated, past the horizon too.
  """

  start: int
  start_mid: int
  time: np.ndarray
  mid: np.ndarray
  kind: np.ndarray
  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  traded: np.ndarray
  dropped: np.ndarray

  def mid_at(self, time: np.ndarray) -> np.ndarray:
    """Returns the mids `[B, n]` at times `[n]`, int64 ns since midnight."""
    return np.stack(
      [
        step_function(time, event_time, mid, self.start_mid)
        for event_time, mid in zip(self.time, self.mid, strict=True)
      ]
    )

  def num_events(self, horizon: Horizon) -> int:
    """Returns the events of all trajectories up to the horizon."""
    if horizon.seconds is None:
      return self.mid.size
    end = self.start + round(horizon.seconds * types.NANOSECONDS)
    return int((self.time <= end).sum())

  def save(self, path: pathlib.Path | str) -> None:
    """Writes all arrays to a compressed `.npz`."""
    np.savez_compressed(path, **dataclasses.asdict(self))


def step_function(
  time: np.ndarray, event_time: np.ndarray, value: np.ndarray, before: int
) -> np.ndarray:
  """Returns the value of the last event at or before each time.

  Args:
    time: `[n]`.
    event_time: `[E]`, never decreasing.
    value: `[E]`, from each event on.
    before: the value before the first event.
  """
  last = np.searchsorted(event_time, time, side="right")
  return np.concatenate([[before], value])[last]


def simulate(
  params: sim.Params,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  start: sim.Start,
  *,
  flow: sim.OrderModelFns,
  num_trajectories: int,
  horizon: Horizon,
  on_progress: collections.abc.Callable[[float, int], None] = (
    lambda share, num_events: None
  ),
) -> Trajectories:
  """Simulates futures of one market.

  Args:
    params: of the model.
    tokenizer: the bins.
    key: typed PRNG key, consumed. Trajectory b depends on the key and on b,
      not on how many there are.
    start: the market.
    flow: the model.
    num_trajectories: B.
    horizon: where to stop.
    on_progress: called with the share of the horizon that all trajectories
      have passed, and the events simulated so far.

  Returns:
    The trajectories. With a horizon in seconds every one of them has passed
    it, unless `max_orders` came first, and goes on beyond it.
  """
  keys = sim.trajectory_keys(key, num_trajectories)
  start_time = time_of_day.nanoseconds(start.clock)
  most = horizon.orders or horizon.max_orders
  chunks = sim.chunks(
    params,
    tokenizer,
    sim.init_many(params, tokenizer, keys, start, flow=flow),
    flow=flow,
    num_events=min(_CHUNK, most),
    observe_fn=_keep_event,
  )
  kept = []
  num_events = 0
  for state, events in chunks:
    kept.append(events)
    num_events += events.mid.shape[1]
    share = num_events / most
    if horizon.seconds is not None:
      passed = time_of_day.nanoseconds(state.clock).min() - start_time
      share = max(share, passed / types.NANOSECONDS / horizon.seconds)
    on_progress(min(share, 1.0), num_events * num_trajectories)
    if share >= 1:
      break
  events = jax.tree.map(
    lambda *leaves: np.concatenate(leaves, axis=1)[:, :most], *kept
  )
  return _trajectories(start, events, state.exchange.book.dropped)


def _keep_event(state: sim.SimState, event: sim.Event) -> sim.Event:
  del state
  return event


def _trajectories(
  start: sim.Start, events: sim.Event, dropped: jax.Array
) -> Trajectories:
  """Returns events `[B, E]` as trajectories."""
  return Trajectories(
    start=int(time_of_day.nanoseconds(start.clock)),
    start_mid=int(start.mid),
    time=time_of_day.nanoseconds(events.time),
    mid=events.mid,
    kind=events.order.kind.astype(np.int8),
    side=events.order.side.astype(np.int8),
    price=events.order.price,
    volume=events.order.volume,
    traded=events.report.traded,
    dropped=np.asarray(dropped - start.exchange.book.dropped),
  )


@dataclasses.dataclass(frozen=True)
class Paths:
  """Futures on a common axis from the start, the past, and what came.

  Attributes:
    axis: `[n]` seconds or orders from the start, the first is 0.
    mid: int32 `[B, n]` ticks.
    real_mid: int32 `[r]` ticks, at the first r of the axis: to the end of the
      horizon (r = n) or of the data.
    past_axis: `[p]`, half a horizon before the start, the last is 0.
    past_mid: int32 `[p]` ticks.
  """

  axis: np.ndarray
  mid: np.ndarray
  real_mid: np.ndarray
  past_axis: np.ndarray
  past_mid: np.ndarray


def paths(
  futures: Trajectories,
  time: np.ndarray,
  mid: np.ndarray,
  *,
  horizon: Horizon,
  num_points: int = 240,
) -> Paths:
  """Puts the futures and reality on one axis.

  Args:
    futures: simulated with this horizon.
    time: int64 `[R]` nanoseconds, of all orders of the day.
    mid: int32 `[R]` ticks, after each.
    horizon: of the forecast.
    num_points: of the axis from 0 to the horizon; in orders, at most so many.
  """
  start, before = futures.start, futures.start_mid
  if horizon.orders is not None:
    # Reality by its orders: entry 0 is the last before the start.
    axis = np.linspace(
      -horizon.orders // 2, horizon.orders, num_points * 3 // 2
    )
    axis = np.unique(np.append(axis.astype(int), 0))
    row = np.searchsorted(time, start, side="right") - 1 + axis
    simulated = np.pad(futures.mid, ((0, 0), (1, 0)), constant_values=before)
    simulated = simulated[:, axis[axis >= 0]]
    is_known = (row >= 0) & (row < len(mid))
    real = mid[row[is_known]]
  else:
    axis = np.linspace(
      -horizon.seconds / 2, horizon.seconds, num_points * 3 // 2
    )
    axis = np.unique(np.append(axis, 0.0))
    when = start + np.round(axis * types.NANOSECONDS).astype(np.int64)
    simulated = futures.mid_at(when[axis >= 0])
    simulated[:, 0] = before  # Also where first events come at once.
    is_known = (when >= time[0]) & (when <= time[-1])
    real = step_function(when[is_known], time, mid, before)
  known = axis[is_known]
  return Paths(
    axis=axis[axis >= 0],
    mid=simulated,
    real_mid=real[known >= 0],
    past_axis=known[known <= 0],
    past_mid=real[known <= 0],
  )


def past_changes(
  time: np.ndarray, mid: np.ndarray, horizon: Horizon
) -> np.ndarray:
  """Returns the changes of the mid over the horizon, all along a history.

  Args:
    time: int64 `[T]` nanoseconds, of the orders of the history.
    mid: int32 `[T]` ticks, after each.
    horizon: over which the mid changes.

  Raises:
    ValueError: if the history is shorter than the horizon.
  """
  if horizon.orders is not None:
    changes = mid[horizon.orders :] - mid[: -horizon.orders]
  else:
    span = int(horizon.seconds * types.NANOSECONDS)
    starts = np.arange(time[0], time[-1] - span, max(span // 10, 1))
    now = step_function(starts, time, mid, mid[0])
    changes = step_function(starts + span, time, mid, mid[0]) - now
  if not len(changes):
    raise ValueError(
      "the history before the start is shorter than the horizon; start later"
      " or look less far"
    )
  return changes


@dataclasses.dataclass(frozen=True)
class Summary:
  """Where the futures are at the horizon, as changes of the mid in ticks.

  Attributes:
    median, low, high: over trajectories; low to high is the 5-95 % band.
    past: the same band of the changes all along the history.
    flat: a change strictly above the second is up, below the first is down.
    up, stays, down: shares of the trajectories.
    realised: what really happened, or None past the end of the data.
  """

  median: float
  low: float
  high: float
  past: tuple[float, float]
  flat: tuple[float, float]
  up: float
  stays: float
  down: float
  realised: float | None

  @property
  def realised_class(self) -> str | None:
    """Returns "up", "flat" or "down"."""
    if self.realised is None:
      return None
    low, high = self.flat
    is_up, is_down = self.realised > high, self.realised < low
    return "up" if is_up else "down" if is_down else "flat"


def summarize(found: Paths, past: np.ndarray) -> Summary:
  """Sums up the futures at the horizon.

  Args:
    found: the futures and what happened.
    past: as `past_changes` returns it; its terciles bound "flat".
  """
  change = found.mid[:, -1] - found.mid[:, 0]
  is_known = len(found.real_mid) == len(found.axis)
  past_low, flat_low, flat_high, past_high = map(
    float, np.quantile(past, [0.05, 1 / 3, 2 / 3, 0.95])
  )
  low, median, high = np.quantile(change, [0.05, 0.5, 0.95])
  up, down = (change > flat_high).mean(), (change < flat_low).mean()
  return Summary(
    median=float(median),
    low=float(low),
    high=float(high),
    past=(past_low, past_high),
    flat=(flat_low, flat_high),
    up=float(up),
    stays=float(1 - up - down),
    down=float(down),
    realised=float(found.real_mid[-1] - found.mid[0, 0]) if is_known else None,
  )
