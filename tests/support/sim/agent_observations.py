"""Agents asked what they do in a moment made by hand, or in a small market."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.sim import agents
from mars_jax.sim import clock
from tests.support.sim import small_markets

ALL = 2**31 - 1  # The volume of a cancel of whatever rests.


def _levels(levels, num=3):
  """Prices and volumes of one side, `[2, num]`."""
  return np.array([*levels, *[(0, 0)] * (num - len(levels))], np.int32).T


def observation(
  *,
  time=100.0,
  asks=((1002, 10), (1004, 20)),
  bids=((998, 10), (997, 20)),
  mid=1000,
  last=1000,
  traded=0,
  inventory=0,
  resting=(),
  slots=4,
  seed=0,
):
  """What an agent sees; `resting` are (side, price, volume) by slot."""
  sides = [_levels(asks), _levels(bids)]
  rows = [*resting, *[(0, 0, 0)] * (slots - len(resting))]
  view = agents.View(
    time=clock.at_second(0),
    snapshot=types.Snapshot(*jnp.stack(sides, axis=1)),
    mid=jnp.int32(mid),
    last_price=jnp.int32(last),
    traded=jnp.int32(traded),
    account=agents.Account(jnp.zeros(4, jnp.int32), jnp.int32(inventory)),
    orders=agents.OpenOrders(*jnp.array(rows, jnp.int32).T),
    rejected=jnp.int32(0),
  )
  now = clock.add(clock.at_second(0), round(time * types.NANOSECONDS))
  key = jax.random.key(seed)
  return agents.Observation(now, key, jnp.int32(0), view)


def sent(action):
  """The orders of an action: (kind, side, price, volume, slot)."""
  orders = jax.tree.map(np.asarray, action.orders)
  rows = zip(
    orders.kind,
    orders.side,
    orders.price,
    orders.volume,
    orders.id,
    strict=True,
  )
  return [
    tuple(map(int, row)) for row in rows if row[0] != types.OrderKind.NONE
  ]


def new(action):
  return [row for row in sent(action) if row[0] != types.OrderKind.CANCEL]


def cancels(action):
  """The cancels of an action: (slot, volume)."""
  return [
    (row[4], row[3]) for row in sent(action) if row[0] == types.OrderKind.CANCEL
  ]


def seconds(time):
  return float(time.seconds) + float(time.nanoseconds) / types.NANOSECONDS


def many(agent, state, observation, num):
  """What an agent does with each of `num` keys, leaves `[num, ...]`."""
  keys = jax.random.split(jax.random.key(1), num)

  def act(key):
    return agent.act(state, observation.replace(key=key))

  return jax.device_get(jax.jit(jax.vmap(act))(keys))


def assert_shares(counts, shares, num):
  """Checks counts of `num` draws, each within 4 standard deviations."""
  shares = np.array(shares)
  deviation = np.sqrt(num * shares * (1 - shares))
  assert (np.abs(counts - num * shares) <= 4 * deviation).all()


def simulate(kinds, flow, book, *, interval, until, num_events, capacity=128):
  """A simulated market with agents.

  Args:
    kinds: of agent.
    flow: the next order index of a key.
    book: of `start`.
    interval: microseconds; those of the flow are 0 to 15 of them.
    until: second of the end.
    num_events: no more than these.
    capacity: of the book.

  Returns:
    The config, the last state, and the event and the accounts of each step.
  """
  tokenizer = small_markets.tokenizer(interval)
  config = sim.SimConfig(agents=sim.AgentsConfig(kinds=tuple(kinds)))
  fns = sim.OrderModelFns(lambda params, key, inputs, cache: (flow(key), cache))
  flow_of_market = sim.Flow(0, tokenizer, fns)
  init = jax.jit(functools.partial(sim.init, config=config))
  run = jax.jit(
    functools.partial(
      sim.rollout,
      num_events=num_events,
      observe_fn=lambda state, event: (event, state.agents.accounts),
      config=config,
    )
  )
  begin = small_markets.start(book, capacity=capacity)
  state = init(flow_of_market, jax.random.key(3), begin)
  state, kept = run(flow_of_market, state, clock.at_second(until))
  assert not state.market.exchange.book.dropped
  return config, state, *jax.device_get(kept)
