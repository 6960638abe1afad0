"""Encoding of a market's records as tokens.

It fits the bins and encodes every order.
"""

import jax
import numpy as np

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day


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


def symbols(
  tokenizer: features.Tokenizer, records: records_lib.Records
) -> np.ndarray:
  """Returns the symbols of one day's records, int32 `[T, F]`."""
  return encode(tokenizer, records).symbols


def fit(
  records: records_lib.Records, alphabet: str = alphabet_lib.DEFAULT
) -> features.Tokenizer:
  """Fits the bins of an alphabet.

  Args:
    records: the training part of one market, and nothing else.
    alphabet: its name, of `alphabet.ALPHABETS`.
  """
  return fit_values(values(records), alphabet)


def fit_values(
  found: dict[str, np.ndarray], alphabet: str = alphabet_lib.DEFAULT
) -> features.Tokenizer:
  """Fits the bins of an alphabet to what `values` gives."""
  sizes = alphabet_lib.ALPHABETS[alphabet].num_bins
  fitted = {name: bins.fit(found[name], size) for name, size in sizes.items()}
  return features.Tokenizer(**fitted, alphabet=alphabet)


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
    place=records.place,
    mid_before=records.mid_before,
    mid_after=records.mid_after,
    snapshot=records.snapshot,
    depth=records.depth,
    time=time_of_day.timestamps(records.time).seconds,
  )
  return jax.device_get(tokens)
