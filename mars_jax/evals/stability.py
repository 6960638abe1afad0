"""Stability of long futures, stretch by stretch of the horizon.

A market that is simulated for hours should stay in the range that the real day
has: its spread, its depth, its rates.
"""

import dataclasses

import numpy as np

from mars_jax.evals import market_bars

QUANTITIES = {
  "spread": "spread, ticks",
  "level_volume": "lots on the best levels",
  "book_volume": "lots in the book",
  "book_orders": "orders in the book",
  "rate": "orders per second",
  "trades": "orders that trade, share",
}


@dataclasses.dataclass(frozen=True)
class Course:
  """One quantity along the horizon, in J stretches.

  Attributes:
    mean: `[J]`, over the futures.
    error: `[J]`, standard error of that over futures; NaN for one.
    real: `[J]`, after the starts of the real day, mean over starts; NaN where
      the day has ended.
    low, high: the least and the most of all stretches of so many bars of the
      real day.
    is_outside: `[J]` bool, whether the mean is not between them.
  """

  mean: list[float]
  error: list[float]
  real: list[float]
  low: float
  high: float
  is_outside: list[bool]


def stretches(
  bars: market_bars.Bars, size: int, *, seconds: float
) -> dict[str, np.ndarray]:
  """Returns the quantities of stretches of bars, `[P, J]`.

  Spread, volumes and number of resting orders are means over bars, so that a
  busy minute counts as much as another. NaN where a bar is not known.

  Args:
    bars: of P paths.
    size: bars of a stretch; what is less at the end is left out.
    seconds: of a bar.
  """
  count = bars.events.shape[1] // size

  def cut(values):
    return values[:, : count * size].reshape(len(values), count, size)

  events = cut(bars.events).sum(axis=-1)
  some = np.where(events > 0, events, np.nan)
  return {
    **{
      name: cut(getattr(bars, name)).mean(axis=-1)
      for name in ("spread", "level_volume", "book_volume", "book_orders")
    },
    "rate": events / (size * seconds),
    "trades": cut(bars.trades).sum(axis=-1) / some,
  }


def compute(
  day: market_bars.Bars,
  real: market_bars.Bars,
  generated: market_bars.Bars,
  size: int,
  *,
  seconds: float,
) -> dict[str, Course]:
  """Returns the course of each quantity, by its name.

  Args:
    day: of the whole real day, one path.
    real: of the real day from each start.
    generated: of the futures.
    size: bars of a stretch.
    seconds: of a bar.
  """
  whole, after, found = (
    stretches(bars, size, seconds=seconds) for bars in (day, real, generated)
  )
  courses = {}
  for name in QUANTITIES:
    known = whole[name][np.isfinite(whole[name])]
    low, high = (known.min(), known.max()) if len(known) else (np.nan,) * 2
    mean, error = _mean(found[name])
    courses[name] = Course(
      mean=mean.tolist(),
      error=error.tolist(),
      real=_mean(after[name])[0].tolist(),
      low=float(low),
      high=float(high),
      is_outside=((mean < low) | (mean > high)).tolist(),
    )
  return courses


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns means over the known paths, and their errors."""
  known = np.isfinite(values)
  count = known.sum(axis=0)
  total = np.where(known, values, 0).sum(axis=0)
  mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
  square = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
  variance = square / np.maximum(count - 1, 1) / np.maximum(count, 1)
  return mean, np.where(count > 1, np.sqrt(variance), np.nan)
