"""MarS' noise agent: orders of tables, from the last price.

At each wake-up it draws a kind (buy, sell, cancel), a price offset from the
last trade's price and a volume, each by itself, and sends one limit order, or
cancels the one of its own orders whose price is nearest: up to the volume, none
if it has none. The tables are those of the official code (github.com/microsoft/
MarS, `agents/noise_agent.py`), where 100 units of price are a tick.

Not as there: a cancel takes back one order, not all of one price up to the
volume; and an agent has no more resting orders than slots. One that needs
another takes the farthest back (`common.slot_for`), so give it plenty of slots,
or let many agents share the flow, each with a longer interval.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

_CANCEL = 2  # Beside the two sides.

Table = tuple[tuple[int, float], ...]  # Values and their probabilities.


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
  """Static; probabilities add up to one.

  Attributes:
    buy: probability of a buy.
    sell: of a sell.
    cancel: of a cancel.
    offsets: ticks from the last price.
    volumes: lots.
    interval: mean seconds between wake-ups, which are uniform on 0.5 to 1.5
      times that.
    start: seconds since midnight of the first; None for the start of the
      simulation.
    end: seconds since midnight after which there are no more; None for never.
  """

  buy: float = 0.4
  sell: float = 0.4
  cancel: float = 0.2
  offsets: Table = (
    (0, 0.2),
    (1, 0.2),
    (-1, 0.2),
    (2, 0.1),
    (-2, 0.1),
    (3, 0.05),
    (-3, 0.05),
    (4, 0.025),
    (-4, 0.025),
    (5, 0.025),
    (-5, 0.025),
  )
  volumes: Table = (
    (100, 0.5),
    (200, 0.3),
    (500, 0.15),
    (1000, 0.025),
    (2000, 0.025),
  )
  interval: float = 1.0
  start: float | None = None
  end: float | None = None

  def __post_init__(self):
    for name, table in (
      ("buy, sell, cancel", self.kinds),
      ("offsets", self.offsets),
      ("volumes", self.volumes),
    ):
      weights = [weight for _, weight in table]
      if min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"{name}: {weights} are no probabilities")
    if min(volume for volume, _ in self.volumes) < 1:
      raise ValueError("volumes must be 1 or more")
    if not self.interval > 0:
      raise ValueError(f"interval must be positive, not {self.interval}")

  @property
  def kinds(self) -> Table:
    """Sides and probabilities of new orders, and of cancels."""
    return (
      (types.Side.BID, self.buy),
      (types.Side.ASK, self.sell),
      (_CANCEL, self.cancel),
    )


def make(
  *,
  name: str = "noise",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: float | Table | None,
) -> base.Agent:
  """Returns the agent.

  Args:
    name: for reports.
    count: how many there are, of the same interval each.
    delays: of all of them.
    **fields: of `NoiseConfig`.
  """
  config = NoiseConfig(**fields)

  def init(key, observation):
    del key
    return (), clock.later(observation.time, common.at(config.start))

  def act(state, observation):
    key, wake_key = jax.random.split(observation.key)
    sleep = config.interval * jax.random.uniform(wake_key, (), None, 0.5, 1.5)
    wake = clock.add_seconds(observation.time, sleep)
    if config.end is not None:
      is_over = clock.is_before(common.at(config.end), wake)
      wake = clock.select(is_over, clock.never(), wake)
    return state, base.Action(_orders(config, key, observation.view), wake)

  return base.Agent(name, init, act, count, delays)


def _orders(config, key, view):
  """Draws the order; a cancel comes before it where it needs the slot."""
  kind_key, offset_key, volume_key = jax.random.split(key, 3)
  kind = _draw(kind_key, config.kinds)
  price = view.last_price + _draw(offset_key, config.offsets)
  volume = _draw(volume_key, config.volumes)
  resting = view.orders
  is_cancel = kind == _CANCEL
  slot = common.slot_for(resting, price)
  far = jnp.where(resting.volume > 0, jnp.abs(resting.price - price), 2**31 - 1)
  nearest = jnp.argmin(far)
  cancelled = jnp.where(is_cancel, nearest, slot)
  cancel = base.order(
    types.OrderKind.CANCEL,
    volume=jnp.where(is_cancel, volume, 2**31 - 1),
    slot=cancelled,
  )
  order = base.order(
    types.OrderKind.LIMIT, kind, price=price, volume=volume, slot=slot
  )
  return base.orders(
    common.when(resting.volume[cancelled] > 0, cancel),
    common.when(~is_cancel, order),
  )


def _draw(key, table):
  """Returns a value of a table, int32 `[]`."""
  values, weights = zip(*table, strict=True)
  values = jnp.asarray(values, jnp.int32)
  return jax.random.choice(key, values, p=jnp.asarray(weights))
