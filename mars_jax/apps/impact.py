"""Market impact of an injected order, from paired simulations.

The futures of a pair, without the order and with it, share their random
numbers, so that they are the same to the bit until the order arrives; all pairs
are one run. The effect on the mid is the difference by trajectory. The effect
on the orders that follow is one on their distribution: how often the model
plans each pair of the first two fields of its alphabet: kind and what it does
at the touch, or kind and price bin. Orders of one trajectory depend on each
other, so the test permutes whole trajectories.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import futures
from mars_jax.sim import agents
from mars_jax.sim.agents import external
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.utils import stats
from mars_jax.utils import time_of_day

_CHUNK = 128  # Events of a trajectory in one compiled call.
_SHUFFLES = 999


@dataclasses.dataclass(frozen=True)
class Injection:
  """A market order, sent at one time in all futures.

  Attributes:
    side: `types.Side`.
    volume: lots.
    after_s: seconds from the start.
  """

  side: int
  volume: int
  after_s: float

  def __post_init__(self):
    if self.volume < 1 or self.after_s <= 0:
      raise ValueError("volume and after_s of an injection must be positive")


@dataclasses.dataclass(frozen=True)
class Response:
  """The response of the market to an injected order.

  Attributes:
    axis: `[n]` seconds from the start.
    mid: int32 `[2, B, n]` ticks, without the order and with it.
    impact: `[n]` ticks, the mean of the difference by trajectory.
    impact_error: `[n]` its standard error.
    shares: `[2, C]` how often the model plans each of the C pairs of its first
      two fields after the moment of the order, without it and with it.
    statistic: the distance of these two, in squares of their standard errors.
    p_value: how often a shuffle of the trajectories gives as much.
  """

  axis: np.ndarray
  mid: np.ndarray
  impact: np.ndarray
  impact_error: np.ndarray
  shares: np.ndarray
  statistic: float
  p_value: float


def compare(
  flow: sim.Flow,
  key: jax.Array,
  start: sim.Start,
  *,
  config: sim.SimConfig,
  injection: Injection,
  num_trajectories: int,
  horizon_s: float,
  num_points: int = 121,
) -> Response:
  """Simulates futures with and without an order.

  Both use the same keys (common random numbers).

  An order that takes all of the other side moves the mid to the best price of
  its own side, see `lob.mid`: give no more than the simulated book holds.

  Args:
    flow: the order flow.
    key: typed PRNG key, consumed, of both runs. Pair b depends on the key and
      on b, not on how many there are.
    start: the market.
    config: of the simulation, without agents; static. `Start.sim_config` has
      the rules of the market's exchange.
    injection: the order.
    num_trajectories: B.
    horizon_s: seconds from the start.
    num_points: n, of the axis.

  Raises:
    ValueError: if the order comes after the horizon, or the config has agents.
  """
  if injection.after_s >= horizon_s:
    raise ValueError(
      f"the order comes after {injection.after_s} s, the horizon is {horizon_s}"
    )
  if config.agents.kinds:
    raise ValueError("the injected order is the only agent of a comparison")
  begin = int(time_of_day.nanoseconds(start.market.clock))
  sent_at = begin + round(injection.after_s * types.NANOSECONDS)
  is_event, time, mid, cell = _simulate(
    flow,
    sim.trajectory_keys(key, num_trajectories),
    start,
    injection,
    sent_at,
    begin + round(horizon_s * types.NANOSECONDS),
    config=dataclasses.replace(config, agents=_AGENTS),
  )
  axis = np.linspace(0.0, horizon_s, num_points)
  times = begin + np.round(axis * types.NANOSECONDS).astype(np.int64)
  mids = futures.mids_at(times, time, mid, int(start.market.mid))
  mids = mids.reshape(2, num_trajectories, num_points)
  change = mids[1] - mids[0]
  sizes = alphabet_lib.ALPHABETS[flow.tokenizer.alphabet].sizes[:2]
  counts = _counts(cell, is_event & (time >= sent_at), math.prod(sizes))
  counts = counts.reshape(2, num_trajectories, -1)
  statistic, p_value = _test(*counts)
  return Response(
    axis=axis,
    mid=mids,
    impact=change.mean(axis=0),
    impact_error=change.std(axis=0, ddof=1) / np.sqrt(num_trajectories),
    shares=np.stack([x.sum(axis=0) / x.sum() for x in counts]),
    statistic=statistic,
    p_value=p_value,
  )


_AGENTS = sim.AgentsConfig(kinds=(external.make(name="injected"),))


def _observe(state: sim.SimState, event: sim.Event):
  return event.is_event, event.time, event.mid, state.pending.symbols[:2]


def _simulate(flow, keys, start, injection, sent_at, end, *, config):
  """Simulates the same futures without and with the order.

  Args:
    flow, start, injection, config: of `compare`.
    keys: `[B]`.
    sent_at, end: nanoseconds since midnight, of the order and of the futures.

  Returns:
    Arrays `[2 B, E]`: whether there is an event, its time in nanoseconds since
    midnight, the mid after it in ticks, and the first two fields of the order
    that the model plans after it, numbered together.
  """
  keys = jnp.concatenate([keys, keys])
  has_order = jnp.arange(len(keys)) >= len(keys) // 2
  kind = jnp.where(has_order, types.OrderKind.MARKET, types.OrderKind.NONE)
  orders = jax.vmap(
    lambda kind: agents.orders(
      agents.order(kind, injection.side, volume=injection.volume)
    )
  )(kind)
  sent_at, until = (
    jax.tree.map(np.asarray, time_of_day.timestamps(time))
    for time in (sent_at, end)
  )
  state = sim.init_many(flow, keys, start, config=config)
  sent = external.send(
    state.agents, orders, sent_at, config=config.agents, name="injected"
  )
  chunks = sim.run(
    flow,
    state.replace(agents=sent),
    until,
    observe_fn=_observe,
    config=config,
    chunk=_CHUNK,
  )
  kept = [kept for _, kept in chunks]
  is_event, time, mid, fields = jax.tree.map(
    lambda *x: np.concatenate(x, axis=1), *kept
  )
  second = alphabet_lib.ALPHABETS[flow.tokenizer.alphabet].sizes[1]
  cell = fields[..., 0] * second + fields[..., 1]
  return is_event, time_of_day.nanoseconds(time), mid, cell


def _counts(
  cell: np.ndarray, is_counted: np.ndarray, num_cells: int
) -> np.ndarray:
  """Counts the planned orders by cell, `[2 B, C]`."""
  return np.stack(
    [
      np.bincount(cells[rows], minlength=num_cells)
      for cells, rows in zip(cell, is_counted, strict=True)
    ]
  )


def _test(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
  """Tests shares of cells between two groups, `[B, C]`.

  The statistic is the sum, over cells, of the squared difference of mean shares
  over its variance if both groups were one; the p-value is by permutation.
  """
  counts = np.concatenate([one, other]).astype(np.float64)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  variance = shares.var(axis=0, ddof=1)
  shares = shares[:, variance > 0] / np.sqrt(variance[variance > 0])
  scale = 1 / len(one) + 1 / len(other)

  def distance(one, other):
    gap = one.mean(axis=0) - other.mean(axis=0)
    return float((gap**2).sum() / scale)

  return stats.permutation_test(
    *np.split(shares, [len(one)]), distance, num_shuffles=_SHUFFLES
  )
