"""Cont's eleven stylized facts, of bars of many paths.

The statistics are those of the MarS paper's own report (arXiv:2409.07486,
section 4.1; `report_stylized_facts.py` of its code), after R. Cont, "Empirical
properties of asset returns", Quantitative Finance 1, 2001. Arrays are `[P, K]`:
P paths of K bars, of a minute each in the paper. The return of bar i over h
bars is `ln(price[i + h] / price[i])`; all paths are pooled. The first bar of a
path is left out, as there. NaN marks a bar that is not known, and a statistic
for which there is too little data.
"""

import collections.abc
import dataclasses
from typing import Any

import numpy as np

from mars_jax.utils import stats

_LAGS = 10  # Of the returns' autocorrelation, and of the asymmetry of scales.
_LONG_LAGS = 20  # Of all other correlations, and bars of the longest return.
_COARSE = 5  # Bars of a coarse return.
_WINDOW = 60  # Bars of a window in which large returns are counted.
_LARGE = 0.99  # Quantile above which a return is large.
_MAX_RETURN = 0.5  # Larger ones are left out of the kurtosis.
_MAX_RETURN_SKEW = 0.05  # The same of the skewness.
_MIN_PATHS = 5  # At one time of day, for their standard deviation.
_MIN_PAIRS = 3  # Of a correlation.
_BOUND = 0.1  # Below it an autocorrelation counts as none.


@dataclasses.dataclass(frozen=True)
class StylizedFacts:
  """The statistics of the eleven facts; NaN where there is too little data.

  Attributes:
    num_returns: one-bar returns they are of.
    autocorrelation_last: `[10]` of the last price's returns, lags 1 to 10.
    autocorrelation_mean: `[10]` the same of the mean price.
    kurtosis: `[20]` excess kurtosis of returns over 1 to 20 bars.
    skew: `[20]` their skewness.
    fano: variance over mean of the number of large returns in a window.
    volatility: `[20]` autocorrelation of absolute returns, lags 1 to 20.
    conditional_kurtosis: `[20]` the kurtosis of returns over the standard
      deviation at their time of day.
    leverage: `[20]` correlation of a return and later absolute ones.
    volume_volatility: `[20]` of a bar's volume and later absolute returns.
    timescale: `[21]` of coarse volatility at t + lag and fine volatility at t,
      lags -10 to 10.
    asymmetry: `[10]` of that, lag 1 to 10 less lag -1 to -10.
  """

  num_returns: int
  autocorrelation_last: np.ndarray
  autocorrelation_mean: np.ndarray
  kurtosis: np.ndarray
  skew: np.ndarray
  fano: float
  volatility: np.ndarray
  conditional_kurtosis: np.ndarray
  leverage: np.ndarray
  volume_volatility: np.ndarray
  timescale: np.ndarray
  asymmetry: np.ndarray

  def holds(self) -> dict[str, bool | None]:
    """Returns whether each fact holds, by its name; None if not known.

    The paper judges by eye; these rules are a choice. With n returns, the error
    of a correlation of independent returns is `1 / sqrt(n)`, of a mean over L
    lags `1 / sqrt(L n)`, that of the kurtosis of Gaussian ones `sqrt(24 / n)`
    and that of the skewness `sqrt(6 / n)`. "Above" and "below" zero mean by
    more than two errors.

      absence of autocorrelation  the mean absolute autocorrelation of the last
                                  price's returns, lags 2 to 10, is below 0.1
      heavy tails                 the kurtosis of one-bar returns is above zero
      gain/loss asymmetry         their skewness is below zero
      aggregational Gaussianity   heavy tails, and the mean kurtosis over 11 to
                                  20 bars is less than over one
      intermittency               the Fano factor is above 1
      volatility clustering       the mean autocorrelation of absolute returns,
                                  lags 1 to 5, is above zero
      conditional heavy tails     the conditional kurtosis of one-bar returns is
                                  above zero
      slow decay                  as clustering, lags 11 to 20
      leverage                    the mean correlation, lags 1 to 10, is below
                                  zero
      volume and volatility       the mean correlation, lags 1 to 5, is above
                                  zero
      timescale asymmetry         the mean asymmetry is below zero, by one error
                                  of `sqrt(5 / n)`: coarse returns overlap
    """
    n = max(self.num_returns, 1)
    tail = 2 * np.sqrt(24 / n)

    def mean(values, first, last):
      return _mean(values[first - 1 : last])

    def error(num_lags):
      return 2 / np.sqrt(num_lags * n)

    kurtosis = float(self.kurtosis[0])
    longer = mean(self.kurtosis, 11, 20)
    is_heavy = _judged(kurtosis, kurtosis > tail)
    memory = mean(np.abs(self.autocorrelation_last), 2, 10)
    clustering = mean(self.volatility, 1, 5)
    decay = mean(self.volatility, 11, 20)
    conditional = float(self.conditional_kurtosis[0])
    leverage = mean(self.leverage, 1, 10)
    volume = mean(self.volume_volatility, 1, 5)
    asymmetry = _mean(self.asymmetry)
    skew = float(self.skew[0])
    return {
      "absence of autocorrelation": _judged(memory, memory < _BOUND),
      "heavy tails": is_heavy,
      "gain/loss asymmetry": _judged(skew, skew < -2 * np.sqrt(6 / n)),
      "aggregational Gaussianity": _judged(
        kurtosis + longer, bool(is_heavy) and longer < kurtosis
      ),
      "intermittency": _judged(self.fano, self.fano > 1),
      "volatility clustering": _judged(clustering, clustering > error(5)),
      "conditional heavy tails": _judged(conditional, conditional > tail),
      "slow decay": _judged(decay, decay > error(10)),
      "leverage": _judged(leverage, leverage < -error(10)),
      "volume and volatility": _judged(volume, volume > error(5)),
      "timescale asymmetry": _judged(asymmetry, asymmetry < -np.sqrt(5 / n)),
    }

  def summary(self) -> dict[str, Any]:
    """Returns the statistics fit for JSON."""
    return {
      name: value.tolist() if isinstance(value, np.ndarray) else value
      for name, value in vars(self).items()
    }


def _judged(value: float, holds: bool) -> bool | None:
  return None if np.isnan(value) else bool(holds)


def compute(
  last: np.ndarray,
  mean: np.ndarray,
  volume: np.ndarray,
  *,
  time_of_day: np.ndarray | None = None,
) -> StylizedFacts:
  """Returns the facts of paths.

  Args:
    last: `[P, K]`, the last price of each bar.
    mean: `[P, K]`, its mean price.
    volume: `[P, K]`, what traded in it.
    time_of_day: `[P]`, the bar of the day at which each path begins, for
      returns at one time of day; the same for all if None.
  """
  last, mean, volume = (np.asarray(x, float) for x in (last, mean, volume))
  if time_of_day is None:
    time_of_day = np.zeros(len(last), int)
  one = returns(last)
  scales = timescale(last)
  return StylizedFacts(
    num_returns=int(np.isfinite(one).sum()),
    autocorrelation_last=autocorrelation(last),
    autocorrelation_mean=autocorrelation(mean),
    kurtosis=kurtosis(last),
    skew=skew(last),
    fano=fano(last),
    volatility=volatility(last),
    conditional_kurtosis=conditional_kurtosis(last, time_of_day),
    leverage=leverage(last),
    volume_volatility=volume_volatility(last, volume),
    timescale=scales,
    asymmetry=scales[_LAGS + 1 :] - scales[:_LAGS][::-1],
  )


def errors(
  last: np.ndarray,
  mean: np.ndarray,
  volume: np.ndarray,
  *,
  time_of_day: np.ndarray | None = None,
  num_samples: int = 100,
  seed: int = 0,
) -> StylizedFacts | None:
  """Returns the standard errors of `compute`, by bootstrap over paths.

  Args:
    last, mean, volume, time_of_day: as of `compute`.
    num_samples: resamples of whole paths, > 1.
    seed: of the draws.

  Returns:
    As `compute`, with errors in place of values and the number of returns of
    the paths; None for fewer than two paths, which have none.
  """
  if len(last) < 2:
    return None
  if time_of_day is None:
    time_of_day = np.zeros(len(last), int)
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(num_samples):
    rows = stats.bootstrap_rows(rng, len(last))
    found.append(
      compute(
        *(x[rows] for x in (last, mean, volume)), time_of_day=time_of_day[rows]
      )
    )
  deviations = {}
  for field in dataclasses.fields(StylizedFacts):
    values = np.stack([getattr(one, field.name) for one in found])
    # One resample without a value leaves the error unknown.
    deviations[field.name] = values.std(axis=0, ddof=1)
  deviations["num_returns"] = int(np.isfinite(returns(last)).sum())
  deviations["fano"] = float(deviations["fano"])
  return StylizedFacts(**deviations)


def returns(price: np.ndarray, bars: int = 1) -> np.ndarray:
  """Returns log-returns, `[P, K - bars - 1]`.

  They begin with the second bar, and overlap where they are over several bars.
  A price that is not positive has none.
  """
  price = np.asarray(price, float)
  logs = np.full_like(price, np.nan)
  np.log(price, out=logs, where=price > 0)
  return (logs[:, bars:] - logs[:, :-bars])[:, 1:]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
  """Returns Pearson's correlation of all pairs that are known.

  NaN of fewer than three pairs, or where one of the two does not vary.
  """
  known = np.isfinite(x) & np.isfinite(y)
  x, y = x[known], y[known]
  if len(x) < _MIN_PAIRS:
    return float("nan")
  x, y = x - x.mean(), y - y.mean()
  scale = np.sqrt((x**2).sum() * (y**2).sum())
  return float((x * y).sum() / scale) if scale > 0 else float("nan")


def lagged(
  x: np.ndarray, y: np.ndarray, lags: collections.abc.Iterable[int]
) -> np.ndarray:
  """Returns correlations by lag.

  Of `x` at t and `y` at t + lag.

  Args:
    x, y: `[P, n]`, in step.
    lags: of either sign.
  """
  found, size = [], x.shape[1]
  for lag in lags:
    first, last = max(-lag, 0), min(size - lag, size)
    span = max(last, first)
    found.append(correlation(x[:, first:span], y[:, first + lag : span + lag]))
  return np.array(found)


def autocorrelation(price: np.ndarray) -> np.ndarray:
  """Returns fact 1, the autocorrelation of returns."""
  found = returns(price)
  return lagged(found, found, range(1, _LAGS + 1))


def kurtosis(price: np.ndarray) -> np.ndarray:
  """Returns facts 2 and 4, the kurtosis.

  Over 1 to 20 bars: excess kurtosis without bias under normality (G2, as pandas
  has it), of returns below 0.5.
  """
  return np.array(
    [_kurtosis(returns(price, h), _MAX_RETURN) for h in _horizons()]
  )


def skew(price: np.ndarray) -> np.ndarray:
  """Returns fact 3, the skewness.

  Over 1 to 20 bars: G1, as pandas has it, of returns below 0.05.
  """
  return np.array(
    [_skew(returns(price, h), _MAX_RETURN_SKEW) for h in _horizons()]
  )


def fano(price: np.ndarray) -> float:
  """Returns fact 5, the Fano factor of large returns.

  Variance over mean of the number of absolute one-bar returns above their own
  99 % quantile, in windows of 60 bars, or of a whole path if paths are shorter.
  Each path has its own windows, and what fills none is left out. NaN of fewer
  than two windows.
  """
  sizes = np.abs(returns(price))
  window = min(_WINDOW, sizes.shape[1])
  if not np.isfinite(sizes).any():
    return float("nan")
  count = sizes.shape[1] // window
  whole = sizes[:, : count * window].reshape(-1, window)
  whole = whole[np.isfinite(whole).all(axis=1)]
  if len(whole) < 2:
    return float("nan")
  counts = (whole > np.quantile(sizes[np.isfinite(sizes)], _LARGE)).sum(axis=1)
  mean = counts.mean()
  return float(counts.var(ddof=1) / mean) if mean > 0 else float("nan")


def volatility(price: np.ndarray) -> np.ndarray:
  """Returns facts 6 and 8, the autocorrelation of absolute returns."""
  found = np.abs(returns(price))
  return lagged(found, found, _horizons())


def conditional_kurtosis(
  price: np.ndarray, time_of_day: np.ndarray
) -> np.ndarray:
  """Returns fact 7, the kurtosis without the day's pattern.

  Of returns over 1 to 20 bars, divided by the standard deviation of those at
  the same time of day. Those of times of day with fewer than five paths are
  left out: paths that begin at one time are needed.

  Args:
    price: `[P, K]`.
    time_of_day: `[P]`, see `compute`.
  """
  found = []
  for h in _horizons():
    scaled = returns(price, h)
    bar = time_of_day[:, None] + np.arange(scaled.shape[1])
    found.append(_kurtosis(_standardized(scaled, bar), np.inf))
  return np.array(found)


def leverage(price: np.ndarray) -> np.ndarray:
  """Returns fact 9, of returns and later absolute returns."""
  found = returns(price)
  return lagged(found, np.abs(found), _horizons())


def volume_volatility(price: np.ndarray, volume: np.ndarray) -> np.ndarray:
  """Returns fact 10, of volumes and later absolute returns.

  A return has the number of the bar that it starts from.
  """
  found = np.abs(returns(price))
  volume = np.asarray(volume, float)[:, 1 : found.shape[1] + 1]
  return lagged(volume, found, _horizons())


def timescale(price: np.ndarray) -> np.ndarray:
  """Returns fact 11, of coarse and fine volatility.

  The absolute return over five bars that end at t + lag, and the sum of the
  five absolute one-bar returns that end at t; lags -10 to 10, in bars. Negative
  asymmetry: coarse volatility foretells fine better than the reverse.
  """
  found = returns(price)
  if found.shape[1] < _COARSE:
    return np.full(2 * _LAGS + 1, np.nan)
  windows = np.lib.stride_tricks.sliding_window_view(found, _COARSE, axis=1)
  fine, coarse = np.abs(windows).sum(axis=-1), np.abs(windows.sum(axis=-1))
  return lagged(fine, coarse, range(-_LAGS, _LAGS + 1))


def _horizons() -> range:
  return range(1, _LONG_LAGS + 1)


def _centred(values, bound):
  """Returns the known values below a bound, less their mean."""
  known = values[np.isfinite(values)]
  known = known[np.abs(known) < bound]
  return known - known.mean() if len(known) else known


def _kurtosis(values, bound) -> float:
  x = _centred(values, bound)
  n, square = len(x), (x**2).sum()
  if n < 4 or square == 0:
    return float("nan")
  scaled = n * (n + 1) * (n - 1) * (x**4).sum() / square**2
  return float((scaled - 3 * (n - 1) ** 2) / ((n - 2) * (n - 3)))


def _skew(values, bound) -> float:
  x = _centred(values, bound)
  n, square = len(x), (x**2).sum()
  if n < 3 or square == 0:
    return float("nan")
  return float(n * np.sqrt(n - 1) / (n - 2) * (x**3).sum() / square**1.5)


def _standardized(values, bar):
  """Returns values over the standard deviation in their bar."""
  scaled = np.full(values.shape, np.nan)
  if not values.size:
    return scaled
  known = np.isfinite(values)
  index, x = bar[known], values[known]
  size = int(bar.max()) + 1
  count = np.bincount(index, minlength=size)
  mean = np.bincount(index, x, size) / np.maximum(count, 1)
  square = np.bincount(index, (x - mean[index]) ** 2, size)
  deviation = np.sqrt(square / np.maximum(count - 1, 1))
  is_enough = (count >= _MIN_PATHS) & (deviation > 0)
  deviation = np.where(is_enough, deviation, np.nan)
  scaled[known] = x / deviation[index]
  return scaled


def _mean(values: np.ndarray) -> float:
  """Returns the mean of the values that are known."""
  known = values[np.isfinite(values)]
  return float(known.mean()) if len(known) else float("nan")
