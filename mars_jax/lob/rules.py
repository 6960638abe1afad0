"""The rules of a venue as data: the paper's MTCH_R.

One matching engine serves all venues (section 3 of the paper): `Rules` is
static configuration, so that a rule that a venue does not use costs nothing in
the compiled program. `check` is what a venue checks before it matches an order;
`matching` and `session` apply the other rules, and `venues` has the presets.

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
  """The order of fills at the last price reached."""

  PRICE_TIME = "price-time"  # The oldest.
  PRO_RATA = "pro-rata"  # All, by their volume.


class SelfTrade(enum.Enum):
  """Prevention of trades between two orders of one owner.

  Orders of `types.NO_OWNER` have no owner and always trade. Under pro-rata
  allocation a price has its turn as a whole: an order meets its owner's where
  it reaches their price. A post-only order that reaches any order, even its
  owner's, is rejected before this rule applies.
  """

  OFF = "off"  # They trade.
  CANCEL_NEWEST = "cancel newest"  # The rest of the arriving order expires.
  CANCEL_OLDEST = "cancel oldest"  # The resting order is cancelled.


class AuctionTie(enum.Enum):
  """The choice among equally good prices; see `auction`."""

  REFERENCE = "reference"  # That nearest to the reference price.
  MIDDLE = "middle"  # The middle of those of orders, half a tick up.


class Phase:
  """The phases of a venue's day."""

  CLOSED = 0  # Nothing is accepted.
  PRE_OPEN = 1  # Limit orders collect, unmatched; cancels are accepted.
  CALL_AUCTION = 2  # The same; ends in an uncross.
  NO_CANCEL = 3  # The last part of a call auction: no cancels.
  CONTINUOUS = 4  # Orders match as they arrive.
  BREAK = 5  # Nothing is accepted; the book stays.
  CLOSING_AUCTION = 6  # As `NO_CANCEL`, at the end of the day.


AUCTION_PHASES = (Phase.CALL_AUCTION, Phase.NO_CANCEL, Phase.CLOSING_AUCTION)
"""The phases that an uncross ends."""


@dataclasses.dataclass(frozen=True)
class VolatilityHalt:
  """Halts trading when the price has moved too far.

  Once an order trades `move_bp` or more away from the halt's reference, the
  venue accepts only cancels for `seconds`: if it began in second t, until
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
  """The rules of a venue, static; by default price-time priority.

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
    """True if an order may remove orders between others."""
    return (
      self.allocation is Allocation.PRO_RATA
      or self.self_trade is SelfTrade.CANCEL_OLDEST
    )


# By `Phase`: which take new orders, take cancels, and match on arrival.
_TAKES_ORDERS = np.array([0, 1, 1, 1, 1, 0, 1], bool)
_TAKES_CANCELS = np.array([0, 1, 1, 0, 1, 0, 0], bool)
_MATCHES = np.array([0, 0, 0, 0, 1, 0, 0], bool)


def takes_orders(phase: int) -> bool:
  """Returns True if a phase accepts new orders."""
  return bool(_TAKES_ORDERS[phase])


def matches(phase: jax.Array) -> jax.Array:
  """Returns True if orders match as they arrive: bool `[]`."""
  return jnp.asarray(_MATCHES)[phase]


def price_limits(
  rules: Rules, reference: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the lowest and highest price of the day.

  `[]` ticks each: `reference * (1 -+ limit)`, rounded half up to the smallest
  step. `rules` must have a limit.
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
  """Returns the least move that halts: `[]` ticks, > 0."""
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
  """Returns the reason to reject an order before matching.

  It is an int32 `[]` of `types.Reason`, `ACCEPTED` for none. Of several the
  first in this list counts: `CLOSED`, `HALTED`, `OFF_TICK`, `OFF_LOT`,
  `PRICE_LIMIT`.

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
  """Returns the tick sizes at prices of any shape."""
  size = jnp.full_like(price, rules.tick_bands[0][1])
  for start, band_size in rules.tick_bands[1:]:
    size = jnp.where(price >= start, band_size, size)
  return size
