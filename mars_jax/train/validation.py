"""Scores of held-out orders, by the model and baselines.

Every order is scored once, given the orders before it on the same day, also
those of other splits. The first order of a day is not scored: it has no past.
"""

import collections.abc
import dataclasses
import functools

import jax
import numpy as np

from mars_jax import lmm
from mars_jax import records as records_lib
from mars_jax.baselines import calibration
from mars_jax.baselines import ngrams
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.tokens import within
from mars_jax.train import loss
from mars_jax.train import sharding

_STRIDE = 256  # Orders scored by one window.
_BATCH = 16
_CHUNK = 8192  # Orders encoded at once for the baselines.
_MAX_DISTANCE = 2**20  # Ticks, for zero-intelligence orders.


def model_nats(
  params: lmm.Params,
  dataset: dataset_lib.Dataset,
  *,
  config: lmm.LmmConfig,
  split: str = "valid",
  max_orders: int | None = None,
) -> dict[str, np.ndarray]:
  """Scores each order given `config.window` orders before it, or more.

  Where the day has fewer before it, given all of these. Windows are of one
  size, so that one program scores all; what a short one lacks is at its end,
  where no score depends on it.

  Args:
    params: of the order model.
    dataset: whose split is scored, day by day.
    config: of the order model.
    split: "valid" or "test".
    max_orders: of each market at most about so many are scored, in stretches
      that are spread evenly; None for all.

  Returns:
    {market: float32 `[V, F]`}, nats of each field of each order, for the
    markets that have orders in the split.
  """
  size = config.window + _STRIDE
  tokenizers = dataset.tokenizer_list(config.alphabet, config.scheme)
  spans = [
    (number, *span)
    for number, market in enumerate(dataset.markets)
    for span in _thinned(
      list(_spans(dataset.market_parts(split, market), size)), max_orders
    )
  ]
  batch_size = sharding.round_up(_BATCH)
  scores = {market: [] for market in dataset.markets}
  for index in range(0, len(spans), batch_size):
    batch = spans[index : index + batch_size]
    items = [
      _padded(number, day, first, stop, size)
      for number, day, first, _, stop in batch
    ]
    items += items[-1:] * (batch_size - len(items))
    nats = sharding.gather(
      _score(tokenizers, params, _stack(items), config=config)
    )
    for row, (number, _, first, start, stop) in zip(nats, batch, strict=False):
      # The first order has none.
      scores[dataset.markets[number]].append(
        row[start - first - 1 : stop - first - 1]
      )
  return {
    market: np.concatenate(rows) for market, rows in scores.items() if rows
  }


def within_nats(
  dataset: dataset_lib.Dataset,
  *,
  alphabet: str,
  split: str = "valid",
  max_orders: int | None = None,
) -> dict[str, np.ndarray]:
  """Scores what the bins of an alphabet leave over.

  Added to the nats of its fields they are raw nats, by which alphabets compare.
  All training orders of a market are held in memory.

  Args:
    dataset, split, max_orders: as of `model_nats`.
    alphabet: its name.

  Returns:
    {market: float64 `[V]`}, of the orders of `model_nats`, of markets that have
    orders to train on.
  """
  scores = {}
  for market in dataset.markets:
    train = _records(dataset, market, "train")
    parts = dataset.market_parts(split, market)
    spans = _thinned(list(_spans(parts, 1)), max_orders)
    if not train or not spans:
      continue
    found = within.Within(
      dataset.tokenizers[alphabet][market], records_lib.concatenate(train)
    )
    scores[market] = np.concatenate(
      [
        found.nats(day.read(start - 1, stop), first=1)
        for day, _, start, stop in spans
      ]
    )
  return scores


def _records(dataset, market, split) -> list[records_lib.Records]:
  """Returns the records of a split, by part."""
  return [
    part.day.read(max(part.start - 1, 0), part.stop)
    for part in dataset.market_parts(split, market)
    if part.stop > max(part.start, 1)
  ]


def count_nats(
  dataset: dataset_lib.Dataset, market: str, split: str = "valid"
) -> dict[str, np.ndarray]:
  """Returns the nats of the count baselines, by order.

  Over the orders of `model_nats`, float64 `[V]` each.

  The counts take the training parts as one sequence: the last order of a day
  and the first of the next are also a pair, one of very many.

  Args:
    dataset: the orders.
    market: whose orders are counted and scored.
    split: that is scored.
  """
  encode = functools.partial(
    _order_indices, tokenizer=dataset.tokenizers["mid"][market]
  )
  parts = dataset.market_parts("train", market)
  train = np.concatenate([encode(part) for part in parts])
  # Each with the order before it, which is not scored.
  scored = [
    encode(dataclasses.replace(part, start=max(part.start - 1, 0)))
    for part in dataset.market_parts(split, market)
  ]
  is_scored = np.concatenate([np.arange(len(part)) > 0 for part in scored])
  scored = np.concatenate(scored)
  unigram = ngrams.unigram_nats(train, scored)[is_scored]
  bigram = ngrams.bigram_nats(train, scored)[is_scored[1:]]
  return {"unigram": unigram, "bigram": bigram}


def zero_intelligence_nats(
  dataset: dataset_lib.Dataset, market: str, split: str = "valid"
) -> np.ndarray:
  """Scores each order of the paper's alphabet under zero intelligence.

  Its rates are calibrated to the training split (`baselines.calibration`).

  Args:
    dataset: the orders.
    market: whose orders are calibrated to and scored.
    split: that is scored.

  Returns:
    float64 `[V, 4]`, nats of each field of the orders of `model_nats`.

  Raises:
    ValueError: if there is no limit order to train on, or no time passes.
  """
  train, scored = (_records(dataset, market, s) for s in ("train", split))
  tokenizer = dataset.tokenizers["mid"][market]
  edges = np.abs(tokenizer.price.edges)
  # Twice as far as the bins tell apart; the last edges may be of empty ones.
  reach = 2 * int(edges[edges < _MAX_DISTANCE].max(initial=1))
  rates = calibration.calibrate(*train, max_distance=reach)
  # The tick of the feed's clock, which all its times are multiples of.
  clock = np.gcd.reduce(np.concatenate([records.time for records in train]))
  clock = max(int(clock) // features.MICROSECOND, 1)
  nats = [
    calibration.nats(rates, tokenizer, records, clock=clock)
    for records in scored
  ]
  return np.concatenate(nats)


def _spans(parts, size):
  """Yields (day, first order, first scored, end) of each span.

  A span has `size` orders, fewer only at the start of a day.
  """
  for part in parts:
    for start in range(max(part.start, 1), part.stop, _STRIDE):
      stop = min(start + _STRIDE, part.stop)
      yield part.day, max(stop - size, 0), start, stop


def _thinned(spans, max_orders):
  """Returns spans, spread evenly, of about `max_orders` orders or all."""
  if max_orders is None:
    return spans
  num_kept = max(max_orders // _STRIDE, 1)
  step = max(len(spans) / num_kept, 1.0)
  return [spans[int(i * step)] for i in range(min(num_kept, len(spans)))]


def _padded(
  number: int, day: store.DayFile, first: int, stop: int, size: int
) -> windows_lib.Item:
  """Returns an item of orders, the last repeated as padding."""
  item = windows_lib.read(day, first, stop)
  rows = np.minimum(np.arange(size), stop - first - 1)
  padded = {name: leaf[rows] for name, leaf in item.items()}
  return {"market": np.int32(number), **padded}


def _stack(
  items: collections.abc.Sequence[windows_lib.Item],
) -> windows_lib.Item:
  """Returns a batch."""
  return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


@functools.partial(jax.jit, static_argnames="config")
def _score(tokenizers, params, batch, *, config):
  tokens = sharding.constrain_batch(pipeline.tokens(tokenizers, batch))
  return loss.nats(params, tokens, config=config)


def _order_indices(
  part: windows_lib.Part, tokenizer: features.Tokenizer
) -> np.ndarray:
  """Returns the order indices of a part.

  int32 `[stop - start]`.
  """
  chunks = [np.zeros(0, np.int32)]  # A part may be empty.
  for first in range(part.start, part.stop, _CHUNK):
    stop = min(first + _CHUNK, part.stop)
    batch = _stack([_padded(0, part.day, first, stop, _CHUNK)])
    index = np.asarray(_index([tokenizer], batch))
    chunks.append(index[0, : stop - first])
  return np.concatenate(chunks)


@jax.jit
def _index(tokenizers, batch):
  return vocab.pack(pipeline.tokens(tokenizers, batch).symbols)
