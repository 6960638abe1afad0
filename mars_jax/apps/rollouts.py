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
from mars_jax import records as records_lib
from mars_jax import sim
from mars_jax.apps import start as start_lib
from mars_jax.apps import windows as windows_lib
from mars_jax.baselines import queue_reactive
from mars_jax.evals import messages as messages_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import progress
from mars_jax.utils import time_of_day

_CHUNK = 128  # Events of each future in one compiled call.
_SPARE = (
  1.1  # Orders to simulate for each message wanted, since some make none.
)


@dataclasses.dataclass(frozen=True)
class Generated:
  """Futures of S windows.

  Attributes:
    messages: of each, as many as the window's real ones unless it fell short.
    records: of each, whole.
    num_dropped: orders for which a book had no room, of all.
    num_emptied: futures whose book lacked a side at some time.
  """

  messages: list[messages_lib.Messages]
  records: list[records_lib.Records]
  num_dropped: int
  num_emptied: int


def of_model(
  windows: windows_lib.Windows,
  model: lmm.Model,
  key: jax.Array,
  *,
  num_messages: int | None = None,
  visible: bool = True,
) -> Generated:
  """Simulates a model from each start.

  Args:
    windows: S windows; the model reads as many orders as their messages to
      condition on are.
    model: has bins for the market.
    key: typed PRNG key, consumed.
    num_messages: of each future; as many as the real ones if None.
    visible: whether to show the progress.
  """
  tokenizer = model.tokenizer(windows.stream.market)
  encoded = encoding.encode(tokenizer, windows.records)
  length = min(windows.config.num_cond, int(windows.starts.min()))
  seen = windows_lib.tokens(windows, encoded, length)
  earlier = jax.tree.map(lambda leaf: leaf[:, :-1], seen)
  cache = _read(model.params, earlier, config=model.config)
  flow = sim.Flow(
    model.params, tokenizer, start_lib.order_model_fns(model.config)
  )
  return _simulate(
    windows, flow, key, _last(seen), cache, num_messages, visible=visible
  )


def of_real_orders(
  windows: windows_lib.Windows,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Plays the real orders from each start by their symbols.

  No model can do better than its alphabet: this is what is lost by it.
  """
  encoded = encoding.encode(tokenizer, windows.records)
  num_events = _num_events(windows, None)
  rows = windows.starts[:, None] + np.arange(num_events + 1)
  rows = np.minimum(rows, len(windows.records) - 1)
  seen = windows_lib.tokens(windows, encoded, 1)
  flow = sim.Flow((), tokenizer, _SCRIPTED)
  return _simulate(
    windows,
    flow,
    key,
    _last(seen),
    jnp.zeros(len(windows), jnp.int32),
    None,
    context=encoded.symbols[rows],
    visible=visible,
  )


def _scripted(params, key, inputs, cache):
  """Returns the next order of a script, `context` `[K, F]`."""
  del params, key
  symbols = inputs.context[jnp.minimum(cache, len(inputs.context) - 1)]
  return symbols, cache + inputs.is_new


_SCRIPTED = sim.OrderModelFns(_scripted)


def of_random_orders(
  windows: windows_lib.Windows,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Draws orders from before the windows, without a memory."""
  encoded = encoding.encode(tokenizer, windows.records)
  flow = sim.Flow(
    jnp.asarray(encoded.symbols[: windows.num_past]),
    tokenizer,
    start_lib.RESAMPLED,
  )
  token = _last(windows_lib.tokens(windows, encoded, 1))
  return _simulate(windows, flow, key, token, (), None, visible=visible)


def of_queue_reactive(
  windows: windows_lib.Windows,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  *,
  visible: bool = True,
) -> Generated:
  """Draws those that met a book in the same state."""
  encoded = encoding.encode(tokenizer, windows.records)
  past = jax.tree.map(lambda leaf: leaf[: windows.num_past], encoded)
  flow = sim.Flow(queue_reactive.fit(past), tokenizer, _QUEUE_REACTIVE)
  token = _last(windows_lib.tokens(windows, encoded, 1))
  return _simulate(windows, flow, key, token, (), None, visible=visible)


_QUEUE_REACTIVE = sim.OrderModelFns(queue_reactive.next_order)


def of_other_windows(
  windows: windows_lib.Windows, others: windows_lib.Windows, seed: int
) -> list[messages_lib.Messages]:
  """Returns random earlier windows in place of the futures."""
  rng = np.random.default_rng(seed)
  picked = rng.integers(0, len(others), len(windows))
  return [
    _moved(others.real[i], cond)
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
  """Returns the caches after tokens `[S, T]`."""

  def read(tokens):
    return lmm.apply(params, tokens, config=config)[1]

  return jax.vmap(read, out_axes=lmm.cache.AXES)(tokens)


def _last(tokens: features.TokenFeatures) -> features.TokenFeatures:
  """Returns the last token of each row."""
  return jax.tree.map(lambda leaf: jnp.asarray(leaf[:, -1]), tokens)


def _num_events(windows, num_messages) -> int:
  wanted = num_messages or windows.config.num_real
  return int(wanted * _SPARE) + 1


def _observe(state: sim.SimState, event: sim.Event):
  del state
  return event


def _simulate(
  windows, flow, key, token, cache, num_messages, *, context=None, visible
) -> Generated:
  """Simulates each window from its start."""
  config = sim.SimConfig(rules=windows.rules)
  starts = sim.Start(windows.markets(), token, cache)
  keys = sim.trajectory_keys(key, len(windows))
  begun = sim.init_each(flow, keys, starts, config=config, context=context)
  num_events = _num_events(windows, num_messages)
  kept = []
  with progress.bar("simulate", num_events, visible=visible) as show:
    for after, events in sim.run(
      flow,
      begun,
      observe_fn=_observe,
      config=config,
      max_events=-(-num_events // _CHUNK) * _CHUNK,
      chunk=_CHUNK,
    ):
      kept.append(events)
      last = after
      show(min(len(kept) * _CHUNK, num_events), "")
    dropped = np.asarray(last.market.exchange.book.dropped)
  events = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *kept)
  each = [
    jax.tree.map(lambda x, i=i: x[i], events) for i in range(len(windows))
  ]
  start_mids = np.asarray(starts.market.mid).tolist()
  found = [
    sim.to_records(one, start_mid=mid)
    for one, mid in zip(each, start_mids, strict=True)
  ]
  wanted = num_messages or windows.config.num_real
  messages = [
    _messages_of(windows, i, one, wanted) for i, one in enumerate(each)
  ]
  return Generated(
    messages=messages,
    records=found,
    num_dropped=int(dropped.sum()),
    num_emptied=sum(not m.is_two_sided for m in messages),
  )


def _messages_of(windows, index, events, count) -> messages_lib.Messages:
  """Returns the first messages of a future."""
  book = jax.tree.map(lambda x: x[index], windows.books)
  found = messages_lib.Collector(
    book, windows.rules, num_levels=windows.config.num_levels
  )
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
