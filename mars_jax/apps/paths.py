"""Paths of simulated and real mids, and their statistics.

The classes up, flat and down are the paper's (section 4.1): as frequent as each
other over the history. Chosen here: they are of the mid's change over the whole
horizon.
"""

import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.apps import futures as futures_lib
from mars_jax.apps import horizon as horizon_lib


@dataclasses.dataclass(frozen=True)
class Paths:
  """Futures, past and reality on one axis from the start.

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
  futures: futures_lib.Futures,
  time: np.ndarray,
  mid: np.ndarray,
  *,
  horizon: horizon_lib.Horizon,
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
    # The day of an exchange may end before the horizon.
    simulated = simulated[:, np.minimum(axis[axis >= 0], futures.mid.shape[1])]
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
    real = futures_lib.step_function(when[is_known], time, mid, before)
  known = axis[is_known]
  return Paths(
    axis=axis[axis >= 0],
    mid=simulated,
    real_mid=real[known >= 0],
    past_axis=known[known <= 0],
    past_mid=real[known <= 0],
  )


def past_changes(
  time: np.ndarray, mid: np.ndarray, horizon: horizon_lib.Horizon
) -> np.ndarray:
  """Returns all past mid changes over the horizon.

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
    now = futures_lib.step_function(starts, time, mid, mid[0])
    changes = futures_lib.step_function(starts + span, time, mid, mid[0]) - now
  if not len(changes):
    raise ValueError(
      "the history before the start is shorter than the horizon; start later"
      " or look less far"
    )
  return changes


@dataclasses.dataclass(frozen=True)
class Summary:
  """Changes of the mid at the horizon, in ticks.

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
  """Summarises the futures at the horizon.

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
