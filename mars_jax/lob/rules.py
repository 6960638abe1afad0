"""The matching rules of a venue as data: the paper's MTCH_R (section 3).

One engine serves all: `Rules` is static configuration, so that what a venue
does not use costs nothing in the compiled program. `check` is what a venue
looks at before it matches an order; `matching` and `session` do the rest.

Prices are in ticks, the smallest step of the venue, and volumes in lots, the
smallest amount; a coarser grid and round lots are rules.
"""

import dataclasses
import enum
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import types

BASIS_POINTS = 10_000  # In one.


class Allocation(enum.Enum):
  """Who is filled first at the last price that an order reaches."""

  PRICE_TIME = "price-time"  # The oldest.
  PRO_RATA = "pro-rata"  # All, by their volume.


class SelfTrade(enum.Enum):
  """What happens where an order would trade with one of the same owner.

  Orders of `types.NO_OWNER` are nobody's and always trade. Under pro-rata
  allocation a price has its turn as a whole: an order meets its owner's where
  it reaches their price. A post-only order that reaches any order, its owner's
  as well, is rejected before this rule has its say.
  """

  OFF = "off"  # They trade.
  CANCEL_NEWEST = "cancel newest"  # The rest of the arriving order is dropped.
  CANCEL_OLDEST = "cancel oldest"  # The resting order is cancelled.


class AuctionTie(enum.Enum):
  """The price of a call auction, of several as good; see `auction`."""

  REFERENCE = "reference"  # That nearest to the reference price.
  MIDDLE = "middle"  # The middle of those at which orders are, half a tick up.


class Phase:
  """What a venue does at some time of the day."""

  CLOSED = 0  # Nothing is taken.
  PRE_OPEN = 1  # Limit orders collect, unmatched; cancels are taken.
  CALL_AUCTION = 2  # The same; ends in an uncross.
  NO_CANCEL = 3  # The last part of a call auction: nothing is taken back.
  CONTINUOUS = 4  # Orders match as they arrive.
  BREAK = 5  # Nothing is taken; the book stays.
  CLOSING_AUCTION = 6  # As `NO_CANCEL`, at the end of the day.


AUCTION_PHASES = (Phase.CALL_AUCTION, Phase.NO_CANCEL, Phase.CLOSING_AUCTION)
"""The phases that an uncross ends."""


@dataclasses.dataclass(frozen=True)
class VolatilityHalt:
  """Halts trading when the price has moved too far.

  Once an order trades `move_bp` or more away from the halt's reference, the
  venue takes nothing but cancels for `seconds`: if it began in second t, until
  second t + `seconds`, which trades again. The reference is the day's, then the
  price of each call auction, then the price at which the last halt began.

  Attributes:
    move_bp: basis points of the reference.
    seconds: how long.
  """

  move_bp: int
  seconds: int


@dataclasses.dataclass(frozen=True)
class Rules:
  """The rules of a venue; static. The default is plain price-time priority.

  Attributes:
    allocation: who is filled at the last price that an order reaches.
    top_order: pro-rata only: the oldest order of that price goes first.
    min_allocation: pro-rata only: shares of less than this are rounded to 0,
      lots. What rounding leaves goes by time.
    self_trade: what happens between two orders of one owner.
    reduce_keeps_priority: whether a `MODIFY` at the same price to no more
      volume keeps its place; any other loses it.
    tick_bands: (price from which it holds, tick size) in ticks, ascending, the
      first from the lowest price there is. A band begins at a price that is on
      its own grid and on that of the band below.
    lot: round lot, lots.
    odd_lots_on_sale: whether a sale may be of any volume: who holds an odd lot
      must be able to get rid of it. Buyers must keep to round lots.
    price_limit_bp: the most that a price may differ from the day's reference,
      basis points of it, rounded half up to the smallest step; None for no
      limit. The reference must not be negative then.
    halt: the volatility halt, or None.
    schedule: (seconds since midnight, `Phase`), ascending. Each holds from its
      time on; before the first the venue is closed.
    auction_tie: the price of a call auction, of several as good.
  """

  allocation: Allocation = Allocation.PRICE_TIME
  top_order: bool = False
  min_allocation: int = 1
  self_trade: SelfTrade = SelfTrade.OFF
  reduce_keeps_priority: bool = True
  tick_bands: tuple[tuple[int, int], ...] = ((-(2**30), 1),)
  lot: int = 1
  odd_lots_on_sale: bool = False
  price_limit_bp: int | None = None
  halt: VolatilityHalt | None = None
  schedule: tuple[tuple[int, int], ...] = ((0, Phase.CONTINUOUS),)
  auction_tie: AuctionTie = AuctionTie.REFERENCE

  def __post_init__(self):
    """Raises ValueError where the rules contradict themselves."""
    starts = [seconds for seconds, _ in self.schedule]
    prices = [price for price, _ in self.tick_bands]
    if not starts or starts != sorted(set(starts)):
      raise ValueError("schedule must name ascending times, at least one")
    if not prices or prices != sorted(set(prices)):
      raise ValueError("tick_bands must name ascending prices, at least one")
    if min(tick for _, tick in self.tick_bands) < 1 or self.lot < 1:
      raise ValueError("tick sizes and the round lot must be 1 or more")
    if self.min_allocation < 1:
      raise ValueError("min_allocation must be 1 or more")
    for (_, below), (start, tick) in itertools.pairwise(self.tick_bands):
      if start % below or start % tick:
        raise ValueError(
          f"the price {start} must be on the grids of both bands"
        )
    if not 0 <= (self.price_limit_bp or 0) <= BASIS_POINTS:
      raise ValueError(f"price_limit_bp must be None or 0 to {BASIS_POINTS}")
    if self.halt and min(self.halt.move_bp, self.halt.seconds) < 1:
      raise ValueError("a halt's move_bp and seconds must be 1 or more")

  @property
  def leaves_gaps(self) -> bool:
    """Whether an order may take out resting orders amid others that stay."""
    return (
      self.allocation is Allocation.PRO_RATA
      or self.self_trade is SelfTrade.CANCEL_OLDEST
    )


def _clock(hours: int, minutes: int = 0) -> int:
  return (hours * 60 + minutes) * 60


CONTINUOUS = Rules()
"""A venue that trades for 24 hours, as those of crypto assets do.

Such venues publish no common rule book. Bitstamp and Coinbase, whose feeds this
package reads, replay under these rules without a difference. Fees are not
modelled.
"""

A_SHARES = Rules(
  lot=100,
  odd_lots_on_sale=True,
  price_limit_bp=1_000,
  schedule=(
    (_clock(9, 15), Phase.CALL_AUCTION),
    (_clock(9, 20), Phase.NO_CANCEL),
    (_clock(9, 25), Phase.BREAK),
    (_clock(9, 30), Phase.CONTINUOUS),
    (_clock(11, 30), Phase.BREAK),
    (_clock(13), Phase.CONTINUOUS),
    (_clock(14, 57), Phase.CLOSING_AUCTION),
    (_clock(15), Phase.CLOSED),
  ),
  auction_tie=AuctionTie.MIDDLE,
)
"""Shanghai's main board; a tick is CNY 0.01, a lot is a share.

Trading Rules of the Shanghai Stock Exchange, chapter on securities trading: its
sections on order entry (times, no cancels from 9:20 and from 14:57, purchases
in multiples of 100 shares, +-10 % of the previous close rounded half up to the
tick) and on auctions (of the prices of orders that of maximum volume at which
all better orders are filled, then of the least volume unfilled, then the
middle). The call auction at the close came with the revision of August 2018.

Not modelled: that an odd lot is sold at once and whole; market orders that
reach five levels only; price cages; IPOs; +-5 % for ST shares. Neither exchange
knows a modify: cancel, and send anew.
"""

SHENZHEN = dataclasses.replace(A_SHARES, auction_tie=AuctionTie.REFERENCE)
"""Shenzhen's main board: as Shanghai's but for the tie of call auctions.

Trading Rules of the Shenzhen Stock Exchange, section on auctions: of all prices
that of maximum volume at which all better orders are filled, then of the least
difference between the volume bid there or above and asked there or below, then
the one nearest to the previous close (at the open) or to the latest price (at
the close). Article 3.3.1, as amended on 28 April 2016 (notice No. 138 [2016]),
takes orders from 9:15 to 9:25, 9:30 to 11:30 and 13:00 to 15:00, and no cancels
from 9:20 to 9:25 and from 14:57. Until that amendment orders came in, and
waited, from 9:25 to 9:30 as well.
"""

STAR = dataclasses.replace(
  A_SHARES, lot=1, odd_lots_on_sale=False, price_limit_bp=2_000
)
"""Shanghai's STAR market: +-20 %, and volumes in steps of one share.

Special Rules of the Shanghai Stock Exchange for trading on the Science and
Technology Innovation Board (2019). Not modelled: the minimum of 200 shares, no
limit on the first five days, the market's halts then, trading at the closing
price from 15:05 to 15:30.
"""

CHINEXT = dataclasses.replace(SHENZHEN, price_limit_bp=2_000)
"""Shenzhen's ChiNext: +-20 %.

Special provisions of the Shenzhen Stock Exchange for trading on ChiNext (2020).
Not modelled: as for `A_SHARES` and `STAR`, but for the lot.
"""

NASDAQ = Rules(
  schedule=((_clock(4), Phase.CONTINUOUS), (_clock(20), Phase.CLOSED)),
)
"""NASDAQ's continuous book; a tick is one cent, a lot is a share.

Nasdaq rule book, Equity 1, section 1 (definitions): System Hours are 4:00 to
20:00 Eastern, Market Hours 9:30 to 16:00 in between. Equity 4: price-time
priority, and rule 4756(a)(3), what a modified order keeps. Rule 612 of
Regulation NMS: one cent from USD 1; below, USD 0.0001, which a grid of cents
cannot hold: multiply prices by 10,000 and set `tick_bands=((-(2**30), 1),
(10_000, 100))`. The half cent that its amendment of 2024 gives to some shares
is left out.

Not modelled: the opening and closing crosses, Limit Up-Limit Down and other
halts (rule 4120), hidden and pegged orders, routing to other venues. A
participant may ask for self-trade prevention (rule 4757); here it is off.
"""

PRESETS = {
  "continuous": CONTINUOUS,
  "shanghai": A_SHARES,
  "shenzhen": SHENZHEN,
  "star": STAR,
  "chinext": CHINEXT,
  "nasdaq": NASDAQ,
}
"""The venues by name, as a flag gives it."""

EXPLANATIONS = {
  types.Reason.NO_VOLUME: "its volume is not positive",
  types.Reason.UNKNOWN_ID: "no order with its id rests; it was filled,"
  " cancelled, or never sent",
  types.Reason.WOULD_CROSS: "it is post-only and would trade; give a price that"
  " does not reach the other side",
  types.Reason.NOT_FILLABLE: "it is fill-or-kill and the book does not hold its"
  " volume at its price",
  types.Reason.SELF_TRADE: "it meets an order of the same owner; what was left"
  " of it is dropped",
  types.Reason.CAPACITY: "its side of the book is full and the order of the"
  " lowest priority is lost; start with a larger capacity",
  types.Reason.OFF_TICK: "its price is not a multiple of the tick size there",
  types.Reason.OFF_LOT: "its volume is not a multiple of the round lot",
  types.Reason.PRICE_LIMIT: "its price is beyond the limits of the day",
  types.Reason.CLOSED: "the session does not take such orders at this time",
  types.Reason.HALTED: "trading is halted; only cancels are taken",
}
"""Why an order was rejected, in words, by `types.Reason`."""


# By `Phase`: which take new orders, take cancels, and match on arrival.
_TAKES_ORDERS = np.array([0, 1, 1, 1, 1, 0, 1], bool)
_TAKES_CANCELS = np.array([0, 1, 1, 0, 1, 0, 0], bool)
_MATCHES = np.array([0, 0, 0, 0, 1, 0, 0], bool)


def takes_orders(phase: int) -> bool:
  """Tells whether new orders may be sent in a phase."""
  return bool(_TAKES_ORDERS[phase])


def matches(phase: jax.Array) -> jax.Array:
  """Tells whether orders match as they arrive: bool `[]`."""
  return jnp.asarray(_MATCHES)[phase]


def price_limits(
  rules: Rules, reference: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the lowest and highest price of the day, `[]` ticks each.

  `reference * (1 -+ limit)`, rounded half up to the smallest step. `rules` must
  have a limit.
  """
  limit = rules.price_limit_bp
  return (
    share_of(reference, BASIS_POINTS - limit),
    share_of(reference, BASIS_POINTS + limit),
  )


def share_of(price: jax.Array, basis_points: int) -> jax.Array:
  """Returns `price * basis_points / 10,000`, rounded half up.

  Nothing but the result can overflow; `basis_points` up to 20,000.
  """
  return _scale(price, basis_points, BASIS_POINTS // 2)


def halt_width(halt: VolatilityHalt, price: jax.Array) -> jax.Array:
  """Returns the least move from a price that halts trading, `[]` ticks, > 0."""
  width = _scale(jnp.abs(price), halt.move_bp, BASIS_POINTS - 1)
  return jnp.maximum(width, 1)


def _scale(price: jax.Array, basis_points: int, add: int) -> jax.Array:
  """Returns `(price * basis_points + add) // 10,000` without overflow."""
  whole, rest = jnp.divmod(price, BASIS_POINTS)
  return whole * basis_points + (rest * basis_points + add) // BASIS_POINTS


def check(
  rules: Rules,
  order: types.Order,
  *,
  phase: jax.Array,
  reference: jax.Array,
  halted: jax.Array,
) -> jax.Array:
  """Returns whether a venue takes an order at all: int32 `[]` `types.Reason`.

  Of several reasons the first in this list counts: `CLOSED`, `HALTED`,
  `OFF_TICK`, `OFF_LOT`, `PRICE_LIMIT`.

  Args:
    rules: of the venue; static.
    order: the order, leaves `[]`.
    phase: int32 `[]` `Phase`.
    reference: `[]` ticks, what the daily price limits count from.
    halted: bool `[]`, whether trading is halted.
  """
  kinds, reasons = types.OrderKind, types.Reason
  takes_back = (order.kind == kinds.CANCEL) | (order.kind == kinds.MODIFY)
  needs_match = ~takes_back & (order.kind != kinds.LIMIT)
  has_price = (order.kind != kinds.CANCEL) & (order.kind != kinds.MARKET)
  is_taken = jnp.where(
    takes_back,
    jnp.asarray(_TAKES_CANCELS)[phase],
    jnp.asarray(_TAKES_ORDERS)[phase] & (matches(phase) | ~needs_match),
  )
  tests = [
    (~is_taken, reasons.CLOSED),
    (halted & (order.kind != kinds.CANCEL), reasons.HALTED),
    (
      has_price & (order.price % tick_at(rules, order.price) != 0),
      reasons.OFF_TICK,
    ),
  ]
  if rules.lot > 1:
    must_be_round = order.kind != kinds.CANCEL
    if rules.odd_lots_on_sale:
      must_be_round &= order.side == types.Side.BID
    is_odd = order.volume % rules.lot != 0
    tests.append((must_be_round & is_odd, reasons.OFF_LOT))
  if rules.price_limit_bp is not None:
    low, high = price_limits(rules, reference)
    is_beyond = (order.price < low) | (order.price > high)
    tests.append((has_price & is_beyond, reasons.PRICE_LIMIT))
  reason = jnp.int32(reasons.ACCEPTED)
  for is_broken, why in reversed(tests):
    reason = jnp.where(is_broken, jnp.int32(why), reason)
  return jnp.where(order.kind == kinds.NONE, reasons.ACCEPTED, reason)


def tick_at(rules: Rules, price: jax.Array) -> jax.Array:
  """Returns the tick size that holds at prices of any shape."""
  size = jnp.full_like(price, rules.tick_bands[0][1])
  for start, band_size in rules.tick_bands[1:]:
    size = jnp.where(price >= start, band_size, size)
  return size
