"""Zero-intelligence traders: Poisson processes that know only the book.

Limit orders at each distance from the best price of the other side, market
orders, and a cancel of each of the agent's own resting orders come at given
rates (Farmer, Patelli and Zovko, PNAS 102, 2005; in the form of Cont, Stoikov
and Talreja, Operations Research 58(3), 2010). `baselines.zero_intelligence` has
the same flow without a simulator, and its `Rates` name their fields alike.

The rate of cancels changes with the book while an agent sleeps. So it wakes up
at a rate that nothing can exceed meanwhile, and does nothing in the share of
wake-ups that are too many: thinning, which is exact. An agent has no more
resting orders than slots; for a new order, also a market order, without a free
slot it cancels its farthest one (`common.slot_for`). Give the kind enough
agents to make that rare.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common
from mars_jax.utils import preset_rates

_LIMIT, _MARKET = 0, 1  # Rows of `ZeroIntelligenceConfig.volume`.
_SIGN = np.array([1, -1], np.int32)  # By `Side`: away from the other side.


def _volume() -> np.ndarray:
  return np.tile(preset_rates.volume(64), (2, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class ZeroIntelligenceConfig:
  """Rates of all agents of the kind together; the two sides are alike.

  The defaults are those of `utils.preset_rates`.

  Attributes:
    limit: `[D]` limit orders per second and side, at 1 to D ticks from the best
      price of the other side.
    market: market orders per second and side.
    cancel: `[C]` cancels per second and resting order at these distances; the
      last also for those farther away.
    volume: `[2, S]` lots, of which a limit and a market order have one, all as
      likely. Further rows are ignored: a cancel takes all of an order.
  """

  limit: np.ndarray = dataclasses.field(default_factory=preset_rates.limit)
  market: float = preset_rates.MARKET
  cancel: np.ndarray = dataclasses.field(
    default_factory=lambda: np.full(1, preset_rates.CANCEL)
  )
  volume: np.ndarray = dataclasses.field(default_factory=_volume)

  def __post_init__(self):
    for name, rank in (("limit", 1), ("market", 0), ("cancel", 1)):
      rates = np.asarray(getattr(self, name), np.float32)
      if rates.ndim != rank or not rates.size or not (rates >= 0).all():
        raise ValueError(f"{name}: {rates} are no rates of rank {rank}")
      object.__setattr__(self, name, rates)
    volume = np.asarray(self.volume, np.int32)
    if volume.ndim != 2 or len(volume) < 2 or (volume < 1).any():
      raise ValueError("volume must be rows of lots >= 1, of limit and market")
    object.__setattr__(self, "volume", volume)
    if not self.arrivals.sum() > 0:
      raise ValueError("no orders come: one rate at least must be positive")

  @property
  def arrivals(self) -> np.ndarray:
    """Orders per second: market by side, limit by side and distance."""
    market, limit = [self.market] * 2, np.tile(self.limit, 2)
    return np.concatenate([market, limit]).astype(np.float32)


def make(
  *,
  name: str = "zero intelligence",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: np.ndarray | float,
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are; each sends its share of the orders.
    delays: of all of them.
    **fields: of `ZeroIntelligenceConfig`.
  """
  config = ZeroIntelligenceConfig(**fields)
  arrivals = config.arrivals / np.float32(count)

  def next_wake(key, observation):
    """Returns the highest rate until the wake-up, and that wake-up."""
    # One order more may come to rest: that of this wake-up.
    resting = (observation.view.orders.volume > 0).sum() + 1
    bound = arrivals.sum() + config.cancel.max() * resting
    sleep = jax.random.exponential(key) / bound
    return bound, clock.add_seconds(observation.time, sleep)

  def act(bound, observation):
    key, wake_key = jax.random.split(observation.key)
    orders = _orders(config, arrivals, key, bound, observation.view)
    bound, wake = next_wake(wake_key, observation)
    return bound, base.Action(orders, wake)

  return base.Agent(name, next_wake, act, count, delays)


def _orders(config, arrivals, key, bound, view):
  """Draws one event of the Poisson processes, by thinning.

  Candidates are drawn at rates that add up to the bound.
  """
  uniform = jax.random.uniform(key, (2,))
  opposite = common.best_prices(view)[::-1]
  resting = view.orders
  away = jnp.abs(resting.price - opposite[resting.side])
  away = jnp.clip(away, 1, len(config.cancel))
  cancels = jnp.asarray(config.cancel)[away - 1] * (resting.volume > 0)
  ends = jnp.cumsum(jnp.concatenate([cancels, arrivals]))
  event = (ends <= uniform[0] * bound).sum(dtype=jnp.int32)

  num_slots, num_limits = len(cancels), len(config.limit)
  arrival = event - num_slots
  is_cancel = arrival < 0
  is_new = ~is_cancel & (arrival < len(arrivals))
  is_market = is_new & (arrival < 2)
  side, distance = jnp.divmod(jnp.maximum(arrival - 2, 0), num_limits)
  side = jnp.where(is_market, arrival, jnp.minimum(side, 1))
  price = opposite[side] + jnp.asarray(_SIGN)[side] * (distance + 1)
  column = (uniform[1] * config.volume.shape[1]).astype(jnp.int32)
  row = jnp.where(is_market, _MARKET, _LIMIT)
  volume = jnp.asarray(config.volume)[row, column]

  slot = common.slot_for(resting, price)
  cancelled = jnp.where(is_cancel, event, slot)
  cancel = base.cancel(
    cancelled,
    condition=(is_cancel | is_new) & (resting.volume[cancelled] > 0),
  )
  kinds = types.OrderKind
  kind = jnp.where(is_market, kinds.MARKET, kinds.LIMIT)
  order = base.order(kind, side, price=price, volume=volume, slot=slot)
  return base.orders(cancel, common.when(is_new, order))
