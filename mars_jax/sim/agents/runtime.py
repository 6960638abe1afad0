"""All agents of one market: who wakes up, what is on its way, who owns what.

A wake-up sends messages, which lie in the agent's outbox until they arrive; an
arriving message is an order, and its event one step of the simulation. What is
turned away before it meets the book leaves no trace there: the venue counts it
as refused.

Dimensions: A agents, Q messages of an outbox, R slots of an agent for orders
that rest, M orders of one action, H views kept for those who see late.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import session
from mars_jax.sim import accounts as accounts_lib
from mars_jax.sim import clock
from mars_jax.sim.agents import base

_LEAST_SLEEP = 1_000  # Nanoseconds: so that no agent can stop the clock.


@dataclasses.dataclass(frozen=True)
class AgentsConfig:
  """Static.

  Attributes:
    agents: the kinds of agent; they are numbered in this order.
    slots: R, orders of one agent that may rest.
    outbox: Q, messages of one agent on their way.
    levels: L, price levels that agents see.
    views: H, moments that are kept for agents with a delay of observation. One
      that looks back further sees the oldest, which is counted.
  """

  agents: tuple[base.Agent, ...] = ()
  slots: int = 4
  outbox: int = 8
  levels: int = 10
  views: int = 64

  def __post_init__(self):
    for name in ("slots", "outbox", "levels", "views"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} must be >= 1, not {getattr(self, name)}")

  @property
  def num_agents(self) -> int:
    """A, of all kinds."""
    return sum(agent.count for agent in self.agents)

  @property
  def sees_late(self) -> bool:
    """Whether any agent has a delay of observation."""
    return any(agent.delays.observation for agent in self.agents)

  @property
  def owner_names(self) -> tuple[str, ...]:
    """The name of each owner, the rest of the market last."""
    names = [
      agent.name if agent.count == 1 else f"{agent.name} {i}"
      for agent in self.agents
      for i in range(agent.count)
    ]
    return (*names, "market")


@struct.dataclass
class AgentsState:
  """The agents of one market."""

  key: jax.Array  # [] typed PRNG key
  states: tuple[base.AgentState, ...]  # by kind, leaves [count, ...]
  wake: types.Timestamp  # [A]
  outbox: types.Order  # [A, Q], kind `NONE` for no message
  arrival: types.Timestamp  # [A, Q]
  orders: base.OpenOrders  # [A, R]
  ids: jax.Array  # [A, R] int32, of these orders, or `NO_ORDER`
  accounts: accounts_lib.Accounts
  refused: jax.Array  # [A] int32, messages that the venue did not take
  lost: jax.Array  # [A] int32, messages that found the outbox full
  stale: jax.Array  # [A] int32, wake-ups that saw a later view than they should
  views: base.View | None  # [H, ...], of [A] agents each, oldest first


@struct.dataclass
class Market:
  """What agents see of the market at one moment."""

  time: types.Timestamp  # [] of the last event
  exchange: session.Exchange
  mid: jax.Array  # [] int32, ticks
  traded: jax.Array  # [] int32, lots since the start


def init(
  key: jax.Array, market: Market, *, config: AgentsConfig
) -> AgentsState:
  """Returns the agents at the start, with nothing sent and nothing owned.

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
  crowd = AgentsState(
    key=key,
    states=(),
    wake=clock.never((num,)),
    outbox=jax.tree.map(lambda x: jnp.full(shape, x), none),
    arrival=clock.never(shape),
    orders=base.OpenOrders(slots, slots, slots),
    ids=jnp.full_like(slots, types.NO_ORDER),
    accounts=accounts_lib.init(num),
    refused=counts,
    lost=counts,
    stale=counts,
    views=None,
  )
  view = _view(crowd, market, config=config)
  if config.sees_late:
    crowd = crowd.replace(
      views=jax.tree.map(lambda x: jnp.stack([x] * config.views), view)
    )
  states, wakes = [], []
  for kind, (agent, rows) in enumerate(_by_kind(config)):
    keys = jax.random.split(jax.random.fold_in(init_key, kind), agent.count)
    seen = base.Observation(
      time=_repeat(market.time, agent.count),
      key=keys,
      index=jnp.arange(agent.count, dtype=jnp.int32),
      view=_rows(view, rows),
    )
    state, wake = jax.vmap(agent.init)(keys, seen)
    states.append(state)
    wakes.append(clock.later(wake, seen.time))
  return crowd.replace(states=tuple(states), wake=_join(wakes))


def _repeat(tree, count):
  return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), tree)


def _rows(tree, rows):
  return jax.tree.map(lambda x: x[rows], tree)


def _join(trees):
  return jax.tree.map(lambda *x: jnp.concatenate(x), *trees)


def _select(condition, a, b):
  """Leaves `[n, ...]` of `a` where the condition `[n]` holds, else of `b`."""

  def select(x, y):
    lead = condition.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(lead, x, y)

  return jax.tree.map(select, a, b)


def _by_kind(config):
  """Yields each kind of agent and the slice of its agents."""
  first = 0
  for agent in config.agents:
    yield agent, slice(first, first + agent.count)
    first += agent.count


def _view(
  crowd: AgentsState, market: Market, *, config: AgentsConfig
) -> base.View:
  """Returns what each agent sees, leaves `[A, ...]`."""
  exchange, num = market.exchange, config.num_agents
  shared = (
    market.time,
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
      crowd.accounts.cash[:num], crowd.accounts.inventory[:num]
    ),
    orders=crowd.orders,
    refused=crowd.refused,
  )


def keep_view(
  crowd: AgentsState, market: Market, *, config: AgentsConfig
) -> AgentsState:
  """Keeps what agents could see now, for those who see it later."""
  if not config.sees_late:
    return crowd
  view = _view(crowd, market, config=config)
  return crowd.replace(
    views=jax.tree.map(
      lambda kept, x: jnp.concatenate([kept[1:], x[None]]), crowd.views, view
    )
  )


def next_wake(crowd: AgentsState) -> types.Timestamp:
  """Returns when the next agent wakes up."""
  return clock.first(crowd.wake)[1]


def next_message(
  crowd: AgentsState,
) -> tuple[jax.Array, types.Timestamp]:
  """Returns the flat index `[]` of the next message to arrive, and when."""
  flat = jax.tree.map(jnp.ravel, crowd.arrival)
  return clock.first(flat)


def wake(
  crowd: AgentsState, market: Market, *, config: AgentsConfig
) -> AgentsState:
  """Lets those agents act whose wake-up is the next one, all at that moment."""
  now = next_wake(crowd)
  key, act_key = jax.random.split(crowd.key)
  current = _view(crowd, market, config=config)
  states, wakes, messages, arrivals, stale = [], [], [], [], []
  for kind, (agent, rows) in enumerate(_by_kind(config)):
    view, is_stale = _seen(crowd, _rows(current, rows), rows, now, agent.delays)
    seen = base.Observation(
      time=_repeat(now, agent.count),
      key=jax.random.split(jax.random.fold_in(act_key, kind), agent.count),
      index=jnp.arange(agent.count, dtype=jnp.int32),
      view=view,
    )
    state, action = jax.vmap(agent.act)(crowd.states[kind], seen)
    is_due = ~clock.is_before(now, _rows(crowd.wake, rows))
    states.append(_select(is_due, state, crowd.states[kind]))
    soonest = clock.add(seen.time, _LEAST_SLEEP)
    wakes.append(
      clock.select(
        is_due, clock.later(action.wake, soonest), _rows(crowd.wake, rows)
      )
    )
    messages.append(_messages(action.orders, is_due, agent, config))
    delay = agent.delays.computation + agent.delays.communication
    arrivals.append(clock.add(seen.time, delay))
    stale.append(is_due & is_stale)
  crowd = crowd.replace(
    key=key,
    states=tuple(states),
    wake=_join(wakes),
    stale=crowd.stale + jnp.concatenate(stale),
  )
  return _send(crowd, _join(messages), _join(arrivals))


def _seen(crowd, current, rows, now, delays):
  """Returns the view of agents as old as their delay, and if it is too new."""
  if not delays.observation:
    return current, jnp.bool_(False)
  moment = clock.add(now, -delays.observation)
  times = jax.tree.map(lambda x: x[:, 0], crowd.views.time)
  known = ~clock.is_before(moment, times)  # [H], a run of True from the oldest.
  last = jnp.maximum(known.sum() - 1, 0)
  view = jax.tree.map(lambda x: x[last, rows], crowd.views)
  return view, ~known[0]


def _messages(orders, is_due, agent, config):
  """Returns orders `[n, M]` as messages `[n, Q]`, none of those not due."""
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


def _send(
  crowd: AgentsState, messages: types.Order, arrival: types.Timestamp
) -> AgentsState:
  """Puts messages `[A, Q]`, of one arrival `[A]` each agent, into outboxes."""
  none = types.OrderKind.NONE
  is_free = crowd.outbox.kind == none
  is_sent = messages.kind != none
  # The n-th message goes to the n-th free place.
  place = jnp.cumsum(is_free, axis=1) - 1
  number = jnp.cumsum(is_sent, axis=1) - 1
  goes = (place[:, :, None] == number[:, None]) & is_free[:, :, None]
  goes &= is_sent[:, None]
  takes = goes.any(axis=2)

  def put(old: jax.Array, new: jax.Array) -> jax.Array:
    new = jnp.where(goes, new[:, None], 0).sum(axis=2, dtype=old.dtype)
    return jnp.where(takes, new, old)

  arrival = jax.tree.map(lambda x: x[:, None], arrival)
  lost = is_sent.sum(axis=1) - takes.sum(axis=1)
  return crowd.replace(
    outbox=jax.tree.map(put, crowd.outbox, messages),
    arrival=clock.select(takes, arrival, crowd.arrival),
    lost=crowd.lost + lost.astype(jnp.int32),
  )


def message(
  crowd: AgentsState,
  index: jax.Array,
  next_id: jax.Array,
  *,
  config: AgentsConfig,
) -> types.Order:
  """Returns a message as an order to the venue, whose owner is its sender.

  Args:
    crowd: the agents.
    index: as of `next_message`.
    next_id: `[]`, the id of a new order.
    config: static.

  Returns:
    The order. Where a cancel or a modify means a slot in which nothing rests,
    or an order that may rest one that is taken, its volume is 0: `admission`
    turns it away.
  """
  sender = index // config.outbox
  order = jax.tree.map(lambda x: x.ravel()[index], crowd.outbox)
  kinds = types.OrderKind
  takes_back = (order.kind == kinds.CANCEL) | (order.kind == kinds.MODIFY)
  slot = jnp.clip(order.id, 0, config.slots - 1)
  resting = jax.tree.map(lambda x: x[sender, slot], crowd.orders)
  may_rest = (order.kind == kinds.LIMIT) | (order.kind == kinds.POST_ONLY)
  is_taken = resting.volume > 0
  is_possible = jnp.where(takes_back, is_taken, ~(may_rest & is_taken))
  is_possible &= slot == order.id
  is_cancel = order.kind == kinds.CANCEL
  volume = jnp.where(
    is_cancel, jnp.minimum(order.volume, resting.volume), order.volume
  )
  return order.replace(
    side=jnp.where(takes_back, resting.side, order.side),
    price=jnp.where(is_cancel, resting.price, order.price),
    volume=jnp.where(is_possible, volume, 0),
    id=jnp.where(takes_back, crowd.ids[sender, slot], next_id),
    owner=sender,
  )


def take(
  crowd: AgentsState, index: jax.Array, is_taken: jax.Array
) -> AgentsState:
  """Takes a message, of which `is_taken`, out of its outbox."""
  num, size = crowd.outbox.kind.shape
  gone = (jnp.arange(num * size) == index).reshape(num, size) & is_taken
  none = jnp.int32(types.OrderKind.NONE)
  kind = jnp.where(gone, none, crowd.outbox.kind)
  return crowd.replace(
    outbox=crowd.outbox.replace(kind=kind),
    arrival=clock.select(gone, clock.never(gone.shape), crowd.arrival),
  )


def refuse(
  crowd: AgentsState, index: jax.Array, refused: jax.Array
) -> AgentsState:
  """Takes a message out, and counts it, if it is refused."""
  num, size = crowd.outbox.kind.shape
  is_sender = jnp.arange(num) == index // size
  counted = crowd.refused + (is_sender & refused)
  return take(crowd, index, refused).replace(refused=counted)


def settle(
  crowd: AgentsState,
  order: types.Order,
  slot: jax.Array,
  report: types.ExecutionReport,
  book: lob.Book,
) -> AgentsState:
  """Books what one order did: to its sender, and to those whose orders it took.

  Args:
    crowd: before the order.
    order: of an agent, its owner, or of the rest of the market.
    slot: `[]`, of the sender, in which it may rest.
    report: of the venue, all fills listed.
    book: after the order.
  """
  num = crowd.ids.shape[0]
  sender = jnp.where(order.owner >= 0, order.owner, num)
  fills = report.fills
  accounts = accounts_lib.book_maker_fills(
    crowd.accounts, crowd.ids, fills, 1 - order.side
  )
  accounts = accounts_lib.book_taker_fills(
    accounts, sender, fills, report.traded, order.side
  )
  kinds = types.OrderKind
  is_new = (order.kind != kinds.CANCEL) & (report.rested > 0)
  at = (jnp.arange(num) == sender)[:, None]
  at &= (jnp.arange(crowd.ids.shape[1]) == slot)[None] & is_new
  orders = base.OpenOrders(
    side=jnp.where(at, order.side, crowd.orders.side),
    price=jnp.where(at, order.price, crowd.orders.price),
    volume=crowd.orders.volume,
  )
  crowd = crowd.replace(
    accounts=accounts, orders=orders, ids=jnp.where(at, order.id, crowd.ids)
  )
  return _look_up(crowd, book)


def settle_auction(
  crowd: AgentsState, fills: types.Fills, book: lob.Book
) -> AgentsState:
  """Books what a call auction did; fills `[2, N]` by side, the book after."""
  accounts = crowd.accounts
  for side in (types.Side.ASK, types.Side.BID):
    accounts = accounts_lib.book_maker_fills(
      accounts, crowd.ids, _rows(fills, side), jnp.int32(side)
    )
  return _look_up(crowd.replace(accounts=accounts), book)


def _look_up(crowd: AgentsState, book: lob.Book) -> AgentsState:
  """Reads what rests of the orders of agents off the book."""
  ids = book.id.ravel()
  is_it = crowd.ids[:, :, None] == ids[None, None]
  is_it &= (ids != types.NO_ORDER)[None, None]
  volume = jnp.where(is_it, book.volume.ravel()[None, None], 0).sum(
    axis=2, dtype=jnp.int32
  )
  return crowd.replace(
    orders=crowd.orders.replace(volume=volume),
    ids=jnp.where(volume > 0, crowd.ids, types.NO_ORDER),
  )
