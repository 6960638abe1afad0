"""mars_jax's own matching engine, as an engine of the benchmark."""

import collections.abc
import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import book_setup
from benchmarks import engines
from benchmarks import stream as stream_lib
from mars_jax import lob
from mars_jax import types

_BLOCK = 64  # Books that are replayed in step.
_MAX_FILLS = 8  # How many fills of a message the timed program returns.


class MarsJax:
  """A scan over the messages, of many books in step."""

  name = "mars_jax"

  def __init__(self, vmap_one: bool = False):
    """Makes the engine; `vmap_one` puts one book under vmap."""
    self._vmap_one = vmap_one

  def totals(self, stream: stream_lib.Stream, capacity: int) -> engines.Totals:
    """See `engines.Engine`."""
    most = min(capacity, int(stream.fills.max()) + 1)  # One more would show.
    books, messages, replay = self._lay_out(stream, capacity, max_fills=most)

    @jax.jit
    def count(books, messages):
      (_, traded), fills = replay(books, messages)
      return traded, (fills.volume > 0).sum(axis=(-2, -1))

    return engines.Totals(
      *(np.atleast_1d(x) for x in jax.device_get(count(books, messages)))
    )

  def prepare(
    self, stream: stream_lib.Stream, capacity: int
  ) -> engines.Program:
    """See `engines.Engine`."""
    books, messages, replay = self._lay_out(
      stream, capacity, max_fills=_MAX_FILLS
    )
    return engines.compile_jax(replay, books, messages)

  def _lay_out(
    self, stream: stream_lib.Stream, capacity: int, *, max_fills: int
  ) -> tuple[lob.Book, book_setup.Messages, collections.abc.Callable]:
    """Returns books, messages `[B, T]` and their replay function.

    One book goes without the axis `B` unless `vmap_one`. Many go in blocks,
    one block after the other: `_BLOCK` books stay in a core's cache.
    """
    fill_book = functools.partial(book_setup.fill_book, capacity=capacity)
    replay = functools.partial(_replay, max_fills=max_fills)
    if stream.shape[0] == 1 and not self._vmap_one:
      resting, messages = jax.tree.map(
        lambda x: x[0], (stream.resting, stream.messages)
      )
      return fill_book(resting), messages, replay

    def replay_blocks(books, messages):
      return jax.lax.map(
        lambda block: replay(*block), (books, messages), batch_size=_BLOCK
      )

    return jax.vmap(fill_book)(stream.resting), stream.messages, replay_blocks


def _replay(
  book: lob.Book, messages: book_setup.Messages, *, max_fills: int
) -> tuple[tuple[lob.Book, jax.Array], types.Fills]:
  """Replays the messages `[T]` of one book.

  Returns:
    The book and the volume traded, and the first fills of every message, leaves
    `[T, max_fills]`.
  """

  def body(carry, message):
    book, traded = carry
    book, fills, volume = book_setup.step(book, message, max_fills)
    return (book, traded + volume), fills

  return jax.lax.scan(body, (book, jnp.int32(0)), messages)
