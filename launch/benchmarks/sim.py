"""Times the simulator: order flow, matching engine and features in one loop.

Nothing is read: parameters, the history and the start book are random. Times do
not depend on them, but for what the prices do to the book, whose capacity is
what counts.
"""

import collections.abc
import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import lmm as lmm_benchmark
from benchmarks import mars
from mars_jax import lmm
from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import simulation
from mars_jax.lob import session

_MID, _BOOK_ORDERS = 10_000, 100  # Of the start book; orders of a side.
_BANDWIDTH_BYTES = 2**28  # Read, to time the memory.

OnRepeat = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class SimBenchmark:
  """Settings of the simulator benchmark; see the script's flags."""

  model: lmm.LmmConfig
  heads: tuple[str, ...]
  batch: tuple[int, ...]
  capacity: int
  num_events: int
  repeats: int
  peer_path: str | None

  @property
  def num_repeats(self) -> int:
    """Number of calls of `on_repeat` by `run`."""
    rows = len(self.heads) * len(self.batch)
    peer = self.repeats if self.peer_path else 0
    return self.repeats * rows * len(_STAGES) + peer


def run(config: SimBenchmark, on_repeat: OnRepeat) -> dict:
  """Measures.

  Args:
    config: what to measure.
    on_repeat: called after every repetition, with what it was of.

  Returns:
    The results, as JSON has them: the config, `rows` of each head and number
    of trajectories, the `bandwidth` of the memory in bytes a second, and of the
    `peer` the orders a second, if there is one.
  """
  peer = None
  if config.peer_path:  # First, since it may not be there.
    peer = mars.measure(
      config.peer_path, config.model, config.repeats, on_repeat
    )
  bandwidth = _bandwidth()
  rows = [
    _row(config, head, batch, bandwidth, on_repeat)
    for head in config.heads
    for batch in config.batch
  ]
  for row in rows if peer else ():
    row["ratio"] = row["orders_per_s"] / peer["orders_per_s"]
  return {
    "benchmark": "sim",
    "config": dataclasses.asdict(config),
    "devices": jax.device_count(),
    "bandwidth": bandwidth,
    "rows": rows,
    "peer": peer,
  }


def _row(config: SimBenchmark, head, batch, bandwidth, on_repeat) -> dict:
  """Returns the speed of some futures, and its parts."""
  # A joint softmax is over the orders of the paper's alphabet.
  alphabet = "mid" if head == "joint" else config.model.alphabet
  model = dataclasses.replace(config.model, head=head, alphabet=alphabet)
  market = _Market(model, config.capacity)
  compile_s, seconds = {}, {}
  for stage, flow in _STAGES.items():
    timing = _time_rollout(
      market, flow(model), batch, config, lambda s=stage: on_repeat(s)
    )
    compile_s[stage], seconds[stage] = timing
  whole, without_head, book = (
    float(np.median(seconds[stage])) for stage in _STAGES
  )
  num_orders = batch * config.num_events
  step = whole / config.num_events
  floor = _bytes(market, batch, config) / bandwidth
  return {
    "head": head,
    "trajectories": batch,
    "parameters": lmm.num_params(market.params),
    "orders_per_s": num_orders / whole,
    "orders_per_s_min": num_orders / max(seconds["whole"]),
    "orders_per_s_max": num_orders / min(seconds["whole"]),
    "step_s": step,
    "share_book": book / whole,
    "share_layers": (without_head - book) / whole,
    "share_head": (whole - without_head) / whole,
    "floor_s": floor,
    "share_of_floor": floor / step,
    "cache_bytes": _cache_bytes(market.start.cache),
    "compile_s": compile_s["whole"],
  }


def _whole(model: lmm.LmmConfig):
  """The model, as simulations have it."""
  return functools.partial(lmm.next_order, config=model)


def _without_head(model: lmm.LmmConfig):
  """All of the model but its head: orders do not depend on it."""

  def next_order(params, key, inputs, cache):
    hidden, cache = lmm.apply(
      params, inputs.token, cache, is_new=inputs.is_new, config=model
    )
    # Never true, but the layers have to be computed to know.
    return _draw(key, model) + (hidden.sum() > 1e30), cache

  return next_order


def _without_model(model: lmm.LmmConfig):
  """No model: the matching engine, the features and the plan alone."""

  def next_order(params, key, inputs, cache):
    del params
    return _draw(key, model) + (inputs.token.volumes.sum() < 0), cache

  return next_order


def _draw(key, model):
  """Draws an order of the alphabet, each as likely."""
  sizes = jnp.asarray(model.field_sizes, jnp.int32)
  return jax.random.randint(key, sizes.shape, 0, sizes)


_STAGES = {
  "whole": _whole,
  "without the head": _without_head,
  "without the model": _without_model,
}


class _Market:
  """A random model and the start of its futures."""

  def __init__(self, model: lmm.LmmConfig, capacity: int):
    self.tokens_seen = model.window
    self.params = jax.jit(lmm.init, static_argnames="config")(
      jax.random.key(0), config=model
    )
    self.tokenizer = lmm_benchmark.make_tokenizer(model)
    tokens = lmm_benchmark.random_tokens(model, 1, model.window + 1)
    tokens = jax.tree.map(lambda x: x[0], tokens)
    history, last = (
      jax.tree.map(lambda x, i=i: x[i], tokens)
      for i in (slice(-1), model.window)
    )
    _, cache = jax.jit(functools.partial(lmm.apply, config=model))(
      self.params, history
    )
    zero = jnp.int32(0)
    book = _book(capacity)
    state = sim.MarketState(
      clock=types.Timestamp(jnp.int32(40_000), zero),
      exchange=session.init(book, reference=_MID),
      mid=lob.mid(book, fallback=zero),
      open_mid=jnp.int32(_MID),
      next_id=jnp.int32(2 * _BOOK_ORDERS),
      traded=zero,
    )
    self.start = sim.Start(state, last, lmm.cache.share(cache))


def _book(capacity: int) -> lob.Book:
  """Returns a book with orders within 100 ticks."""
  rng = np.random.default_rng(0)
  count = 2 * min(_BOOK_ORDERS, capacity // 2)
  side = np.arange(count) % 2
  distance = rng.integers(1, 100, count)
  price = np.where(side == types.Side.ASK, _MID + distance, _MID - distance)
  orders = types.Order(
    kind=np.zeros(count, np.int32),
    side=side.astype(np.int32),
    price=price.astype(np.int32),
    volume=rng.integers(1, 1000, count).astype(np.int32),
    id=np.arange(count, dtype=np.int32),
    owner=np.full(count, types.NO_OWNER, np.int32),
  )
  return lob.from_orders(orders, capacity)


def _time_rollout(market, next_order, batch, config, on_repeat):
  """Times rollouts of futures in step, each from the start.

  Returns:
    Seconds to compile, and of each repetition.
  """
  fns = sim.OrderModelFns(
    next_order,
    cache_axes=lmm.cache.AXES,
    align_cache=lmm.cache.align,
  )
  flow = sim.Flow(market.params, market.tokenizer, fns)
  keys = jax.random.split(jax.random.key(0), batch)
  mesh = simulation.mesh_of(batch, jax.devices())
  seconds = []
  for _ in range(config.repeats + 1):
    state = sim.init_many(flow, keys, market.start)
    chunks = sim.run(
      flow,
      state,
      chunk=config.num_events,
      observe_fn=_mid,
      mesh=mesh,
    )
    began = time.perf_counter()
    next(chunks)
    seconds.append(time.perf_counter() - began)
    if len(seconds) > 1:
      on_repeat()
  return seconds[0], seconds[1:]


def _mid(state, event):
  del state
  return event.mid


def _cache_bytes(cache: lmm.KvCache) -> int:
  """Returns the memory that a trajectory's own cache takes."""
  return _size((cache.keys, cache.values))


def _bytes(market: _Market, batch: int, config: SimBenchmark) -> float:
  """Returns the least bytes that a step reads.

  On average over the rollout.

  The parameters and the history once, and of each trajectory the tokens that
  it has appended so far.
  """
  cache = market.start.cache
  shared = _size((market.params, cache.prefix_keys, cache.prefix_values))
  filled = min(config.num_events / 2, market.tokens_seen) / market.tokens_seen
  return shared + batch * _cache_bytes(cache) * filled


def _size(tree) -> int:
  return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _bandwidth() -> float:
  """Measures the memory bandwidth of the devices.

  Bytes per second, by the time of a sum.
  """
  shape = (jax.device_count(), _BANDWIDTH_BYTES // 4 // jax.device_count())
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
  spec = jax.sharding.PartitionSpec("data")
  sharding = jax.sharding.NamedSharding(mesh, spec)
  x = jax.device_put(jnp.ones(shape, jnp.float32), sharding)
  add = jax.jit(lambda x: x.sum(axis=1))
  seconds = []
  for _ in range(6):
    began = time.perf_counter()
    jax.block_until_ready(add(x))
    seconds.append(time.perf_counter() - began)
  return x.nbytes / float(np.median(seconds[1:]))
