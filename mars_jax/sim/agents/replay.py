"""Sends given orders at their times: a script.

Each goes out at exactly its time, and arrives as much later as the delays say.
An agent sleeps for a microsecond at least: of orders less than that apart the
later ones go out when it is over. Orders of one time keep their order.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

_FIELDS = (
  "seconds",
  "nanoseconds",
  "kind",
  "side",
  "price",
  "volume",
  "slot",
)
_LEAST_SLEEP = 1_000  # Nanoseconds, of the simulator.


@dataclasses.dataclass(frozen=True, eq=False)
class ReplayConfig:
  """The orders, integers `[T]` each, in the order of time.

  Attributes:
    seconds: since midnight, when to send it.
    nanoseconds: beyond these, in [0, 1e9).
    kind: `types.OrderKind`.
    side: `types.Side`; ignored for a cancel or a modify.
    price: ticks; ignored for a market order or a cancel.
    volume: lots; of a cancel, the most to take back.
    slot: of the agent, where it may rest, or what it cancels or modifies.
  """

  seconds: np.ndarray
  nanoseconds: np.ndarray
  kind: np.ndarray
  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  slot: np.ndarray

  def __post_init__(self):
    shapes = {np.shape(getattr(self, name)) for name in _FIELDS}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 1 or not shape[0]:
      raise ValueError("orders must be arrays of one length, of 1 or more")
    for name in _FIELDS:
      column = np.asarray(getattr(self, name))
      if (column != column.astype(np.int32)).any():
        raise ValueError(f"{name} must be int32")
      object.__setattr__(self, name, column.astype(np.int32))
    is_time = (self.nanoseconds >= 0) & (self.nanoseconds < types.NANOSECONDS)
    if not is_time.all():
      raise ValueError("nanoseconds must be in [0, 1e9)")
    back = np.flatnonzero(np.diff(self.times) < 0)
    if len(back):
      raise ValueError(f"order {back[0] + 1} comes before the one before it")

  @property
  def times(self) -> np.ndarray:
    """Nanoseconds since midnight, int64 `[T]`."""
    return self.seconds * np.int64(types.NANOSECONDS) + self.nanoseconds


@struct.dataclass
class State:
  """Progress through the orders."""

  sent: jax.Array  # [] int32, orders that it is done with
  skipped: jax.Array  # [] int32, of these, too early for the simulation


def make(
  *,
  name: str = "replay",
  count: int = 1,
  delays: base.Delays = base.NO_DELAYS,
  **fields: np.ndarray,
) -> base.Agent:
  """Returns the agent.

  Orders from before the start of the simulation are not sent, but counted in
  its state.

  Args:
    name: for reports.
    count: how many there are; each sends all orders.
    delays: of all of them.
    **fields: of `ReplayConfig`.

  Raises:
    ValueError: if the orders are none, or not in the order of time.
  """
  config = ReplayConfig(**fields)
  most = _most_at_once(config.times)
  last = jnp.int32(len(config.times))
  time = types.Timestamp(config.seconds, config.nanoseconds)

  def wake(sent):
    row = jnp.minimum(sent, last - 1)
    at = jax.tree.map(lambda x: jnp.asarray(x)[row], time)
    return clock.select(sent < last, at, clock.never())

  def init(key, observation):
    del key
    skipped = clock.is_before(time, observation.time).sum(dtype=jnp.int32)
    return State(skipped, skipped), wake(skipped)

  def act(state, observation):
    rows = state.sent + jnp.arange(most, dtype=jnp.int32)
    at = jnp.minimum(rows, last - 1)
    order, sent_at = jax.tree.map(
      lambda x: jnp.asarray(x)[at], (_orders(config), time)
    )
    is_due = (rows < last) & ~clock.is_before(observation.time, sent_at)
    sent = state.sent + is_due.sum(dtype=jnp.int32)
    orders = common.when(is_due, order)
    return state.replace(sent=sent), base.Action(orders, wake(sent))

  return base.Agent(name, init, act, count, delays)


def _orders(config: ReplayConfig) -> types.Order:
  owner = np.full_like(config.kind, types.NO_OWNER)
  return types.Order(
    kind=config.kind,
    side=config.side,
    price=config.price,
    volume=config.volume,
    id=config.slot,
    owner=owner,
  )


def _most_at_once(times: np.ndarray) -> int:
  """Returns the largest number of orders at one wake-up."""
  most, sent, soonest = 0, 0, times[0]
  while sent < len(times):
    wake = max(times[sent], soonest)
    due = int(np.searchsorted(times, wake, side="right"))
    most, sent, soonest = max(most, due - sent), due, wake + _LEAST_SLEEP
  return most
