"""The matching engine: price-time priority over sorted arrays.

  book        the resting orders: init, snapshot, depth, mid, place
  matching    one order against the book: step
  allocation  the shares of resting orders in a trade
  rules       the rules of a venue as data, and its checks of orders
  venues      the presets, each with its rule book: add a venue here
  session     an exchange through its day: phases, price limits, halts
  auction     call auctions
  submit      single orders from Python, rejected with a sentence

All functions are for one book; batch them with `jax.vmap`. `docs/exchange.md`
has the rules in words. Import the modules of this package for what is not named
here.
"""

from mars_jax.lob.book import Book
from mars_jax.lob.book import depth
from mars_jax.lob.book import from_orders
from mars_jax.lob.book import init
from mars_jax.lob.book import mid
from mars_jax.lob.book import place
from mars_jax.lob.book import resize
from mars_jax.lob.book import snapshot
from mars_jax.lob.matching import step
from mars_jax.lob.rules import Rules
from mars_jax.lob.submit import OrderRejected
from mars_jax.lob.submit import make_order
from mars_jax.lob.venues import PRESETS

__all__ = (
  "Book",
  "OrderRejected",
  "PRESETS",
  "Rules",
  "depth",
  "from_orders",
  "init",
  "make_order",
  "mid",
  "place",
  "resize",
  "snapshot",
  "step",
)
