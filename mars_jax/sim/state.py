"""The simulator's state, and its interface to a model."""

import collections.abc
import dataclasses
from typing import Any
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import venues
from mars_jax.sim import market as market_lib
from mars_jax.sim import pending as pending_lib
from mars_jax.sim.agents import runtime
from mars_jax.sim.agents import state as agents_state
from mars_jax.tokens import features
from mars_jax.utils import axes
from mars_jax.utils import checks

Params = Any  # Whatever the model's function takes.
Cache = Any  # The model's memory of the orders so far, a tree of arrays.
Context = Any  # What a model is conditioned on, a tree of arrays; often None.


@struct.dataclass
class FlowInput:
  """The model's input for one event."""

  token: features.TokenFeatures  # the order and the book that it left
  # [] bool, False where the trajectory sits this step out: the cache stays.
  is_new: jax.Array
  context: Context  # of the state, such as a target of the minute; or None


NextOrderFn = collections.abc.Callable[
  [Params, jax.Array, FlowInput, Cache], tuple[jax.Array, Cache]
]
"""`(params, key, inputs, cache) -> (symbols, cache)`: takes in the order that
was just matched and draws the next one, int32 `[F]`, a symbol a field."""


def _same(cache: Cache) -> Cache:
  return cache


@dataclasses.dataclass(frozen=True)
class OrderModelFns:
  """The functions of an order model; static.

  Attributes:
    next_order: draws the next order.
    cache_axes: the axes of the cache that `jax.vmap` maps over when many
      trajectories of one start run in step: 0, or a tree with None where they
      share a leaf.
    align_cache: makes caches of trajectories, some of which sat steps out, such
      that all can go on in step.
  """

  next_order: NextOrderFn
  cache_axes: Any = 0
  align_cache: collections.abc.Callable[[Cache], Cache] = _same


@struct.dataclass
class Flow:
  """An order flow: a model, its parameters and the bins of a market."""

  params: Params
  tokenizer: features.Tokenizer
  fns: OrderModelFns = struct.field(pytree_node=False)


@dataclasses.dataclass(frozen=True)
class SimConfig:
  """Configuration of a simulated market; static.

  Attributes:
    rules: of the exchange.
    agents: the agents that trade beside the order flow.
    price_from: the book that the price of a pending order counts from: that of
      its planning, as in the official code, or that of its sending. Without
      agents they are the same.
    after_injection: what becomes of the pending order when the order of an
      agent comes first. "keep" sends it all the same, at its time, as the
      official code does: an agent that sends many orders must not keep the
      others waiting, and the next plan knows of them. "redraw" plans anew from
      that moment.
  """

  rules: rules_lib.Rules = venues.CONTINUOUS
  agents: agents_state.AgentsConfig = agents_state.AgentsConfig()
  price_from: Literal["planning", "sending"] = "planning"
  after_injection: Literal["keep", "redraw"] = "keep"

  def __post_init__(self):
    checks.one_of("price_from", self.price_from, ("planning", "sending"))
    checks.one_of("after_injection", self.after_injection, ("keep", "redraw"))

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
"""An exchange that trades for 24 hours, and no agents."""


@struct.dataclass
class Start:
  """A market after an order still unread by the model."""

  market: market_lib.MarketState
  token: features.TokenFeatures  # the order, leaves []
  cache: Cache  # of the model, after the orders before
  context: Context = None  # that the model is conditioned on, if it takes one


@struct.dataclass
class SimState:
  """One simulated market between two events.

  `pending` is the order that the model sends next; what it means in ticks and
  lots is settled when it is sent, against the book of that moment.
  """

  key: jax.Array  # [] typed PRNG key, of the order flow
  market: market_lib.MarketState
  num_events: jax.Array  # [] int32, orders since the start
  num_auctions: jax.Array  # [] int32, of the day, that have been executed
  pending: pending_lib.PendingOrder
  cache: Cache  # of the model
  context: Context  # that the model is conditioned on
  agents: agents_state.AgentsState | None  # None where there are no agents


@struct.dataclass
class Event:
  """One event of a simulated market.

  Where `is_event` is False the trajectory had ended, and only `time` and `mid`
  are meaningful: those of its end.
  """

  is_event: jax.Array  # [] bool
  time: types.Timestamp  # [] when
  order: types.Order  # [] what was sent to the exchange
  place: types.Place  # [] where it stood in the book that it met
  report: types.ExecutionReport  # [] what became of it
  snapshot: types.Snapshot  # [2, L] the best levels of each side, after it
  depth: types.Depth  # [2, C] what rests by distance, after it
  mid: jax.Array  # [] int32, ticks, after it


def init(
  flow: Flow,
  key: jax.Array,
  start: Start,
  *,
  config: SimConfig = DEFAULT,
) -> SimState:
  """Returns the state to simulate from; the key decides all draws.

  Args:
    flow: the order flow.
    key: typed PRNG key, consumed.
    start: the market.
    config: static.
  """
  agents_key = jax.random.fold_in(key, 0)
  key, order_key, plan_key = jax.random.split(key, 3)
  inputs = FlowInput(start.token, jnp.bool_(True), start.context)
  symbols, cache = flow.fns.next_order(
    flow.params, order_key, inputs, start.cache
  )
  market = start.market
  pending = pending_lib.make(
    flow.tokenizer, plan_key, symbols, market, rules=config.rules
  )
  agents = None
  if config.agents.kinds:
    agents = runtime.init(agents_key, market, config=config.agents)
  zero = jnp.int32(0)
  executed = [market.clock.seconds >= time for time in config.auction_times]
  return SimState(
    key=key,
    market=market,
    num_events=zero,
    num_auctions=sum(executed, zero),
    pending=pending,
    cache=cache,
    context=start.context,
    agents=agents,
  )


def start_axes(fns: OrderModelFns) -> Start:
  """Returns the `jax.vmap` axes of many starts."""
  return axes.of(Start, 0, cache=fns.cache_axes)


def state_axes(fns: OrderModelFns) -> SimState:
  """Returns the `jax.vmap` axes of many trajectories' state."""
  return axes.of(SimState, 0, cache=fns.cache_axes)
