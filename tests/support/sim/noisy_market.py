"""Two markets with noise agents, to simulate in several ways."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import sim
from mars_jax.sim import agents
from mars_jax.sim import clock
from tests.support.sim import oracle_replay
from tests.support.sim import small_markets

MS = 1_000_000  # Nanoseconds.
NUM, CHUNK = 8, 10
UNTIL = 103  # Seconds since midnight, 3 after the start.
_SLOTS = 2
_NOISE = oracle_replay.noise(
  count=2,
  interval=500 * MS,
  slots=_SLOTS,
  delays=agents.Delays(communication=7 * MS, observation=200 * MS),
)
CONFIG = sim.SimConfig(
  agents=sim.AgentsConfig((_NOISE,), slots=_SLOTS, outbox=4, levels=1, views=8)
)


def flow(params=0, fns=oracle_replay.ANY_ORDER):
  return sim.Flow(params, small_markets.tokenizer(50_000), fns)


def starts():
  """Two markets that differ in their quotes and their model's memory."""
  other = [
    (side, price + 5, 2 * volume)
    for side, price, volume in small_markets.QUOTES
  ]
  start = functools.partial(small_markets.start, capacity=32)
  return start(), start(quotes=other).replace(cache=jnp.int32(7))


def keys_of_starts():
  return jax.random.split(jax.random.key(2), (2, NUM))


def keep(state, event):
  """The events, and of the state what they do not tell."""
  agents = state.agents
  return event, state.num_events, state.cache, agents.accounts, agents.rejected


def run(keys, start, until, mesh=None):
  """What was kept `[B, num_events, ...]` until all trajectories had ended."""
  chunks = sim.run(
    flow(),
    sim.init_many(flow(), keys, start, config=CONFIG),
    clock.at_second(until),
    chunk=CHUNK,
    observe_fn=keep,
    mesh=mesh,
    config=CONFIG,
  )
  kept = [kept for _, kept in chunks]
  return jax.tree.map(lambda *x: np.concatenate(x, axis=1), *kept)


def path(folder, number):
  return folder / f"kept_{number}.npz"
