"""The distances of LOB-Bench (arXiv:2502.09172), on arrays.

Real and generated sequences are compared by the distribution of each score
(`lob_bench_scores`), in two distances: L1, half the sum of the differences of
two histograms, in [0, 1]; and Wasserstein-1, in standard deviations of both
together. The benchmark's mean, median and interquartile mean are over the
scores.

The rules are those of github.com/peernagy/lob_bench at 276baf3, to the last
digit; what it has that surprises stays, and is said: a replay of the past
scores well, for the scores pool all sequences; bins are of real and generated
values together, so that outliers of one make them wide; and Wasserstein's
standard deviation likewise.
"""

import dataclasses

import numpy as np
from scipy import stats

from mars_jax.evals import lob_bench_scores as scores_lib
from mars_jax.evals import messages as messages_lib
from mars_jax.utils import stats as stats_lib


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
  for name, one in scores_lib.SCORES.items():
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
    _counts_by_sequence(one, real, generated)
    for one in scores_lib.SCORES.values()
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
  for name, one in scores_lib.CONDITIONAL_SCORES.items():
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
