"""Nats of numbers within their bins, by which alphabets compare.

An alphabet with wider bins has fewer nats to predict and more left over. What
is left, the number given its bin, is scored by how often each came in training;
both together are the raw nats of an order, whatever the alphabet.

Chosen here: of a number 90 % of the probability is by its own count in the bin,
9 % by that of its bucket (16 to a power of two) spread evenly over it, 1 %
spread evenly over all numbers that the bin has by its edges, of at most
`_RANGE`.
"""

import dataclasses

import jax
import numpy as np

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.tokens import bins as bins_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.tokens import log_code
from mars_jax.tokens import touch

_SHARES = (0.9, 0.09, 0.01)  # By number, by bucket, by bin.
_SPLIT = 16  # Buckets of a power of two.
_RANGE = 2**24  # Of the first and the last bin, which have no end.


@dataclasses.dataclass(frozen=True)
class _Numbers:
  """The numbers of one field, counted; by (bin, number) and (bin, bucket)."""

  bins: bins_lib.Bins
  total: np.ndarray  # [num_bins]
  by_number: tuple[np.ndarray, np.ndarray]  # Keys, counts.
  by_bucket: tuple[np.ndarray, np.ndarray]

  def nats(self, values: np.ndarray) -> np.ndarray:
    """Returns nats of each number given its bin, float64 `[n]`."""
    index = np.asarray(bins_lib.encode(self.bins, values))
    bucket, width = _bucket(values)
    low, high = (np.asarray(x, np.int64) for x in _bounds(self.bins, index))
    seen = np.maximum(self.total[index], 1)
    own = _look_up(self.by_number, _key(index, values)) / seen
    near = _look_up(self.by_bucket, _key(index, bucket)) / seen / width
    even = 1 / np.clip(high - low + 1, 1, _RANGE)
    return -np.log(_SHARES[0] * own + _SHARES[1] * near + _SHARES[2] * even)


def _count(bins: bins_lib.Bins, values: np.ndarray) -> _Numbers:
  """Counts the numbers of one field."""
  index = np.asarray(bins_lib.encode(bins, values))
  bucket, _ = _bucket(values)
  return _Numbers(
    bins=bins,
    total=np.bincount(index, minlength=bins.num_bins),
    by_number=np.unique(_key(index, values), return_counts=True),
    by_bucket=np.unique(_key(index, bucket), return_counts=True),
  )


def _bounds(bins, index):
  return jax.device_get(bins_lib.bounds(bins, index))


def _key(index: np.ndarray, value: np.ndarray) -> np.ndarray:
  """Returns one int64 of a bin and an int32."""
  return (index.astype(np.int64) << 33) + value


def _bucket(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the number of each value's bucket, and its width."""
  size = np.abs(values.astype(np.int64))
  bits = np.floor(np.log2(np.maximum(size, 1))).astype(np.int64)
  width = np.maximum((1 << bits) // _SPLIT, 1)
  bucket = size // width + bits * 2 * _SPLIT
  return np.where(values < 0, -bucket - 1, bucket), width


def _look_up(counted, keys: np.ndarray) -> np.ndarray:
  """Returns the counts of keys, 0 of unknown ones."""
  known, counts = counted
  at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
  return np.where(known[at] == keys, counts[at], 0)


class Within:
  """Scores what the bins of a tokenizer leave over."""

  def __init__(self, tokenizer: features.Tokenizer, train: records_lib.Records):
    """Counts the numbers of a training part."""
    found = encoding.values(train)
    self._tokenizer = tokenizer
    self._fields = {
      name: _count(bins, found[name])
      for name in ("price", "volume", "interval")
      if (bins := getattr(tokenizer, name)) is not None
    }

  def nats(self, records: records_lib.Records, first: int = 0) -> np.ndarray:
    """Returns nats of numbers given symbols, float64 `[T]`.

    Args:
      records: successive orders of one day.
      first: the first of them to score; those before it only give it an
        interval.
    """
    found = encoding.values(records, first)
    scored = {
      name: counted.nats(found[name]) for name, counted in self._fields.items()
    }
    if self._tokenizer.alphabet == "touch":
      symbols = encoding.symbols(self._tokenizer, records)[first:]
      # What takes all names its volume by naming what there is.
      scored["volume"] *= symbols[:, touch.VOLUME] != touch.ALL
      rest = log_code.num_values(symbols[:, touch.BUCKET])
      is_new = records.order.kind[first:] != types.OrderKind.CANCEL
      scored["price"] = np.log(np.asarray(rest)) * is_new
    return sum(scored.values())
