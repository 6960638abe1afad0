"""One day of one market as tokens, split by time: training, validation."""

import collections.abc
import dataclasses

import numpy as np

from mars_jax import lob
from mars_jax.data import events
from mars_jax.data import replay
from mars_jax.data import tokenize
from mars_jax.tokens import features


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
  """What is read, and how it is cut up.

  Attributes:
    path: as `readers.read` takes it.
    train_fraction: share of the time span that is for training; the rest, at
      the end, is for validation.
    book_capacity: orders that one side of the replayed book can hold.
    window_length: orders in a training window.
    window_stride: orders from the start of a window to that of the next.
    batch_size: windows in a batch.
  """

  path: str
  train_fraction: float
  book_capacity: int
  window_length: int
  window_stride: int
  batch_size: int

  def __post_init__(self):
    if not 0 < self.train_fraction < 1:
      raise ValueError(
        f"train_fraction = {self.train_fraction} must lie between 0 and 1"
      )
    if self.window_length < 2:  # Orders; the first one is not scored.
      raise ValueError(f"window_length = {self.window_length} must be >= 2")
    for name in ("book_capacity", "window_stride", "batch_size"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} = {getattr(self, name)} must be >= 1")


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A tokenized day.

  Attributes:
    name: of market, instrument and day.
    tokens: of all orders, numpy leaves `[T]`.
    tokenizer: the bins, fitted on the training part.
    num_train: the first so many orders are for training.
    num_dropped: orders that the replayed book had no room for.
  """

  name: str
  tokens: features.TokenFeatures
  tokenizer: features.Tokenizer
  num_train: int
  num_dropped: int


def num_train_orders(stream: events.EventStream, train_fraction: float) -> int:
  """Returns how many of the market's orders fall in the training part."""
  time = stream.time[stream.is_flow]
  end = time[0] + (time[-1] - time[0]) * train_fraction
  return int(np.searchsorted(time, end))


def prepare(
  stream: events.EventStream,
  *,
  config: DataConfig,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> Dataset:
  """Replays a stream, fits the bins on its training part, and tokenizes it.

  Args:
    stream: one day.
    config: see there; `path` is not read.
    on_progress: called with the number of events just replayed.
  """
  records, book = replay.replay(
    stream,
    lob.init(config.book_capacity),
    num_levels=features.NUM_LEVELS,
    on_progress=on_progress,
  )
  num_train = num_train_orders(stream, config.train_fraction)
  tokenizer = tokenize.fit(records[:num_train])
  return Dataset(
    name=stream.name,
    tokens=tokenize.encode(tokenizer, records),
    tokenizer=tokenizer,
    num_train=num_train,
    num_dropped=int(book.dropped),
  )
