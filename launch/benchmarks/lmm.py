"""Times the order model: training, where its time goes, and decoding.

Nothing is read: orders and bins are random, of the right shapes and ranges, and
parameters are as they are at first. Times do not depend on them.
"""

import collections.abc
import dataclasses
import functools
import math
import time
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import sim
from mars_jax import types
from mars_jax.data import pipeline
from mars_jax.data import windows as windows_lib
from mars_jax.lmm.nn import layers
from mars_jax.lmm.nn import transformer
from mars_jax.lmm.order import embed
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.train import cost
from mars_jax.train import loss
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer

_PROGRAMS = ("forward", "whole", "trunk", "embed", "mlp", "optimizer")
_DAY = (34_200, 54_000)  # Seconds, between which times are.

OnRepeat = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class LmmBenchmark:
  """Settings of the model benchmark; see the script's flags."""

  model: lmm.LmmConfig
  optimizer: optimizer_lib.OptimizerConfig
  parallel: sharding.ParallelConfig
  num_windows: int
  length: int
  batch: tuple[int, ...]
  decode_steps: int
  repeats: int

  @classmethod
  def of(cls, config: Any, **measured: Any) -> "LmmBenchmark":
    """Takes what it can from a config of launch/train.py.

    Args:
      config: its sections.
      **measured: the other fields.
    """
    configs = trainer.make_configs(order_task.TASK, config)
    return cls(
      **{name: configs[name] for name in ("model", "optimizer", "parallel")},
      num_windows=configs["batch"].batch_size,
      length=configs["batch"].window_length - 1,
      **measured,
    )

  @property
  def num_repeats(self) -> int:
    """Number of calls of `on_repeat` by `run`."""
    return self.repeats * (1 + len(_PROGRAMS) + len(self.batch))


class _Timing(typing.NamedTuple):
  """Durations of a program."""

  seconds: list[float]  # Of each repetition.
  compile_s: float


def run(config: LmmBenchmark, on_repeat: OnRepeat) -> dict:
  """Measures.

  Args:
    config: what to measure.
    on_repeat: called after every repetition, with what it was of.

  Returns:
    The results, as JSON has them: the config, `train`, the rows of `parts` of
    a micro-batch on one device, and of `decode` by the number of trajectories.
  """
  c = config
  trained = _train(c, on_repeat)
  rows = sharding.make_mesh(c.parallel).shape["data"] * c.parallel.accumulation
  return {
    "benchmark": "lmm",
    "config": dataclasses.asdict(c),
    "parameters": lmm.num_params(_params(c.model)),
    "train": _train_row(c, trained),
    "micro_batch": c.num_windows // rows,
    "parts": _parts(c, c.num_windows // rows, on_repeat),
    "decode": [_decode_row(c, number, on_repeat) for number in c.batch],
  }


def decode_rate(
  config: lmm.LmmConfig, *, batch: int, num_steps: int = 128, repeats: int = 5
) -> float:
  """Returns the orders drawn a second, all trajectories together.

  As the simulator does it, with full caches, but without its book and tokens:
  the token is the same but for the order drawn.

  Args:
    config: the model.
    batch: trajectories that decode in step, on one device.
    num_steps: orders of each in one program.
    repeats: calls of the program, of which the median counts.
  """
  timing = _decode(config, batch, num_steps, repeats)
  return batch * num_steps / float(np.median(timing.seconds))


def _time(
  program: collections.abc.Callable,
  arguments: tuple,
  repeats: int,
  on_repeat: collections.abc.Callable[[], None],
  *,
  carried: int = 0,
) -> _Timing:
  """Times a program, after a call that does not count.

  Args:
    program: a jitted function.
    arguments: of it.
    repeats: how many calls count.
    on_repeat: called after each of them.
    carried: how many of its first results take the place of its first arguments
      in the next call, which may be donated.
  """
  began = time.perf_counter()
  compiled = program.lower(*arguments).compile()
  compile_s = time.perf_counter() - began
  seconds = []
  for _ in range(repeats + 1):
    began = time.perf_counter()
    found = jax.block_until_ready(compiled(*arguments))
    seconds.append(time.perf_counter() - began)
    if carried:
      arguments = (*found[:carried], *arguments[carried:])
    if len(seconds) > 1:
      on_repeat()
  return _Timing(seconds[1:], compile_s)


def _rates(timing: _Timing, amount: int, name: str) -> dict[str, float]:
  """Returns the rate per second: median and extremes."""
  return {
    name: amount / float(np.median(timing.seconds)),
    f"{name}_min": amount / max(timing.seconds),
    f"{name}_max": amount / min(timing.seconds),
    "compile_s": timing.compile_s,
  }


def _params(config: lmm.LmmConfig) -> lmm.Params:
  return jax.jit(lmm.init, static_argnames="config")(
    jax.random.key(0), config=config
  )


def random_tokens(
  config: lmm.LmmConfig, num_windows: int, num_orders: int
) -> features.TokenFeatures:
  """Returns random tokens, leaves `[num_windows, num_orders]`."""
  batch = _batch(num_windows, num_orders)
  return jax.jit(pipeline.tokens)([make_tokenizer(config)], batch)


def make_tokenizer(config: lmm.LmmConfig) -> features.Tokenizer:
  """Returns bins of equal widths."""
  values = {
    "price": np.arange(-100, 101),
    "volume": np.arange(1000),
    "interval": np.arange(100_000),
    "level_volume": np.arange(1000),
  }
  fitted = encoding.fit_values(values, config.alphabet)
  return fitted.replace(scheme=config.scheme)


def _batch(num_windows: int, num_orders: int) -> windows_lib.Item:
  """Returns random windows, as `pipeline.batches` does."""
  rng = np.random.default_rng(0)

  def draw(low, high, *shape):
    shape = (num_windows, num_orders, *shape)
    return rng.integers(low, high, shape, dtype=np.int32)

  levels = (2, features.SNAPSHOT_LEVELS)
  classes = (2, types.DEPTH_CLASSES)
  before = 10_000 + draw(-100, 101)
  after = before + draw(-2, 3)
  return {
    "market": np.zeros(num_windows, np.int32),
    "kind": draw(0, 2),
    "side": draw(0, 2),
    "price": before + draw(-100, 101),
    "volume": draw(1, 1000),
    "best": before[..., None] + np.array([2, -1], np.int32),
    "level": draw(0, 5),
    "younger": draw(0, 5),
    "resting": draw(1, 1000),
    "interval": draw(0, 100_000),
    "open_mid": np.full_like(before, 10_000),
    "mid_before": before,
    "mid_after": after,
    "level_price": after[..., None, None] + draw(-20, 21, *levels),
    "level_volume": draw(0, 1000, *levels),
    "depth_volume": draw(0, 10_000, *classes),
    "depth_orders": draw(0, 20, *classes),
    "time": draw(*_DAY),
  }


def _train(config: LmmBenchmark, on_repeat: OnRepeat) -> _Timing:
  """Times steps of the trainer, on all devices."""
  c = config
  mesh = sharding.make_mesh(c.parallel)
  sharding.check(c.parallel, mesh, c.model, c.num_windows)
  init, _, step = trainer.programs(
    order_task.TASK, mesh, 0, c.model, c.optimizer, c.parallel
  )
  with jax.set_mesh(mesh):
    tokenizers = sharding.replicate([make_tokenizer(c.model)], mesh)
    batch = sharding.put_batch(_batch(c.num_windows, c.length + 1), mesh)
    arguments = (init(), tokenizers, batch)
    show = functools.partial(on_repeat, "train")
    return _time(step, arguments, c.repeats, show, carried=1)


def _train_row(config: LmmBenchmark, timing: _Timing) -> dict:
  """Returns the speed of training and its utilisation."""
  num_tokens = config.num_windows * config.length
  flops = cost.flops_per_token(config.model, config.length)
  peak = cost.peak_flops(jax.devices()[0]) * jax.device_count()
  row = _rates(timing, num_tokens, "tokens_per_s")
  is_known = not math.isnan(peak)
  return {
    "devices": jax.device_count(),
    **row,
    "flops_per_token": flops,
    "peak_flops": peak if is_known else None,
    "mfu": row["tokens_per_s"] * flops / peak if is_known else None,
  }


def _parts(
  config: LmmBenchmark, num_windows: int, on_repeat: OnRepeat
) -> list[dict]:
  """Returns the time of a micro-batch by part.

  The embedding and the MLPs of all layers are timed alone, forward and
  backward, and so is all but the head; attention, with its projections and all
  else of a layer, and the head are what is left. So the four sum to the whole,
  and one that is small may come out below 0.
  """
  params = _params(config.model)
  tokens = random_tokens(config.model, num_windows, config.length + 1)
  programs = _programs(config, params, tokens)
  seconds = {}
  for name in _PROGRAMS:
    show = functools.partial(on_repeat, name)
    timing = _time(*programs[name], config.repeats, show)
    seconds[name] = float(np.median(timing.seconds))
  whole, trunk = seconds["whole"], seconds["trunk"]
  parts = {
    "forward": seconds["forward"],
    "forward and backward": whole,
    "  embedding": seconds["embed"],
    "  attention": trunk - seconds["embed"] - seconds["mlp"],
    "  mlp": seconds["mlp"],
    "  head and loss": whole - trunk,
    "optimizer, once a step": seconds["optimizer"],
  }
  return [
    {"part": name, "seconds": spent, "share": spent / whole}
    for name, spent in parts.items()
  ]


def _programs(config, params, tokens) -> dict[str, tuple]:
  """Returns a jitted function and arguments of each program."""
  c, key = config.model, jax.random.key(0)
  inputs = jax.tree.map(lambda leaf: leaf[:, :-1], tokens)
  x = jnp.ones((*inputs.time.shape, c.dim), c.compute_dtype)
  mean_nats = functools.partial(loss.mean_nats, config=c)
  optimizer = optimizer_lib.make_optimizer(config.optimizer)

  def trunk(params, inputs, key):
    keys = jax.random.split(key, len(inputs.time))
    apply = functools.partial(lmm.apply, config=c)
    return _sum(
      jax.vmap(lambda x, key: apply(params, x, key=key)[0])(inputs, keys)
    )

  def embedding(params, inputs):
    return _sum(
      embed.make(c).apply({"params": transformer.cast(params, c)}, inputs)
    )

  def mlps(blocks, x):
    def body(x, block):
      mlp = layers.Block(c, c.window)
      added = mlp.apply({"params": block}, x, method="mlp")
      return x + added, None

    body = jax.checkpoint(body, prevent_cse=False) if c.remat else body
    return _sum(jax.lax.scan(body, x, transformer.cast(blocks, c))[0])

  programs = {
    "forward": (mean_nats, (params, tokens, key)),
    "whole": (jax.value_and_grad(mean_nats), (params, tokens, key)),
    "trunk": (jax.grad(trunk), (params, inputs, key)),
    "embed": (jax.grad(embedding), (params["embed"], inputs)),
    "mlp": (jax.grad(mlps, argnums=(0, 1)), (params["blocks"], x)),
    "optimizer": (optimizer.update, (params, optimizer.init(params), params)),
  }
  return {name: (jax.jit(f), inputs) for name, (f, inputs) in programs.items()}


def _sum(x: jax.Array) -> jax.Array:
  return jnp.sum(x, dtype=jnp.float32)


def _decode(
  config, batch, num_steps, repeats, on_repeat=lambda: None
) -> _Timing:
  """Times decoding; see `decode_rate`."""

  def next_order(params, key, token, cache):
    inputs = sim.FlowInput(token, jnp.bool_(True), None)
    return lmm.next_order(params, key, inputs, cache, config=config)

  step = jax.vmap(
    next_order,
    in_axes=(None, 0, 0, lmm.cache.AXES),
    out_axes=(0, lmm.cache.AXES),
  )

  def decode(tokens, cache, params, key):
    def body(carry, key):
      tokens, cache = carry
      keys = jax.random.split(key, batch)
      symbols, cache = step(params, keys, tokens, cache)
      return (tokens.replace(symbols=symbols), cache), None

    keys = jax.random.split(key, num_steps)
    return jax.lax.scan(body, (tokens, cache), keys)[0]

  cache = lmm.cache.init(config=config)
  full = jnp.int32(config.window)
  cache = cache.replace(position=full, num_steps=full, min_length=full)
  cache = jax.vmap(lambda _: cache, out_axes=lmm.cache.AXES)(jnp.arange(batch))
  cache = jax.tree.map(jnp.copy, cache)  # Each its own memory, to give away.
  tokens = jax.tree.map(lambda x: x[:, 0], random_tokens(config, batch, 1))
  params = _params(config)
  arguments = (tokens, cache, params, jax.random.key(0))
  program = jax.jit(decode, donate_argnums=(0, 1))
  return _time(program, arguments, repeats, on_repeat, carried=2)


def _decode_row(config: LmmBenchmark, number: int, on_repeat: OnRepeat):
  """Returns the orders a second of so many trajectories."""
  timing = _decode(
    config.model,
    number,
    config.decode_steps,
    config.repeats,
    lambda: on_repeat(f"decode {number}"),
  )
  rates = _rates(timing, number * config.decode_steps, "orders_per_s")
  return {"trajectories": number, **rates}
