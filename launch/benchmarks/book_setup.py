"""Setup of books and messages for the matching engine's benchmark.

The message that all engines know, a book filled with resting orders, and the
one call of `lob.step`.
"""

import typing

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types


class Messages(typing.NamedTuple):
  """The fields of `types.Order` that every engine knows.

  int32 of any shape.
  """

  kind: jax.Array  # `types.OrderKind`
  side: jax.Array  # `types.Side`, of the resting order for a cancel
  price: jax.Array  # ticks
  volume: jax.Array  # lots, > 0
  id: jax.Array  # unique among limit orders; a cancel has that of its order


def step(
  book: lob.Book, message: Messages, max_fills: int
) -> tuple[lob.Book, types.Fills, jax.Array]:
  """Applies one message to a book.

  Args:
    book: leaves `[2, N]`.
    message: leaves `[]`.
    max_fills: how many fills to return at most; static.

  Returns:
    The book, the first fills, leaves `[max_fills]`, and the volume of all.
  """
  order = types.Order(*message, owner=jnp.int32(types.NO_OWNER))
  book, report = lob.step(book, order, max_fills=max_fills)
  return book, report.fills, report.traded


def fill_book(resting: Messages, capacity: int) -> lob.Book:
  """Returns a book of resting limit orders, unmatched.

  Args:
    resting: leaves `[2, depth]`, by `types.Side`, best price first.
    capacity: of one side, at least `depth`.
  """
  book, depth = lob.init(capacity), resting.price.shape[1]
  return book.replace(
    price=book.price.at[:, :depth].set(resting.price),
    volume=book.volume.at[:, :depth].set(resting.volume),
    id=book.id.at[:, :depth].set(resting.id),
  )
