"""Futures of many starts at once, as messages.

A generator is an order flow and what it starts with at each start (`Source`): a
trained model, a flow fitted to the orders before, or the real orders
themselves, which shows what is lost by the alphabet alone. `long_futures`
simulates the same sources and keeps bars.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import sim
from mars_jax.apps import long_starts
from mars_jax.apps import start as start_lib
from mars_jax.apps import windows as windows_lib
from mars_jax.baselines import poisson_flow
from mars_jax.baselines import queue_reactive
from mars_jax.evals import messages as messages_lib
from mars_jax.tokens import features
from mars_jax.utils import progress
from mars_jax.utils import time_of_day

FLOWS = ("random orders", "zero intelligence", "queue-reactive", "model")
"""Generators that go on without an end."""

Starts = windows_lib.Windows | long_starts.Starts
"""S moments of a day, with the orders before them."""

_CHUNK = 128  # Events of each future in one compiled call.
_SPARE = 1.1  # Orders for each message wanted, since some make none.


@dataclasses.dataclass(frozen=True)
class Source:
  """An order flow at S starts.

  Attributes:
    flow: the order flow.
    starts: the markets, leaves `[S, ...]`.
  """

  flow: sim.Flow
  starts: sim.Start


@dataclasses.dataclass(frozen=True)
class Generated:
  """Futures of S windows.

  Attributes:
    messages: of each, as many as the window's real ones unless it fell short.
    num_dropped: orders for which a book had no room, of all.
    events: of all simulated ones, numpy leaves `[S, E, ...]`; None where there
      is no simulation.
  """

  messages: list[messages_lib.Messages]
  num_dropped: int
  events: sim.Event | None = None


def source(
  name: str,
  starts: Starts,
  encoded: features.TokenFeatures,
  tokenizer: features.Tokenizer,
  model: lmm.Model | None = None,
) -> Source:
  """Returns the order flow of a generator that is simulated.

  Args:
    name: "tokens only", or one of `FLOWS`.
    starts: S starts; windows for "tokens only".
    encoded: the tokens of their records.
    tokenizer: that encoded them.
    model: has these bins; None unless it is asked for.
  """
  if name == "model":
    return model_source(starts, encoded, model)
  if name == "tokens only":
    return real_source(starts, encoded, tokenizer)
  return past_source(name, starts, encoded, tokenizer)


def model_source(
  starts: Starts,
  encoded: features.TokenFeatures,
  model: lmm.Model,
) -> Source:
  """Returns a model after the orders before each start.

  It reads as far back as it can see.

  Args:
    starts: S starts; their `num_seen` is the most that the model reads.
    encoded: the tokens of their records, by the model's bins.
    model: has bins for the market.
  """
  length = min(starts.num_seen, sum(model.config.windows))
  # The last one is read by the simulator.
  rows = starts.starts[:, None] - length + np.arange(length - 1)
  earlier = jax.tree.map(lambda leaf: leaf[rows], encoded)
  cache, bias = _read(model.params, earlier, config=model.config)
  flow = sim.Flow(
    model.params,
    model.tokenizer(starts.stream.market),
    start_lib.order_model_fns(model.config),
  )
  return Source(flow, _starts(starts, encoded, cache, context=bias))


def real_source(
  windows: windows_lib.Windows,
  encoded: features.TokenFeatures,
  tokenizer: features.Tokenizer,
) -> Source:
  """Returns the real orders after each start, by their symbols.

  No model can do better than its alphabet: this is what is lost by it.

  Args:
    windows: S windows.
    encoded: the tokens of their records.
    tokenizer: that encoded them.
  """
  rows = windows.starts[:, None] + np.arange(_num_events(windows) + 1)
  rows = np.minimum(rows, len(windows.records) - 1)
  return Source(
    sim.Flow((), tokenizer, _SCRIPTED),
    _starts(
      windows,
      encoded,
      jnp.zeros(len(windows), jnp.int32),
      context=encoded.symbols[rows],
    ),
  )


def _scripted(params, key, inputs, cache):
  """Returns the next order of a script, `context` `[K, F]`."""
  del params, key
  symbols = inputs.context[jnp.minimum(cache, len(inputs.context) - 1)]
  return symbols, cache + inputs.is_new


_SCRIPTED = sim.OrderModelFns(_scripted)


def past_source(
  name: str,
  starts: Starts,
  encoded: features.TokenFeatures,
  tokenizer: features.Tokenizer,
) -> Source:
  """Returns a flow fitted to the orders before the starts.

  Args:
    name: "random orders", any of these orders, without a memory;
      "queue-reactive", one that met a book in the same state; or "zero
      intelligence", Poisson processes.
    starts: S starts.
    encoded: the tokens of their records.
    tokenizer: that encoded them.
  """
  past = jax.tree.map(lambda leaf: leaf[: starts.num_past], encoded)
  if name == "queue-reactive":
    params, fns = queue_reactive.fit(past), _QUEUE_REACTIVE
  elif name == "zero intelligence":
    records = starts.records[: starts.num_past]
    params = poisson_flow.fit(tokenizer, records, past.symbols)
    fns = _POISSON
  else:
    params, fns = jnp.asarray(past.symbols), start_lib.RESAMPLED
  flow = sim.Flow(params, tokenizer, fns)
  return Source(flow, _starts(starts, encoded, ()))


_QUEUE_REACTIVE = sim.OrderModelFns(queue_reactive.next_order)
_POISSON = sim.OrderModelFns(poisson_flow.next_order)


def of_other_windows(
  windows: windows_lib.Windows, seed: int
) -> list[messages_lib.Messages]:
  """Returns random earlier windows in place of the futures."""
  rng = np.random.default_rng(seed)
  picked = rng.integers(0, len(windows.earlier), len(windows))
  return [
    _moved(windows.earlier[i], cond)
    for i, cond in zip(picked, windows.cond, strict=True)
  ]


def of_replay(windows: windows_lib.Windows) -> list[messages_lib.Messages]:
  """Returns the messages before each start again, as its future."""
  return [_moved(cond, cond) for cond in windows.cond]


def _moved(messages, cond):
  """Returns messages at times that follow those conditioned on."""
  shift = cond.time[-1] - messages.time[0]
  return dataclasses.replace(messages, time=messages.time + shift)


@functools.partial(jax.jit, static_argnames="config")
def _read(params, tokens, *, config):
  """Returns the caches after tokens `[S, T]`, and the biases."""
  read = functools.partial(lmm.read, config=config)
  return jax.vmap(read, (None, 0), (lmm.cache.AXES, 0))(params, tokens)


def _num_events(windows) -> int:
  """Returns how many orders give the messages wanted."""
  return int(windows.config.num_real * _SPARE) + 1


def _starts(starts, encoded, cache, context=None) -> sim.Start:
  """Returns the markets at the starts, with caches and contexts."""
  last = jax.tree.map(
    lambda leaf: jnp.asarray(leaf[starts.starts - 1]), encoded
  )
  return sim.Start(starts.markets(), last, cache, context)


def repeat(source: Source, count: int) -> Source:
  """Returns a source with copies of each start.

  Args:
    source: at S starts.
    count: copies of each.

  Returns:
    The source at S x count starts; copies of one are in a row.
  """

  def repeated(axis, leaves):
    if axis is None:
      return leaves
    return jax.tree.map(lambda x: jnp.repeat(x, count, axis), leaves)

  starts = jax.tree.map(
    repeated,
    sim.start_axes(source.flow.fns),
    source.starts,
    is_leaf=lambda axis: axis is None,
  )
  return Source(source.flow, starts)


def _observe(state: sim.SimState, event: sim.Event):
  del state
  return event


def simulate(
  windows: windows_lib.Windows,
  source: Source,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Simulates each window from its start.

  Args:
    windows: S windows.
    source: the order flow.
    key: typed PRNG key, consumed.
    visible: whether to show the progress.
  """
  events, num_dropped = run(windows, source, key, visible=visible)
  messages = [
    _messages_of(windows, i, jax.tree.map(lambda x, i=i: x[i], events))
    for i in range(len(windows))
  ]
  return Generated(messages, num_dropped, events)


def run(
  windows: windows_lib.Windows,
  source: Source,
  key: jax.Array,
  *,
  visible: bool = True,
) -> tuple[sim.Event, int]:
  """Simulates as `simulate`, and returns the events alone.

  Returns:
    The events, numpy leaves `[S, E, ...]`, enough for the messages wanted; and
    the orders for which a book had no room.
  """
  config = sim.SimConfig(rules=windows.rules)
  keys = sim.trajectory_keys(key, len(windows))
  state = sim.init_each(source.flow, keys, source.starts, config=config)
  num_events = _num_events(windows)
  chunks = sim.run(
    source.flow,
    state,
    observe_fn=_observe,
    config=config,
    max_events=-(-num_events // _CHUNK) * _CHUNK,
    chunk=_CHUNK,
  )
  kept, dropped = [], None
  with progress.bar("simulate", num_events, visible=visible) as show:
    for state, events in chunks:
      kept.append(events)
      dropped = np.asarray(state.market.exchange.book.dropped)
      show(min(len(kept) * _CHUNK, num_events), "")
  events = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *kept)
  return events, int(dropped.sum())


def _messages_of(windows, index, events) -> messages_lib.Messages:
  """Returns the first messages of a future."""
  book = jax.tree.map(lambda x: x[index], windows.books)
  found = messages_lib.Collector(
    book, windows.rules, num_levels=windows.config.num_levels
  )
  count = windows.config.num_real
  order, report = events.order, events.report
  columns = (order.kind, order.side, order.price, order.volume, order.id)
  times = time_of_day.nanoseconds(events.time)
  for time, *one, reason, is_event in zip(
    *(x.tolist() for x in (times, *columns, report.reason, events.is_event)),
    strict=True,
  ):
    if is_event:
      found.add(time, one, reason)
    if len(found) >= count:
      break
  return found.messages()[:count]
