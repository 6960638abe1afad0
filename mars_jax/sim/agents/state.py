"""Configuration and state of all agents of one market.

Dimensions: A agents, Q messages of an outbox, R slots of an agent for orders
that rest, M orders of one action, H views kept for those who see late.
"""

import dataclasses

import jax
from flax import struct

from mars_jax import types
from mars_jax.sim import accounts as accounts_lib
from mars_jax.sim.agents import base
from mars_jax.utils import checks


@dataclasses.dataclass(frozen=True)
class AgentsConfig:
  """The agents of a market and message capacities; static.

  Attributes:
    kinds: the kinds of agent; agents are numbered in this order.
    slots: R, orders of one agent that may rest.
    outbox: Q, messages of one agent on their way.
    levels: L, price levels that agents see.
    views: H, moments that are kept for agents with a delay of observation. One
      that looks back further sees the oldest, which is counted.
  """

  kinds: tuple[base.Agent, ...] = ()
  slots: int = 4
  outbox: int = 8
  levels: int = 10
  views: int = 64

  def __post_init__(self):
    checks.at_least(
      1,
      slots=self.slots,
      outbox=self.outbox,
      levels=self.levels,
      views=self.views,
    )

  @property
  def num_agents(self) -> int:
    """A, of all kinds."""
    return sum(agent.count for agent in self.kinds)

  @property
  def sees_late(self) -> bool:
    """True if any agent has an observation delay."""
    return any(agent.delays.observation for agent in self.kinds)

  @property
  def owner_names(self) -> tuple[str, ...]:
    """Names of the owners, the rest of the market last."""
    names = [
      agent.name if agent.count == 1 else f"{agent.name} {i}"
      for agent in self.kinds
      for i in range(agent.count)
    ]
    return (*names, "market")


@struct.dataclass
class AgentsState:
  """The agents of one market."""

  key: jax.Array  # [] typed PRNG key
  states: tuple[base.AgentState, ...]  # by kind, leaves [count, ...]
  wake: types.Timestamp  # [A]
  outbox: types.Order  # [A, Q], kind `NONE` for no message
  arrival: types.Timestamp  # [A, Q]
  orders: base.OpenOrders  # [A, R]
  ids: jax.Array  # [A, R] int32, of these orders, or `NO_ORDER`
  accounts: accounts_lib.Accounts
  rejected: jax.Array  # [A] int32, messages that the exchange rejected
  dropped: jax.Array  # [A] int32, messages that found the outbox full
  stale: jax.Array  # [A] int32, wake-ups that saw a later view than they should
  views: base.View | None  # [H, ...], of [A] agents each, oldest first
