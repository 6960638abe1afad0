"""Exact accounts of each owner: cash and lots.

There is a row for each agent and a last one for everybody else, so that rows
add up to nothing: what one pays, another gets.

Dimensions: A agents, R slots of an agent for orders that rest, F fills.
"""

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.sim import money


@struct.dataclass
class Accounts:
  """Trades of each owner since the start."""

  cash: jax.Array  # [A + 1, 4] int32, amounts of `sim.money`
  inventory: jax.Array  # [A + 1] int32, lots
  bought: jax.Array  # [A + 1] int32, lots; wraps round at 2**31
  sold: jax.Array  # [A + 1] int32, lots; wraps round at 2**31


def init(num_agents: int) -> Accounts:
  """Returns accounts of nothing."""
  lots = jnp.zeros((num_agents + 1,), jnp.int32)
  return Accounts(money.zeros((num_agents + 1,)), lots, lots, lots)


def book_maker_fills(
  accounts: Accounts, ids: jax.Array, fills: types.Fills, side: jax.Array
) -> Accounts:
  """Books fills of resting orders to those who own them.

  Args:
    accounts: before.
    ids: int32 `[A, R]`, of the orders of agents that rest.
    fills: `[F]`.
    side: `[]`, of the resting orders.
  """
  is_agents = ids[:, :, None] == fills.id[None, None]
  is_agents = (is_agents & (fills.volume > 0)[None, None]).any(axis=1)
  owns = jnp.concatenate([is_agents, ~is_agents.any(axis=0)[None]])  # [A+1, F]
  volume = jnp.where(owns, fills.volume[None], 0).sum(axis=1, dtype=jnp.int32)
  limbs = money.product(fills.price, fills.volume)
  value = jnp.where(owns[:, :, None], limbs[None], 0).sum(axis=1)
  return _book(accounts, volume, money.carry(value), side)


def book_taker_fills(
  accounts: Accounts,
  sender: jax.Array,
  fills: types.Fills,
  traded: jax.Array,
  side: jax.Array,
) -> Accounts:
  """Books what an order took to its sender, row `sender`.

  Args:
    accounts: before.
    sender: `[]`; A for the rest of the market.
    fills: `[F]`, all of them.
    traded: `[]` lots, their sum.
    side: `[]`, of the order.
  """
  value = money.carry(money.product(fills.price, fills.volume).sum(axis=0))
  is_sender = jnp.arange(accounts.inventory.shape[0]) == sender
  return _book(
    accounts,
    jnp.where(is_sender, traded, 0),
    jnp.where(is_sender[:, None], value[None], 0),
    side,
  )


def _book(
  accounts: Accounts, volume: jax.Array, value: jax.Array, side: jax.Array
) -> Accounts:
  """Books the trades of one side.

  By owner, `[A + 1]` lots and `[A + 1, 4]` amounts.
  """
  sign = jnp.where(side == types.Side.BID, 1, -1)
  buys = jnp.where(side == types.Side.BID, volume, 0)
  return Accounts(
    cash=money.carry(accounts.cash - sign * value),
    inventory=accounts.inventory + sign * volume,
    bought=accounts.bought + buys,
    sold=accounts.sold + volume - buys,
  )
