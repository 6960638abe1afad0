"""The scores of LOB-Bench (arXiv:2502.09172), on arrays.

A score is a number of each message, or of some: 21 of them, and 3 given
another. Real and generated sequences are compared by the distribution of each,
in two distances: L1, half the sum of the differences of two histograms, in [0,
1]; and Wasserstein-1, in standard deviations of both together. The benchmark's
mean, median and interquartile mean are over the scores.

The rules are those of github.com/peernagy/lob_bench at 276baf3, to the last
digit; what it has that surprises stays, and is said: a replay of the past
scores well, for the scores pool all sequences; bins are of real and generated
values together, so that outliers of one make them wide; and Wasserstein's
standard deviation likewise.
"""

import collections.abc
import dataclasses

import numpy as np
from scipy import stats

from mars_jax import types
from mars_jax.evals import messages as messages_lib
from mars_jax.utils import stats as stats_lib

_ZERO = 1e-9  # What the logarithm of 0 is taken of.
_OFI_WINDOW = 100  # Messages.
_MIN_PERIOD = (
  100_000  # Microseconds at an end below which a second is left out.
)
_MICROSECONDS = 1_000_000
_VOLUME_LEVELS = 10
ASK, BID = types.Side.ASK, types.Side.BID
Messages = messages_lib.Messages
ScoreFn = collections.abc.Callable[[Messages], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Score:
  """One score.

  Attributes:
    values: `(messages) -> [n]`, float64.
    is_discrete: whether each value is a bin of its own.
  """

  values: ScoreFn
  is_discrete: bool = False


@dataclasses.dataclass(frozen=True)
class Conditional:
  """A score given another one, of as many values.

  Attributes:
    score: what is compared.
    given: `(messages) -> [n]`, what it is given.
    thresholds: of the groups of `given`; by default every value is one if
      `is_discrete`, else the deciles are.
    is_discrete: see `thresholds`.
  """

  score: Score
  given: ScoreFn
  thresholds: np.ndarray | None = None
  is_discrete: bool = False


def _spread(m: Messages) -> np.ndarray:
  return messages_lib.spread(m).astype(np.float64)


def _touch_volume(side: int) -> ScoreFn:
  return lambda m: m.book.volume[:, side, 0].astype(np.float64)


def _total_volume(side: int) -> ScoreFn:
  def values(m):
    return m.book.volume[:, side, :_VOLUME_LEVELS].sum(axis=1).astype(float)

  return values


def _imbalance(m: Messages) -> np.ndarray:
  ask, bid = m.book.volume[:, ASK, 0], m.book.volume[:, BID, 0]
  with np.errstate(invalid="ignore"):  # Of a book without either side.
    return (bid - ask) / (bid + ask)


def _log_interval(m: Messages) -> np.ndarray:
  """Logarithm of milliseconds between messages."""
  gaps = np.diff(m.time) / types.NANOSECONDS * 1000
  return np.log(np.where(gaps == 0, _ZERO, gaps))


def _log_time_to_cancel(m: Messages) -> np.ndarray:
  """Logarithm of seconds until an order is first reduced."""
  rows = np.flatnonzero(m.kind != messages_lib.EXECUTE)
  ids = m.id[rows]
  is_new = np.isin(ids, ids[m.kind[rows] == messages_lib.NEW])
  rows, ids = rows[is_new], ids[is_new]
  order = np.argsort(ids, kind="stable")
  rows, ids = rows[order], ids[order]
  first = np.flatnonzero(np.diff(ids, prepend=-1) != 0)
  first = first[np.append(np.diff(first), len(ids) - first[-1:]) > 1]
  gaps = (m.time[rows[first + 1]] - m.time[rows[first]]) / types.NANOSECONDS
  return np.log(np.where(gaps == 0, _ZERO, gaps))


def _is_cancel(m: Messages) -> np.ndarray:
  return (m.kind == messages_lib.REDUCE) | (m.kind == messages_lib.DELETE)


def _is_new(m: Messages) -> np.ndarray:
  return m.kind == messages_lib.NEW


def _depth(is_it, side: int) -> ScoreFn:
  """Distance from the mid, on one side of it."""
  sign = 1 if side == ASK else -1

  def values(m):
    away = sign * (m.price - messages_lib.mid(m))[is_it(m)]
    return away[away > 0]

  return values


def _levels(is_it, side: int, *, before: bool) -> ScoreFn:
  """Price level of messages, from 1, after or before them."""

  def values(m):
    at = np.flatnonzero(is_it(m))
    at = at[at > 0] if before else at
    prices = m.book.price[at - 1 if before else at, side]
    return np.nonzero(prices == m.price[at, None])[1] + 1.0

  return values


def _volume_per_minute(m: Messages) -> np.ndarray:
  """Traded lots a minute, of each second with trades."""
  rows = m.kind == messages_lib.EXECUTE
  time, size = m.time[rows] // 1000, m.size[rows]  # Microseconds.
  if not len(time):
    return np.zeros(0)
  seconds, place = np.unique(time // _MICROSECONDS, return_inverse=True)
  total = np.bincount(place, size).astype(np.float64)
  begin, end = time[0] % _MICROSECONDS, time[-1] % _MICROSECONDS
  if len(seconds) == 1:
    if time[0] != time[-1]:
      period = end - begin
      total = total * (_MICROSECONDS / period) if period >= _MIN_PERIOD else []
    return np.asarray(total, np.float64) * 60
  first = slice(0, None)
  if begin < _MICROSECONDS - _MIN_PERIOD:
    first = slice(1, None)
  else:
    total[0] /= 1 - begin / _MICROSECONDS
  total = total[first]
  if end < _MIN_PERIOD:
    total = total[:-1]
  else:
    total[-1] *= _MICROSECONDS / end
  return total * 60


def _flow_imbalance(m: Messages) -> np.ndarray:
  """Order flow imbalance at the touch, over 100 messages."""
  price, volume = m.book.price[:, :, 0], m.book.volume[:, :, 0]
  ask, bid = np.diff(price, axis=0).T
  flow = (
    (bid >= 0) * volume[1:, BID]
    - (bid <= 0) * volume[:-1, BID]
    - (ask <= 0) * volume[1:, ASK]
    + (ask >= 0) * volume[:-1, ASK]
  )
  if len(flow) < _OFI_WINDOW:
    return np.zeros(0)
  total = np.concatenate([[0], np.cumsum(flow)])
  return (total[_OFI_WINDOW:] - total[:-_OFI_WINDOW]) / _OFI_WINDOW


def _flow_imbalance_before(sign: int) -> ScoreFn:
  """The same before a mid that rises, stays or falls."""

  def values(m):
    flow = _flow_imbalance(m)[:-1]
    move = np.sign(np.diff(messages_lib.mid(m)))[_OFI_WINDOW:]
    return flow[move == sign]

  return values


def _volatility(m: Messages) -> np.ndarray:
  """Standard deviation of returns over 0.1 s, repeated."""
  tenth = types.NANOSECONDS // 10
  slot = m.time // tenth
  last = np.append(np.flatnonzero(np.diff(slot)), len(slot) - 1)
  with np.errstate(invalid="ignore", divide="ignore"):
    log_mid = np.log(messages_lib.mid(m)[last])
  returns = np.diff(log_mid)[np.diff(slot[last]) == 1]
  deviation = returns.std(ddof=1) if len(returns) > 1 else 0.0
  return np.full(len(m), np.nan_to_num(deviation))


def _seconds(m: Messages) -> np.ndarray:
  return m.time / types.NANOSECONDS


SCORES = {
  "spread": Score(_spread, is_discrete=True),
  "orderbook_imbalance": Score(_imbalance),
  "log_inter_arrival_time": Score(_log_interval),
  "log_time_to_cancel": Score(_log_time_to_cancel),
  "ask_volume_touch": Score(_touch_volume(ASK)),
  "bid_volume_touch": Score(_touch_volume(BID)),
  "ask_volume": Score(_total_volume(ASK)),
  "bid_volume": Score(_total_volume(BID)),
  "limit_ask_order_depth": Score(_depth(_is_new, ASK)),
  "limit_bid_order_depth": Score(_depth(_is_new, BID)),
  "ask_cancellation_depth": Score(_depth(_is_cancel, ASK)),
  "bid_cancellation_depth": Score(_depth(_is_cancel, BID)),
  "limit_ask_order_levels": Score(
    _levels(_is_new, ASK, before=False), is_discrete=True
  ),
  "limit_bid_order_levels": Score(
    _levels(_is_new, BID, before=False), is_discrete=True
  ),
  "ask_cancellation_levels": Score(
    _levels(_is_cancel, ASK, before=True), is_discrete=True
  ),
  "bid_cancellation_levels": Score(
    _levels(_is_cancel, BID, before=True), is_discrete=True
  ),
  "vol_per_min": Score(_volume_per_minute),
  "ofi": Score(_flow_imbalance),
  "ofi_up": Score(_flow_imbalance_before(1)),
  "ofi_stay": Score(_flow_imbalance_before(0)),
  "ofi_down": Score(_flow_imbalance_before(-1)),
}
"""The 21 scores, by the benchmark's names."""

CONDITIONAL_SCORES = {
  "ask_volume | spread": Conditional(
    SCORES["ask_volume_touch"], _spread, is_discrete=True
  ),
  "spread | time": Conditional(
    Score(_spread), _seconds, thresholds=np.linspace(0, 86_400, 24)
  ),
  "spread | volatility": Conditional(SCORES["spread"], _volatility),
}
"""The 3 scores given another, by the benchmark's names."""


@dataclasses.dataclass(frozen=True)
class Distance:
  """Distances of two distributions; NaN where one is empty."""

  l1: float
  wasserstein: float


def distance(
  real: np.ndarray,
  generated: np.ndarray,
  *,
  is_discrete: bool,
  by_decile: bool = False,
) -> Distance:
  """Compares the values of a score, float64 `[n]` and `[m]`.

  Values that are not finite, of an imbalance without a book, are left out.

  Args:
    real, generated: the values.
    is_discrete: whether each value is a bin.
    by_decile: whether bins are deciles, else those of Freedman and Diaconis.
  """
  real, generated = (x[np.isfinite(x)] for x in (real, generated))
  if not len(real) or not len(generated):
    # Of sequences too short for a score neither has one.
    is_none = not len(real) and not len(generated)
    return Distance(np.nan if is_none else 1.0, np.nan)
  both = np.concatenate([real, generated])
  bins = _bins(both, is_discrete, by_decile)
  counts = [
    np.bincount(x, minlength=bins.max() + 1)
    for x in np.split(bins, [len(real)])
  ]
  shares = [count / count.sum() for count in counts]
  scale = both.std(ddof=1)
  wasserstein = (
    stats.wasserstein_distance(real / scale, generated / scale)
    if (scale > 0)
    else 0.0
  )
  return Distance(
    l1=float(np.abs(shares[0] - shares[1]).sum() / 2),
    wasserstein=float(wasserstein),
  )


def _bins(values, is_discrete, by_decile=False) -> np.ndarray:
  """Returns the bin of each value, numbered without gaps.

  An outlier makes millions of bins, of which few have a value.
  """
  if is_discrete or by_decile:
    edges = _thresholds(values, is_discrete)
    found = np.searchsorted(edges, values, side="right")
  else:
    found = _freedman_diaconis(values)
  return np.unique(found, return_inverse=True)[1]


def _freedman_diaconis(values: np.ndarray) -> np.ndarray:
  """Returns the bins by the edges of `np.histogram_bin_edges(bins="fd")`.

  Without an array of these: an outlier would make it larger than memory.
  """
  low, high = values.min(), values.max()
  if low == high:
    low, high = low - 0.5, high + 0.5
  width = (
    2 * np.subtract(*np.percentile(values, [75, 25])) / (values.size ** (1 / 3))
  )
  count = int(np.ceil((high - low) / width)) if width else 1
  step = (high - low) / count

  def edge(index):
    return np.where(index == count, high, low + index * step)

  found = np.floor((values - low) / step)
  found -= edge(found) > values
  found += edge(found + 1) <= values
  return found.astype(np.int64)


def score(
  real: messages_lib.Sequences, generated: messages_lib.Sequences
) -> dict[str, Distance]:
  """Returns the distance of each score, all sequences pooled."""
  found = {}
  for name, one in SCORES.items():
    values = [
      np.concatenate([one.values(m) for m in side])
      for side in (real, generated)
    ]
    found[name] = distance(*values, is_discrete=one.is_discrete)
  return found


def interval(
  real: messages_lib.Sequences,
  generated: messages_lib.Sequences,
  *,
  num_samples: int = 200,
  seed: int = 0,
) -> tuple[float, float]:
  """Returns the 95 % bootstrap interval of the mean L1.

  Whole sequences are resampled, real and generated ones each; the bins are
  those of all of them. The benchmark resamples single values, whose intervals
  are too narrow: values of one sequence depend on each other. L1 of a resample
  is biased upwards, since chance makes two samples differ, so that the interval
  is centred: it is the mean L1 plus or minus what the resamples spread about
  their own mean.
  """
  counts = [
    _counts_by_sequence(one, real, generated) for one in SCORES.values()
  ]
  rng = np.random.default_rng(seed)
  samples = []
  for _ in range(num_samples):
    rows = [
      stats_lib.bootstrap_rows(rng, len(side)) for side in (real, generated)
    ]
    apart = []
    for both in counts:
      totals = [
        count[row].sum(axis=0) for count, row in zip(both, rows, strict=True)
      ]
      shares = [total / max(total.sum(), 1) for total in totals]
      apart.append(np.abs(shares[0] - shares[1]).sum() / 2)
    samples.append(np.mean(apart))
  centre = summary(score(real, generated), "l1")["mean"]
  low, high = stats_lib.percentile_interval(samples - np.mean(samples))
  return centre + low, centre + high


def _counts_by_sequence(one, real, generated):
  """Returns counts by sequence and bin, `[S, bins]` twice."""
  values = [[one.values(m) for m in side] for side in (real, generated)]
  values = [[x[np.isfinite(x)] for x in side] for side in values]
  both = np.concatenate([x for side in values for x in side])
  if not len(both):
    return [np.zeros((len(side), 1), int) for side in (real, generated)]
  bins = _bins(both, one.is_discrete)
  ends = np.cumsum([len(x) for side in values for x in side])
  counts = np.stack(
    [
      np.bincount(x, minlength=bins.max() + 1)
      for x in np.split(bins, ends[:-1])
    ]
  )
  return np.split(counts, [len(real)])


def score_conditional(
  real: messages_lib.Sequences, generated: messages_lib.Sequences
) -> dict[str, Distance]:
  """Returns the distance of each of the 3 conditional scores.

  It is the mean over groups of what is given, by their sizes; one that has
  values of one side only counts as 1 in L1, and as 0 in Wasserstein. As the
  benchmark has it, bins within a group are deciles.
  """
  found = {}
  for name, one in CONDITIONAL_SCORES.items():
    values, given = (
      [np.concatenate([fn(m) for m in side]) for side in (real, generated)]
      for fn in (one.score.values, one.given)
    )
    thresholds = one.thresholds
    if thresholds is None:
      thresholds = _thresholds(np.concatenate(given), one.is_discrete)
    groups = [np.searchsorted(thresholds, x, side="right") for x in given]
    l1, wasserstein, total = 0.0, 0.0, sum(map(len, values))
    for group in np.unique(np.concatenate(groups)):
      inside = [x[at == group] for x, at in zip(values, groups, strict=True)]
      weight = sum(map(len, inside)) / total
      apart = distance(
        *inside, is_discrete=one.score.is_discrete, by_decile=True
      )
      l1 += weight * apart.l1
      wasserstein += weight * np.nan_to_num(apart.wasserstein)
    found[name] = Distance(l1, float(wasserstein))
  return found


def _thresholds(values: np.ndarray, is_discrete: bool) -> np.ndarray:
  """Returns the thresholds of groups: all values, or deciles."""
  if is_discrete:
    return np.unique(values)
  found = np.quantile(values, np.arange(0.1, 1.0, 0.1))
  repeats = np.insert(found[1:] == found[:-1], 0, False)
  twice = np.insert(repeats[1:] & repeats[:-1], 0, False)
  found = found[~twice]
  found[np.insert(found[1:] == found[:-1], 0, False)] += 1e-2
  return found


def summary(distances: dict[str, Distance], of: str) -> dict[str, float]:
  """Returns mean, median and interquartile mean over the scores.

  Args:
    distances: of each score; NaN are left out.
    of: "l1" or "wasserstein".
  """
  values = np.array([getattr(x, of) for x in distances.values()])
  values = values[np.isfinite(values)]
  low, high = np.quantile(values, [0.25, 0.75])
  inner = values[(values >= low) & (values <= high)]
  return {
    "mean": float(values.mean()),
    "median": float(np.median(values)),
    "iqm": float(inner.mean()),
  }


def divergence(
  real: messages_lib.Sequences, generated: messages_lib.Sequences, block: int
) -> np.ndarray:
  """Returns the mean L1 of each block of generated messages.

  Args:
    real: all of their messages are what each block is compared with.
    generated: cut into blocks.
    block: messages of one.

  Returns:
    float64 `[blocks]`, as many as the shortest sequence has whole ones.
  """
  means = []
  for b in range(min(map(len, generated)) // block):
    cut = [m[b * block : (b + 1) * block] for m in generated]
    # A score that such short sequences have no value of is no difference.
    found = {
      name: apart
      for name, apart in score(real, cut).items()
      if np.isfinite(apart.wasserstein)
    }
    means.append(summary(found, "l1")["mean"])
  return np.array(means)
