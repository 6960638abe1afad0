"""Scores the validation orders, by the model and by what it must beat.

Every order is scored once, given the orders before it on the same day, those of
other splits as well. The first order of a day is not: nothing tells of it.
"""

import collections.abc
import dataclasses
import functools

import jax
import numpy as np

from mars_jax import lmm
from mars_jax.data import calibration
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.tokens import features
from mars_jax.train import baselines
from mars_jax.train import loss

_STRIDE = 256  # Orders scored by one window.
_BATCH = 16
_CHUNK = 8192  # Orders encoded at once for the baselines.
_MAX_DISTANCE = 2**20  # Ticks, for zero-intelligence orders.


def model_nats(
  params: lmm.Params, dataset: dataset_lib.Dataset, *, config: lmm.LmmConfig
) -> np.ndarray:
  """Scores each order given `config.window` orders before it, or more.

  Where the day has fewer before it, given all of these. Windows are of one
  size, so that one program scores all; what a short one lacks is at its end,
  where no score depends on it.

  Args:
    params: of the order model.
    dataset: whose validation split is scored, day by day.
    config: of the order model.

  Returns:
    float32 `[V, 4]`, nats of each field of each order.
  """
  size = config.window + _STRIDE
  spans = list(_spans(dataset.parts["valid"], size))
  scores = []
  for index in range(0, len(spans), _BATCH):
    batch = spans[index : index + _BATCH]
    items = [_padded(day, first, stop, size) for day, first, _, stop in batch]
    items += items[-1:] * (_BATCH - len(items))
    nats = jax.device_get(
      _score([dataset.tokenizer], params, _stack(items), config=config)
    )
    scores += [
      row[start - first - 1 : stop - first - 1]  # The first order has none.
      for row, (_, first, start, stop) in zip(nats, batch, strict=False)
    ]
  return np.concatenate(scores)


def count_nats(dataset: dataset_lib.Dataset) -> dict[str, float]:
  """Returns the mean nats of `baselines` over the orders of `model_nats`.

  The counts take the training parts as one sequence: the last order of a day
  and the first of the next are a pair as well, one of very many.
  """
  encode = functools.partial(_order_indices, tokenizer=dataset.tokenizer)
  train = np.concatenate([encode(part) for part in dataset.parts["train"]])
  # Each with the order before it, which is not scored.
  valid = [
    encode(dataclasses.replace(part, start=max(part.start - 1, 0)))
    for part in dataset.parts["valid"]
  ]
  is_scored = np.concatenate([np.arange(len(part)) > 0 for part in valid])
  valid = np.concatenate(valid)
  unigram = baselines.unigram_nats(train, valid)[is_scored]
  bigram = baselines.bigram_nats(train, valid)[is_scored[1:]]
  return {"unigram": float(unigram.mean()), "bigram": float(bigram.mean())}


def zero_intelligence_nats(dataset: dataset_lib.Dataset) -> np.ndarray:
  """Scores each order by `data.calibration`, with the rates of the training.

  Returns:
    float64 `[V, 4]`, nats of each field of the orders of `model_nats`.

  Raises:
    ValueError: if there is no limit order to train on, or no time passes.
  """
  train, valid = (
    [
      part.day.read(max(part.start - 1, 0), part.stop)
      for part in dataset.parts[split]
      if part.stop > max(part.start, 1)
    ]
    for split in ("train", "valid")
  )
  edges = np.abs(dataset.tokenizer.price.edges)
  # Twice as far as the bins tell apart; the last edges may be of empty ones.
  reach = 2 * int(edges[edges < _MAX_DISTANCE].max(initial=1))
  rates = calibration.calibrate(*train, max_distance=reach)
  # The tick of the feed's clock, which all its times are multiples of.
  clock = np.gcd.reduce(np.concatenate([records.time for records in train]))
  clock = max(int(clock) // features.MICROSECOND, 1)
  nats = [
    calibration.nats(rates, dataset.tokenizer, records, clock=clock)
    for records in valid
  ]
  return np.concatenate(nats)


def _spans(parts, size):
  """Yields the day, the first order, the first that is scored, and the end.

  A span has `size` orders, fewer only at the start of a day.
  """
  for part in parts:
    for start in range(max(part.start, 1), part.stop, _STRIDE):
      stop = min(start + _STRIDE, part.stop)
      yield part.day, max(stop - size, 0), start, stop


def _padded(day, first: int, stop: int, size: int) -> pipeline.Item:
  """Returns an item of some orders of a day, the last repeated up to a size."""
  item = pipeline.read(day, first, stop)
  rows = np.minimum(np.arange(size), stop - first - 1)
  padded = {name: leaf[rows] for name, leaf in item.items()}
  return {"market": np.int32(0), **padded}


def _stack(items: collections.abc.Sequence[pipeline.Item]) -> pipeline.Item:
  """Returns a batch."""
  return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


@functools.partial(jax.jit, static_argnames="config")
def _score(tokenizers, params, batch, *, config):
  tokens = pipeline.tokens(tokenizers, batch)
  return loss.nats(params, tokens, config=config)


def _order_indices(
  part: pipeline.Part, tokenizer: features.Tokenizer
) -> np.ndarray:
  """Returns the indices of the orders of a part, int32 `[stop - start]`."""
  chunks = [np.zeros(0, np.int32)]  # A part may be empty.
  for first in range(part.start, part.stop, _CHUNK):
    stop = min(first + _CHUNK, part.stop)
    batch = _stack([_padded(part.day, first, stop, _CHUNK)])
    index = np.asarray(_index([tokenizer], batch))
    chunks.append(index[0, : stop - first])
  return np.concatenate(chunks)


@jax.jit
def _index(tokenizers, batch):
  return pipeline.tokens(tokenizers, batch).index
