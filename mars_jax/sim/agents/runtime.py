"""The runtime of agents: wake-ups, observations and messages.

A wake-up sends messages, which lie in the agent's outbox until they arrive
(`messages`); an arriving message is an order, and its event one step of the
simulation. What trades is booked by `settlement`.

Dimensions: A agents, Q messages of an outbox, R slots of an agent for orders
that rest, M orders of one action, H views kept for those who see late.
"""

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types
from mars_jax.sim import accounts as accounts_lib
from mars_jax.sim import clock
from mars_jax.sim import market as market_lib
from mars_jax.sim.agents import base
from mars_jax.sim.agents import messages as messages_lib
from mars_jax.sim.agents import state as state_lib

_LEAST_SLEEP = 1_000  # Nanoseconds: so that no agent can stop the clock.


def init(
  key: jax.Array,
  market: market_lib.MarketState,
  *,
  config: state_lib.AgentsConfig,
) -> state_lib.AgentsState:
  """Returns the initial state of all agents.

  Args:
    key: typed PRNG key, consumed.
    market: at the start.
    config: static.
  """
  num = config.num_agents
  none = base.order(types.OrderKind.NONE)
  shape = (num, config.outbox)
  slots = jnp.zeros((num, config.slots), jnp.int32)
  key, init_key = jax.random.split(key)
  counts = jnp.zeros((num,), jnp.int32)
  agents = state_lib.AgentsState(
    key=key,
    states=(),
    wake=clock.never((num,)),
    outbox=jax.tree.map(lambda x: jnp.full(shape, x), none),
    arrival=clock.never(shape),
    orders=base.OpenOrders(slots, slots, slots),
    ids=jnp.full_like(slots, types.NO_ORDER),
    accounts=accounts_lib.init(num),
    rejected=counts,
    dropped=counts,
    stale=counts,
    views=None,
  )
  view = _view(agents, market, config=config)
  if config.sees_late:
    agents = agents.replace(
      views=jax.tree.map(lambda x: jnp.stack([x] * config.views), view)
    )
  states, wakes = [], []
  for kind, (agent, rows) in enumerate(_by_kind(config)):
    keys = jax.random.split(jax.random.fold_in(init_key, kind), agent.count)
    seen = base.Observation(
      time=_repeat(market.clock, agent.count),
      key=keys,
      index=jnp.arange(agent.count, dtype=jnp.int32),
      view=_rows(view, rows),
    )
    state, wake = jax.vmap(agent.init)(keys, seen)
    states.append(state)
    wakes.append(clock.later(wake, seen.time))
  return agents.replace(states=tuple(states), wake=_join(wakes))


def _view(
  agents: state_lib.AgentsState,
  market: market_lib.MarketState,
  *,
  config: state_lib.AgentsConfig,
) -> base.View:
  """Returns what each agent sees, leaves `[A, ...]`."""
  exchange, num = market.exchange, config.num_agents
  shared = (
    market.clock,
    lob.snapshot(exchange.book, num_levels=config.levels),
    market.mid,
    exchange.last_price,
    market.traded,
  )
  time, snapshot, mid, last_price, traded = _repeat(shared, num)
  return base.View(
    time=time,
    snapshot=snapshot,
    mid=mid,
    last_price=last_price,
    traded=traded,
    account=base.Account(
      agents.accounts.cash[:num], agents.accounts.inventory[:num]
    ),
    orders=agents.orders,
    rejected=agents.rejected,
  )


def keep_view(
  agents: state_lib.AgentsState,
  market: market_lib.MarketState,
  *,
  config: state_lib.AgentsConfig,
) -> state_lib.AgentsState:
  """Stores the current view for agents that see it later."""
  if not config.sees_late:
    return agents
  view = _view(agents, market, config=config)
  return agents.replace(
    views=jax.tree.map(
      lambda kept, x: jnp.concatenate([kept[1:], x[None]]), agents.views, view
    )
  )


def next_wake(agents: state_lib.AgentsState) -> types.Timestamp:
  """Returns when the next agent wakes up."""
  return clock.first(agents.wake)[1]


def wake(
  agents: state_lib.AgentsState,
  market: market_lib.MarketState,
  *,
  config: state_lib.AgentsConfig,
) -> state_lib.AgentsState:
  """Runs all agents due at the next wake-up time."""
  now = next_wake(agents)
  key, act_key = jax.random.split(agents.key)
  current = _view(agents, market, config=config)
  states, wakes, messages, arrivals, stale = [], [], [], [], []
  for kind, (agent, rows) in enumerate(_by_kind(config)):
    view, is_stale = _seen(
      agents, _rows(current, rows), rows, now, agent.delays
    )
    seen = base.Observation(
      time=_repeat(now, agent.count),
      key=jax.random.split(jax.random.fold_in(act_key, kind), agent.count),
      index=jnp.arange(agent.count, dtype=jnp.int32),
      view=view,
    )
    state, action = jax.vmap(agent.act)(agents.states[kind], seen)
    is_due = ~clock.is_before(now, _rows(agents.wake, rows))
    states.append(_select(is_due, state, agents.states[kind]))
    soonest = clock.add(seen.time, _LEAST_SLEEP)
    wakes.append(
      clock.select(
        is_due, clock.later(action.wake, soonest), _rows(agents.wake, rows)
      )
    )
    messages.append(_messages(action.orders, is_due, agent, config))
    delay = agent.delays.computation + agent.delays.communication
    arrivals.append(clock.add(seen.time, delay))
    stale.append(is_due & is_stale)
  agents = agents.replace(
    key=key,
    states=tuple(states),
    wake=_join(wakes),
    stale=agents.stale + jnp.concatenate(stale),
  )
  return messages_lib.send(agents, _join(messages), _join(arrivals))


def _seen(agents, current, rows, now, delays):
  """Returns the delayed view of agents.

  And whether the oldest one stored is too new.
  """
  if not delays.observation:
    return current, jnp.bool_(False)
  moment = clock.add(now, -delays.observation)
  times = jax.tree.map(lambda x: x[:, 0], agents.views.time)
  known = ~clock.is_before(moment, times)  # [H], a run of True from the oldest.
  last = jnp.maximum(known.sum() - 1, 0)
  view = jax.tree.map(lambda x: x[last, rows], agents.views)
  return view, ~known[0]


def _messages(orders, is_due, agent, config):
  """Turns orders `[n, M]` into messages `[n, Q]`.

  Agents that are not due send none.
  """
  count = orders.kind.shape[1]
  if count > config.outbox:
    raise ValueError(
      f"{agent.name} sends up to {count} orders at once; raise outbox ="
      f" {config.outbox} to that"
    )
  none = jnp.int32(types.OrderKind.NONE)
  orders = orders.replace(kind=jnp.where(is_due[:, None], orders.kind, none))
  more = config.outbox - count
  padded = jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, more))), orders)
  is_real = jnp.arange(config.outbox) < count
  return padded.replace(kind=jnp.where(is_real[None], padded.kind, none))


def _repeat(tree, count):
  return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), tree)


def _rows(tree, rows):
  return jax.tree.map(lambda x: x[rows], tree)


def _join(trees):
  return jax.tree.map(lambda *x: jnp.concatenate(x), *trees)


def _select(condition, a, b):
  """Selects leaves of `a` or `b` by agent.

  `[n, ...]` by a condition `[n]`.
  """

  def select(x, y):
    lead = condition.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(lead, x, y)

  return jax.tree.map(select, a, b)


def _by_kind(config):
  """Yields each kind of agent and its slice."""
  first = 0
  for agent in config.kinds:
    yield agent, slice(first, first + agent.count)
    first += agent.count
