"""Measures how fast zero-intelligence markets are simulated."""

import collections.abc
import dataclasses
import time

import jax
import numpy as np

from mars_jax.baselines import zero_intelligence

_MIN_ORDERS = 8  # Of a book.


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
  """Settings of the synthetic benchmark; see the script's flags."""

  batch: tuple[int, ...]
  capacity: int
  messages: int
  repeats: int
  seed: int

  @property
  def num_repeats(self) -> int:
    """Number of calls of `on_repeat` by `run`."""
    return self.repeats * len(self.batch)


def run(
  config: SyntheticConfig, on_repeat: collections.abc.Callable[[str], None]
) -> dict:
  """Measures.

  Args:
    config: what to measure.
    on_repeat: called after every repetition, with what it was of.

  Returns:
    The results, as JSON has them: the config, and `by_batch` a row for each
    number of books.
  """
  return {
    "benchmark": "synthetic",
    "config": dataclasses.asdict(config),
    "by_batch": [_measure(books, config, on_repeat) for books in config.batch],
  }


def _measure(books, config, on_repeat):
  """Returns the orders per second of some books."""
  num_orders = max(config.messages // books, _MIN_ORDERS)

  def simulate(keys):
    return jax.vmap(
      lambda key: zero_intelligence.simulate(
        key,
        zero_intelligence.PRESET,
        num_orders=num_orders,
        capacity=config.capacity,
      )
    )(keys)

  keys = jax.random.split(jax.random.key(config.seed), books)
  began = time.perf_counter()
  compiled = jax.jit(simulate).lower(keys).compile()
  compile_s = time.perf_counter() - began
  flow = jax.block_until_ready(compiled(keys))
  if dropped := int(flow.book.dropped.sum()):
    raise ValueError(f"{dropped} orders found a book full; raise --capacity")
  speeds = []
  for _ in range(config.repeats):
    began = time.perf_counter()
    jax.block_until_ready(compiled(keys))
    speeds.append(books * num_orders / (time.perf_counter() - began))
    on_repeat(f"{books} books")
  return {
    "books": books,
    "orders_a_book": num_orders,
    "orders_per_s": float(np.median(speeds)),
    "orders_per_s_min": min(speeds),
    "orders_per_s_max": max(speeds),
    "compile_s": compile_s,
  }
