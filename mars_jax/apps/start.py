"""Where simulations start: a day of orders at a time, with a model or without.

The day may be one of `data.synthetic`, which needs no file: a market of no data
that has been warmed up. With no model, each order is one of those before the
start, drawn anew: the day's own mix of orders, without a memory. Together they
make simulations of nothing at hand.
"""

import collections.abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import moment
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.replay import recorder
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import time_of_day

NO_MODEL = "none"
_FEWEST = 100  # Orders before the start that others are drawn from.


@dataclasses.dataclass(frozen=True)
class StartConfig:
  """Static.

  Attributes:
    path: the day, of any format of `data.readers`; "synthetic-0", with any
      seed, is one of no data.
    instrument: which one of a file of several, or "".
    times: HH:MM:SS of the market's clock, one simulation each; none for five
      sixths into the data.
    model: the path of a model, or "none" to draw orders anew.
    book_capacity: orders that one side of a simulated book can hold.
    replay_capacity: the same of the book of the replayed day.
    state: path of a saved simulation to go on with, or "". The rest must be
      what it was when that began: it tells the market and the model.
  """

  path: str
  instrument: str = ""
  times: tuple[str, ...] = ()
  model: str = NO_MODEL
  book_capacity: int = 512
  replay_capacity: int = 4096
  state: str = ""

  def __post_init__(self):
    for name in ("book_capacity", "replay_capacity"):
      if getattr(self, name) < 16:
        raise ValueError(f"{name} must be >= 16, not {getattr(self, name)}")
    if self.state and len(self.times) > 1:
      raise ValueError("a saved simulation goes on from one time, not several")


@dataclasses.dataclass(frozen=True)
class Market:
  """A market to simulate from a moment on.

  Attributes:
    stream: the day, up to the moment.
    start: the market at it.
    params, tokenizer, flow: the model, as the simulator takes it.
    num_cut: resting orders, the farthest from the mid, that the simulated book
      starts without.
  """

  stream: events.EventStream
  start: sim.Start
  params: sim.Params
  tokenizer: features.Tokenizer
  flow: sim.OrderModelFns
  num_cut: int

  @property
  def begin(self) -> int:
    """Nanoseconds since midnight at which it starts."""
    clock = self.start.clock
    return int(clock.seconds) * types.NANOSECONDS + int(clock.nanoseconds)


def read(config: StartConfig) -> events.EventStream:
  """Reads the day of a config."""
  chosen = {"instrument": config.instrument} if config.instrument else {}
  return registry.read(config.path, **chosen)


def times(config: StartConfig, stream: events.EventStream) -> list[int]:
  """Returns the moments of a config, nanoseconds since midnight."""
  if not config.times:
    return [moment.default_start(stream)]
  return [
    time_of_day.parse_clock(text, named=repr(text)) for text in config.times
  ]


def before(stream: events.EventStream, time: int) -> events.EventStream:
  """Returns the events up to a moment, nanoseconds since midnight."""
  return stream[: int(np.searchsorted(stream.time, time, side="right"))]


def at(
  config: StartConfig,
  stream: events.EventStream,
  time: int,
  *,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> Market:
  """Returns a market at a moment.

  Args:
    config: of the start.
    stream: the day that `read` gives.
    time: nanoseconds since midnight.
    on_progress: called with the number of events just replayed.

  Raises:
    ValueError: if `moment.check` does, or the model has no bins for the market.
  """
  past = before(stream, time)
  if config.model == NO_MODEL:
    moment.check(stream, time, fewest=_FEWEST)
    return _without_model(config, past, on_progress)
  model = lmm.load(config.model)
  moment.check(stream, time, fewest=model.config.window)
  found = moment.at(
    past,
    int(past.time[-1]),
    model=model,
    replay_capacity=config.replay_capacity,
    capacity=config.book_capacity,
    on_progress=on_progress,
  )
  return Market(
    stream=past,
    start=found.start,
    params=model.params,
    tokenizer=found.tokenizer,
    flow=found.flow,
    num_cut=found.num_cut,
  )


def _draw_anew(params, key, token, cache, is_new):
  """Draws one of the order indices `params`."""
  del token, is_new
  return params[jax.random.randint(key, (), 0, len(params))], cache


_DRAWN_ANEW = sim.OrderModelFns(_draw_anew)


def _without_model(config, stream, on_progress) -> Market:
  """Returns the market after a stream; what it sends is drawn from there."""
  past, book = recorder.replay(
    stream,
    lob.init(config.replay_capacity),
    num_levels=features.SNAPSHOT_LEVELS,
    on_progress=on_progress,
  )
  tokenizer = encoding.fit(past)
  tokens = encoding.encode(tokenizer, past)
  start, num_cut = moment.start_of(
    past,
    tokens,
    book,
    capacity=config.book_capacity,
    next_id=stream.order_id.max() + 1,
    cache=(),
  )
  return Market(
    stream=stream,
    start=start,
    params=jnp.asarray(tokens.index),
    tokenizer=tokenizer,
    flow=_DRAWN_ANEW,
    num_cut=num_cut,
  )
