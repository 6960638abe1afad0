"""A market maker: quotes both sides at several levels around the mid.

At each wake-up it cancels all quotes and sends new ones: a ladder of equal
volumes on each side (Chakraborty and Kearns, "Market making and mean
reversion", EC 2011), whose middle is the mid less a skew for its inventory: who
owns much quotes lower, so as to sell. It does not cross the book: a quote that
would goes a tick before the best price of the other side. The volumes of a side
are cut, those farthest out first, so that the inventory keeps to its limit even
if all of them trade.

That holds while nothing trades between what it sees and the arrival of its
cancels, so strictly only without delays. It needs two slots a level, and an
outbox of four messages a level.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import types
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

_SIGN = np.array([[1], [-1]], np.int32)  # [2, 1] by `Side`: away from the mid.


@dataclasses.dataclass(frozen=True)
class MarketMakerConfig:
  """Static.

  Attributes:
    levels: quotes on each side.
    volume: lots of a quote.
    half_spread: ticks from the middle of the ladder to its first quotes.
    spacing: ticks between quotes of a side.
    skew: ticks that a lot of inventory lowers the middle by.
    limit: lots that it may be long or short.
    interval: seconds between wake-ups.
  """

  levels: int = 2
  volume: int = 100
  half_spread: float = 1.0
  spacing: int = 1
  skew: float = 0.001
  limit: int = 1_000
  interval: float = 1.0

  def __post_init__(self):
    for name in ("levels", "volume", "spacing", "limit"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} must be >= 1, not {getattr(self, name)}")
    for name in ("half_spread", "skew"):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")


def make(
  *,
  name: str = "market maker",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: int | float,
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are.
    delays: of all of them, shorter than the interval in all.
    **fields: of `MarketMakerConfig`.
  """
  config = MarketMakerConfig(**fields)
  common.check_delays(name, delays, config.interval)

  def init(key, observation):
    del key
    return (), observation.time

  def act(state, observation):
    wake = common.after(observation.time, config.interval)
    return state, base.Action(_orders(config, observation.view), wake)

  return base.Agent(name, init, act, count, delays)


def _orders(config, view):
  """Returns cancels of all quotes, then the new ones: leaves `[4 levels]`."""
  num = 2 * config.levels
  resting = common.own_orders(view, num)
  slots = jnp.arange(num, dtype=jnp.int32)
  cancels = jax.vmap(lambda slot, rests: base.cancel(slot, condition=rests))(
    slots, resting.volume > 0
  )
  price, volume = _ladder(config, view)
  sides = jnp.repeat(jnp.arange(2, dtype=jnp.int32), config.levels)
  quotes = types.Order(
    kind=jnp.full((num,), types.OrderKind.LIMIT, jnp.int32),
    side=sides,
    price=price.ravel(),
    volume=volume.ravel(),
    id=slots,
    owner=jnp.full((num,), types.NO_OWNER, jnp.int32),
  )
  quotes = common.when(quotes.volume > 0, quotes)
  return jax.tree.map(lambda *x: jnp.concatenate(x), cancels, quotes)


def _ladder(config, view):
  """Returns quote prices and volumes, `[2, levels]` by side."""
  best, sign = common.best_prices(view), jnp.asarray(_SIGN)
  rung = jnp.arange(config.levels, dtype=jnp.int32)[None]
  inventory = view.account.inventory
  # Ticks from the lower of the two prices that the mid may lie between.
  total = best.sum(dtype=jnp.int32)
  middle = (total % 2) / 2 - config.skew * inventory.astype(jnp.float32)
  first = jnp.ceil(sign * middle + config.half_spread).astype(jnp.int32)
  price = total // 2 + sign * (first + config.spacing * rung)
  beside = best[::-1, None] + sign
  price = sign * jnp.maximum(sign * price, sign * beside)

  room = config.limit + sign * inventory
  volume = jnp.clip(room - config.volume * rung, 0, config.volume)
  return price, volume
