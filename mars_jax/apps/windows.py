"""Windows of a real day: where futures start, and what came.

A day is replayed once, up to a time and on from there. Windows of so many
messages to condition on and as many to compare with are cut from what follows,
every so many messages, as LOB-Bench's are; each has the market at its start.
"""

import dataclasses
import functools

import jax
import numpy as np

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import start as start_lib
from mars_jax.evals import messages as messages_lib
from mars_jax.feeds import events
from mars_jax.lob import rules as rules_lib
from mars_jax.replay import engine
from mars_jax.tokens import features
from mars_jax.utils import checks
from mars_jax.utils import progress
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowsConfig:
  """Cut of the windows; static.

  Attributes:
    test_from: HH:MM:SS, the first message of the first window.
    num_cond: messages to condition on.
    num_real: messages that follow, to compare with.
    stride: messages from window to window.
    max_windows: the first so many; 0 for all.
    num_levels: price levels of the books that are compared.
    book_capacity: orders that one side of a simulated book can hold.
    replay_capacity: the same of the replayed day.
    warmup_s: seconds of the day's start that no earlier window is taken from.
  """

  test_from: str
  num_cond: int = 500
  num_real: int = 500
  stride: int = 500
  max_windows: int = 0
  num_levels: int = 10
  book_capacity: int = 1024
  replay_capacity: int = 4096
  warmup_s: int = 60

  def __post_init__(self):
    checks.at_least(
      1,
      num_cond=self.num_cond,
      num_real=self.num_real,
      stride=self.stride,
      num_levels=self.num_levels,
      book_capacity=self.book_capacity,
    )
    checks.at_least(0, max_windows=self.max_windows, warmup_s=self.warmup_s)

  @property
  def size(self) -> int:
    """Messages of a window."""
    return self.num_cond + self.num_real


@dataclasses.dataclass(frozen=True)
class Windows:
  """The S windows of a day.

  Attributes:
    stream: the day.
    rules: of its venue, to simulate by.
    config: how they were cut.
    records: of the day's orders in continuous trading, to the last window.
    num_past: records before the first window: what may be fitted to.
    starts: `[S]`, records before each start.
    books: the book at each start, numpy leaves `[S, 2, N]`.
    cond: the messages before each start.
    real: those after it.
    earlier: the messages that follow, in windows side by side before the first.
    past: all messages before the first window, but for the warm-up's.
    num_truncated: resting orders, the farthest from the mid, for which the
      books had no room.
  """

  stream: events.EventStream
  rules: rules_lib.Rules
  config: WindowsConfig
  records: records_lib.Records
  num_past: int
  starts: np.ndarray
  books: lob.Book
  cond: list[messages_lib.Messages]
  real: list[messages_lib.Messages]
  earlier: list[messages_lib.Messages]
  past: messages_lib.Messages
  num_truncated: int

  def __len__(self) -> int:
    return len(self.starts)

  @property
  def num_seen(self) -> int:
    """Records before each start that a model may read."""
    return min(self.config.num_cond, int(self.starts.min()))

  def markets(self) -> sim.MarketState:
    """Returns the markets at the starts, leaves `[S, ...]`."""
    return start_lib.markets_after(
      self.records,
      self.starts,
      self.books,
      next_id=self.stream.order_id.max() + 1,
    )


def load(
  stream: events.EventStream,
  *,
  config: WindowsConfig,
  visible: bool = True,
) -> Windows:
  """Replays a day and cuts its windows.

  Args:
    stream: the day.
    config: see there.
    visible: whether to show the replay's progress.

  Raises:
    ValueError: if there is no window after `test_from`, or none before it.
  """
  begin = time_of_day.parse_clock(config.test_from, named="test_from")
  first, last = continuous(stream, begin)
  opens = int(stream.time[stream.is_market_event][0])
  warm, end = continuous(stream, opens + config.warmup_s * types.NANOSECONDS)
  with progress.replay_bar(last, visible=visible) as on_progress:
    play = functools.partial(
      replay.replay,
      num_levels=features.SNAPSHOT_LEVELS,
      on_progress=on_progress,
    )
    start, book = play(stream[:warm], lob.init(config.replay_capacity))
    before, _ = _messages(stream, warm, min(end, first), book, config)
    earlier = _cut(stream, before, config.size, config)
    past, book = play(stream[warm:first], book)
    messages, event_of = _messages(stream, first, last, book, config)
    firsts = _cut(stream, messages, config.stride, config)[
      : config.max_windows or None
    ]
    # A start is between two orders, never inside one that trades.
    stops = event_of[firsts + config.num_cond - 1] + 1
    starts, books = [], []

    def on_stop(num_orders, exchange):
      starts.append(num_orders)
      books.append(
        jax.device_get(lob.resize(exchange.book, config.book_capacity))
      )

    end = int(event_of[firsts[-1] + config.size - 1]) + 1
    rest, _ = play(
      stream[first:end], book, stops=stops - first, on_stop=on_stop
    )
  books = jax.tree.map(lambda *x: np.stack(x), *books)
  dropped = books.dropped - int(book.dropped)
  num_past = len(start) + len(past)

  def real(messages, firsts):
    return [messages[i + config.num_cond : i + config.size] for i in firsts]

  return Windows(
    stream=stream,
    rules=lob.PRESETS[stream.rules],
    config=config,
    records=records_lib.concatenate([start, past, rest]),
    num_past=num_past,
    starts=num_past + np.array(starts),
    # They count from here on.
    books=books.replace(counts=np.zeros_like(books.counts)),
    cond=[messages[i : i + config.num_cond] for i in firsts],
    real=real(messages, firsts),
    earlier=real(before, earlier),
    past=before,
    num_truncated=int(dropped.sum()),
  )


def _cut(stream, messages, stride, config) -> np.ndarray:
  """Returns the first message of each window."""
  firsts = np.arange(0, len(messages) - config.size + 1, stride)
  if not len(firsts):
    raise ValueError(
      f"{stream.name}: {len(messages):,} messages before or after test_from ="
      f" {config.test_from} are no window of {config.size:,}: give another"
      " test_from, or fewer messages"
    )
  return firsts


def continuous(stream, begin: int) -> tuple[int, int]:
  """Returns the first and last event of a phase.

  From a time on.

  Args:
    stream: the day.
    begin: nanoseconds since midnight.

  Raises:
    ValueError: if the time is not within continuous trading.
  """
  first = int(np.searchsorted(stream.time, begin))
  phase = engine.phases(stream, lob.PRESETS[stream.rules])
  is_other = phase[first:] != rules_lib.Phase.CONTINUOUS
  if first in (0, len(stream)) or is_other[0]:
    raise ValueError(
      f"{stream.name}: test_from must lie within continuous trading, with"
      " orders before and after it, and later than the warm-up"
    )
  last = first + int(np.argmax(is_other)) if is_other.any() else len(stream)
  return first, last


def _messages(stream, first, last, book, config):
  """Returns the messages of events, and the event of each."""
  found = messages_lib.Collector(
    jax.device_get(book),
    replay.feed_rules(stream),
    num_levels=config.num_levels,
  )
  rows = slice(first, last)
  columns = (
    *(stream.time, stream.kind, stream.side, stream.price, stream.volume),
    *(stream.order_id, stream.is_market_event),
  )
  counts = []
  for time, *order, is_own in zip(
    *(column[rows].tolist() for column in columns), strict=True
  ):
    found.add(time, order, is_silent=not is_own)
    counts.append(len(found))
  messages = found.messages()
  event_of = first + np.searchsorted(counts, np.arange(len(messages)), "right")
  return messages, event_of
