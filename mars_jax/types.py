"""The vocabulary of mars_jax: kinds of order, sides, units and dimensions.

Dimensions, named alike in every docstring and field comment:
  B  markets or sequences in a batch      E  events of a stream
  T  orders (tokens) of a sequence        N  capacity of one side of a book
  L  price levels                         W  attention window
  D  embedding     H  heads     G  key/value heads     K  head dimension

Units, unless a name says otherwise: price int32 ticks, volume int32 lots, time
a pair of int32 (seconds, nanoseconds). Floats never enter the clearing house.

Words of the MarS paper (arXiv:2409.07486) and ours: transaction = fill,
simulated clearing house = `lob`, order index = `tokens.vocab`, LOB = book.
"""

import jax
from flax import struct

NO_ORDER = -1  # The id in an empty slot.
NANOSECONDS = 1_000_000_000  # In a second.


class Side:
  """The side of the book that an order belongs to."""

  ASK = 0
  BID = 1


class OrderKind:
  """What an order asks of the clearing house."""

  LIMIT = 0  # Trade up to the limit price, rest with what is left.
  CANCEL = 1  # Take `volume` off the resting order `id`.


@struct.dataclass
class Order:
  """One message to the clearing house; scalars, or `[T]`, or `[B]`."""

  kind: jax.Array  # [] int32, `OrderKind`
  side: jax.Array  # [] int32, `Side`; of the resting order for a cancel
  price: jax.Array  # [] int32, ticks
  volume: jax.Array  # [] int32, lots, > 0
  id: jax.Array  # [] int32, >= 0, unique among limit orders


@struct.dataclass
class Fills:
  """What one order took, best price first; rows of volume 0 are unused.

  Every fill is at the price of the resting order.
  """

  price: jax.Array  # [N] int32, ticks
  volume: jax.Array  # [N] int32, lots
  id: jax.Array  # [N] int32, the resting order


@struct.dataclass
class Snapshot:
  """The best `L` price levels of each side; unused levels have volume 0."""

  price: jax.Array  # [2, L] int32, ticks, by `Side`, best first
  volume: jax.Array  # [2, L] int32, lots


@struct.dataclass
class Timestamp:
  """A moment, exact to the nanosecond."""

  seconds: jax.Array  # [] int32, since midnight
  nanoseconds: jax.Array  # [] int32, in [0, 1e9)
