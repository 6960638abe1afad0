"""POV: executes a share of what the market trades.

At each wake-up the agent looks at what has been traded since the last one, its
own trades left out, and owes `ratio / (1 - ratio)` of that: then its trades are
`ratio` of all. It sends what it owes as one limit order at the k-th best price
of the other side, and cancels what is left of the last one. At the end, and
when all is executed, nothing rests.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common
from mars_jax.sim.agents import execution

_SLOT = 0  # Of the one order that an agent has at a time.


@dataclasses.dataclass(frozen=True)
class PovConfig:
  """Static.

  Attributes:
    side: `types.Side`: BID buys, ASK sells.
    volume: lots to execute at most.
    ratio: of all that is traded, in (0, 1).
    start: seconds since midnight; None for the start of the simulation.
    duration: seconds until the end.
    interval: seconds between wake-ups.
    level: of the other side, whose price an order has.
    round_lot: lots that the volume of an order is a multiple of; what is owed
      beyond waits.
  """

  side: int
  volume: int
  ratio: float = 0.1
  start: float | None = None
  duration: float = 300.0
  interval: float = 5.0
  level: int = 1
  round_lot: int = 1

  def __post_init__(self):
    if self.side not in (types.Side.ASK, types.Side.BID):
      raise ValueError(f"side must be a types.Side, not {self.side!r}")
    if not 0 < self.ratio < 1:
      raise ValueError(f"ratio must be in (0, 1), not {self.ratio}")
    if min(self.volume, self.level, self.round_lot) < 1:
      raise ValueError("volume, level and round_lot must be >= 1")
    if not 0 < self.interval <= self.duration:
      raise ValueError("interval must be in (0, duration]")


@struct.dataclass
class State:
  """Traded volume seen, and volume owed."""

  begin: types.Timestamp  # []
  traded: jax.Array  # [] int32, lots, as the last view had it
  executed: jax.Array  # [] int32, lots, its own of these
  owed: jax.Array  # [] float32, lots; negative if it has done too much


def make(
  *,
  name: str = "POV",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: int | float | None,
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are; each goes by the trades of all others.
    delays: of all of them, shorter than the interval in all.
    **fields: of `PovConfig`; side and volume are needed.
  """
  config = PovConfig(**fields)
  common.check_delays(name, delays, config.interval)

  def init(key, observation):
    del key
    now = observation.time
    begin = now if config.start is None else common.at(config.start)
    state = State(
      begin=begin,
      traded=observation.view.traded,
      executed=jnp.int32(0),
      owed=jnp.float32(0),
    )
    return state, clock.later(now, begin)

  def act(state, observation):
    now, end = observation.time, common.after(state.begin, config.duration)
    state = _look(config, state, observation)
    is_over = ~clock.is_before(now, end)
    orders = _orders(config, state, observation.view, is_over)
    wake = clock.earlier(common.after(now, config.interval), end)
    wake = clock.select(is_over, clock.never(), wake)
    return state, base.Action(orders, wake)

  return base.Agent(name, init, act, count, delays)


def _look(config, state, observation):
  """Updates the state with the volume traded since then."""
  view = observation.view
  done = execution.executed(view, config.side)
  own = done - state.executed
  others = view.traded - state.traded - own  # The difference wraps back.
  share = config.ratio / (1 - config.ratio)
  owed = state.owed + share * others.astype(jnp.float32) - own
  has_begun = clock.is_before(state.begin, observation.time)
  return State(state.begin, view.traded, done, jnp.where(has_begun, owed, 0.0))


def _orders(config, state, view, is_over):
  left = (config.volume - state.executed) // config.round_lot
  lots = jnp.floor(state.owed / config.round_lot).astype(jnp.int32)
  volume = jnp.clip(lots, 0, jnp.maximum(left, 0)) * config.round_lot
  price = execution.level_price(view, 1 - config.side, config.level)
  return common.replace_order(
    view,
    _SLOT,
    jnp.int32(config.side),
    price=price,
    volume=volume * ~is_over,
  )
