"""How sure a mean over orders is, although the orders depend on each other.

Batch means: the series is cut into batches of successive values, long enough
that their means are about independent, and the interval is Student's over these
means (Law and Kelton, Simulation Modeling and Analysis, section 9.5; Schmeiser,
Batch size effects in the analysis of simulation output, Operations Research
30(3), 1982). The interval that takes single orders as independent is too narrow
by the square root of the sum of all autocorrelations.
"""

import numpy as np
from scipy import special

_LEVEL = 0.95


def mean_interval(nats: np.ndarray, block: int) -> tuple[float, float]:
  """Returns the mean of a series and half the width of its 95 % interval.

  With a mean m of V values, and n batches of sums s and sizes v, the standard
  error is `sqrt(n / (n - 1) * sum((s - m v) ** 2)) / V`; there are n - 1
  degrees of freedom. It is right if what is further apart than a batch is about
  independent, and tells of other orders of the same days, not of other days.

  Args:
    nats: `[V]`, V >= 1, of successive orders. Where a day follows another
      within a batch, its halves depend on each other less, which does no harm.
    block: the least size of a batch, >= 1; there are `V // block` of them, of
      sizes that differ by one at most.

  Returns:
    The mean, and NaN for the half width if there are less than two batches.
  """
  nats = np.asarray(nats, np.float64)
  if nats.ndim != 1 or not nats.size:
    raise ValueError(f"nats of shape {nats.shape} are no series")
  if block < 1:
    raise ValueError(f"block = {block} must be >= 1")
  mean = nats.mean()
  count = nats.size // block
  if count < 2:
    return float(mean), float("nan")
  firsts = np.arange(count) * nats.size // count
  deviations = np.add.reduceat(nats - mean, firsts)
  variance = count / (count - 1) * np.sum(np.square(deviations))
  quantile = special.stdtrit(count - 1, (1 + _LEVEL) / 2)
  return float(mean), float(quantile * np.sqrt(variance) / nats.size)


def pooled(
  means: list[tuple[float, float]], sizes: list[int]
) -> tuple[float, float]:
  """Returns the mean over several independent series, and its half width.

  Args:
    means: of each series what `mean_interval` returns.
    sizes: of each series the number of values, which is its weight.
  """
  weights = np.array(sizes) / np.sum(sizes)
  mean, half = np.array(means).T
  return float(weights @ mean), float(np.sqrt(np.sum((weights * half) ** 2)))
