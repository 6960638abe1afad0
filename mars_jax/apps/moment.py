"""A real market at a moment: where simulations start, and what came after."""

import collections.abc
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import sim
from mars_jax.feeds import events
from mars_jax.lob import session
from mars_jax.replay import recorder
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import time_of_day

_apply = jax.jit(lmm.apply, static_argnames="config")
_FILL = 0.75  # Share of the simulated book that the start may take up.


@dataclasses.dataclass(frozen=True)
class Moment:
  """One market at one moment.

  Attributes:
    start: to simulate from.
    flow: the model, as the simulator takes it.
    tokenizer: the model's bins of this market.
    past: the orders before the moment.
    future: the orders from the moment on; none where the data ends there.
    num_cut: resting orders, the farthest from the mid, that the simulated book
      starts without.
  """

  start: sim.Start
  flow: sim.OrderModelFns
  tokenizer: features.Tokenizer
  past: records_lib.Records
  future: records_lib.Records
  num_cut: int


def at(
  stream: events.EventStream,
  time: int,
  *,
  model: lmm.Model,
  replay_capacity: int = 4096,
  capacity: int = 512,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> Moment:
  """Replays a market up to a moment, and then its future.

  Args:
    stream: a day, from its start.
    time: nanoseconds since midnight.
    model: reads the last orders before the moment, as many as it can see.
    replay_capacity: orders that one side of the replayed book can hold.
    capacity: the same of the simulated book; see `start_of`.
    on_progress: called with the number of events just replayed.

  Raises:
    ValueError: if `check` does, of the model's window, or if the model has no
      bins for the market.
  """
  check(stream, time, fewest=model.config.window)
  tokenizer = model.tokenizer(stream.market)
  run = functools.partial(
    recorder.replay,
    num_levels=features.SNAPSHOT_LEVELS,
    on_progress=on_progress,
  )
  cut = int(np.searchsorted(stream.time, time, side="right"))
  past, book = run(stream[:cut], lob.init(replay_capacity))
  future = past[:0]
  if cut < len(stream):
    future, _ = run(stream[cut:], book)
  tokens = encoding.encode(tokenizer, past)
  start, num_cut = start_of(
    past,
    tokens,
    book,
    capacity=capacity,
    next_id=stream.order_id[:cut].max() + 1,
    cache=_read(model, tokens),
  )
  return Moment(
    start, order_flow(model.config), tokenizer, past, future, num_cut
  )


def check(stream: events.EventStream, time: int, *, fewest: int) -> None:
  """Raises unless a moment can be a start.

  Args:
    stream: a day.
    time: nanoseconds since midnight.
    fewest: orders that must have come by then, as many as a model reads.

  Raises:
    ValueError: if the moment lies before that or after the end of the day.
  """
  flow_time = stream.time[stream.is_market_event]
  if len(flow_time) < fewest:
    raise ValueError(
      f"{stream.name} has {len(flow_time)} orders, fewer than the {fewest} that"
      " must come before a start"
    )
  first, last = flow_time[fewest - 1], stream.time[-1]
  if not first <= time <= last:
    raise ValueError(
      f"the start must lie between {time_of_day.clock_text(first)}, when the"
      f" {fewest} orders that it needs have come, and {time_of_day.clock_text(last)}, the"
      f" end of {stream.name}; {time_of_day.clock_text(time)} does not"
    )


@functools.lru_cache
def order_flow(config: lmm.LmmConfig) -> sim.OrderModelFns:
  """Returns an order model as the simulator takes it."""
  return sim.OrderModelFns(
    functools.partial(lmm.next_order, config=config),
    cache_axes=lmm.cache.AXES,
    start_axes=lmm.cache.HISTORY_AXES,
    align_cache=lmm.cache.align,
  )


def _read(model: lmm.Model, tokens: features.TokenFeatures) -> lmm.KvCache:
  """Has the model read all of the past that it can see, but the last order."""
  num_seen = model.config.num_layers * model.config.window
  earlier = jax.tree.map(lambda leaf: leaf[-num_seen:-1], tokens)
  _, cache = _apply(model.params, earlier, config=model.config)
  return lmm.cache.share(cache)


def start_of(
  past: records_lib.Records,
  tokens: features.TokenFeatures,
  book: lob.Book,
  *,
  capacity: int,
  next_id: int,
  cache: sim.Cache,
) -> tuple[sim.Start, int]:
  """Returns a market to start from, and the orders that it does without.

  What the venue's rules count from is the first mid of the day: a stream does
  not tell the previous close.

  Args:
    past: the orders before, `[T]`.
    tokens: of them, leaves `[T]`.
    book: after them.
    capacity: of the simulated book. It starts with the best orders, three
      quarters of that, so that there is room for more.
    next_id: of the next order.
    cache: of the model, after all tokens but the last.
  """
  small = lob.resize(book, int(capacity * _FILL))
  fitting = lob.resize(small, capacity)
  start = sim.Start(
    clock=time_of_day.timestamps(past.time[-1]),
    exchange=session.init(fitting, reference=past.mid_before[0]),
    mid=lob.mid(fitting, fallback=past.mid_after[-1]),
    open_mid=past.mid_before[0],
    next_id=next_id,
    token=jax.tree.map(lambda leaf: leaf[-1], tokens),
    cache=cache,
  )
  start = jax.tree.map(jnp.asarray, start)
  return start, int(small.dropped - book.dropped)


def default_start(stream: events.EventStream) -> int:
  """Returns five sixths into a day, in nanoseconds since midnight."""
  first, last = int(stream.time[0]), int(stream.time[-1])
  return first + (last - first) * 5 // 6
