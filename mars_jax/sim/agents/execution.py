"""Execution agents: they work off a volume along a schedule.

Algorithm 1 of the MarS paper (App. H). The time is cut into slices, each with a
volume that it should add. Each slice has two periods; for a buyer:

  Passive: orders that do not rest at the best bid are cancelled, and new volume
  is put there until `passive_ratio` of the whole volume rests.
  Aggressive: if less has been executed than the schedule has at the end of the
  slice, what is missing is bought at the k-th best ask. Of the whole volume the
  agent never has more in the market than it still has to buy: where the passive
  orders are too many for that, some are cancelled first.

A level or a ratio of 0 skips the period. The paper writes LX-PY: X the level, Y
the ratio; its best is L1-P0.9, the default here. The fields that the paper does
not have are those in which the official code differs (github.com/microsoft/
MarS, `agents/trading_agent.py`): with `ticks` the price is the best ask plus
so many, not that of a level, and volumes are padded to round lots.

Choices where paper and code are silent, or cannot be had in slots. Slot 0 is
the aggressive order's; what it leaves is cancelled before the next one. The
others are for passive orders: new volume goes to the first free one, so that
older orders keep their place in the queue; where none is free, the last is
cancelled and goes with the new volume. Of passive orders those of the first
slots are cancelled first, in part if that is enough. Where the book has fewer
levels, the last one is the k-th. At the end all that rests is cancelled; what
has not been executed by then is given up.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim.agents import base
from mars_jax.sim.agents import common

SLOTS = 4  # That an agent uses: for the aggressive order, and passive ones.


@dataclasses.dataclass(frozen=True)
class Config:
  """Static.

  Attributes:
    side: `types.Side`: BID buys, ASK sells.
    volume: lots to execute, V.
    profile: the volume of each slice, relative to the others.
    start: seconds since midnight; None for the start of the simulation.
    duration: seconds of all slices.
    passive_s: seconds of a slice's passive period; the rest is aggressive.
    passive_ratio: of V, that may rest at the best price.
    level: of the other side, whose price an aggressive order has.
    ticks: beyond the best price of the other side, for the price of an
      aggressive order; None for the price of the level.
    aggressive_ratio: of V, that an aggressive order may have.
    round_lot: lots that the volume of an order is a multiple of: rounded up,
      but down where no more is left.
  """

  side: int
  volume: int
  profile: tuple[float, ...]
  start: float | None = None
  duration: float = 300.0
  passive_s: float = 25.0
  passive_ratio: float = 0.9
  level: int = 1
  ticks: int | None = None
  aggressive_ratio: float = 1.0
  round_lot: int = 1

  def __post_init__(self):
    if self.side not in (types.Side.ASK, types.Side.BID):
      raise ValueError(f"side must be a types.Side, not {self.side!r}")
    if self.volume < 1 or self.round_lot < 1 or self.level < 0:
      raise ValueError("volume and round_lot must be >= 1, level >= 0")
    if not self.profile or min(self.profile) < 0 or not sum(self.profile) > 0:
      raise ValueError(f"profile must be volumes, not {self.profile}")
    if not 0 < self.passive_s < self.slice_s:
      raise ValueError(
        f"a slice of {self.slice_s} s has no passive period of"
        f" {self.passive_s} s and an aggressive one"
      )
    for name in ("passive_ratio", "aggressive_ratio"):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(f"{name} must be in [0, 1], not {getattr(self, name)}")

  @property
  def slice_s(self) -> float:
    """Seconds of a slice."""
    return self.duration / len(self.profile)

  @property
  def schedule(self) -> np.ndarray:
    """Target lots at the end of each slice.

    int32 `[slices]`.
    """
    sums = list(itertools.accumulate(self.profile))
    shares = [round(self.volume * part / sums[-1]) for part in sums]
    return np.array(shares, np.int32)

  @property
  def wakes(self) -> np.ndarray:
    """Wake-up times of all periods and the end.

    int64 nanoseconds from the start.
    """
    slices = range(len(self.profile))
    seconds = [
      i * self.slice_s + offset
      for i in slices
      for offset in (0, self.passive_s)
    ]
    nanoseconds = [round(s * types.NANOSECONDS) for s in seconds]
    return np.array([*nanoseconds, round(self.duration * types.NANOSECONDS)])


@struct.dataclass
class State:
  """Progress of an agent through its schedule."""

  begin: types.Timestamp  # [] of the first slice
  period: jax.Array  # [] int32, that comes next: even ones are passive


def make(
  config: Config, *, name: str, count: int, delays: base.Delays
) -> base.Agent:
  """Returns the agent; one that comes late begins with the next period.

  Args:
    config: static.
    name: for reports.
    count: how many there are; each executes the whole volume.
    delays: of all of them, shorter than any period in all.
  """
  shortest = min(config.passive_s, config.slice_s - config.passive_s)
  common.check_delays(name, delays, shortest)
  last = len(config.wakes) - 1
  offsets = np.stack(np.divmod(config.wakes, types.NANOSECONDS))

  def wakes(begin):
    return clock.add_parts(begin, *jnp.asarray(offsets, jnp.int32))

  def at(begin, period):
    time = jax.tree.map(lambda x: x[jnp.minimum(period, last)], wakes(begin))
    return clock.select(period <= last, time, clock.never())

  def init(key, observation):
    del key
    now = observation.time
    begin = now if config.start is None else common.at(config.start)
    period = clock.is_before(wakes(begin), now).sum(dtype=jnp.int32)
    return State(begin, period), at(begin, period)

  def act(state, observation):
    orders = _orders(config, state.period, observation.view)
    period = state.period + 1
    wake = at(state.begin, period)
    return state.replace(period=period), base.Action(orders, wake)

  return base.Agent(name, init, act, count, delays)


def executed(view: base.View, side: int) -> jax.Array:
  """Returns the lots executed by a one-sided agent.

  int32 `[]`.
  """
  inventory = view.account.inventory
  return inventory if side == types.Side.BID else -inventory


def level_price(view: base.View, side: int, level: int) -> jax.Array:
  """Returns the price of the k-th best level.

  In ticks, `[]`; the last if there are fewer.

  Raises:
    ValueError: if agents see fewer levels; when the simulation is compiled.
  """
  seen = view.snapshot.price.shape[-1]
  if level > seen:
    raise ValueError(f"level {level}, but agents see {seen}: raise levels")
  there = (view.snapshot.volume[side] > 0).sum()
  price = view.snapshot.price[side, jnp.clip(there, 1, level) - 1]
  return jnp.where(there > 0, price, common.best_prices(view)[side])


def _orders(config, period, view):
  """Returns the orders of a period, cancels first.

  Leaves `[SLOTS + 1]`.
  """
  resting = common.own_orders(view, SLOTS)
  is_end = period == 2 * len(config.profile)
  is_passive = (period % 2 == 0) & ~is_end
  passive = _passive(config, resting, view)
  aggressive = _aggressive(config, period // 2, resting, view)
  kept, volume, price, slot = jax.tree.map(
    lambda x, y: jnp.where(is_passive, x, y), passive, aggressive
  )
  kept, volume = kept * ~is_end, volume * ~is_end

  slots = jnp.arange(SLOTS, dtype=jnp.int32)
  taken = resting.volume - kept
  cancels = jax.vmap(
    lambda slot, volume: base.order(
      types.OrderKind.CANCEL, volume=volume, slot=slot
    )
  )(slots, taken)
  order = base.order(
    types.OrderKind.LIMIT, config.side, price=price, volume=volume, slot=slot
  )
  return jax.tree.map(
    jnp.append,
    common.when(taken > 0, cancels),
    common.when(volume > 0, order),
  )


def _passive(config, resting, view):
  """Plans the passive orders of a period.

  Returns the volume kept in each slot, and volume, price and slot to add.
  """
  price = common.best_prices(view)[config.side]
  zero = jnp.int32(0)
  if not config.passive_ratio:
    return resting.volume, zero, price, zero
  most = _padded(config, round(config.volume * config.passive_ratio))
  kept = resting.volume * (resting.price == price)
  kept -= _first(kept, kept.sum() - most)
  left = config.volume - executed(view, config.side) - kept.sum()
  volume = _whole(config, most - kept.sum(), left)
  is_free = kept[1:] == 0
  slot = jnp.where(is_free.any(), 1 + jnp.argmax(is_free), SLOTS - 1)
  merged = (jnp.arange(SLOTS) == slot) & (volume > 0)
  volume += (kept * merged).sum(dtype=jnp.int32)
  return kept * ~merged, volume, price, slot.astype(jnp.int32)


def _aggressive(config, index, resting, view):
  """Likewise."""
  other = 1 - config.side
  if config.ticks is None:
    price = level_price(view, other, max(config.level, 1))
  else:
    sign = 1 if config.side == types.Side.BID else -1
    price = common.best_prices(view)[other] + sign * config.ticks
  zero = jnp.int32(0)
  if not config.level:
    return resting.volume, zero, price, zero
  slices = len(config.profile)
  expected = jnp.asarray(config.schedule)[jnp.minimum(index, slices - 1)]
  done = executed(view, config.side)
  most = _padded(config, round(config.volume * config.aggressive_ratio))
  missing = jnp.minimum(_padded(config, expected - done), most)
  left = config.volume - done
  missing = jnp.minimum(missing, left)
  kept = resting.volume.at[0].set(0)
  kept -= _first(kept, missing - (left - kept.sum()))
  volume = _whole(config, missing, left - kept.sum())
  is_late = expected > done
  return (
    jnp.where(is_late, kept, resting.volume),
    volume * is_late,
    price,
    zero,
  )


def _first(volumes, amount):
  """Takes a volume from volumes `[n]`, first ones first."""
  before = jnp.cumsum(volumes) - volumes
  return jnp.clip(amount - before, 0, volumes)


def _padded(config, volume):
  """Returns a volume rounded up to round lots."""
  return -(-volume // config.round_lot) * config.round_lot


def _whole(config, volume, left):
  """Rounds a volume to round lots within the remainder."""
  most = left // config.round_lot * config.round_lot
  return jnp.clip(_padded(config, volume), 0, jnp.maximum(most, 0))
