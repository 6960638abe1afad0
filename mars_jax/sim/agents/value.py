"""Value traders: they know roughly what the asset is worth, and trade on it.

The kind of ABIDES (Byrd, Hybinette and Balch, arXiv:1904.12066; its ValueAgent
and the numbers of its configuration RMSC04). The worth, the fundamental, is a
path that all of them share; `mean_reverting` makes one. At each wake-up an
agent sees the fundamental through noise of its own, and updates its estimate as
a Kalman filter does: between wake-ups the estimate reverts to the mean and its
variance grows, by an Ornstein-Uhlenbeck process. It buys if the estimate is at
the mid or above, else sells: at the best price of the other side now and then,
else up to twice the spread short of that.

Not as there: time is continuous; the variance after an observation is that of
the filter, where ABIDES keeps one that observations do not change.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

_SLOT = 0  # Of the one order that an agent has at a time.


@dataclasses.dataclass(frozen=True, eq=False)
class ValueConfig:
  """Static; the defaults are those of RMSC04, for prices near 100,000 ticks.

  Its volatility is taken to be per square root of a nanosecond. There the
  variance of the noise is 1,000, and the horizon the end of the day.

  Attributes:
    fundamental: ticks: one number, or `[P]`, a path; its first and last values
      hold before and after it.
    path_step: seconds between two values of the path.
    path_start: seconds since midnight of its first; None for the start of the
      simulation.
    mean: ticks, that the agents believe the fundamental reverts to, and their
      first estimate; None for the mean of the path.
    reversion: per second, how fast they believe so.
    volatility: ticks per square root of a second, of the fundamental, as they
      believe.
    noise: ticks, the standard deviation of what they see.
    horizon: seconds ahead that they estimate; 0 for now.
    aggressive: probability of an order at the best price of the other side.
    depth: spreads that another order falls short of it, at most.
    volume: lots, from and below: each agent has one for all of its orders.
    interval: mean seconds between wake-ups, which are a Poisson process.
  """

  fundamental: float | np.ndarray
  path_step: float = 1.0
  path_start: float | None = None
  mean: float | None = None
  reversion: float = 1.67e-6
  volatility: float = 1.6
  noise: float = 31.6
  horizon: float = 0.0
  aggressive: float = 0.1
  depth: int = 2
  volume: tuple[int, int] = (20, 50)
  interval: float = 175.0

  def __post_init__(self):
    path = np.atleast_1d(np.asarray(self.fundamental, np.float64))
    if path.ndim != 1 or not np.isfinite(path).all():
      raise ValueError("fundamental must be a number or a path of numbers")
    object.__setattr__(self, "fundamental", path)
    if self.mean is None:
      object.__setattr__(self, "mean", float(path.mean()))
    for name in ("reversion", "volatility", "noise", "horizon"):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")
    if not self.path_step > 0 or not self.interval > 0:
      raise ValueError("path_step and interval must be positive")
    if not 0 <= self.aggressive <= 1 or self.depth < 1:
      raise ValueError("aggressive must be in [0, 1], and depth >= 1")
    if not 0 < self.volume[0] < self.volume[1]:
      raise ValueError(f"volume must be a range of lots, not {self.volume}")


@struct.dataclass
class State:
  """Belief about the fundamental value, in ticks from the mean."""

  begin: types.Timestamp  # [] of the path
  time: types.Timestamp  # [] of the estimate
  estimate: jax.Array  # [] float32, ticks from the mean
  variance: jax.Array  # [] float32, ticks squared
  volume: jax.Array  # [] int32, lots, of its orders


def make(
  *,
  name: str = "value",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: float | np.ndarray | tuple[int, int] | None,
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are; they share the fundamental.
    delays: of all of them.
    **fields: of `ValueConfig`.
  """
  config = ValueConfig(**fields)

  def init(key, observation):
    volume_key, wake_key = jax.random.split(key)
    now = observation.time
    state = State(
      begin=now if config.path_start is None else common.at(config.path_start),
      time=now,
      estimate=jnp.float32(0),
      variance=jnp.float32(0),
      volume=jax.random.randint(volume_key, (), *config.volume),
    )
    return state, common.poisson(wake_key, now, config.interval)

  def act(state, observation):
    see_key, order_key, wake_key = jax.random.split(observation.key, 3)
    state = _update(config, see_key, state, observation.time)
    orders = _orders(config, order_key, state, observation.view)
    wake = common.poisson(wake_key, observation.time, config.interval)
    return state, base.Action(orders, wake)

  return base.Agent(name, init, act, count, delays)


def _update(config, key, state, now):
  """Returns the beliefs after another look at the fundamental."""
  sleep = clock.seconds_between(state.time, now)
  decay = jnp.exp(-config.reversion * sleep)
  grown = sleep  # The integral of the squared decay.
  if config.reversion:
    grown = -jnp.expm1(-2 * config.reversion * sleep) / (2 * config.reversion)
  estimate = decay * state.estimate
  variance = decay**2 * state.variance + config.volatility**2 * grown

  path = jnp.asarray(config.fundamental - config.mean, jnp.float32)
  row = clock.seconds_between(state.begin, now) / config.path_step
  row = jnp.clip(row, 0, len(path) - 1).astype(jnp.int32)
  seen = path[row] + config.noise * jax.random.normal(key)
  total = variance + config.noise**2
  gain = jnp.where(total > 0, variance / jnp.maximum(total, 1e-30), 1.0)
  return state.replace(
    time=now,
    estimate=estimate + gain * (seen - estimate),
    variance=(1 - gain) * variance,
  )


def _orders(config, key, state, view):
  """Returns a cancel of the last order, then another."""
  keys = jax.random.split(key, 3)
  ahead = math.exp(-config.reversion * config.horizon) * state.estimate
  whole = math.floor(config.mean)
  value = whole + jnp.round(ahead + (config.mean - whole)).astype(jnp.int32)

  best = common.best_prices(view)
  ask, bid = best[types.Side.ASK], best[types.Side.BID]
  two_sided = common.is_two_sided(view)
  coin = jax.random.bernoulli(keys[0])
  buys = jnp.where(two_sided, (value - ask) + (value - bid) >= 0, coin)
  is_short = ~jax.random.bernoulli(keys[1], config.aggressive)
  most = jnp.maximum(config.depth * (ask - bid), 1)
  short = is_short * jax.random.randint(keys[2], (), 0, most)
  price = jnp.where(buys, ask - short, bid + short)
  price = jnp.where(two_sided, price, value)
  side = jnp.where(buys, types.Side.BID, types.Side.ASK)
  return common.replace_order(
    view, _SLOT, side, price=price, volume=state.volume
  )


def mean_reverting(
  seed: int,
  *,
  mean: float,
  num: int,
  reversion: float = 1.67e-7,
  volatility: float = 1.6,
  step: float = 1.0,
) -> np.ndarray:
  """Returns the path of an Ornstein-Uhlenbeck process, float64 `[num]` ticks.

  Args:
    seed: of what is drawn.
    mean: ticks, where it starts and what it reverts to.
    num: values.
    reversion: per second; the default is that of RMSC04.
    volatility: ticks per square root of a second; likewise.
    step: seconds between two values.
  """
  decay = math.exp(-reversion * step)
  grown = step
  if reversion:
    grown = -math.expm1(-2 * reversion * step) / (2 * reversion)
  shocks = np.random.default_rng(seed).normal(size=num - 1)
  away = [0.0]
  for shock in shocks:
    away.append(decay * away[-1] + volatility * math.sqrt(grown) * shock)
  return mean + np.array(away)
