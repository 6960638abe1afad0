"""Bookkeeping of agents: accounts and open orders after each event.

Dimensions: A agents, R slots of an agent for orders that rest.
"""

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types
from mars_jax.sim import accounts as accounts_lib
from mars_jax.sim.agents import base
from mars_jax.sim.agents import state as state_lib


def settle(
  agents: state_lib.AgentsState,
  order: types.Order,
  slot: jax.Array,
  report: types.ExecutionReport,
  book: lob.Book,
) -> state_lib.AgentsState:
  """Books what one order did: to its sender, and to those whose orders it took.

  Args:
    agents: before the order.
    order: of an agent, its owner, or of the rest of the market.
    slot: `[]`, of the sender, in which it may rest.
    report: of the exchange, all fills listed.
    book: after the order.
  """
  num = agents.ids.shape[0]
  sender = jnp.where(order.owner >= 0, order.owner, num)
  fills = report.fills
  accounts = accounts_lib.book_maker_fills(
    agents.accounts, agents.ids, fills, 1 - order.side
  )
  accounts = accounts_lib.book_taker_fills(
    accounts, sender, fills, report.traded, order.side
  )
  kinds = types.OrderKind
  is_new = (order.kind != kinds.CANCEL) & (report.rested > 0)
  at = (jnp.arange(num) == sender)[:, None]
  at &= (jnp.arange(agents.ids.shape[1]) == slot)[None] & is_new
  orders = base.OpenOrders(
    side=jnp.where(at, order.side, agents.orders.side),
    price=jnp.where(at, order.price, agents.orders.price),
    volume=agents.orders.volume,
  )
  agents = agents.replace(
    accounts=accounts, orders=orders, ids=jnp.where(at, order.id, agents.ids)
  )
  return _look_up(agents, book)


def settle_auction(
  agents: state_lib.AgentsState, fills: types.Fills, book: lob.Book
) -> state_lib.AgentsState:
  """Books what a call auction did; fills `[2, N]` by side, the book after."""
  accounts = agents.accounts
  for side in (types.Side.ASK, types.Side.BID):
    of_side = jax.tree.map(lambda x, side=side: x[side], fills)
    accounts = accounts_lib.book_maker_fills(
      accounts, agents.ids, of_side, jnp.int32(side)
    )
  return _look_up(agents.replace(accounts=accounts), book)


def _look_up(
  agents: state_lib.AgentsState, book: lob.Book
) -> state_lib.AgentsState:
  """Reads the remaining volume of agents' orders from the book."""
  ids = book.id.ravel()
  is_it = agents.ids[:, :, None] == ids[None, None]
  is_it &= (ids != types.NO_ORDER)[None, None]
  volume = jnp.where(is_it, book.volume.ravel()[None, None], 0).sum(
    axis=2, dtype=jnp.int32
  )
  return agents.replace(
    orders=agents.orders.replace(volume=volume),
    ids=jnp.where(volume > 0, agents.ids, types.NO_ORDER),
  )
