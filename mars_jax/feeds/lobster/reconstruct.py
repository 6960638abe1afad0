"""Reconstructs the orders behind the rows of LOBSTER files.

Keeps the book of a price-time matching engine in step with the order-book file,
so that each difference is seen, and put right, at the row where it arises.
"""

import bisect
import collections
import dataclasses
import itertools

import numpy as np

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import lobster
from mars_jax.feeds import price_time_book

INSIDE_SWEEP = -1
_ALL_IN_VIEW = 2**62  # A key worse than all.
_COUNT_OF_TYPE = {
  lobster.NEW: "limit_orders",
  lobster.REDUCE: "cancels",
  lobster.DELETE: "cancels",
  lobster.EXECUTE: "executions",
  lobster.HIDDEN: "hidden_executions",
  lobster.CROSS: "cross_trades",
  lobster.HALT: "halts",
}
_NO_CHANGE = {lobster.HIDDEN: 0, lobster.CROSS: 0, lobster.HALT: 0}
_COUNTS = (
  *("messages", "limit_orders", "cancels", "executions", "hidden_executions"),
  *("cross_trades", "halts", "aggressive_orders", "remainders"),
  *("start_orders", "scrolled_in", "scrolled_out", "added", "removed"),
  *("out_of_turn_executions", "reassigned_cancels"),
  *("split_cancels", "short_deletes", "unexplained"),
  *("crossing_orders", "outside", "cross_executions"),
)


@dataclasses.dataclass(slots=True)
class _Known:
  """An order in the feed, with its remaining volume there."""

  order_id: int  # ours
  side: int
  key: int
  remaining: int


class Reconstruction:
  """Events from checked rows; `run` fills the attributes.

  Without `corrections` the book goes its own way after the first row, and what
  takes more than that holds takes what there is (`_object`).

  The feed vouches for an order from its type 1 row until it is gone or its
  level goes out of view, since then it may be deleted, and other orders may
  come to its level, in silence. What rests beyond that is unexplained: what
  synthetic orders hold, orders that were out of view, and what the feed
  executed but price-time priority did not. Ids that we do not know refer to it.

  Attributes:
    events: rows of `events.from_rows`.
    events_at_row: for each row, the number of events that complete it, or
      `INSIDE_SWEEP`.
    counts: see the package's docstring.
  """

  def __init__(self, path, messages, rows, halted, corrections):
    self.events = []
    self.events_at_row = []
    self.counts = dict.fromkeys(_COUNTS, 0)
    self.counts["messages"] = len(messages["type"])
    for kind in messages["type"].tolist():
      self.counts[_COUNT_OF_TYPE[kind]] += 1
    self._path = path
    self._halted = halted.tolist()
    self._corrections = corrections
    columns = [messages[name].tolist() for name in lobster.COLUMNS[:4]]
    is_bid = messages["direction"] > 0
    sides = np.where(is_bid, types.Side.BID, types.Side.ASK)
    keys = np.where(is_bid, -1, 1) * messages["price"]
    # (time, type, feed's order id, size, side, key) of each row.
    self._rows = list(zip(*columns, sides.tolist(), keys.tolist(), strict=True))
    sign = np.where(np.arange(2) == types.Side.BID, -1, 1)
    self._keys = rows.price * sign[:, None]  # [rows, 2, L]
    self._volumes = rows.volume
    self._depth = self._keys.shape[2]
    self._worst = [_ALL_IN_VIEW] * 2  # By side, the worst key in view.
    self._book = price_time_book.Book()
    self._ids = itertools.count()
    self._feed = {}  # {feed's order id: _Known}
    self._vouched = {}  # {our order id: _Known}
    self._waiting = {}  # {feed's order id: _Known}, of those that cross
    self._row = 0
    self._time = 0

  def run(self):
    """Goes through the rows, a sweep at a time."""
    self._set_up()
    row = 0
    while row < len(self._rows):
      end = self._row = row
      self._time, kind, feed_id, size, side, key = self._rows[row]
      if feed_id in self._waiting and kind in lobster.VISIBLE:
        self._use_waiting(kind, feed_id, size)
      elif kind == lobster.NEW:
        keys = self._book.keys[1 - side]
        would_trade = bool(keys) and keys[0] <= -key
        if would_trade and self._halted[row] and self._is_crossed(row):
          self._waiting[feed_id] = _Known(types.NO_ORDER, side, key, size)
          self.counts["crossing_orders"] += 1
        else:
          if would_trade:  # Nothing of what it would hit is in the file's row.
            self._clear_way(1 - side, -key, {}, row)
          self._enter(side, key, size, self._register(row), [])
      elif kind == lobster.EXECUTE and self._halted[row]:
        self.counts["cross_executions"] += 1
        if feed_id in self._feed:  # It trades at the price of the cross.
          key = self._feed[feed_id].key
        self._cancel(kind, feed_id, size, side, key, is_market_event=False)
      elif kind == lobster.EXECUTE:
        end = self._sweep()
        self.events_at_row += [INSIDE_SWEEP] * (end - row)
      elif kind in (lobster.REDUCE, lobster.DELETE):
        self._cancel(kind, feed_id, size, side, key)
      self._admit()
      self._sync(end)
      is_whole = not self._is_crossed(end)
      self.events_at_row.append(len(self.events) if is_whole else INSIDE_SWEEP)
      row = end + 1

  def _set_up(self):
    """Sets up the start book: row 1 without its message."""
    self._time, kind, _, size, message_side, key = self._rows[0]
    change = {lobster.NEW: -size, **_NO_CHANGE}.get(kind, size)
    for side in (types.Side.ASK, types.Side.BID):
      levels, self._worst[side] = self._view(0, side)
      if side == message_side and change:
        levels[key] = levels.get(key, 0) + change
      for level, volume in sorted(levels.items()):
        if volume > 0:
          self._add_synthetic(side, level, volume, "start_orders")

  def _is_crossed(self, row):
    """Returns whether bids reach asks in a row."""
    is_there = (self._volumes[row, :, 0] > 0).all()
    return bool(is_there and self._keys[row, :, 0].sum() <= 0)

  def _use_waiting(self, kind, feed_id, size):
    """Takes `size` off a waiting order."""
    order = self._waiting[feed_id]
    if kind == lobster.NEW:
      self._fail(f"order id {feed_id} rests already")
    if size > order.remaining:
      self._fail(f"size {size} exceeds the {order.remaining} left of {feed_id}")
    order.remaining -= size
    self.counts["outside"] += 1
    self.counts["cross_executions"] += kind == lobster.EXECUTE
    if kind == lobster.DELETE or not order.remaining:
      del self._waiting[feed_id]

  def _admit(self):
    """Enters the waiting orders that would trade no longer."""
    for feed_id, order in list(self._waiting.items()):
      keys = self._book.keys[1 - order.side]
      if not keys or keys[0] > -order.key:
        del self._waiting[feed_id]
        order.order_id = next(self._ids)
        self._feed[feed_id] = self._vouched[order.order_id] = order
        fields = (order.side, order.key, order.remaining, order.order_id)
        self._emit(types.OrderKind.LIMIT, *fields, False)
        side, key, volume, order_id = fields
        self._book.add(side, key, order_id, volume)

  def _cancel(self, kind, feed_id, size, side, key, is_market_event=True):
    """Emits the cancel of a row, maybe of another order.

    That is so where price-time priority has consumed the named order.
    """
    named = self._feed.get(feed_id)
    is_told = (
      kind == lobster.DELETE and named is not None and size == named.remaining
    )
    order_id = self._use(kind, feed_id, size, side, key)
    total = self._book.totals[side].get(key, 0)
    if size > total:
      self._object(f"cancel of {size} exceeds the {total} resting")
      size = total
    if not size:
      return
    if self._book.levels[side][key].get(order_id, 0) >= size:
      ids = [order_id]
    else:
      ids = self._by_doubt(side, key)
      if order_id is not None:
        self.counts["reassigned_cancels"] += 1
        ids.sort(key=lambda other: other != order_id)
    gone = order_id if is_told else None
    parts = self._take(side, key, size, ids, is_market_event, gone)
    self.counts["split_cancels"] += parts - 1

  def _sweep(self):
    """Emits the order behind the executions from this row on.

    These are the executions of one side at one time stamp, at prices that never
    improve; hidden executions of that side in between are passed over. A new
    order of the other side that comes next, at or through the last price, is
    the remainder.

    Returns:
      The last row of the sweep.
    """
    start = end = self._row
    side, reach = self._rows[start][4:]
    needs, hits = collections.Counter(), []
    rest = 0
    for row in range(start, len(self._rows)):
      time, kind, feed_id, size, row_side, key = self._rows[row]
      if time != self._time:
        break
      if kind == lobster.EXECUTE and row_side == side and key >= reach:
        end = self._row = row
        hits.append((self._use(kind, feed_id, size, side, key), size))
        needs[key] += size
        reach = key
        total = self._book.totals[side].get(key, 0)
        if needs[key] > total and key <= self._worst[side]:
          self._object(f"executions of {needs[key]} exceed the {total} resting")
      elif kind == lobster.NEW and row_side != side and -key >= reach:
        end = self._row = row
        rest = size
        break
      elif kind != lobster.HIDDEN or row_side != side:
        break
    self.counts["aggressive_orders"] += 1
    self.counts["remainders"] += rest > 0
    limit = -key if rest else reach
    self._clear_way(side, limit, needs, end)
    order_id = self._register(end) if rest else next(self._ids)
    self._enter(1 - side, -limit, needs.total() + rest, order_id, hits)
    return end

  def _enter(self, side, key, volume, order_id, hits):
    """Emits a new order and matches it.

    The feed has it hit `hits`, (order id, volume) each.
    """
    self._emit(types.OrderKind.LIMIT, side, key, volume, order_id, True)
    for expected, size in hits:
      fills = list(self._book.match(1 - side, -key, size))
      volume -= sum(filled for _, filled in fills)
      self.counts["out_of_turn_executions"] += any(
        other in self._vouched if expected is None else other != expected
        for other, _ in fills
      )
    fills = self._book.match(1 - side, -key, volume)
    volume -= sum(filled for _, filled in fills)
    if volume:
      self._book.add(side, key, order_id, volume)

  def _clear_way(self, side, reach, needs, row):
    """Makes levels up to `reach` hold `needs` and more.

    They also hold what the book has after `row`.
    """
    levels, worst = self._view(row, side)
    goal = collections.Counter(needs)
    goal.update({key: v for key, v in levels.items() if key <= reach})
    self._correct([(side, goal, min(reach, worst))])

  def _sync(self, row):
    """Makes the book equal a file row, within its depth."""
    keys, volumes = self._keys[row].tolist(), self._volumes[row].tolist()
    goals = []
    for side in (types.Side.ASK, types.Side.BID):
      used = self._depth - volumes[side].count(0)
      shown, totals = keys[side][:used], self._book.totals[side]
      if (
        self._book.keys[side][: self._depth] != shown
        or [totals[key] for key in shown] != volumes[side][:used]
      ):
        goals.append((side, *self._view(row, side)))
    self._correct(goals)
    for side in (types.Side.ASK, types.Side.BID):
      before = self._worst[side]
      full = volumes[side][-1] > 0
      self._worst[side] = keys[side][-1] if full else _ALL_IN_VIEW
      if self._worst[side] < before:
        self._lose_sight(side, self._worst[side], before)

  def _lose_sight(self, side, worst, before):
    """Stops vouching for orders at levels out of view."""
    keys = self._book.keys[side]
    first = bisect.bisect_right(keys, worst)
    for key in keys[first : bisect.bisect_right(keys, before)]:
      for order_id in self._book.levels[side][key]:
        self._vouched.pop(order_id, None)

  def _correct(self, goals):
    """Makes levels equal goals: (side, {key: volume}, last key)."""
    if not self._corrections:
      return
    for side, goal, reach in goals:
      keys, totals = self._book.keys[side], self._book.totals[side]
      for key in keys[: bisect.bisect_right(keys, reach)]:
        excess = totals[key] - goal.get(key, 0)
        if excess > 0:
          ids = self._by_doubt(side, key)
          why = "scrolled_out" if key > self._worst[side] else "removed"
          self.counts[why] += self._take(side, key, excess, ids, False)
    for side, goal, _ in goals:
      for key, volume in goal.items():
        lack = volume - self._book.totals[side].get(key, 0)
        if lack > 0:
          why = "scrolled_in" if key > self._worst[side] else "added"
          self._add_synthetic(side, key, lack, why)

  def _register(self, row):
    """Registers the new order of a row; returns its id."""
    _, _, feed_id, size, side, key = self._rows[row]
    if feed_id in self._feed:
      self._fail(f"order id {feed_id} rests already")
    order = _Known(next(self._ids), side, key, size)
    self._feed[feed_id] = self._vouched[order.order_id] = order
    return order.order_id

  def _use(self, kind, feed_id, size, side, key):
    """Takes `size` off the feed's order; returns our id."""
    order = self._feed.get(feed_id)
    if order is None:
      level = self._book.levels[side].get(key, {})
      vouched = sum(
        min(volume, self._vouched[order_id].remaining)
        for order_id, volume in level.items()
        if order_id in self._vouched
      )
      lack = self._corrections and sum(level.values()) - vouched < size
      if lack and (kind != lobster.EXECUTE or key <= self._worst[side]):
        self._fail(f"unknown order id {feed_id}")
      return None
    if (order.side, order.key) != (side, key):
      self._fail(f"order id {feed_id} rests at another price or side")
    if size > order.remaining:
      self._fail(f"size {size} exceeds the {order.remaining} left of {feed_id}")
    order.remaining -= size
    if kind == lobster.DELETE or not order.remaining:
      self.counts["short_deletes"] += order.remaining > 0
      del self._feed[feed_id]
      self._vouched.pop(order.order_id, None)
    return order.order_id

  def _by_doubt(self, side, key):
    """Orders of a level, unexplained ones first, then youngest first."""
    ids = reversed(self._book.levels[side][key])
    return sorted(ids, key=lambda order_id: order_id in self._vouched)

  def _take(self, side, key, volume, order_ids, is_market_event, gone=None):
    """Cancels `volume` of some orders; returns the number of events.

    In the feed the order `gone` has no remaining volume.
    """
    before = len(self.events)
    for order_id in order_ids:
      taken = self._book.take(side, key, order_id, volume)
      kind = types.OrderKind.CANCEL
      rest = 0 if order_id == gone else -1
      self._emit(kind, side, key, taken, order_id, is_market_event, rest)
      volume -= taken
      if not volume:
        break
    return len(self.events) - before

  def _add_synthetic(self, side, key, volume, why):
    order_id = next(self._ids)
    self._book.add(side, key, order_id, volume)
    self._emit(types.OrderKind.LIMIT, side, key, volume, order_id, False)
    self.counts[why] += 1

  def _emit(
    self, kind, side, key, volume, order_id, is_market_event, remaining=-1
  ):
    price = -key if side == types.Side.BID else key
    order = (side, price, volume, order_id)
    self.events.append((self._time, kind, *order, is_market_event, remaining))

  def _view(self, row, side):
    """Returns {key: volume} of a row, and its worst key.

    Without the orders that wait.
    """
    keys, volumes = self._keys[row, side], self._volumes[row, side]
    used = int(np.count_nonzero(volumes))
    shown = zip(keys[:used].tolist(), volumes[:used].tolist(), strict=True)
    worst = int(keys[-1]) if used == self._depth else _ALL_IN_VIEW
    levels = dict(shown)
    for order in self._waiting.values():
      if order.side == side and order.key in levels:
        levels[order.key] -= order.remaining
    return {key: volume for key, volume in levels.items() if volume > 0}, worst

  def _object(self, reason):
    """Counts a row that takes too much; raises with corrections."""
    if self._corrections:
      self._fail(reason)
    self.counts["unexplained"] += 1

  def _fail(self, reason):
    raise events.DataError(self._path, self._row + 1, reason)
