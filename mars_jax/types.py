"""The vocabulary of mars_jax: words, units and dimensions.

Dimensions, named alike in every docstring and field comment:
  B  markets or sequences in a batch      E  events of a stream
  T  orders (tokens) of a sequence        N  capacity of one side of a book
  F  fills of one order that are listed   L  price levels
  W  attention window                     C  classes of distance (`Depth`)
  D  embedding     H  heads     G  key/value heads     K  head dimension

Units, unless a name says otherwise: price int32 ticks, volume int32 lots, time
a pair of int32 (seconds, nanoseconds). Floats never enter the matching engine.
Prices and volumes may be int64 where a feed needs it and JAX's x64 is on.

Words, with one meaning each:
  exchange         a place that matches orders: a book, its rules, its day
  matching engine  the code that matches orders, `lob`
  order            one message to the matching engine: new, cancel or modify
  fill             what an order takes from one resting order
  trade            a fill as a feed publishes it
  market           name of an exchange, as "NASDAQ"; the key of its bins
  rules            how an exchange matches, `lob.Rules`; a preset of a venue has
                   a name, as "shanghai"
  session          the day of an exchange: phases, price limits, halts

Orders that do not take effect:
  rejected         by a rule: `Reason`
  dropped          for want of capacity: `Reason.CAPACITY`, `lob.Book.dropped`
  skipped          by the reader of a feed, in its counts
  truncated        at the start of a simulation, beyond its capacity

Words of the MarS paper (arXiv:2409.07486) and ours: simulated clearing house =
matching engine, transaction = fill, order index = `tokens.vocab`, LOB = book.

`Side`, `OrderKind` and `Reason` are plain classes of ints, not `enum.IntEnum`:
NumPy takes a member of an enum for an int64, so that `np.where` of one and an
int32 array would be int64.
"""

import jax
from flax import struct

NO_ORDER = -1  # The id in an empty slot.
NO_OWNER = -1  # The owner of an order without one, as in all feeds.
NO_AUCTION = -(2**31)  # The price of a call auction where there is none,
UNTOLD_PRICE = NO_AUCTION + 1  # and where the feed does not tell it.
NANOSECONDS = 1_000_000_000  # In a second.
# Ticks, the largest price of an int32 book; the least is minus that.
MAX_PRICE = 2**30 - 1
MAX_PRICE_INT64 = 2**62 - 1  # The same of an int64 book.
DEPTH_CLASSES = 8  # Of `Depth`, C: the last begins at 4,096 ticks.


class Side:
  """The side of the book that an order belongs to."""

  ASK = 0
  BID = 1


class OrderKind:
  """The kinds of order."""

  NONE = -1  # Nothing: pads a stream.
  LIMIT = 0  # Trade up to the limit price; the rest stays in the book.
  CANCEL = 1  # Take `volume` off the resting order `id`, which keeps its place.
  MARKET = 2  # Trade at any price; the rest expires.
  IOC = 3  # Immediate or cancel: up to the price; the rest expires.
  FOK = 4  # Fill or kill: trade all of it up to the price, or nothing.
  POST_ONLY = 5  # Rest, unless it would trade.
  MODIFY = 6  # Give the resting order `id` this price, open volume and owner.


class Reason:
  """The outcomes of an order; all but `ACCEPTED` are rejections.

  An order may trade in part before the matching engine stops it: see
  `SELF_TRADE` and `CAPACITY`.
  """

  ACCEPTED = 0
  NO_VOLUME = 1  # The volume is not positive.
  UNKNOWN_ID = 2  # A cancel names no resting order, a modify none of its side.
  WOULD_CROSS = 3  # A post-only order would trade.
  NOT_FILLABLE = 4  # A fill-or-kill order cannot be filled at once.
  SELF_TRADE = 5  # It met an order of the same owner; the rest expires.
  CAPACITY = 6  # The side is full: the order of lowest priority is dropped.
  OFF_TICK = 7  # The price is not on the tick grid.
  OFF_LOT = 8  # The volume is not a multiple of the round lot.
  PRICE_LIMIT = 9  # The price is beyond the daily price limits.
  CLOSED = 10  # The phase of the session does not take such orders.
  HALTED = 11  # Trading is halted.
  COUNT = 12  # How many there are.


def names(vocabulary: type) -> dict[int, str]:
  """Returns the names of `Side`, `OrderKind`, `Reason` or `Phase`."""
  return {
    number: name.lower().replace("_", " ")
    for name, number in vars(vocabulary).items()
    if name.isupper() and name != "COUNT"
  }


@struct.dataclass
class Order:
  """One message to the matching engine: `[]`, `[T]` or `[B]`."""

  kind: jax.Array  # [] int32, `OrderKind`
  side: jax.Array  # [] int32, `Side`; of the resting order for a cancel
  price: jax.Array  # [] int32, ticks
  volume: jax.Array  # [] int32, lots, > 0
  id: jax.Array  # [] int32, >= 0, unique among the orders that may rest
  owner: jax.Array  # [] int32, >= 0, or `NO_OWNER`


@struct.dataclass
class Fills:
  """The fills of one order, in order of priority.

  Rows of volume 0 are unused. A fill is at the price of the resting order.
  """

  price: jax.Array  # [F] int32, ticks
  volume: jax.Array  # [F] int32, lots
  id: jax.Array  # [F] int32, the resting order


@struct.dataclass
class ExecutionReport:
  """The outcome of one order, as in FIX's execution report.

  Of the volume of a new order, `traded` was filled and `rested` is in the book;
  what remains expires, as the volume of a market order for which there is no
  counterparty. A modify that keeps its place has rested 0.
  """

  reason: jax.Array  # [] int32, `Reason`
  traded: jax.Array  # [] int32, lots
  rested: jax.Array  # [] int32, lots that came to rest
  # [] int32, lots taken off resting orders, untraded: by a cancel or a modify,
  # by self-trade prevention, or pushed out of a full side.
  cancelled: jax.Array
  last_price: jax.Array  # [] int32, ticks, of its last fill; 0 if none
  num_fills: jax.Array  # [] int32, of all fills, including those beyond F
  fills: Fills  # the first F


@struct.dataclass
class Snapshot:
  """The best `L` price levels of each side.

  Unused levels have volume 0.
  """

  price: jax.Array  # [2, L] int32, ticks, by `Side`, best first
  volume: jax.Array  # [2, L] int32, lots


@struct.dataclass
class Depth:
  """The resting volume and orders by distance from the best.

  Class 0 is the best price itself, class c > 0 the distances of `4 ** (c - 1)`
  ticks and more, below those of the next class; the last has no end.
  """

  volume: jax.Array  # [2, C] int32, lots, by `Side`
  orders: jax.Array  # [2, C] int32, how many


@struct.dataclass
class Place:
  """The place of an order in its book.

  `level` and `younger` are of the resting order that a cancel names, and 0 for
  any other order.
  """

  # [2] int32, ticks, by `Side`; where one is missing, a tick beyond the other.
  best: jax.Array
  level: jax.Array  # [] int32, price levels better than its own
  younger: jax.Array  # [] int32, orders behind it in the queue of its level
  # [] int32, lots: of a cancel, what its order rests with; of a new order, what
  # it can trade with, at its price or better.
  resting: jax.Array


@struct.dataclass
class Timestamp:
  """A moment, exact to the nanosecond."""

  seconds: jax.Array  # [] int32, since midnight
  nanoseconds: jax.Array  # [] int32, in [0, 1e9)
