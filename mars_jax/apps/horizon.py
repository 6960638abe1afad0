"""Horizons of simulations, in market time or in orders."""

import dataclasses
import math

import jax
import numpy as np

from mars_jax import types
from mars_jax.utils import checks
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True)
class Horizon:
  """Length of a simulation, in seconds or in orders.

  Exactly one is given.

  Attributes:
    seconds: of market time, or None.
    orders: events of each trajectory, or None.
    max_orders: where the horizon is in seconds, no trajectory has more events.
  """

  seconds: float | None = None
  orders: int | None = None
  max_orders: int = 1_000_000

  def __post_init__(self):
    if (self.seconds is None) == (self.orders is None):
      raise ValueError("give the horizon in seconds or in orders, one of them")
    if not 0 < (self.seconds or self.orders or 0) < math.inf:
      raise ValueError("the horizon must be positive and finite")
    checks.at_least(1, max_orders=self.max_orders)

  @property
  def max_events(self) -> int:
    """The most events of a trajectory."""
    return self.orders or self.max_orders

  def end(self, begin: int) -> int | None:
    """Returns the horizon's end in seconds.

    None for one in orders.

    Args:
      begin: nanoseconds since midnight.
    """
    if self.seconds is None:
      return None
    return begin + round(self.seconds * types.NANOSECONDS)

  def until(self, begin: int) -> types.Timestamp | None:
    """Returns `end` as `sim.run` takes it."""
    end = self.end(begin)
    if end is None:
      return None
    return jax.tree.map(np.asarray, time_of_day.timestamps(end))

  def __str__(self) -> str:
    return f"{self.orders} orders" if self.orders else f"{self.seconds:g} s"
