"""The vocabulary of mars_jax: kinds of order, sides, units and dimensions.

Dimensions, named alike in every docstring and field comment:
  B  markets or sequences in a batch      E  events of a stream
  T  orders (tokens) of a sequence        N  capacity of one side of a book
  F  fills of one order that are listed   L  price levels
  W  attention window
  D  embedding     H  heads     G  key/value heads     K  head dimension

Units, unless a name says otherwise: price int32 ticks, volume int32 lots, time
a pair of int32 (seconds, nanoseconds). Floats never enter the matching engine.
Prices and volumes may be int64 where a feed needs it and JAX's x64 is on.

Words of the MarS paper (arXiv:2409.07486) and ours: transaction = fill,
simulated matching engine = `lob`, order index = `tokens.vocab`, LOB = book.
"""

import jax
from flax import struct

NO_ORDER = -1  # The id in an empty slot.
NO_OWNER = -1  # The owner of an order that is nobody's, as of all of a feed's.
NANOSECONDS = 1_000_000_000  # In a second.
MAX_PRICE = (
  2**30 - 1
)  # Ticks; prices of an int32 book are within -that to that.


class Side:
  """The side of the book that an order belongs to."""

  ASK = 0
  BID = 1


class OrderKind:
  """What an order asks of the matching engine."""

  NONE = -1  # Nothing: pads a stream.
  LIMIT = 0  # Trade up to the limit price, rest with what is left.
  CANCEL = 1  # Take `volume` off the resting order `id`, which keeps its place.
  MARKET = 2  # Trade at any price, drop what is left.
  IOC = 3  # Immediate or cancel: trade up to the price, drop what is left.
  FOK = 4  # Fill or kill: trade all of it up to the price, or nothing.
  POST_ONLY = 5  # Rest, unless it would trade.
  MODIFY = 6  # Give the resting order `id` this price, open volume and owner.


class Reason:
  """What became of an order; all but `ACCEPTED` are rejections.

  An order may trade in part before the matching engine stops it: see
  `SELF_TRADE` and `CAPACITY`.
  """

  ACCEPTED = 0
  NO_VOLUME = 1  # The volume is not positive.
  UNKNOWN_ID = 2  # A cancel names no resting order, a modify none of its side.
  WOULD_CROSS = 3  # A post-only order would trade.
  NOT_FILLABLE = 4  # A fill-or-kill order cannot be filled at once.
  SELF_TRADE = 5  # What would trade with an order of the same owner is dropped.
  CAPACITY = 6  # The side is full: the order of the lowest priority is lost.
  OFF_TICK = 7  # The price is not on the tick grid.
  OFF_LOT = 8  # The volume is no whole number of round lots.
  PRICE_LIMIT = 9  # The price is beyond the daily price limits.
  CLOSED = 10  # The phase of the session does not take such orders.
  HALTED = 11  # Trading is halted.
  COUNT = 12  # How many there are.


def names(vocabulary: type) -> dict[int, str]:
  """Returns the constants of `Side`, `OrderKind`, `Reason`, ... in words."""
  return {
    number: name.lower().replace("_", " ")
    for name, number in vars(vocabulary).items()
    if name.isupper() and name != "COUNT"
  }


@struct.dataclass
class Order:
  """One message to the matching engine; scalars, or `[T]`, or `[B]`."""

  kind: jax.Array  # [] int32, `OrderKind`
  side: jax.Array  # [] int32, `Side`; of the resting order for a cancel
  price: jax.Array  # [] int32, ticks
  volume: jax.Array  # [] int32, lots, > 0
  id: jax.Array  # [] int32, >= 0, unique among the orders that may rest
  owner: jax.Array  # [] int32, >= 0, or `NO_OWNER`


@struct.dataclass
class Fills:
  """What one order took, in priority order; rows of volume 0 are unused.

  Every fill is at the price of the resting order.
  """

  price: jax.Array  # [F] int32, ticks
  volume: jax.Array  # [F] int32, lots
  id: jax.Array  # [F] int32, the resting order


@struct.dataclass
class ExecutionReport:
  """What the matching engine did with one order.

  Of a new order of volume v, v = traded + rested + the rest, which is dropped:
  what a market order found no counterpart for, say. A modify that keeps its
  place has rested 0.
  """

  reason: jax.Array  # [] int32, `Reason`
  traded: jax.Array  # [] int32, lots
  rested: jax.Array  # [] int32, lots that came to rest
  # [] int32, lots taken off resting orders, untraded: by a cancel or a modify,
  # by self-trade prevention, or pushed out of a full side.
  cancelled: jax.Array
  last_price: jax.Array  # [] int32, ticks, of its last fill; 0 if none
  num_fills: jax.Array  # [] int32, of all fills, those beyond F as well
  fills: Fills  # the first F


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
