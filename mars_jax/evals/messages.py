"""Messages of a market and the book after each: what is compared.

Real and generated orders become the same thing, messages as in LOBSTER's files
(`replay.order_messages`), so that no score can tell them apart by their form.
"""

import collections.abc

import jax
import numpy as np
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import lobster
from mars_jax.lob import rules as rules_lib
from mars_jax.replay import order_messages

NO_PRICE = (
  100_000_000  # Ticks of a level that is not there: an ask's; or minus.
)
NEW, REDUCE = lobster.NEW, lobster.REDUCE
DELETE, EXECUTE = lobster.DELETE, lobster.EXECUTE


@struct.dataclass
class Messages:
  """Successive messages, `[M]`.

  Attributes:
    time: int64 nanoseconds since midnight.
    kind: `NEW`, `REDUCE`, `DELETE` or `EXECUTE`.
    id: of the resting order.
    size: lots.
    price: ticks.
    side: `types.Side` of the resting order.
    book: the best levels after each, numpy leaves `[M, 2, L]`; a level that is
      not there has volume 0 and the price `NO_PRICE`, of a bid minus that.
  """

  time: np.ndarray
  kind: np.ndarray
  id: np.ndarray
  size: np.ndarray
  price: np.ndarray
  side: np.ndarray
  book: types.Snapshot

  def __len__(self) -> int:
    return len(self.time)

  def __getitem__(self, rows: slice | np.ndarray) -> "Messages":
    """Returns some of the rows."""
    return jax.tree.map(lambda leaf: leaf[rows], self)

  @property
  def is_two_sided(self) -> bool:
    """Returns whether the book never lacks a side."""
    return bool((self.book.volume[:, :, 0] > 0).all())


class Collector:
  """Collects the messages of orders."""

  def __init__(
    self, book: lob.Book, rules: rules_lib.Rules, *, num_levels: int
  ):
    """Begins with a book.

    Args:
      book: numpy leaves `[2, N]`; what rests in it is no message.
      rules: of the venue.
      num_levels: L, levels to keep.
    """
    self._rows, self._levels = [], []
    self._num_levels = num_levels
    self._time, self._is_silent = 0, True
    self._market = order_messages.OrderMessages(rules, self._emit)
    self._market.start(book)

  def __len__(self) -> int:
    return len(self._rows)

  def add(
    self,
    time: int,
    order: tuple[int, int, int, int, int],
    reason: int = types.Reason.ACCEPTED,
    *,
    is_silent: bool = False,
  ) -> None:
    """Takes one order.

    Args:
      time: nanoseconds since midnight.
      order: kind, side, price, volume and id; a cancel of no order does
        nothing.
      reason: `types.Reason`, what became of it.
      is_silent: whether it changes the book without a message, as a feed's
        corrections of what is out of its view do.
    """
    kind, *_, order_id = order
    is_cancel = kind == types.OrderKind.CANCEL
    if is_cancel and not self._market.rests(order_id):
      return
    self._time, self._is_silent = time, is_silent
    self._market.add(order, reason)

  def _emit(self, kind, order_id, size, side, price):
    if self._is_silent:
      return
    self._rows.append((self._time, kind, order_id, size, price, side))
    shown = []
    for side in (types.Side.ASK, types.Side.BID):
      found = self._market.levels(side, self._num_levels)
      none = NO_PRICE if side == types.Side.ASK else -NO_PRICE
      shown.append(found + [(none, 0)] * (self._num_levels - len(found)))
    self._levels.append(shown)

  def messages(self) -> Messages:
    """Returns what was collected."""
    rows = np.array(self._rows, np.int64).reshape(-1, 6).T
    time, kind, order_id, size, price, side = rows
    levels = np.array(self._levels, np.int64)
    levels = levels.reshape(-1, 2, self._num_levels, 2)
    book = types.Snapshot(levels[..., 0], levels[..., 1])
    return Messages(time, kind, order_id, size, price, side, book)


def mid(messages: Messages) -> np.ndarray:
  """Returns the mid after each message, float64 `[M]` ticks."""
  return messages.book.price[:, :, 0].mean(axis=1)


def spread(messages: Messages) -> np.ndarray:
  """Returns the spread after each message, int64 `[M]` ticks."""
  best = messages.book.price[:, :, 0]
  return best[:, types.Side.ASK] - best[:, types.Side.BID]


Sequences = collections.abc.Sequence[Messages]
