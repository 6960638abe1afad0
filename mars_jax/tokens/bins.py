"""Quantile bins: integers to symbols and back (App. B.2.1).

The rule is that of the official code's `BinConverter`: a value more frequent
than one bin's share gets a bin of its own, and what lies between such values is
split into bins of equal counts. A bin decodes to one of the values seen in it,
drawn by their frequency, so that round prices and round volumes stay round.

Where that code is silent, this is chosen: the bins between two values that have
their own are as many as their share of the other counts deserves, at least one;
where too many values would need a bin, the most frequent have it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

NUM_SAMPLES = 128  # Values kept for each bin, at equal steps of probability.
_INT32_MAX = 2**31 - 1  # The edge after the last bin that is not empty.
_FAR = 2**29  # Where bounds end: room enough to add a price.


@struct.dataclass
class Bins:
  """`num_bins` intervals of the integers; bin b is (edges[b-1], edges[b]].

  The first bin reaches down and the last up without end.
  """

  edges: jax.Array  # [num_bins - 1] int32, never decreasing
  samples: jax.Array  # [num_bins, NUM_SAMPLES] int32, in order

  @property
  def num_bins(self) -> int:
    return self.samples.shape[0]


def fit(values: np.ndarray, num_bins: int) -> Bins:
  """Fits quantile bins.

  Args:
    values: integers `[n]`, n > 0, of the training part only.
    num_bins: how many bins, > 1. With fewer distinct values than that, the
      last bins are empty: nothing encodes to them, and they decode as the
      last bin that is not.

  Returns:
    The bins, as numpy arrays. `encode(decode(b)) == b` for any bin that is
    not empty.

  Raises:
    ValueError: if there is no value, or one does not fit int32.
  """
  unique, counts = np.unique(np.asarray(values, np.int64), return_counts=True)
  return fit_counts(unique, counts, num_bins)


def fit_counts(values: np.ndarray, counts: np.ndarray, num_bins: int) -> Bins:
  """Fits quantile bins to counted values; else as `fit`.

  Args:
    values: integers `[n]`, n > 0, ascending, each once, as those of
      `histogram.Histogram`. Edges and samples are among them: middles of
      buckets, where these are coarse.
    counts: integers `[n]`, how often each occurs, > 0.
    num_bins: how many bins, > 1.
  """
  if not len(values):
    raise ValueError("cannot fit bins to no values: the training part is empty")
  if values[0] < -_INT32_MAX or values[-1] > _INT32_MAX:
    raise ValueError(f"values from {values[0]} to {values[-1]} exceed int32")
  lasts = _last_of_each_bin(counts, num_bins)
  firsts = [0, *(last + 1 for last in lasts[:-1])]
  samples = [
    _samples(values[first : last + 1], counts[first : last + 1])
    for first, last in zip(firsts, lasts, strict=True)
  ]
  empty = num_bins - len(lasts)
  edges = [*values[lasts[:-1]], *[_INT32_MAX] * empty]
  return Bins(
    edges=np.asarray(edges, np.int32),
    samples=np.asarray(samples + samples[-1:] * empty, np.int32),
  )


def _last_of_each_bin(counts: np.ndarray, num_bins: int) -> list[int]:
  """Returns the index of each bin's greatest value, in order."""
  frequent = np.flatnonzero(counts > counts.sum() / num_bins)
  frequent = frequent[np.argsort(-counts[frequent], kind="stable")]
  for num_own in range(len(frequent), -1, -1):
    own = np.sort(frequent[:num_own])
    bounds = np.concatenate([[-1], own, [len(counts)]])
    gaps = [
      (low + 1, high)
      for low, high in zip(bounds[:-1], bounds[1:], strict=True)
      if high > low + 1
    ]
    if num_own + len(gaps) <= num_bins:
      break
  weights = np.array([counts[low:high].sum() for low, high in gaps])
  lasts = list(own)
  shares = _shares(weights, num_bins - num_own)
  for (low, high), share in zip(gaps, shares, strict=True):
    reached = np.cumsum(counts[low:high])
    goals = reached[-1] * np.arange(1, share + 1) / share
    lasts.extend(low + np.unique(np.searchsorted(reached, goals - 1e-9)))
  return sorted(int(last) for last in lasts)


def _shares(weights: np.ndarray, total: int) -> np.ndarray:
  """Splits `total` by weight, at least one each.

  Rounding is by the largest remainder.
  """
  if not len(weights):
    return np.zeros(0, int)
  ideal = weights / weights.sum() * (total - len(weights))
  shares = np.floor(ideal).astype(int)
  missing = total - len(weights) - shares.sum()
  shares[np.argsort(shares - ideal, kind="stable")[:missing]] += 1
  return shares + 1


def _samples(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """Returns `NUM_SAMPLES` values whose frequencies are those counted."""
  reached = np.cumsum(counts) / counts.sum()
  middles = (np.arange(NUM_SAMPLES) + 0.5) / NUM_SAMPLES
  return values[np.searchsorted(reached, middles)]


def encode(bins: Bins, value: jax.Array) -> jax.Array:
  """Returns the int32 bin of each value `[...]`."""
  return jnp.searchsorted(bins.edges, value, method="compare_all")


def decode(bins: Bins, index: jax.Array, uniform: jax.Array) -> jax.Array:
  """Draws a value of each bin.

  Args:
    bins: the bins.
    index: int32 `[...]`, bins.
    uniform: float32 `[...]` in [0, 1), one draw each.

  Returns:
    int32 `[...]`, one of the values that the bin was fitted to.
  """
  column = (uniform * NUM_SAMPLES).astype(jnp.int32)
  return jnp.asarray(bins.samples)[index, column]


def bounds(bins: Bins, index: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the bounds of bins, int32 `[...]` each.

  These are the least and the greatest value. The first bin starts at -2**29 and
  the last ends at 2**29. Empty bins have the bounds of the last bin that is
  not, as they decode like it.
  """
  far = jnp.full(1, _FAR, jnp.int32)
  edges = jnp.clip(bins.edges, -_FAR, _FAR - 1)
  low = jnp.concatenate([-far, edges + 1])
  is_last = jnp.append(bins.edges == _INT32_MAX, True)
  high = jnp.where(is_last, far, jnp.append(edges, far))
  last = jnp.argmax(is_last).astype(jnp.int32)
  index = jnp.minimum(index, last)
  return low[index], high[index]
