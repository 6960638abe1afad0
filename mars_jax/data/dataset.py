"""Data sets of split orders, of one or many days.

`from_day` replays one day in memory; `from_folder` opens prepared files, of
many days and markets."""

import collections.abc
import dataclasses
import pathlib
from typing import Any

import numpy as np

from mars_jax import lob
from mars_jax import replay
from mars_jax.data import manifest
from mars_jax.data import pipeline
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.feeds import events
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import checks
from mars_jax.utils import files
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
  """Place of the orders, and their split.

  Attributes:
    path: the folder of a data set, as `from_folder` takes it, or one day of
      orders, as `feeds.read` takes it.
    market: which one of a data set; empty for all of them.
    train_fraction: share of the time span of the one day that is for training;
      the rest, at the end, is for validation. A data set has splits of its own.
    until: time of the one day, as HH:MM:SS; later orders are neither, and kept
      for a test. Empty for the whole day.
    book_capacity: orders that one side of the replayed book of the one day can
      hold.
  """

  path: str
  market: str = ""
  train_fraction: float
  until: str = ""
  book_capacity: int

  def __post_init__(self):
    if not 0 < self.train_fraction < 1:
      raise ValueError(
        f"train_fraction = {self.train_fraction} must lie between 0 and 1"
      )
    checks.at_least(1, book_capacity=self.book_capacity)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The orders of one market or several, split.

  Attributes:
    name: of market, instrument and day, or of how many days.
    source: what it was made of, fit for JSON.
    parts: of each split; "train" and "valid" have an order at least that comes
      after another of its day. One day has no "test".
    tokenizers: {alphabet: {market: its bins}}, fitted on the training split;
      markets are sorted.
    num_dropped: orders that the replayed book had no room for.
  """

  name: str
  source: dict[str, Any]
  parts: dict[str, list[windows_lib.Part]]
  tokenizers: dict[str, dict[str, features.Tokenizer]]
  num_dropped: int = 0

  def __post_init__(self):
    for split in ("train", "valid"):
      if not any(part.stop > max(part.start, 1) for part in self.parts[split]):
        raise ValueError(
          f"{self.name} has too few orders in the split {split!r}: split it"
          " otherwise"
        )

  def num_orders(self, split: str) -> int:
    """Returns the number of orders of a split."""
    return sum(part.stop - part.start for part in self.parts[split])

  @property
  def markets(self) -> tuple[str, ...]:
    """The markets; a market's place is its number in batches."""
    return tuple(next(iter(self.tokenizers.values())))

  def tokenizer_list(
    self, alphabet: str, scheme: str
  ) -> list[features.Tokenizer]:
    """Returns the bins for `pipeline.tokens`, by market number.

    Args:
      alphabet: of the orders, `LmmConfig.alphabet`.
      scheme: of the tokens, `LmmConfig.scheme`.
    """
    by_market = self.tokenizers[alphabet]
    return [bins.replace(scheme=scheme) for bins in by_market.values()]

  def market_parts(self, split: str, market: str) -> list[windows_lib.Part]:
    """Returns the parts of a split and market."""
    return [part for part in self.parts[split] if part.market == market]

  def train_windows(
    self, config: pipeline.BatchConfig
  ) -> dict[str, windows_lib.Windows]:
    """Returns the training windows by market, for `pipeline.batches`.

    A market that has none is left out; see `orders_in_no_window`.
    """
    windows = self._windows(config)
    return {name: source for name, source in windows.items() if len(source)}

  def orders_in_no_window(self, config: pipeline.BatchConfig) -> int:
    """Returns the number of training orders in no window."""
    return sum(w.num_left_out for w in self._windows(config).values())

  def _windows(
    self, config: pipeline.BatchConfig
  ) -> dict[str, windows_lib.Windows]:
    """Returns the training windows, of every market."""
    return windows_lib.by_market(
      self.parts["train"],
      self.markets,
      config.window_length,
      config.window_stride,
    )


def from_day(
  stream: events.EventStream,
  *,
  config: DataConfig,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> Dataset:
  """Returns a data set of one day, replayed in memory.

  The bins are fitted on the training part.

  Args:
    stream: the day.
    config: see there; of `path` only the name is kept.
    on_progress: called with the number of events just replayed.

  Raises:
    ValueError: if the config names another market.
  """
  if config.market not in ("", stream.market):
    raise ValueError(
      f"data.market is {config.market!r}, but {stream.name} is of another"
    )
  if config.until:
    end = time_of_day.parse_clock(config.until, named="data.until")
    stream = stream[: int(np.searchsorted(stream.time, end))]
  records, book = replay.replay(
    stream,
    lob.init(config.book_capacity),
    num_levels=features.SNAPSHOT_LEVELS,
    on_progress=on_progress,
  )
  time = records.time
  end = time[0] + (time[-1] - time[0]) * config.train_fraction
  num_train = int(np.searchsorted(time, end))
  day = store.MemoryDay(records)
  values = encoding.values(records[:num_train])
  return Dataset(
    name=stream.name,
    source={"file": pathlib.Path(config.path).name},
    parts={
      "train": [windows_lib.Part(day, stream.market, 0, num_train)],
      "valid": [windows_lib.Part(day, stream.market, num_train, len(day))],
    },
    tokenizers={
      alphabet: {stream.market: encoding.fit_values(values, alphabet)}
      for alphabet in alphabet_lib.ALPHABETS
    },
    num_dropped=int(book.dropped),
  )


def from_folder(folder: pathlib.Path | str, market: str = "") -> Dataset:
  """Opens a data set that `launch/prepare_data.py` has written.

  Args:
    folder: of the data set.
    market: the one to open; empty for all.

  Raises:
    ValueError: if there is no such market, or there are too few orders for
      training or for validation.
    events.DataError: as of `manifest.load`.
  """
  data = manifest.load(folder)
  if market and market not in data.markets:
    raise ValueError(
      f"data.market must name a market of {folder}, which has"
      f" {', '.join(data.markets) or 'none'}; it is {market!r}"
    )
  markets = (market,) if market else data.markets
  reports = [d.report for d in data.days if d.report.market in markets]
  name = f"{markets[0]}, {len(reports)} days"
  if len(markets) > 1:
    name = f"{', '.join(markets)}: {len(reports)} days"
  elif len(reports) == 1:
    name = f"{markets[0]} {reports[0].instrument} {reports[0].day}".strip()
  return Dataset(
    name=name,
    source={
      "folder": data.folder.resolve().name,
      "markets": list(data.markets),
      "days": len(data.days),
      "manifest_sha256": files.digest(data.folder / manifest.MANIFEST),
    },
    parts={
      split: [part for part in data.parts(split) if part.market in markets]
      for split in manifest.SPLITS
    },
    tokenizers={
      alphabet: {name: data.bins[name].tokenizers[alphabet] for name in markets}
      for alphabet in alphabet_lib.ALPHABETS
    },
  )
