"""The clearing house: price-time priority over sorted arrays.

`book` holds the resting orders and answers questions about them, `matching`
applies one order. All functions are for one market; batch them with `jax.vmap`.
"""

from mars_jax.lob.book import Book
from mars_jax.lob.book import find_cancel
from mars_jax.lob.book import init
from mars_jax.lob.book import mid
from mars_jax.lob.book import resize
from mars_jax.lob.book import snapshot
from mars_jax.lob.matching import step

__all__ = (
  "Book",
  "find_cancel",
  "init",
  "mid",
  "resize",
  "snapshot",
  "step",
)
