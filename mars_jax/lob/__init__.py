"""The matching engine: price-time priority over sorted arrays.

`book` holds the resting orders and answers questions about them, `matching`
applies one order under the `rules` of a venue, `session` takes a market through
the venue's day and `auction` ends its call auctions. All functions are for one
market; batch them with `jax.vmap`. Import `auction`, `rules` and `session` as
modules of this package for what is not named here.
"""

from mars_jax.lob.book import Book
from mars_jax.lob.book import from_orders
from mars_jax.lob.book import init
from mars_jax.lob.book import mid
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
  "from_orders",
  "init",
  "make_order",
  "mid",
  "resize",
  "snapshot",
  "step",
)
