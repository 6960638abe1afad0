"""The state of a simulated market, and what the simulator asks of a model."""

import collections.abc
import dataclasses
from typing import Any
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from mars_jax.sim import pending as plan_lib
from mars_jax.sim.agents import runtime as crowd_lib
from mars_jax.tokens import features

Params = Any  # Whatever the model's function takes.
Cache = Any  # The model's memory of the orders so far, a tree of arrays.

# (params, key, token, cache, is_new) -> (order index, cache): takes in the
# order that was just matched, with the book that it left, and draws the next
# one. Where not `is_new`, a bool [], the cache stays as it is.
NextOrderFn = collections.abc.Callable[
  [Params, jax.Array, features.TokenFeatures, Cache, jax.Array],
  tuple[jax.Array, Cache],
]


def _same(cache: Cache) -> Cache:
  return cache


@dataclasses.dataclass(frozen=True)
class OrderModelFns:
  """A model of the order flow; static.

  Attributes:
    next_order: draws the next order.
    cache_axes: the axes of the cache that `jax.vmap` maps over when many
      trajectories of one start run in step: 0, or a tree with None where they
      share a leaf.
    start_axes: the same for several starts, each with its trajectories.
    align_cache: makes caches of trajectories, some of which sat steps out, such
      that all can go on in step.
  """

  next_order: NextOrderFn
  cache_axes: Any = 0
  start_axes: Any = 0
  align_cache: collections.abc.Callable[[Cache], Cache] = _same


@dataclasses.dataclass(frozen=True)
class SimConfig:
  """How a market is simulated; static.

  Attributes:
    rules: of the venue.
    crowd: the agents that trade beside the order flow.
    price_from: the mid that the price of a planned order counts from: that of
      its planning, as in the official code, or that of its sending. Without
      agents they are the same.
    after_injection: what becomes of the plan when the order of an agent comes
      first. "keep" sends it all the same, at its time, as the official code
      does: an agent that sends many orders must not keep the others waiting,
      and the next plan knows of them. "redraw" plans anew from that moment.
  """

  rules: rules_lib.Rules = rules_lib.CONTINUOUS
  crowd: crowd_lib.AgentsConfig = crowd_lib.AgentsConfig()
  price_from: Literal["planning", "sending"] = "planning"
  after_injection: Literal["keep", "redraw"] = "keep"

  def __post_init__(self):
    for name, choices in (
      ("price_from", ("planning", "sending")),
      ("after_injection", ("keep", "redraw")),
    ):
      if getattr(self, name) not in choices:
        raise ValueError(
          f"{name} = {getattr(self, name)!r} is none of {', '.join(choices)}"
        )

  @property
  def auction_times(self) -> tuple[int, ...]:
    """The seconds since midnight at which call auctions are executed."""
    schedule = self.rules.schedule
    return tuple(
      end
      for (_, phase), (end, after) in zip(schedule, schedule[1:], strict=False)
      if phase in rules_lib.AUCTION_PHASES
      and after not in rules_lib.AUCTION_PHASES
    )


DEFAULT = SimConfig()
"""A venue that trades for 24 hours, and no agents."""


@struct.dataclass
class Start:
  """A market right after an order, before the model has seen that order."""

  clock: types.Timestamp  # the time of the order
  exchange: session.Exchange  # after it, leaves of the book [2, N]
  mid: jax.Array  # [] int32, ticks, of the book
  open_mid: jax.Array  # [] int32, ticks, at the start of the day
  next_id: jax.Array  # [] int32, of the next order that may rest
  token: features.TokenFeatures  # the order, leaves []
  cache: Cache  # of the model, after the orders before


@struct.dataclass
class SimState:
  """One simulated market between two events.

  `plan` is the order that the model sends next; what it means in ticks and
  lots is settled when it is sent, against the book of that moment.
  """

  key: jax.Array  # [] typed PRNG key, of the order flow
  clock: types.Timestamp  # the time of the last event
  exchange: session.Exchange  # leaves [2, N]
  mid: jax.Array  # [] int32, ticks, of the book
  open_mid: jax.Array  # [] int32, ticks, at the start of the day
  next_id: jax.Array  # [] int32, of the next order that may rest
  traded: jax.Array  # [] int32, lots since the start; wraps round at 2**31
  num_events: jax.Array  # [] int32, orders since the start
  num_auctions: jax.Array  # [] int32, of the day, that have been executed
  plan: plan_lib.PendingOrder
  cache: Cache  # of the model
  crowd: crowd_lib.AgentsState | None  # None where there are no agents


@struct.dataclass
class Event:
  """What happened in one step.

  Where `is_event` is False the trajectory had ended, and the rest is of no
  concern but `time` and `mid`, which are those of its end.
  """

  is_event: jax.Array  # [] bool
  time: types.Timestamp  # [] when
  order: types.Order  # [] what was sent to the matching engine
  report: types.ExecutionReport  # [] what became of it
  best: types.Snapshot  # [2, 1] the best level of each side, after it
  mid: jax.Array  # [] int32, ticks, after it


def init(
  params: Params,
  tokenizer: features.Tokenizer,
  key: jax.Array,
  start: Start,
  *,
  flow: OrderModelFns,
  config: SimConfig = DEFAULT,
) -> SimState:
  """Returns the state to simulate from; the key decides all that is drawn.

  Args:
    params: of the model.
    tokenizer: the bins.
    key: typed PRNG key, consumed.
    start: the market.
    flow: the model; static.
    config: static.
  """
  crowd_key = jax.random.fold_in(key, 0)
  key, order_key, plan_key = jax.random.split(key, 3)
  index, cache = flow.next_order(
    params, order_key, start.token, start.cache, jnp.bool_(True)
  )
  plan = plan_lib.make(
    tokenizer, plan_key, index, start.clock, start.mid, rules=config.rules
  )
  zero = jnp.int32(0)
  crowd = None
  if config.crowd.agents:
    market = crowd_lib.Market(start.clock, start.exchange, start.mid, zero)
    crowd = crowd_lib.init(crowd_key, market, config=config.crowd)
  executed = [start.clock.seconds >= time for time in config.auction_times]
  return SimState(
    key=key,
    clock=start.clock,
    exchange=start.exchange,
    mid=start.mid,
    open_mid=start.open_mid,
    next_id=start.next_id,
    traded=zero,
    num_events=zero,
    num_auctions=sum(executed, zero),
    plan=plan,
    cache=cache,
    crowd=crowd,
  )


def state_axes(flow: OrderModelFns, *, of_starts: bool = False) -> SimState:
  """Returns the axes of a state of many trajectories, for `jax.vmap`.

  Args:
    flow: the model.
    of_starts: of several starts, rather than of trajectories of one.
  """
  return SimState(
    key=0,
    clock=0,
    exchange=0,
    mid=0,
    open_mid=0,
    next_id=0,
    traded=0,
    num_events=0,
    num_auctions=0,
    plan=0,
    cache=flow.start_axes if of_starts else flow.cache_axes,
    crowd=0,
  )
