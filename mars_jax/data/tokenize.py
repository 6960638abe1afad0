"""Records of a market to tokens: fits the bins, encodes every order."""

import jax
import numpy as np

from mars_jax import types
from mars_jax.data import replay
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab


def timestamps(time: np.ndarray) -> types.Timestamp:
  """Returns int64 nanoseconds since midnight as pairs of int32."""
  seconds, nanoseconds = np.divmod(np.asarray(time), types.NANOSECONDS)
  return types.Timestamp(
    seconds=seconds.astype(np.int32), nanoseconds=nanoseconds.astype(np.int32)
  )


def _intervals(time: np.ndarray) -> np.ndarray:
  """Returns `[T]` int32 microseconds since the order before; first is 0."""
  earlier = timestamps(np.concatenate([time[:1], time[:-1]]))
  return np.asarray(features.interval(earlier, timestamps(time)))


def fit(records: replay.Records) -> features.Tokenizer:
  """Fits the bins of all fields.

  Args:
    records: the training part of one market, and nothing else.
  """
  resting = records.snapshot.volume
  return features.Tokenizer(
    price=bins.fit(records.order.price - records.mid_before, vocab.NUM_PRICES),
    volume=bins.fit(records.order.volume, vocab.NUM_VOLUMES),
    interval=bins.fit(_intervals(records.time), vocab.NUM_INTERVALS),
    level_volume=bins.fit(resting[resting > 0], vocab.NUM_VOLUMES),
  )


def encode(
  tokenizer: features.Tokenizer, records: replay.Records
) -> features.TokenFeatures:
  """Returns the tokens of all records of one day, numpy leaves `[T]`.

  The first record opens the day: mid-price changes count from there.
  """
  tokens = jax.jit(features.encode)(
    tokenizer,
    records.order,
    interval=_intervals(records.time),
    open_mid=records.mid_before[0],
    mid_before=records.mid_before,
    mid_after=records.mid_after,
    snapshot=records.snapshot,
    time=timestamps(records.time).seconds,
  )
  return jax.device_get(tokens)
