"""An exchange in plain Python, oracle of the matching engine.

Written from the rules, with none of the means of `mars_jax.lob`: a side is a
list of resting orders in priority order, matching is a loop over price levels,
shares are exact integers, and the price of a call auction is found by trying
every price. It reads `rules.Rules` and knows the numbers of `mars_jax.types`.
"""

import collections
import dataclasses

from mars_jax import types
from mars_jax.lob import rules as rules_lib

ASK, BID = types.Side.ASK, types.Side.BID

Fill = collections.namedtuple("Fill", "price volume id")
Row = collections.namedtuple("Row", "price volume id owner")
Message = collections.namedtuple(
  "Message", "kind side price volume id owner", defaults=(types.NO_OWNER,)
)
Result = collections.namedtuple(
  "Result", "reason traded rested cancelled fills"
)
Auction = collections.namedtuple("Auction", "price volume imbalance fills")
Plan = collections.namedtuple("Plan", "fills cancels left meets_own")

_Kind, _Reason, _Phase = types.OrderKind, types.Reason, rules_lib.Phase
_TAKES_ORDERS = {
  _Phase.PRE_OPEN,
  _Phase.CALL_AUCTION,
  _Phase.NO_CANCEL,
  _Phase.CONTINUOUS,
  _Phase.CLOSING_AUCTION,
}
_TAKES_CANCELS = {_Phase.PRE_OPEN, _Phase.CALL_AUCTION, _Phase.CONTINUOUS}
AUCTIONS = {_Phase.CALL_AUCTION, _Phase.NO_CANCEL, _Phase.CLOSING_AUCTION}


@dataclasses.dataclass(eq=False)
class Resting:
  """An order in the book."""

  price: int
  volume: int
  id: int
  owner: int


class PythonExchange:
  """One exchange, with room for `capacity` orders on a side."""

  def __init__(self, rules: rules_lib.Rules, capacity: int, reference: int):
    self.rules = rules
    self.capacity = capacity
    self.sides = ([], [])  # By side: `Resting`, first to trade first.
    self.counts = [0] * _Reason.COUNT
    self.reference = self.last_price = self.halt_price = reference
    self.resumes = 0

  def rows(self, side: int) -> list[Row]:
    """Returns the resting orders of a side by priority."""
    return [Row(o.price, o.volume, o.id, o.owner) for o in self.sides[side]]

  def phase(self, seconds: int) -> int:
    """Returns the phase at a time."""
    began = [name for start, name in self.rules.schedule if start <= seconds]
    return began[-1] if began else _Phase.CLOSED

  def tick(self, price: int) -> int:
    """Returns the tick size at a price."""
    bands = self.rules.tick_bands
    below = [size for start, size in bands if start <= price]
    return below[-1] if below else bands[0][1]

  def limits(self) -> tuple[int, int]:
    """Returns the lowest and the highest price of the day."""
    limit = self.rules.price_limit_bp
    shares = (10_000 - limit, 10_000 + limit)
    low, high = ((self.reference * s + 5_000) // 10_000 for s in shares)
    return low, high

  def check(self, message: Message, seconds: int) -> int:
    """Returns the reason to reject a message, or `ACCEPTED`."""
    kind, rules = message.kind, self.rules
    phase = self.phase(seconds)
    if kind in (_Kind.CANCEL, _Kind.MODIFY):
      taken = phase in _TAKES_CANCELS
    elif kind == _Kind.LIMIT:
      taken = phase in _TAKES_ORDERS
    else:  # Makes sense only where orders match as they arrive.
      taken = phase == _Phase.CONTINUOUS
    if not taken:
      return _Reason.CLOSED
    if seconds < self.resumes and kind != _Kind.CANCEL:
      return _Reason.HALTED
    has_price = kind not in (_Kind.CANCEL, _Kind.MARKET)
    if has_price and message.price % self.tick(message.price):
      return _Reason.OFF_TICK
    may_be_odd = kind == _Kind.CANCEL or (
      rules.odd_lots_on_sale and message.side == ASK
    )
    if message.volume % rules.lot and not may_be_odd:
      return _Reason.OFF_LOT
    if has_price and rules.price_limit_bp is not None:
      low, high = self.limits()
      if not low <= message.price <= high:
        return _Reason.PRICE_LIMIT
    return _Reason.ACCEPTED

  def apply(self, message: Message, seconds: int = 0) -> Result:
    """Applies one message and returns its result."""
    if message.kind == _Kind.NONE:
      return Result(_Reason.ACCEPTED, 0, 0, 0, [])
    reason = self.check(message, seconds)
    result = Result(reason, 0, 0, 0, [])
    if reason == _Reason.ACCEPTED:
      matches = self.phase(seconds) == _Phase.CONTINUOUS
      result = self._apply_taken(message, matches)
    self.counts[result.reason] += 1
    if result.fills:
      self.last_price = result.fills[-1].price
      self._maybe_halt(seconds)
    return result

  def _maybe_halt(self, seconds: int) -> None:
    halt = self.rules.halt
    if halt is None:
      return
    move = abs(self.last_price - self.halt_price)
    moved_enough = move * 10_000 >= halt.move_bp * abs(self.halt_price)
    if move and moved_enough:
      self.halt_price = self.last_price
      self.resumes = seconds + halt.seconds

  def _apply_taken(self, message: Message, matches: bool) -> Result:
    """Applies a message that passed the checks."""
    if message.volume <= 0:
      return Result(_Reason.NO_VOLUME, 0, 0, 0, [])
    if message.kind == _Kind.CANCEL:
      return self._cancel(message)
    if message.kind == _Kind.MODIFY:
      return self._modify(message, matches)
    return self._enter(message, matches)

  def _find(self, id_: int, sides: tuple[int, ...]):
    """Returns the side and order of an id, or None."""
    for side in sides:
      for order in self.sides[side]:
        if order.id == id_:
          return self.sides[side], order
    return None

  def _cancel(self, message: Message) -> Result:
    found = self._find(message.id, (ASK, BID))
    if found is None:
      return Result(_Reason.UNKNOWN_ID, 0, 0, 0, [])
    orders, order = found
    cancelled = min(order.volume, message.volume)
    order.volume -= cancelled
    if order.volume == 0:
      orders.remove(order)
    return Result(_Reason.ACCEPTED, 0, 0, cancelled, [])

  def _modify(self, message: Message, matches: bool) -> Result:
    found = self._find(message.id, (message.side,))
    if found is None:
      return Result(_Reason.UNKNOWN_ID, 0, 0, 0, [])
    orders, order = found
    only_reduces = (
      message.price == order.price and message.volume <= order.volume
    )
    if only_reduces and self.rules.reduce_keeps_priority:
      cancelled = order.volume - message.volume
      order.volume = message.volume
      return Result(_Reason.ACCEPTED, 0, 0, cancelled, [])
    orders.remove(order)
    result = self._enter(message, matches)
    return result._replace(cancelled=result.cancelled + order.volume)

  def _enter(self, message: Message, matches: bool) -> Result:
    """Trades a new order; its remainder rests or expires."""
    levels = self._crossed(message) if matches else []
    if message.kind == _Kind.POST_ONLY and levels:
      return Result(_Reason.WOULD_CROSS, 0, 0, 0, [])
    plan = self._match(message, levels)
    traded = sum(volume for _, volume in plan.fills)
    if message.kind == _Kind.FOK and traded < message.volume:
      return Result(_Reason.NOT_FILLABLE, 0, 0, 0, [])
    cancelled = sum(order.volume for order in plan.cancels)
    fills = [Fill(o.price, volume, o.id) for o, volume in plan.fills]
    self._take_out(1 - message.side, plan)
    reason, rested = _Reason.ACCEPTED, 0
    if plan.meets_own:
      reason = _Reason.SELF_TRADE
    elif plan.left and message.kind in (
      _Kind.LIMIT,
      _Kind.POST_ONLY,
      _Kind.MODIFY,
    ):
      lost = self._rest(message, plan.left)
      reason = _Reason.CAPACITY if lost else _Reason.ACCEPTED
      rested = plan.left
      if lost and lost.id == message.id:
        rested = 0
      elif lost:
        cancelled += lost.volume
    return Result(reason, traded, rested, cancelled, fills)

  def _crossed(self, message: Message) -> list[list[Resting]]:
    """Returns the orders crossed, by price level, best first."""
    levels = {}
    for order in self.sides[1 - message.side]:
      if message.kind != _Kind.MARKET:
        if message.side == BID and order.price > message.price:
          continue
        if message.side == ASK and order.price < message.price:
          continue
      levels.setdefault(order.price, []).append(order)
    return list(levels.values())

  def _match(self, message: Message, levels: list[list[Resting]]) -> Plan:
    """Returns what an order would do, without doing it."""
    is_pro_rata = self.rules.allocation is rules_lib.Allocation.PRO_RATA
    fills, cancels, left = [], [], message.volume
    for level in levels:
      turns = [level] if is_pro_rata else [[order] for order in level]
      for turn in turns:
        if left == 0:
          return Plan(fills, cancels, 0, False)
        mine, others = self._split(message, turn)
        if mine and self.rules.self_trade is rules_lib.SelfTrade.CANCEL_NEWEST:
          return Plan(fills, cancels, left, True)
        cancels += mine
        shares = self._share(others, left)
        fills += [
          (order, volume)
          for order, volume in zip(others, shares, strict=True)
          if volume
        ]
        left -= sum(shares)
    return Plan(fills, cancels, left, False)

  def _split(self, message: Message, orders: list[Resting]):
    """Returns the orders of the same owner, and the others."""
    off = self.rules.self_trade is rules_lib.SelfTrade.OFF
    if off or message.owner < 0:
      return [], orders
    mine = [order for order in orders if order.owner == message.owner]
    return mine, [order for order in orders if order.owner != message.owner]

  def _share(self, orders: list[Resting], volume: int) -> list[int]:
    """Returns the share of each order of a price."""
    volumes = [order.volume for order in orders]
    if sum(volumes) <= volume:
      return volumes
    if len(orders) == 1:
      return [volume]
    shares, waiting = [0] * len(orders), list(range(len(orders)))
    if self.rules.top_order:
      shares[0] = min(volumes[0], volume)
      volume -= shares[0]
      waiting = waiting[1:]
    whole = sum(volumes[i] for i in waiting)
    for i in waiting:
      share = volumes[i] * volume // whole
      shares[i] = share if share >= self.rules.min_allocation else 0
    rest = volume - sum(shares[i] for i in waiting)
    for i in waiting:
      more = min(rest, volumes[i] - shares[i])
      shares[i] += more
      rest -= more
    return shares

  def _take_out(self, side: int, plan: Plan) -> None:
    for order, volume in plan.fills:
      order.volume -= volume
    self.sides[side][:] = [
      order
      for order in self.sides[side]
      if order.volume > 0 and order not in plan.cancels
    ]

  def _rest(self, message: Message, volume: int) -> Resting | None:
    """Inserts an order; returns the order dropped for it."""
    orders = self.sides[message.side]
    sign = 1 if message.side == ASK else -1
    new = Resting(message.price, volume, message.id, message.owner)
    orders.append(new)
    orders.sort(key=lambda order: sign * order.price)  # Stable: by time.
    return orders.pop() if len(orders) > self.capacity else None

  def indicate(self) -> tuple[int, int, int]:
    """Returns price, volume and imbalance of an auction now."""
    orders = [*self.sides[ASK], *self.sides[BID]]
    if not orders:
      return 0, 0, 0
    prices = sorted({order.price for order in orders})
    takes_middle = self.rules.auction_tie is rules_lib.AuctionTie.MIDDLE
    if not takes_middle:  # That takes the prices of orders alone.
      prices = self._prices(prices[0], prices[-1])
    volume = max(min(self._supply(p), self._demand(p)) for p in prices)
    if volume == 0:
      return 0, 0, 0
    good = [
      p for p in prices if min(self._supply(p), self._demand(p)) == volume
    ]
    good = [p for p in good if self._fills_better(p, volume)]
    least = min(abs(self._demand(p) - self._supply(p)) for p in good)
    good = [p for p in good if abs(self._demand(p) - self._supply(p)) == least]
    doubled = good[0] + good[-1] if takes_middle else 2 * self.last_price
    prices = self._prices(good[0], good[-1])[1:-1]
    price = min(prices, key=lambda p: (abs(2 * p - doubled), -p))
    return price, volume, self._demand(price) - self._supply(price)

  def uncross(self) -> Auction:
    """Executes a call auction; its fills by side and priority."""
    price, volume, imbalance = self.indicate()
    if volume == 0:
      return Auction(0, 0, 0, ([], []))
    fills = ([], [])
    for side in (ASK, BID):
      left = volume
      for order in self.sides[side]:
        traded = min(left, order.volume)
        order.volume -= traded
        left -= traded
        if traded:
          fills[side].append(Fill(price, traded, order.id))
      self.sides[side][:] = [o for o in self.sides[side] if o.volume > 0]
    self.last_price = self.halt_price = price
    return Auction(price, volume, imbalance, fills)

  def _prices(self, low: int, high: int) -> list[int]:
    """Returns the grid from below `low` to above `high`."""
    prices = [low - self.tick(low - 1)]
    while prices[-1] <= high:
      prices.append(prices[-1] + self.tick(prices[-1]))
    return prices

  def _supply(self, price: int) -> int:
    return sum(o.volume for o in self.sides[ASK] if o.price <= price)

  def _demand(self, price: int) -> int:
    return sum(o.volume for o in self.sides[BID] if o.price >= price)

  def _fills_better(self, price: int, volume: int) -> bool:
    bids = sum(o.volume for o in self.sides[BID] if o.price > price)
    asks = sum(o.volume for o in self.sides[ASK] if o.price < price)
    return max(bids, asks) <= volume
