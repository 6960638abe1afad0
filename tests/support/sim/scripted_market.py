"""A market in which agents and the order flow follow scripts that are data.

So that any number of hand-worked examples run one program: two agents without
delays and one with all of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import sim
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.sim import agents
from mars_jax.sim import clock
from mars_jax.tokens import bins
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day
from tests.support.sim import oracle_replay
from tests.support.sim import small_markets

ASK, BID = types.Side.ASK, types.Side.BID
Kind, Phase = types.OrderKind, rules_lib.Phase
_MS = 1_000_000  # Nanoseconds.
BEGIN = 100_000  # Milliseconds since midnight.
WAKES, _ORDERS, NUM_EVENTS = 7, 3, 16
_RULES = rules_lib.Rules(
  tick_bands=((-(2**30), 1), (1_010, 5)),
  lot=2,
  odd_lots_on_sale=True,
  price_limit_bp=1_000,
  schedule=((0, Phase.CONTINUOUS), (102, Phase.BREAK), (103, Phase.CONTINUOUS)),
)
_DELAYS = agents.Delays(
  computation=30 * _MS, communication=20 * _MS, observation=100 * _MS
)
SLOW = 2  # The agent with delays; 0 and 1 have none.
NEVER = clock.NEVER * 1000


@struct.dataclass
class _Script:
  """What an agent does, and what it has seen."""

  next: jax.Array  # [] int32
  orders: types.Order  # [K, M]
  wake: types.Timestamp  # [K + 1]
  seen: agents.View  # [K, ...]


def _init(key, observation):
  """A script of nothing, and a wake-up that has passed long ago."""
  del key
  none = agents.order(Kind.NONE)
  orders = jax.tree.map(lambda x: jnp.full((WAKES, _ORDERS), x), none)
  seen = jax.tree.map(lambda x: jnp.stack([x] * WAKES), observation.view)
  script = _Script(jnp.int32(0), orders, clock.never((WAKES + 1,)), seen)
  return script, clock.at_second(0)


def _act(script, observation):
  i = script.next
  orders, wake = jax.tree.map(
    lambda x: x[i], (script.orders, jax.tree.map(lambda x: x[1:], script.wake))
  )
  seen = jax.tree.map(
    lambda x, new: x.at[i].set(new), script.seen, observation.view
  )
  script = script.replace(next=i + 1, seen=seen)
  return script, agents.Action(orders, wake)


_CONFIG = sim.SimConfig(
  _RULES,
  sim.AgentsConfig(
    (
      agents.Agent("quick", _init, _act, 2),
      agents.Agent("slow", _init, _act, 1, _DELAYS),
    ),
    slots=3,
    outbox=3,
    levels=2,
    views=4,
  ),
)
QUIET = sim.SimConfig(_RULES)


def _next_order(params, key, inputs, cache):
  """The orders of `params` over and over; where one is negative, any order."""
  order = params[cache % len(params)]
  any_order = jax.random.randint(key, (), 0, vocab.NUM_ORDERS)
  order = jnp.where(order < 0, any_order, order)
  return vocab.unpack(order), cache + inputs.is_new


FNS = sim.OrderModelFns(_next_order)
RANDOM = np.array([-1, -1], np.int32)


def _tokenizer():
  return small_markets.tokenizer(100_000)


def order_index(kind, offset, volume, interval=1):
  """The index of an order `interval` times 100 ms after the one before."""
  tokenizer = _tokenizer()
  fields = (
    kind,
    int(bins.encode(tokenizer.price, offset)),
    int(bins.encode(tokenizer.volume, volume)),
    interval,
  )
  return vocab.pack(np.array(fields, np.int32))


def patient():
  """A bid far from the mid every 100 ms."""
  return np.array([order_index(vocab.KIND_BID, -9, 2)] * 2)


def start():
  """Returns the market before anything has happened."""
  return small_markets.start(seconds=BEGIN // 1000, capacity=16)


def begin(params, *, config=_CONFIG):
  """Returns the state at the start, of agents with nothing to do yet."""
  key = jax.random.key(3)
  flow = sim.Flow(params, _tokenizer(), FNS)
  return _init_market(flow, key, start(), config=config)


_init_market = jax.jit(sim.init, static_argnames="config")


def _keep(state, event):
  if state.agents is None:
    return event, state.market.exchange
  state = state.replace(agents=state.agents.replace(states=()))
  return oracle_replay.keep(state, event)


def moves():
  """Bids that trade and asks that rest, in turn, every 100 ms."""
  bid = order_index(vocab.KIND_BID, 1, 2)
  return np.array([bid, order_index(vocab.KIND_ASK, 1, 4)])


@functools.partial(jax.jit, static_argnames="config")
def roll(params, state, until, *, config=_CONFIG):
  """Returns the last state, and what was kept of its steps."""
  return sim.rollout(
    sim.Flow(params, _tokenizer(), FNS),
    state,
    until,
    config=config,
    num_events=NUM_EVENTS,
    observe_fn=_keep,
  )


def moments(milliseconds):
  """Returns milliseconds since midnight as moments."""
  seconds, fraction = np.divmod(np.asarray(milliseconds), 1000)
  nanoseconds = np.round(fraction * _MS)
  return types.Timestamp(seconds.astype(np.int32), nanoseconds.astype(np.int32))


def _with_scripts(state, scripts):
  """Returns a state in which agents have something to do.

  Args:
    state: at the start.
    scripts: by agent, rows of (milliseconds after the start, orders ...).
  """
  states = jax.device_get(state.agents.states)
  whole = jax.tree.map(lambda *x: np.concatenate(x), *states)
  wake = np.full((3, WAKES + 1), float(NEVER))
  for agent, rows in scripts.items():
    for i, (time, *orders) in enumerate(rows):
      wake[agent, i] = BEGIN + time
      for j, order in enumerate(orders):
        jax.tree.map(
          lambda x, y, at=(agent, i, j): x.__setitem__(at, y),
          whole.orders,
          order,
        )
  whole = whole.replace(wake=moments(wake))
  states = tuple(
    jax.tree.map(lambda x, rows=rows: x[rows], whole)
    for rows in (slice(0, 2), slice(2, 3))
  )
  return state.replace(
    agents=state.agents.replace(states=states, wake=moments(wake[:, 0]))
  )


def simulate(scripts, params=None, until=NEVER - 1000):
  """Returns the last state, what was kept, and the scripts `[A]` at the end.

  Whatever agents do, a replay in plain Python agrees.
  """
  params = patient() if params is None else params
  state = _with_scripts(begin(params), scripts)
  last, kept = jax.device_get(roll(params, state, moments(until)))
  oracle_replay.check(kept, start(), _CONFIG, has_noise=False)
  return last, kept, scripts_of(last)


def scripts_of(state):
  """Returns the scripts of all agents `[A]`, as far as they have come."""
  return jax.tree.map(lambda *x: np.concatenate(x), *state.agents.states)


def milliseconds(time):
  """Returns moments as milliseconds after the start."""
  return (time_of_day.nanoseconds(time) - BEGIN * _MS) / _MS


def sequence(kept, number):
  """The first events as (milliseconds after the start, owner)."""
  times = milliseconds(kept.event.time)[:number].tolist()
  owners = kept.event.order.owner[:number].tolist()
  return list(zip(times, owners, strict=True))


def rest(side, price, volume=2, slot=0):
  """Returns a limit order."""
  return agents.order(Kind.LIMIT, side, price=price, volume=volume, slot=slot)


def of(kept, agent):
  """Its events, as (kind, price, volume)."""
  order = kept.event.order
  return [
    tuple(int(x[i]) for x in (order.kind, order.price, order.volume))
    for i in np.flatnonzero(order.owner == agent)
  ]
