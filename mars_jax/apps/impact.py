"""Do markets answer to an order? The same futures with it and without it.

The futures of a pair draw the same random numbers, so that until the order
arrives they are the same to the bit; all pairs are one run. What the order does
to the mid shows by trajectory. What it does to the orders that come after it is
a question of their distribution: how often the model plans each kind at each
distance from the mid. Orders of one trajectory hang together, so trajectories
are what is compared, and a p-value comes from shuffling which of them have the
order.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import forecast
from mars_jax.lob import rules as rules_lib
from mars_jax.sim import agents
from mars_jax.sim import clock
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day

_CHUNK = 128  # Events of a trajectory in one compiled call.
_SHUFFLES = 999
_CELLS = vocab.NUM_KINDS * vocab.NUM_PRICES


@dataclasses.dataclass(frozen=True)
class Injection:
  """A market order of somebody, at a moment of all futures.

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
class Futures:
  """Trajectories, numpy.

  Attributes:
    time: int64 `[B, E]` nanoseconds since midnight, of each event.
    mid: int32 `[B, E]` ticks, after it.
    cell: int32 `[B, E]` kind and price bin of the order that the model plans
      after it, numbered together.
    is_event: bool `[B, E]`; the rest is of no concern.
  """

  time: np.ndarray
  mid: np.ndarray
  cell: np.ndarray
  is_event: np.ndarray

  def __getitem__(self, rows: slice) -> "Futures":
    """Returns some of the trajectories."""
    fields = dataclasses.fields(self)
    return Futures(*(getattr(self, field.name)[rows] for field in fields))


@dataclasses.dataclass(frozen=True)
class Response:
  """What an injected order did.

  Attributes:
    axis: `[n]` seconds from the start.
    mid: int32 `[2, B, n]` ticks, without the order and with it.
    impact: `[n]` ticks, the mean of the difference by trajectory.
    impact_error: `[n]` its standard error.
    shares: `[2, 96]` how often the model plans each kind at each price bin
      after the moment of the order, without it and with it.
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
  params: sim.Params,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  start: sim.Start,
  *,
  flow: sim.OrderModelFns,
  injection: Injection,
  num_trajectories: int,
  horizon_s: float,
  rules: rules_lib.Rules = rules_lib.CONTINUOUS,
  num_points: int = 121,
) -> Response:
  """Simulates futures with an order and without it, and compares them.

  An order that takes all of the other side moves the mid to the best price of
  its own side, see `lob.mid`: give no more than the simulated book holds.

  Args:
    params: of the model.
    tokenizer: the bins.
    key: typed PRNG key, consumed, of both runs.
    start: the market.
    flow: the model.
    injection: the order.
    num_trajectories: B.
    horizon_s: seconds from the start.
    rules: of the venue.
    num_points: n, of the axis.

  Raises:
    ValueError: if the order comes after the horizon.
  """
  if injection.after_s >= horizon_s:
    raise ValueError(
      f"the order comes after {injection.after_s} s, the horizon is {horizon_s}"
    )
  begin = int(time_of_day.nanoseconds(start.clock))
  moment = begin + round(injection.after_s * types.NANOSECONDS)
  futures = _simulate(
    params,
    tokenizer,
    jax.random.split(key, num_trajectories),
    start,
    injection,
    moment,
    begin + round(horizon_s * types.NANOSECONDS),
    flow=flow,
    config=sim.SimConfig(rules=rules, crowd=_CROWD),
  )
  runs = futures[:num_trajectories], futures[num_trajectories:]
  axis = np.linspace(0.0, horizon_s, num_points)
  times = begin + np.round(axis * types.NANOSECONDS).astype(np.int64)
  mid = np.stack([_mid_at(run, times, int(start.mid)) for run in runs])
  change = mid[1] - mid[0]
  counts = [_counts(run, moment) for run in runs]
  statistic, p_value = _test(*counts)
  return Response(
    axis=axis,
    mid=mid,
    impact=change.mean(axis=0),
    impact_error=change.std(axis=0, ddof=1) / np.sqrt(num_trajectories),
    shares=np.stack([x.sum(axis=0) / x.sum() for x in counts]),
    statistic=statistic,
    p_value=p_value,
  )


def _wait(key, observation):
  del key, observation
  return agents.orders(agents.order(types.OrderKind.NONE)), clock.never()


def _send(orders, observation):
  del observation
  return orders, agents.Action(orders, clock.never())


# Sends what its state is at the moment that it is set to wake up: other orders
# and moments take no other program.
_CROWD = sim.AgentsConfig(agents=(agents.Agent("injected", _wait, _send),))


def _observe(state: sim.SimState, event: sim.Event):
  return event.is_event, event.time, event.mid, state.plan.index


def _simulate(
  params, tokenizer, keys, start, injection, moment, end, *, flow, config
) -> Futures:
  """Returns futures of the keys without the order, then of the same with it.

  The order comes at `moment` and they end before `end`, nanoseconds since
  midnight.
  """
  keys = jnp.concatenate([keys, keys])
  has_order = jnp.arange(len(keys)) >= len(keys) // 2
  kind = jnp.where(has_order, types.OrderKind.MARKET, types.OrderKind.NONE)
  order = agents.order(kind, injection.side, volume=injection.volume)
  orders = jax.tree.map(
    lambda x: jnp.broadcast_to(x.reshape(-1, 1, 1), (len(keys), 1, 1)), order
  )
  moment, until = (
    jax.tree.map(np.asarray, time_of_day.timestamps(time))
    for time in (moment, end)
  )
  wake = jax.tree.map(lambda x: jnp.full((len(keys), 1), x), moment)
  state = sim.init_many(
    params, tokenizer, keys, start, flow=flow, config=config
  )
  crowd = state.crowd.replace(states=(orders,), wake=wake)
  state = state.replace(crowd=crowd)
  chunks = sim.chunks(
    params,
    tokenizer,
    state,
    until,
    flow=flow,
    config=config,
    num_events=_CHUNK,
    observe_fn=_observe,
  )
  kept = jax.tree.map(
    lambda *x: np.concatenate(x, axis=1), *(kept for _, kept in chunks)
  )
  is_event, time, mid, index = kept
  cell = index // (vocab.NUM_VOLUMES * vocab.NUM_INTERVALS)
  return Futures(time_of_day.nanoseconds(time), mid, cell, is_event)


def _mid_at(run: Futures, times: np.ndarray, start_mid: int) -> np.ndarray:
  """Returns the mids `[B, n]` at times `[n]`."""
  return np.stack(
    [
      forecast.step_function(times, time[is_event], mid[is_event], start_mid)
      for time, mid, is_event in zip(
        run.time, run.mid, run.is_event, strict=True
      )
    ]
  )


def _counts(run: Futures, moment: int) -> np.ndarray:
  """Returns how often each cell is planned after a moment, `[B, 96]`."""
  counted = run.is_event & (run.time >= moment)
  return np.stack(
    [
      np.bincount(cell[rows], minlength=_CELLS)
      for cell, rows in zip(run.cell, counted, strict=True)
    ]
  )


def _test(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
  """Compares shares of cells between two groups of trajectories, `[B, 96]`.

  The statistic is the sum, over cells, of the squared difference of mean shares
  over its variance if both groups were one; the p-value is by permutation.
  """
  counts = np.concatenate([one, other]).astype(np.float64)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  variance = shares.var(axis=0, ddof=1)
  shares = shares[:, variance > 0] / np.sqrt(variance[variance > 0])
  size = len(one)
  scale = 1 / size + 1 / len(other)
  rng = np.random.default_rng(0)

  def distance(rows):
    gap = shares[rows[:size]].mean(axis=0) - shares[rows[size:]].mean(axis=0)
    return float((gap**2).sum() / scale)

  found = distance(np.arange(len(shares)))
  shuffled = [distance(rng.permutation(len(shares))) for _ in range(_SHUFFLES)]
  as_far = sum(x >= found for x in shuffled)
  return found, (1 + as_far) / (1 + _SHUFFLES)
