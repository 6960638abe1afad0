"""Markets to simulate from: a day of orders, replayed up to a time.

The day may be synthetic (`baselines.zero_intelligence`), which needs no file.
Without a model, orders are drawn from those before the start, independent of
each other: the day's own mix of orders without a memory.
"""

import collections.abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import sim
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.lob import session
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import checks
from mars_jax.utils import progress
from mars_jax.utils import time_of_day

NO_MODEL = "none"
AUTO = "auto"  # The rules of the exchange that the orders come from.
_MIN_ORDERS = 100  # Before the start, where orders are drawn from them.
_DEFAULT = sim.SimConfig()
FILL = 0.75  # Share of the simulated book that the start may take up.

_read_tokens = jax.jit(lmm.read, static_argnames="config")

OnReplay = collections.abc.Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class StartConfig:
  """The start of simulations; static.

  Attributes:
    path: the day, of any format of `feeds`; "synthetic-0", with any seed, is
      one that needs no data.
    instrument: which one of a file of several, or "".
    day: the same; the last one if "".
    times: HH:MM:SS of the market's clock, one simulation each; none for five
      sixths into the data.
    model: the path of a model, or "none" to draw orders from the past.
    book_capacity: orders that one side of a simulated book can hold.
    replay_capacity: the same of the book of the replayed day.
    state: path of a saved simulation to go on with, or "". The rest must be
      what it was when that began: it names the market and the model.
  """

  path: str
  instrument: str = ""
  day: str = ""
  times: tuple[str, ...] = ()
  model: str = NO_MODEL
  book_capacity: int = 512
  replay_capacity: int = 4096
  state: str = ""

  def __post_init__(self):
    check_capacities(self.book_capacity, self.replay_capacity)
    if self.state and len(self.times) > 1:
      raise ValueError("a saved simulation goes on from one time, not several")


@dataclasses.dataclass(frozen=True)
class Start:
  """A market to simulate from.

  Attributes:
    stream: the day up to the start.
    past: its orders in continuous trading, as records.
    book: the replayed book after it.
    initial: what the simulator starts from.
    flow: the model, its parameters and bins.
    num_truncated: resting orders, the farthest from the mid, that the simulated
      book starts without, and orders for which the replayed book had no room.
  """

  stream: events.EventStream
  past: records_lib.Records
  book: lob.Book
  initial: sim.Start
  flow: sim.Flow
  num_truncated: int

  @property
  def begin(self) -> int:
    """Nanoseconds since midnight at which it starts."""
    return int(time_of_day.nanoseconds(self.initial.market.clock))

  def sim_config(
    self, rules: str = AUTO, base: sim.SimConfig = _DEFAULT
  ) -> sim.SimConfig:
    """Returns how this market is simulated: by the rules of its exchange.

    Args:
      rules: of `lob.PRESETS`, or "auto" for those of the stream.
      base: all else.
    """
    checks.one_of("rules", rules, (AUTO, *lob.PRESETS))
    name = self.stream.rules if rules == AUTO else rules
    return dataclasses.replace(base, rules=lob.PRESETS[name])


def check_capacities(book_capacity: int, replay_capacity: int) -> None:
  """Raises ValueError unless the replayed book is large enough.

  It must be able to fill the simulated one.
  """
  checks.at_least(
    16, book_capacity=book_capacity, replay_capacity=replay_capacity
  )
  if replay_capacity < book_capacity:
    raise ValueError(
      f"replay_capacity = {replay_capacity} is below book_capacity ="
      f" {book_capacity}: the simulated book would start without orders that"
      f" it has room for; give {book_capacity} or more"
    )


def read(
  path: str, instrument: str = "", day: str = ""
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads a day, and what the exchange published of it.

  Of a capture of several days the last is read, with a note, if none is named.
  """
  there = () if day else registry.days(path)
  if len(there) > 1:
    *_, day = there
    progress.CONSOLE.print(
      f"note: {path} has the days {', '.join(there)}; this is of {day}"
    )
  chosen = {"instrument": instrument, "day": day}
  chosen = {name: value for name, value in chosen.items() if value}
  return registry.read_checked(path, **chosen)


def times(
  texts: collections.abc.Sequence[str], stream: events.EventStream
) -> list[int]:
  """Returns times of day in nanoseconds since midnight.

  Args:
    texts: HH:MM:SS; none for five sixths into the day.
    stream: the day.
  """
  if not texts:
    first, last = int(stream.time[0]), int(stream.time[-1])
    return [first + (last - first) * 5 // 6]
  return [
    time_of_day.parse_clock(text, named=f"start {text!r}") for text in texts
  ]


def load_model(path: str) -> lmm.Model | None:
  """Reads a model; None for "none"."""
  return None if path == NO_MODEL else lmm.load(path)


def note_unknown_market(model: lmm.Model, stream: events.EventStream) -> None:
  """Prints a note if the model lacks a day's market."""
  trained_on = (f"{stream.market} {stream.instrument}", f"{stream.market},")
  is_known = len(model.tokenizers) > 1 and stream.market in model.tokenizers
  if is_known or model.card["data"].startswith(trained_on):
    return
  progress.CONSOLE.print(
    f"note: the model was trained on {model.card['data']}, not on"
    f" {stream.name}; prices and volumes may be on another scale"
  )


def before(stream: events.EventStream, time: int) -> events.EventStream:
  """Returns the events up to a time, nanoseconds since midnight."""
  return stream[: int(np.searchsorted(stream.time, time, side="right"))]


def load_start(
  stream: events.EventStream,
  time: int,
  model: lmm.Model | None,
  *,
  reference: int | None = None,
  book_capacity: int = 512,
  replay_capacity: int = 4096,
  on_progress: OnReplay = lambda num_events: None,
) -> Start:
  """Replays a day up to a time.

  Args:
    stream: a day, from its start.
    time: nanoseconds since midnight.
    model: reads the last orders before the start, as many as it can see; None
      to draw orders from those before the start.
    reference: ticks, the previous close, that the exchange's price limits count
      from (`GroundTruth.reference`); the first mid of the day if None.
    book_capacity: orders that one side of the simulated book can hold. It
      starts with the best orders, three quarters of that, so that there is
      room for more.
    replay_capacity: the same of the replayed book.
    on_progress: called with the number of events just replayed.

  Raises:
    ValueError: if the time is not in the day or fewer orders come before it
      than the model reads, the model has no bins for the market, or the
      replayed book is smaller than the simulated one.
  """
  check_capacities(book_capacity, replay_capacity)
  min_orders = _MIN_ORDERS if model is None else model.config.window
  check_time(stream, time, min_orders=min_orders)
  tokenizer = None if model is None else model.tokenizer(stream.market)
  stream = before(stream, time)
  past, book = replay.replay(
    stream,
    lob.init(replay_capacity),
    num_levels=features.SNAPSHOT_LEVELS,
    on_progress=on_progress,
  )
  if model is None:
    tokenizer = encoding.fit(past)
  tokens = encoding.encode(tokenizer, past)
  if model is None:
    flow = sim.Flow(jnp.asarray(tokens.symbols), tokenizer, RESAMPLED)
    cache, bias = (), None
  else:
    flow = sim.Flow(model.params, tokenizer, order_model_fns(model.config))
    cache, bias = _read(model, tokens)
  small = lob.resize(book, int(book_capacity * FILL))
  market = market_after(
    past,
    lob.resize(small, book_capacity),
    reference=past.mid_before[0] if reference is None else reference,
    next_id=stream.order_id.max() + 1,
  )
  initial = sim.Start(
    market=market,
    token=jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), tokens),
    cache=cache,
    context=bias,
  )
  return Start(stream, past, book, initial, flow, int(small.dropped))


def check_time(
  stream: events.EventStream, time: int, *, min_orders: int
) -> None:
  """Raises unless a time can be a start.

  Args:
    stream: a day.
    time: nanoseconds since midnight.
    min_orders: orders that must have come by then.

  Raises:
    ValueError: if the time lies before that or after the end of the day.
  """
  order_time = stream.time[stream.is_market_event]
  if len(order_time) < min_orders:
    raise ValueError(
      f"{stream.name} has {len(order_time)} orders, fewer than the"
      f" {min_orders} that must come before a start"
    )
  first, last = order_time[min_orders - 1], stream.time[-1]
  if not first <= time <= last:
    text = time_of_day.clock_text
    raise ValueError(
      f"the start must lie between {text(first)}, when the {min_orders} orders"
      f" that it needs have come, and {text(last)}, the end of {stream.name};"
      f" {text(time)} does not"
    )


@functools.lru_cache
def order_model_fns(config: lmm.LmmConfig) -> sim.OrderModelFns:
  """Returns an order model as the simulator takes it."""
  return sim.OrderModelFns(
    functools.partial(lmm.next_order, config=config),
    cache_axes=lmm.cache.AXES,
    align_cache=lmm.cache.align,
  )


def _read(model: lmm.Model, tokens: features.TokenFeatures):
  """Returns the cache and the bias of the past.

  As far back as the model can see, without the last order.
  """
  num_seen = sum(model.config.windows)
  earlier = jax.tree.map(lambda leaf: leaf[-num_seen:-1], tokens)
  cache, bias = _read_tokens(model.params, earlier, config=model.config)
  return lmm.cache.share(cache), bias


def _resample(params, key, inputs, cache):
  """Draws one of the orders `params`, `[T, F]`."""
  del inputs
  return params[jax.random.randint(key, (), 0, len(params))], cache


RESAMPLED = sim.OrderModelFns(_resample)
"""Draws from the orders that are its parameters, symbols `[T, F]`."""


def markets_after(
  records: records_lib.Records,
  starts: np.ndarray,
  books: lob.Book,
  *,
  next_id: int,
) -> sim.MarketState:
  """Returns the markets at moments of a day, `[S, ...]`.

  Args:
    records: the day's orders.
    starts: `[S]`, orders before each moment.
    books: at these moments, leaves `[S, 2, N]`.
    next_id: of the next order that may rest.
  """
  markets = [
    market_after(
      records[:start],
      jax.tree.map(lambda leaf, i=i: leaf[i], books),
      reference=records.mid_before[0],
      next_id=next_id,
    )
    for i, start in enumerate(starts.tolist())
  ]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *markets)


def market_after(
  past: records_lib.Records,
  book: lob.Book,
  *,
  reference: int,
  next_id: int,
) -> sim.MarketState:
  """Returns the market after the past, with the simulated book.

  Args:
    past: the day's orders up to then.
    book: after them, with room for more.
    reference: ticks, the previous close.
    next_id: of the next order that may rest.
  """
  market = sim.MarketState(
    clock=time_of_day.timestamps(past.time[-1]),
    exchange=session.init(book, reference=reference),
    mid=lob.mid(book, fallback=past.mid_after[-1]),
    open_mid=past.mid_before[0],
    next_id=next_id,
    traded=np.int32(0),
  )
  return jax.tree.map(jnp.asarray, market)
