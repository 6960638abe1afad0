"""Starts of long futures, and the real day after them.

A day is replayed once, to its end. The first start is the last order up to a
time of day, others are spread over the rest of the day.
"""

import dataclasses
import functools
import math

import jax
import numpy as np

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import start as start_lib
from mars_jax.apps import windows as windows_lib
from mars_jax.evals import market_bars
from mars_jax.feeds import events
from mars_jax.utils import checks
from mars_jax.utils import progress
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartsConfig:
  """The starts of long futures; static.

  Attributes:
    test_from: HH:MM:SS, of the first start.
    seconds: the horizon.
    num_starts: how many, the last one horizon before the day's end; where the
      rest of the day is shorter than the horizon, over that rest.
    bar_s: seconds of a bar.
    num_levels: price levels whose volume is compared.
    book_capacity: orders that one side of a simulated book can hold. It starts
      with the best ones, three quarters of that, to have room for more.
    replay_capacity: the same of the replayed day.
    warmup_s: seconds of the day's start that its own range is without.
  """

  test_from: str
  seconds: float
  num_starts: int = 1
  bar_s: float = 60.0
  num_levels: int = 10
  book_capacity: int = 1024
  replay_capacity: int = 4096
  warmup_s: int = 60

  def __post_init__(self):
    checks.at_least(1, num_starts=self.num_starts, num_levels=self.num_levels)
    checks.at_least(0, warmup_s=self.warmup_s)
    start_lib.check_capacities(self.book_capacity, self.replay_capacity)
    if not 0 < self.bar_s <= self.seconds:
      raise ValueError(
        f"bars of {self.bar_s:g} s must be longer than 0, and no longer than"
        f" the horizon of {self.seconds:g} s"
      )

  @property
  def num_bars(self) -> int:
    """Whole bars of the horizon."""
    return int(self.seconds / self.bar_s + 1e-9)


@dataclasses.dataclass(frozen=True)
class Starts:
  """S moments of a day.

  Attributes:
    stream: the day.
    config: how they were chosen.
    records: of all orders of the day in continuous trading, to the end of the
      phase that the first start is in.
    starts: `[S]`, records before each.
    books: the book at each start, numpy leaves `[S, 2, N]`.
    begin: int64 `[S]` nanoseconds since midnight, of the last order before.
    end: nanoseconds since midnight, of the day's last order.
    day: its bars from the warm-up on, one path.
    real: its bars from each start to the horizon or its end, S paths.
    num_truncated: resting orders, the farthest from the mid, for which the
      books had no room.
    num_classes: of distance from the best (`types.Depth`) within which a book
      is compared: those that no truncated book lacks.
  """

  stream: events.EventStream
  config: StartsConfig
  records: records_lib.Records
  starts: np.ndarray
  books: lob.Book
  begin: np.ndarray
  end: int
  day: market_bars.Bars
  real: market_bars.Bars
  num_truncated: int
  num_classes: int

  def __len__(self) -> int:
    return len(self.starts)

  @property
  def num_past(self) -> int:
    """Records before the first start: what may be fitted to."""
    return int(self.starts[0])

  @property
  def num_seen(self) -> int:
    """Records before each start that a model may read."""
    return self.num_past

  @property
  def last_price(self) -> np.ndarray:
    """`[S]` ticks, of the last trade before each start."""
    return np.array([_last_price(self.records, i) for i in self.starts])

  def markets(self) -> sim.MarketState:
    """Returns the markets at the starts, leaves `[S, ...]`."""
    return start_lib.markets_after(
      self.records,
      self.starts,
      self.books,
      next_id=self.stream.order_id.max() + 1,
    )


def load(
  stream: events.EventStream, *, config: StartsConfig, visible: bool = True
) -> Starts:
  """Replays a day and keeps its starts.

  Args:
    stream: the day.
    config: see there.
    visible: whether to show the replay's progress.

  Raises:
    ValueError: if the first start is not within continuous trading.
  """
  first = time_of_day.parse_clock(config.test_from, named="test_from")
  _, last = windows_lib.continuous(stream, first)
  times = _times(first, int(stream.time[last - 1]), config)
  stops = np.unique(np.searchsorted(stream.time[:last], times, side="right"))
  starts, books = [], []

  def on_stop(num_orders, exchange):
    starts.append(num_orders)
    small = lob.resize(
      exchange.book, int(config.book_capacity * start_lib.FILL)
    )
    books.append(jax.device_get(lob.resize(small, config.book_capacity)))

  with progress.replay_bar(last, visible=visible) as on_progress:
    records, book = replay.replay(
      stream[:last],
      lob.init(config.replay_capacity),
      num_levels=config.num_levels,
      on_progress=on_progress,
      stops=stops,
      on_stop=on_stop,
    )
  if not starts[0]:
    raise ValueError(f"{stream.name}: no order before {config.test_from}")
  books = jax.tree.map(lambda *x: np.stack(x), *books)
  truncated = np.maximum(books.dropped - int(book.dropped), 0)
  num_classes = _num_classes(books, truncated)
  rows = np.array(starts)
  opens = records.time[0] + config.warmup_s * types.NANOSECONDS
  warm = min(int(np.searchsorted(records.time, opens)), rows[0])
  end = int(records.time[-1])
  length = config.bar_s * types.NANOSECONDS
  whole = int((end - records.time[warm]) // length) + 1
  bars = functools.partial(_bars, records, config, num_classes)
  real = [bars(row, config.num_bars) for row in starts]
  return Starts(
    stream=stream,
    config=config,
    records=records,
    starts=rows,
    # They count from here on.
    books=books.replace(counts=np.zeros_like(books.counts)),
    begin=records.time[rows - 1],
    end=end,
    day=bars(max(warm, 1), whole),
    real=jax.tree.map(lambda *x: np.concatenate(x), *real),
    num_truncated=int(truncated.sum()),
    num_classes=num_classes,
  )


def _num_classes(books: lob.Book, truncated: np.ndarray) -> int:
  """Returns how many classes of distance the books have whole.

  Args:
    books: numpy leaves `[S, 2, N]`.
    truncated: `[S]`, orders that each lacks.
  """
  rests = books.volume[truncated > 0] > 0  # [S, 2, N]
  if not rests.size:
    return types.DEPTH_CLASSES
  price = books.price[truncated > 0]
  away = np.where(rests, np.abs(price - price[:, :, :1]), 0).max(axis=2)
  # The side that reaches farther may be the only one that was cut.
  reach = max(int(away.min()), 1)
  # The last class has no end, and is never whole.
  return min(1 + int(math.log(reach, 4) + 1e-9), types.DEPTH_CLASSES - 1)


def _times(first: int, end: int, config: StartsConfig) -> np.ndarray:
  """Returns the times of the starts, int64 nanoseconds since midnight."""
  room = end - first - round(config.seconds * types.NANOSECONDS)
  if room > 0:
    offsets = np.linspace(0, room, config.num_starts)
  else:
    offsets = np.arange(config.num_starts) * (end - first) / config.num_starts
  return first + offsets.astype(np.int64)


def _last_price(records: records_lib.Records, count: int) -> float:
  """Returns the last trade's price after so many orders, ticks."""
  trades = np.flatnonzero(records.traded[:count] > 0)
  if not len(trades):
    return float(records.mid_after[count - 1])
  return float(_first_price(records)[trades[-1]])


def _first_price(records: records_lib.Records) -> np.ndarray:
  """Returns the price of each order's first fill."""
  other = 1 - records.order.side
  return records.place.best[np.arange(len(records)), other]


def _bars(records, config, num_classes, first, num_bars) -> market_bars.Bars:
  """Returns the bars from an order on, one path."""
  part = records[first:]
  best = jax.tree.map(lambda x: x[:, :, 0], part.snapshot)
  near = jax.tree.map(lambda x: x[:, :, :num_classes], part.depth)
  orders = market_bars.Orders(
    is_event=np.ones(len(part), bool),
    time=part.time,
    is_cancel=part.order.kind == types.OrderKind.CANCEL,
    is_buy=part.order.side == types.Side.BID,
    volume=part.order.volume,
    traded=part.traded,
    first_price=_first_price(part),
    ask=best.price[:, types.Side.ASK],
    bid=best.price[:, types.Side.BID],
    is_two_sided=(best.volume > 0).all(axis=1),
    level_volume=part.snapshot.volume.sum(axis=(1, 2), dtype=np.int64),
    book_volume=near.volume.sum(axis=(1, 2), dtype=np.int64),
    book_orders=near.orders.sum(axis=(1, 2), dtype=np.int64),
  )
  recorder = market_bars.Recorder(
    records.time[first - 1 : first],
    np.array([_last_price(records, first)]),
    seconds=config.bar_s,
    num_bars=num_bars,
  )
  recorder.add(jax.tree.map(lambda x: x[None], orders))
  return recorder.bars(records.time[-1:])
