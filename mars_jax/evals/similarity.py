"""Similarity of futures and the real day, by bar.

Table 7 (appendix J) of the MarS paper (arXiv:2409.07486) scores ten statistics
by the overlap of their histograms and by three-class accuracy. It leaves bins,
windows and the vote of many futures out; the choices are those of `measures`,
`overlap` and `accuracy`.
"""

import dataclasses

import numpy as np

from mars_jax.evals import market_bars

_NUM_BINS = 20
_TAIL = 0.01  # Share of the real values beyond the outer bins on each side.
_MIN_POINTS = 10  # Real values, for a score.
_NUM_RETURNS = 5


@dataclasses.dataclass(frozen=True)
class Similarity:
  """The scores of one statistic; NaN where fewer than ten bars are known.

  A ceiling is what the futures would score were they right: each is taken for
  the real day in turn, and the others are scored. Mean and standard deviation
  over futures; the latter is how far one real day's score may be off by chance.

  Attributes:
    overlap: of the histograms, 1 for the same.
    accuracy: three-class.
    largest: share of the largest class of the real values, what a constant may
      score; 1/3 but where many values are the same.
    overlap_ceiling, accuracy_ceiling: see above; NaN for one future.
  """

  overlap: float
  accuracy: float
  largest: float
  overlap_ceiling: tuple[float, float]
  accuracy_ceiling: tuple[float, float]


def measures(bars: market_bars.Bars) -> dict[str, np.ndarray]:
  """Returns the ten statistics of each bar, `[P, K]`.

  The window of each is one bar:

    volatility              root of the sum of squared changes of the log mid,
                            order by order
    spread                  mean over the orders
    mean order volume       of the new orders
    aggressive order ratio  orders that trade, of the new ones
    buy order ratio         buys, of the new orders
    1 to 5-bar return       log-return of the last price that ends with the bar

  Ratios are NaN where there is no new order, and returns where they would begin
  before the first bar ends.
  """
  new = np.where(bars.new > 0, bars.new, np.nan)
  found = {
    "volatility": bars.volatility,
    "spread": bars.spread,
    "mean order volume": bars.sent_volume / new,
    "aggressive order ratio": bars.trades / new,
    "buy order ratio": bars.buys / new,
  }
  price = np.where(bars.last > 0, bars.last, np.nan)
  for h in range(1, _NUM_RETURNS + 1):
    found[f"{h}-bar return"] = values = np.full_like(price, np.nan)
    values[:, h:] = np.log(price[:, h:] / price[:, :-h])
  return found


def overlap(real: np.ndarray, generated: np.ndarray) -> float:
  """Returns the overlap coefficient of two histograms.

  The sum over bins of the lesser share. There are 20 bins of one width between
  the 1 and 99 % quantiles of the real values, the same for all generators; the
  outer ones take what lies beyond. If these quantiles are the same value, the
  bins are below, at and above it. NaN with fewer than ten real values, or none
  generated; NaN values are left out.
  """
  real, generated = (x[np.isfinite(x)] for x in (real, generated))
  if len(real) < _MIN_POINTS or not len(generated):
    return float("nan")
  low, high = np.quantile(real, [_TAIL, 1 - _TAIL])

  def shares(values):
    if high > low:
      place = (values - low) / (high - low) * _NUM_BINS
      index = np.clip(place, 0, _NUM_BINS - 1).astype(int)
    else:
      index = 1 + np.sign(values - low).astype(int)
    return np.bincount(index, minlength=_NUM_BINS) / len(values)

  return float(np.minimum(shares(real), shares(generated)).sum())


def accuracy(real: np.ndarray, generated: np.ndarray) -> float:
  """Returns the three-class accuracy of futures at the same points.

  The classes are cut by the terciles of the real values of all points; a value
  at a tercile is of the lower class. Each future votes for its class, and the
  class of most votes is that of the point, the lower one of several. Points far
  from a start are as many as near ones, so that little more than chance is to
  be expected of what a market forgets. NaN with fewer than ten real values.

  Args:
    real: `[...]`, NaN at points that are not known.
    generated: `[N, ...]`, of N futures.
  """
  known = np.isfinite(real)
  real, generated = real[known], generated[:, known]
  if len(real) < _MIN_POINTS:
    return float("nan")
  cuts = np.quantile(real, [1 / 3, 2 / 3])
  votes = np.where(np.isfinite(generated), np.searchsorted(cuts, generated), -1)
  counts = np.stack([(votes == c).sum(axis=0) for c in range(3)])
  chosen = np.where(counts.any(axis=0), counts.argmax(axis=0), -1)
  return float((chosen == np.searchsorted(cuts, real)).mean())


def compare(
  real: market_bars.Bars, generated: market_bars.Bars
) -> dict[str, Similarity]:
  """Returns the scores of the ten statistics, by name.

  Args:
    real: of S starts.
    generated: of N futures of each, `[S * N, K]`, the futures of a start in a
      row. Bars that the real ones lack are left out.
  """
  num_starts = len(real)
  found = {}
  simulated = measures(generated)
  for name, values in measures(real).items():
    futures = simulated[name].reshape(num_starts, -1, values.shape[1])
    futures = np.moveaxis(futures, 1, 0)  # [N, S, K]
    futures = np.where(np.isfinite(values), futures, np.nan)
    found[name] = Similarity(
      overlap=overlap(values, futures),
      accuracy=accuracy(values, futures),
      largest=_largest(values),
      overlap_ceiling=_ceiling(overlap, futures),
      accuracy_ceiling=_ceiling(accuracy, futures),
    )
  return found


def _largest(real) -> float:
  """Returns the share of the largest real class."""
  known = real[np.isfinite(real)]
  if len(known) < _MIN_POINTS:
    return float("nan")
  classes = np.searchsorted(np.quantile(known, [1 / 3, 2 / 3]), known)
  return float(np.bincount(classes).max() / len(known))


def _ceiling(score, futures) -> tuple[float, float]:
  """Returns mean and deviation of the futures' own scores."""
  if len(futures) < 2:
    return float("nan"), float("nan")
  scores = [
    score(futures[i], np.delete(futures, i, axis=0))
    for i in range(len(futures))
  ]
  return float(np.mean(scores)), float(np.std(scores, ddof=1))
