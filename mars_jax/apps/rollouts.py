"""Futures of many starts at once, as messages.

A generator is an order flow and, of each window, what it starts with: a trained
model, orders drawn at random, or the real orders themselves, which shows what
is lost by the alphabet alone.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import sim
from mars_jax.apps import start as start_lib
from mars_jax.apps import windows as windows_lib
from mars_jax.baselines import queue_reactive
from mars_jax.evals import messages as messages_lib
from mars_jax.tokens import features
from mars_jax.utils import progress
from mars_jax.utils import time_of_day

_CHUNK = 128  # Events of each future in one compiled call.
_SPARE = 1.1  # Orders for each message wanted, since some make none.


@dataclasses.dataclass(frozen=True)
class Generated:
  """Futures of S windows.

  Attributes:
    messages: of each, as many as the window's real ones unless it fell short.
    num_dropped: orders for which a book had no room, of all.
  """

  messages: list[messages_lib.Messages]
  num_dropped: int


def of_model(
  windows: windows_lib.Windows,
  encoded: features.TokenFeatures,
  model: lmm.Model,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Simulates a model from each start.

  Args:
    windows: S windows; the model reads as many orders as their messages to
      condition on are.
    encoded: the tokens of the windows' records, by the model's bins.
    model: has bins for the market.
    key: typed PRNG key, consumed.
    visible: whether to show the progress.
  """
  length = min(windows.config.num_cond, int(windows.starts.min()))
  cache = read(model, windows_lib.tokens(windows, encoded, length))
  flow = model_flow(model, windows.stream.market)
  return _simulate(windows, encoded, flow, key, cache, visible=visible)


def of_real_orders(
  windows: windows_lib.Windows,
  encoded: features.TokenFeatures,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Plays the real orders from each start by their symbols.

  No model can do better than its alphabet: this is what is lost by it.

  Args:
    windows: S windows.
    encoded: the tokens of their records.
    tokenizer: that encoded them.
    key: typed PRNG key, consumed.
    visible: whether to show the progress.
  """
  rows = windows.starts[:, None] + np.arange(_num_events(windows) + 1)
  rows = np.minimum(rows, len(windows.records) - 1)
  return _simulate(
    windows,
    encoded,
    sim.Flow((), tokenizer, _SCRIPTED),
    key,
    jnp.zeros(len(windows), jnp.int32),
    context=encoded.symbols[rows],
    visible=visible,
  )


def _scripted(params, key, inputs, cache):
  """Returns the next order of a script, `context` `[K, F]`."""
  del params, key
  symbols = inputs.context[jnp.minimum(cache, len(inputs.context) - 1)]
  return symbols, cache + inputs.is_new


_SCRIPTED = sim.OrderModelFns(_scripted)


def of_past_orders(
  windows: windows_lib.Windows,
  encoded: features.TokenFeatures,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  *,
  by_state: bool,
  visible: bool = True,
) -> Generated:
  """Draws orders from before the windows, without a memory.

  Args:
    windows, encoded, tokenizer, key, visible: as of `of_real_orders`.
    by_state: whether an order is one that met a book in the same state
      (`queue_reactive`), or any.
  """
  past = jax.tree.map(lambda leaf: leaf[: windows.num_past], encoded)
  flow = past_flow(past, tokenizer, by_state=by_state)
  return _simulate(windows, encoded, flow, key, (), visible=visible)


def model_flow(model: lmm.Model, market: str) -> sim.Flow:
  """Returns a model's order flow, with a market's bins."""
  fns = start_lib.order_model_fns(model.config)
  return sim.Flow(model.params, model.tokenizer(market), fns)


def past_flow(
  past: features.TokenFeatures,
  tokenizer: features.Tokenizer,
  *,
  by_state: bool,
) -> sim.Flow:
  """Returns the order flow that draws from past orders.

  Args:
    past: their tokens.
    tokenizer: that encoded them.
    by_state: see `of_past_orders`.
  """
  if by_state:
    return sim.Flow(queue_reactive.fit(past), tokenizer, _QUEUE_REACTIVE)
  symbols = jnp.asarray(past.symbols)
  return sim.Flow(symbols, tokenizer, start_lib.RESAMPLED)


_QUEUE_REACTIVE = sim.OrderModelFns(queue_reactive.next_order)


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


def read(model: lmm.Model, seen: features.TokenFeatures) -> lmm.KvCache:
  """Returns the caches after tokens `[S, T]` but the last."""
  earlier = jax.tree.map(lambda leaf: leaf[:, :-1], seen)
  return _read(model.params, earlier, config=model.config)


@functools.partial(jax.jit, static_argnames="config")
def _read(params, tokens, *, config):
  """Returns the caches after tokens `[S, T]`."""

  def read(tokens):
    return lmm.apply(params, tokens, config=config)[1]

  return jax.vmap(read, out_axes=lmm.cache.AXES)(tokens)


def _num_events(windows) -> int:
  """Returns how many orders give the messages wanted."""
  return int(windows.config.num_real * _SPARE) + 1


def _observe(state: sim.SimState, event: sim.Event):
  del state
  return event


def _simulate(
  windows, encoded, flow, key, cache, *, context=None, visible
) -> Generated:
  """Simulates each window from its start."""
  config = sim.SimConfig(rules=windows.rules)
  last = jax.tree.map(
    lambda leaf: jnp.asarray(leaf[windows.starts - 1]), encoded
  )
  starts = sim.Start(windows.markets(), last, cache)
  keys = sim.trajectory_keys(key, len(windows))
  state = sim.init_each(flow, keys, starts, config=config, context=context)
  num_events = _num_events(windows)
  chunks = sim.run(
    flow,
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
  messages = [
    _messages_of(windows, i, jax.tree.map(lambda x, i=i: x[i], events))
    for i in range(len(windows))
  ]
  return Generated(messages, int(dropped.sum()))


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
