"""Momentum traders: they buy what rises and sell what falls.

The kind of ABIDES (Byrd, Hybinette and Balch, arXiv:1904.12066; its
MomentumAgent). At each wake-up an agent notes the mid. Once it has as many
notes as the long average takes, it buys if the short average is the long one or
more, else sells: a limit order at the best price of the other side. It notes
and does nothing where a side of the book is empty.

Not as there: what an order leaves resting is cancelled before the next one.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

_SLOT = 0  # Of the one order that an agent has at a time.


@dataclasses.dataclass(frozen=True)
class MomentumConfig:
  """Static.

  Attributes:
    short: mids of the short average.
    long: mids of the long one.
    volume: lots, from and below: each agent has one for all of its orders.
    interval: mean seconds between wake-ups.
    is_poisson: whether these are a Poisson process; else all are as long.
  """

  short: int = 20
  long: int = 50
  volume: tuple[int, int] = (20, 50)
  interval: float = 60.0
  is_poisson: bool = True

  def __post_init__(self):
    if not 0 < self.short < self.long:
      raise ValueError(f"averages of {self.short} and {self.long} mids")
    if not self.interval > 0:
      raise ValueError(f"interval must be positive, not {self.interval}")
    if not 0 < self.volume[0] < self.volume[1]:
      raise ValueError(f"volume must be a range of lots, not {self.volume}")


@struct.dataclass
class State:
  """Memory of an agent."""

  mids: jax.Array  # [long] int32, half ticks, the last of them the newest
  seen: jax.Array  # [] int32, of these, at most all
  volume: jax.Array  # [] int32, lots, of its orders


def make(
  *,
  name: str = "momentum",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: int | float | bool | tuple[int, int],
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are.
    delays: of all of them.
    **fields: of `MomentumConfig`.
  """
  config = MomentumConfig(**fields)

  def wake(key, observation):
    if config.is_poisson:
      return common.poisson(key, observation.time, config.interval)
    return common.after(observation.time, config.interval)

  def init(key, observation):
    volume_key, wake_key = jax.random.split(key)
    state = State(
      mids=jnp.zeros((config.long,), jnp.int32),
      seen=jnp.int32(0),
      volume=jax.random.randint(volume_key, (), *config.volume),
    )
    return state, wake(wake_key, observation)

  def act(state, observation):
    state, orders = _look(config, state, observation.view)
    return state, base.Action(orders, wake(observation.key, observation))

  return base.Agent(name, init, act, count, delays)


def _look(config, state, view):
  """Updates the stored mids; returns them, and the orders that follow."""
  best = common.best_prices(view)
  two_sided = common.is_two_sided(view)
  mids = jnp.append(state.mids[1:], best.sum(dtype=jnp.int32))
  mids = jnp.where(two_sided, mids, state.mids)
  seen = jnp.minimum(state.seen + two_sided, config.long)
  since = (mids - mids[-1]).astype(jnp.float32)
  # Twice the averages, times both lengths: exact up to 2**24.
  short, long = since[-config.short :].sum(), since.sum()
  buys = short * config.long >= long * config.short
  side = jnp.where(buys, types.Side.BID, types.Side.ASK)
  orders = common.replace_order(
    view,
    _SLOT,
    side,
    price=best[1 - side],
    volume=state.volume,
    condition=two_sided & (seen == config.long),
  )
  return state.replace(mids=mids, seen=seen), orders
