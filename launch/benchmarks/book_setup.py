"""The matching engine as the benchmark uses it, and the messages it takes."""

import typing

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types


class Messages(typing.NamedTuple):
  """The fields of `types.Order` that every engine knows; int32, any shape."""

  kind: jax.Array  # `types.OrderKind`
  side: jax.Array  # `types.Side`, of the resting order for a cancel
  price: jax.Array  # ticks
  volume: jax.Array  # lots, > 0
  id: jax.Array  # unique among limit orders; a cancel has that of its order


def step(
  book: lob.Book, message: Messages, max_fills: int
) -> tuple[lob.Book, types.Fills, jax.Array]:
  """Applies one message; here alone the benchmark calls `lob.step`.

  Args:
    book: of one market, leaves `[2, N]`.
    message: leaves `[]`.
    max_fills: how many fills to return at most; static.

  Returns:
    The book, the first fills, leaves `[max_fills]`, and the volume of all.
  """
  order = types.Order(*message, owner=jnp.int32(types.NO_OWNER))
  book, report = lob.step(book, order, max_fills=max_fills)
  return book, report.fills, report.traded


def fill_book(resting: Messages, capacity: int) -> lob.Book:
  """Returns a book in which limit orders rest, without matching them.

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
