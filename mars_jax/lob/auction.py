"""Call auctions: one price for all collected orders.

While orders collect (`session`) the book may be crossed. `uncross` then finds
the price that, in this order,
  1. trades the most volume,
  2. fills all bids above and all asks below it,
  3. leaves the least volume unmatched at it or better,
  4. is chosen by `rules.auction_tie` from the range of prices as good: the one
     nearest to the reference price, or the middle of those of orders.
The official code of MarS stops at 2 and takes any such price. Executed at the
one price are, on each side, the orders of best priority: price, then time.
"""

import chex
import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import allocation
from mars_jax.lob import book as book_lib
from mars_jax.lob import rules as rules_lib


@struct.dataclass
class Auction:
  """The outcome of a call auction; 0 without a trade."""

  price: jax.Array  # [] int32, ticks
  volume: jax.Array  # [] int32, lots bought, and as many sold
  imbalance: jax.Array  # [] int32, lots bid less lots asked at the price
  fills: types.Fills  # [2, N], by `types.Side` and slot of the book before


def find_price(
  book: book_lib.Book, *, reference: jax.Array, rules: rules_lib.Rules
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the price, volume and imbalance of an auction: `[]`.

  This is also the indicative price that exchanges show before the auction.

  Args:
    book: the book, crossed or not, leaves `[2, N]`.
    reference: `[]` ticks, for `AuctionTie.REFERENCE`.
    rules: tick grid and tie; static.
  """
  chex.assert_shape(book.price, (2, None))
  # Supply and demand are constant between the prices of orders, so that the
  # ends of these ranges stand for all prices.
  some = jnp.where(book.volume[0, 0] > 0, book.price[0, 0], book.price[1, 0])
  prices = jnp.where(book.volume > 0, book.price, some).ravel()
  candidates = prices
  takes_middle = rules.auction_tie is rules_lib.AuctionTie.MIDDLE
  if not takes_middle:
    above = prices + rules_lib.tick_at(rules, prices)
    below = prices - rules_lib.tick_at(rules, prices - 1)
    candidates = jnp.concatenate([prices, above, below])
  supply, supply_better = _supply(book, types.Side.ASK, candidates)
  demand, demand_better = _supply(book, types.Side.BID, -candidates)

  matched = jnp.minimum(supply, demand)
  volume = matched.max()
  is_best = (matched == volume) & (supply_better <= volume)
  is_best &= demand_better <= volume
  surplus = demand - supply
  far = jnp.iinfo(surplus.dtype).max
  least = jnp.where(is_best, jnp.abs(surplus), far).min()
  is_best &= jnp.abs(surplus) == least
  low = jnp.where(is_best, candidates, far).min()
  high = jnp.where(is_best, candidates, -far).max()
  doubled = low + high if takes_middle else 2 * reference
  tick = rules_lib.tick_at(rules, doubled // 2)
  price = jnp.clip((doubled + tick) // (2 * tick) * tick, low, high)
  imbalance = _volume_at(book, price)[1]
  trades = volume > 0
  return jnp.where(trades, price, 0), volume, jnp.where(trades, imbalance, 0)


def uncross(
  book: book_lib.Book,
  *,
  reference: jax.Array,
  rules: rules_lib.Rules,
  price: jax.Array | None = None,
) -> tuple[book_lib.Book, Auction]:
  """Executes a call auction.

  Args:
    book: the book, leaves `[2, N]`.
    reference: `[]` ticks; see `find_price`.
    rules: tick grid and tie; static.
    price: `[]` ticks, where it is known at which price the exchange executed;
      None to find it.

  Returns:
    The book without the executed volume, no longer crossed, and the outcome.
  """
  if price is None:
    price, volume, imbalance = find_price(
      book, reference=reference, rules=rules
    )
  else:
    volume, imbalance = _volume_at(book, price)
  filled = jax.vmap(allocation.price_time, (None, 0))(volume, book.volume)
  fills = types.Fills(
    price=jnp.where(filled > 0, price, 0),
    volume=filled,
    id=jnp.where(filled > 0, book.id, types.NO_ORDER),
  )
  book = book_lib.compact(book.replace(volume=book.volume - filled))
  return book, Auction(price, volume, imbalance, fills)


def _volume_at(
  book: book_lib.Book, price: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the volume and imbalance at a price."""
  supply = _supply(book, types.Side.ASK, price)[0]
  demand = _supply(book, types.Side.BID, -price)[0]
  return jnp.minimum(supply, demand), demand - supply


def _supply(
  book: book_lib.Book, side: int, keys: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns a side's lots at `keys` or better, and better."""
  through = jnp.cumsum(book.volume[side])
  through = jnp.concatenate([jnp.zeros_like(through[:1]), through])
  slots = book_lib.key(book.price)[side]
  at_or_better = through[jnp.searchsorted(slots, keys, side="right")]
  return at_or_better, through[jnp.searchsorted(slots, keys, side="left")]
