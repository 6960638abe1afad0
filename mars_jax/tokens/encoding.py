"""Encoding of a market's records as tokens.

It fits the bins and encodes every order.
"""

import jax
import numpy as np

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day

FIELD_BINS = {
  "price": vocab.NUM_PRICES,
  "volume": vocab.NUM_VOLUMES,
  "interval": vocab.NUM_INTERVALS,
  "level_volume": vocab.NUM_VOLUMES,
}
"""The number of bins of each field of `features.Tokenizer`."""


def intervals(time: np.ndarray) -> np.ndarray:
  """Returns int32 `[T]` microseconds since the order before.

  The first is 0. This is `features.interval` on the host.
  """
  nanoseconds = np.diff(time, prepend=time[:1])
  most = features.MAX_SECONDS * 1_000_000
  return np.minimum(nanoseconds // features.MICROSECOND, most).astype(np.int32)


def values(
  records: records_lib.Records, first: int = 0
) -> dict[str, np.ndarray]:
  """Returns the integers to bin, by the fields of `Tokenizer`.

  Args:
    records: of one day, from its first on.
    first: the first record to return; those before it only give it an
      interval.

  Returns:
    Of each order one of every name, but for `level_volume`: of each level that
    is in use after it.
  """
  resting = records.snapshot.volume[first:, :, : features.NUM_LEVELS]
  return {
    "price": (records.order.price - records.mid_before)[first:],
    "volume": records.order.volume[first:],
    "interval": intervals(records.time)[first:],
    "level_volume": resting[resting > 0],
  }


def kinds(order: types.Order) -> np.ndarray:
  """Returns the kinds of the alphabet (`tokens.vocab`) of orders, int32."""
  is_cancel = order.kind == types.OrderKind.CANCEL
  return np.where(is_cancel, vocab.KIND_CANCEL, order.side)


def fit(records: records_lib.Records) -> features.Tokenizer:
  """Fits the bins of all fields.

  Args:
    records: the training part of one market, and nothing else.
  """
  return fit_values(values(records))


def fit_values(found: dict[str, np.ndarray]) -> features.Tokenizer:
  """Fits the bins of all fields to what `values` gives."""
  return features.Tokenizer(
    **{name: bins.fit(found[name], size) for name, size in FIELD_BINS.items()}
  )


def encode(
  tokenizer: features.Tokenizer, records: records_lib.Records
) -> features.TokenFeatures:
  """Returns the tokens of one day's records, numpy leaves `[T]`.

  The first record opens the day: mid-price changes count from there.
  """
  tokens = jax.jit(features.encode)(
    tokenizer,
    records.order,
    interval=intervals(records.time),
    open_mid=records.mid_before[0],
    mid_before=records.mid_before,
    mid_after=records.mid_after,
    snapshot=records.snapshot,
    time=time_of_day.timestamps(records.time).seconds,
  )
  return jax.device_get(tokens)
