"""Statistics of samples: intervals, resampling, permutation tests.

Successive orders depend on each other, and so do the orders of one simulation.
An interval or a test that takes each as independent claims too much: cut series
into blocks (`mean_interval`, `bootstrap_rows`), and compare whole simulations
(`permutation_test`).
"""

import collections.abc

import numpy as np
from scipy import special

from mars_jax.utils import checks

_LEVEL = 0.95


def mean_interval(values: np.ndarray, block: int) -> tuple[float, float]:
  """Returns the mean of a series, half its interval's width.

  Of the 95 % interval, by batch means: the series is cut into batches of
  successive values, long enough that their means are about independent, and the
  interval is Student's over these means [1, 2]. One that takes single values as
  independent is too narrow by the square root of the sum of all
  autocorrelations.

  With a mean m of V values, and n batches of sums s and sizes v, the standard
  error is `sqrt(n / (n - 1) * sum((s - m v) ** 2)) / V`; there are n - 1
  degrees of freedom. It is right if values further apart than a batch are about
  independent. It is about other orders of the same days, not about other days.

  Args:
    values: `[V]`, V >= 1, of successive orders. Where a day follows another
      within a batch, its halves depend on each other less, which does no harm.
    block: the least size of a batch, >= 1; there are `V // block` of them, of
      sizes that differ by one at most.

  Returns:
    The mean, and half the width: NaN if there are less than two batches.

  Raises:
    ValueError: if there is no value, or an argument is out of range.

  [1] Law & Kelton, Simulation Modeling and Analysis, section 9.5.
  [2] Schmeiser, Batch size effects in the analysis of simulation output,
      Operations Research 30(3), 1982.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or not values.size:
    raise ValueError(f"values of shape {values.shape} are no series")
  checks.at_least(1, block=block)
  mean = values.mean()
  count = values.size // block
  if count < 2:
    return float(mean), float("nan")
  firsts = np.arange(count) * values.size // count  # [n]
  deviations = np.add.reduceat(values - mean, firsts)  # [n]
  variance = count / (count - 1) * np.sum(np.square(deviations))
  quantile = special.stdtrit(count - 1, (1 + _LEVEL) / 2)
  return float(mean), float(quantile * np.sqrt(variance) / values.size)


def pooled(
  means: list[tuple[float, float]], sizes: list[int]
) -> tuple[float, float]:
  """Returns the mean over independent series, half its interval's width.

  Args:
    means: of each series what `mean_interval` returns.
    sizes: of each series the number of values, which is its weight.
  """
  weights = np.array(sizes) / np.sum(sizes)
  mean, half = np.array(means).T
  return float(weights @ mean), float(np.sqrt(np.sum((weights * half) ** 2)))


def bootstrap_rows(
  rng: np.random.Generator, size: int, *, block: int = 1
) -> np.ndarray:
  """Draws a resample of rows, with replacement, `[size]` indices.

  Rows come in blocks of successive ones, the first following on the last (the
  circular block bootstrap of Politis and Romano, 1992), so that what hangs
  together within a block stays together. Blocks of one are the usual bootstrap.

  Args:
    rng: the generator.
    size: number of rows, > 0.
    block: rows in a block, > 0; the last block may be cut.
  """
  checks.at_least(1, size=size, block=block)
  starts = rng.integers(size, size=-(-size // block))
  rows = starts[:, None] + np.arange(block)  # [blocks, block]
  return rows.ravel()[:size] % size


def percentile_interval(
  samples: collections.abc.Sequence[float], *, level: float = _LEVEL
) -> tuple[float, float]:
  """Returns the percentiles that hold the share `level` of samples."""
  low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)


def bootstrap_interval(
  values: np.ndarray,
  statistic: collections.abc.Callable[[np.ndarray], float],
  *,
  block: int = 1,
  num_samples: int = 1000,
  level: float = _LEVEL,
  seed: int = 0,
) -> tuple[float, float]:
  """Returns the percentile interval of a statistic of a series.

  Args:
    values: `[V, ...]`, successive ones.
    statistic: of such values.
    block: successive values that are drawn together, see `bootstrap_rows`.
    num_samples: how many resamples.
    level: share of these that the interval holds.
    seed: of the draws.
  """
  rng = np.random.default_rng(seed)
  samples = [
    statistic(values[bootstrap_rows(rng, len(values), block=block)])
    for _ in range(num_samples)
  ]
  return percentile_interval(samples, level=level)


def permutation_test(
  one: np.ndarray,
  other: np.ndarray,
  statistic: collections.abc.Callable[[np.ndarray, np.ndarray], float],
  *,
  num_shuffles: int = 999,
  seed: int = 0,
) -> tuple[float, float]:
  """Tests whether two groups of rows are of one distribution.

  Args:
    one: `[m, ...]`, independent rows.
    other: `[n, ...]`, rows that are independent of these.
    statistic: how far two such groups are apart; large where they differ.
    num_shuffles: random divisions of all rows into two such groups.
    seed: of the shuffles.

  Returns:
    The statistic, and its p-value: the share of divisions, this one included,
    whose statistic is as large.
  """
  rows, size = np.concatenate([one, other]), len(one)
  rng = np.random.default_rng(seed)
  found = statistic(one, other)
  num_as_large = 0
  for _ in range(num_shuffles):
    order = rng.permutation(len(rows))
    shuffled = statistic(rows[order[:size]], rows[order[size:]])
    num_as_large += shuffled >= found
  return found, (1 + num_as_large) / (1 + num_shuffles)
