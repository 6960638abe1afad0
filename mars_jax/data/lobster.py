"""Reads LOBSTER message and order-book files into an event stream.

The files and their columns are described in `lobster_files`; row `i` of the
order-book file is the book after row `i` of the message file.

Three things are missing from such files, and the reader puts them back:
  Aggressive orders. Only the resting orders that they hit are told; executions
    at one time stamp become the one order that caused them (`_sweep`).
  Depth. Only events within the levels of the file are told: what rests at the
    start, or scrolls into view, is set up as synthetic orders, and orders that
    were deleted out of sight are taken off when their level is seen again.
  Turns. Some executions are not in time priority as we know it. The reader
    keeps the book of a price-time clearing house in step (`lobster_book`), so
    that its levels equal the file's after every row.

Hidden executions, halts and cross trades (the trades of an auction; the orders
that one takes out of the visible book have messages of their own) leave that
book as it is: they are counted, and yield no event.
"""

import bisect
import collections
import dataclasses
import itertools
import pathlib
import re

import numpy as np

from mars_jax import types
from mars_jax.data import events
from mars_jax.data import lobster_book
from mars_jax.data import lobster_files as files

_INSIDE_SWEEP = -1
_ALL_IN_VIEW = 2**31 - 1  # A key worse than all.
_NAME = re.compile(r"([^_]+)_(\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+")
_COUNT_OF_TYPE = {
  files.NEW: "limit_orders",
  files.REDUCE: "cancels",
  files.DELETE: "cancels",
  files.EXECUTE: "executions",
  files.HIDDEN: "hidden_executions",
  files.CROSS: "cross_trades",
  files.HALT: "halts",
}
_NO_CHANGE = {files.HIDDEN: 0, files.CROSS: 0, files.HALT: 0}
_COUNTS = (
  *("messages", "limit_orders", "cancels", "executions", "hidden_executions"),
  *("cross_trades", "halts", "aggressive_orders", "remainders"),
  *("start_orders", "scrolled_in", "added", "removed"),
  *("out_of_turn_executions", "reassigned_cancels"),
  *("split_cancels", "short_deletes"),
)


def read(
  path: pathlib.Path | str, book_path: pathlib.Path | str | None = None
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, book_path)[0]


def read_checked(
  path: pathlib.Path | str, book_path: pathlib.Path | str | None = None
) -> tuple[events.EventStream, np.ndarray]:
  """Reads one instrument and day, and says when which row of it is reached.

  The counts of the stream are
    messages: rows of the file = limit_orders + cancels + executions +
      hidden_executions + cross_trades + halts.
    limit_orders, cancels, executions: rows of type 1, of 2 and 3, of 4.
    hidden_executions, cross_trades, halts: rows of type 5, 6 and 7, which yield
      no event.
    aggressive_orders: orders put together from executions.
    remainders: limit_orders that are what an aggressive order left over, and
      so part of its event.
    start_orders: synthetic orders of the book before the first message.
    scrolled_in: synthetic orders at levels worse than all in the row before.
    added, removed: other corrections, i.e. synthetic orders at levels that were
      in view, and CANCEL events of what the file no longer shows.
    out_of_turn_executions: executions that price-time priority gives to another
      order than the feed does.
    reassigned_cancels: cancels that take volume off another order than the one
      they name, since price-time priority consumed that one, or a correction
      removed it.
    split_cancels: CANCEL events beyond the first of a cancel that takes volume
      off several orders.
    short_deletes: deletes of less than what the feed had left of the order.
  The events with `is_flow` are limit_orders - remainders + aggressive_orders +
  cancels + split_cancels.

  Args:
    path: a zip or a folder with exactly one pair of files, or a message file.
    book_path: the order-book file, where `path` is a message file and its name
      with "orderbook" for "message" is not the order-book file's.

  Returns:
    The stream, and int64 `[rows]`: the number of events after which the book
    equals the row of the order-book file, or -1 for a row inside a sweep (an
    aggressive order is one event; its last row is the one that it completes).

  Raises:
    events.DataError: the input is broken; names file, row (from 1) and reason.
    ImportError: polars is not installed.
  """
  message_file, book_file = files.open_pair(path, book_path)
  messages = files.parse_messages(*message_file)
  rows = files.parse_book(*book_file)
  count = len(messages["time"])
  if count != len(rows.ask_price):
    raise events.DataError(
      book_file[0],
      min(count, len(rows.ask_price)) + 1,
      f"{len(rows.ask_price)} rows of the book for {count} messages",
    )
  reader = _Reader(message_file[0], messages, rows)
  reader.run()
  stream = _make_stream(message_file[0].stem, reader.events, reader.counts)
  return stream, np.array(reader.events_at_row, np.int64)


def read_book(
  path: pathlib.Path | str, book_path: pathlib.Path | str | None = None
) -> files.BookRows:
  """Reads the order-book file of a pair; the arguments are those of `read`."""
  return files.parse_book(*files.open_pair(path, book_path)[1])


def _make_stream(stem, rows, counts):
  """Returns the stream of the events of a `_Reader`."""
  match = _NAME.fullmatch(stem)
  names = ("time", "kind", "side", "price", "volume", "order_id", "is_flow")
  dtypes = (np.int64, *[np.int32] * 5, bool)
  columns = np.array(rows, np.int64).reshape(-1, len(names)).T
  return events.EventStream(
    name=f"{match[1]} {match[2]}" if match else stem,
    **{n: c.astype(d) for n, c, d in zip(names, columns, dtypes, strict=True)},
    tick_size=0.01,
    lot_size=1.0,
    counts=counts,
  )


@dataclasses.dataclass(slots=True)
class _Known:
  """An order that the feed told us of, and what the feed has left of it."""

  order_id: int  # ours
  side: int
  key: int
  left: int


class _Reader:
  """Turns checked rows into events; `run` fills the attributes.

  The feed vouches for an order from its type 1 row until it is gone or its
  level goes out of view, since then it may be deleted, and other orders may
  come to its level, in silence. What rests beyond that is unexplained: what
  synthetic orders hold, orders that were out of view, and what the feed
  executed but price-time priority did not. Ids that we do not know refer to it.

  Attributes:
    events: (time, kind, side, price, volume, order id, is_flow) each.
    events_at_row: for each row, see `read_checked`.
    counts: see `read_checked`.
  """

  def __init__(self, path, messages, rows):
    self.events = []
    self.events_at_row = []
    self.counts = dict.fromkeys(_COUNTS, 0)
    self.counts["messages"] = len(messages["type"])
    for kind in messages["type"].tolist():
      self.counts[_COUNT_OF_TYPE[kind]] += 1
    self._path = path
    columns = [messages[name].tolist() for name in files.COLUMNS[:4]]
    is_bid = messages["direction"] > 0
    sides = np.where(is_bid, types.Side.BID, types.Side.ASK)
    keys = np.where(is_bid, -1, 1) * messages["price"]
    # (time, type, feed's order id, size, side, key) of each row.
    self._rows = list(zip(*columns, sides.tolist(), keys.tolist(), strict=True))
    self._keys = np.stack([rows.ask_price, -rows.bid_price], 1)  # [rows, 2, L]
    self._volumes = np.stack([rows.ask_volume, rows.bid_volume], 1)
    self._depth = self._keys.shape[2]
    self._worst = [_ALL_IN_VIEW] * 2  # By side, the worst key in view.
    self._book = lobster_book.Book()
    self._ids = itertools.count()
    self._feed = {}  # {feed's order id: _Known}
    self._vouched = {}  # {our order id: _Known}
    self._row = 0
    self._time = 0

  def run(self):
    """Goes through the rows, a sweep at a time."""
    self._set_up()
    row = 0
    while row < len(self._rows):
      end = self._row = row
      self._time, kind, feed_id, size, side, key = self._rows[row]
      if kind == files.NEW:
        keys = self._book.keys[1 - side]
        if keys and keys[0] <= -key:  # Nothing of it is in the file's row.
          self._clear_way(1 - side, -key, {}, row)
        self._enter(side, key, size, self._register(row), [])
      elif kind == files.EXECUTE:
        end = self._sweep()
        self.events_at_row += [_INSIDE_SWEEP] * (end - row)
      elif kind in (files.REDUCE, files.DELETE):
        self._cancel(kind, feed_id, size, side, key)
      self._sync(end)
      self.events_at_row.append(len(self.events))
      row = end + 1

  def _set_up(self):
    """Sets up the book before the first message: row 1 without its effect."""
    self._time, kind, _, size, message_side, key = self._rows[0]
    change = {files.NEW: -size, **_NO_CHANGE}.get(kind, size)
    for side in (types.Side.ASK, types.Side.BID):
      levels, self._worst[side] = self._view(0, side)
      if side == message_side and change:
        levels[key] = levels.get(key, 0) + change
      for level, volume in sorted(levels.items()):
        if volume > 0:
          self._add_synthetic(side, level, volume, "start_orders")

  def _cancel(self, kind, feed_id, size, side, key):
    """Emits the cancel of a row, of another order where that is consumed."""
    order_id = self._use(kind, feed_id, size, side, key)
    total = self._book.totals[side].get(key, 0)
    if size > total:
      self._fail(f"cancel of {size} exceeds the {total} resting")
    if self._book.levels[side][key].get(order_id, 0) >= size:
      ids = [order_id]
    else:
      ids = self._by_doubt(side, key)
      if order_id is not None:
        self.counts["reassigned_cancels"] += 1
        ids.sort(key=lambda other: other != order_id)
    parts = self._take(side, key, size, ids, is_flow=True)
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
      if kind == files.EXECUTE and row_side == side and key >= reach:
        end = self._row = row
        hits.append((self._use(kind, feed_id, size, side, key), size))
        needs[key] += size
        reach = key
        total = self._book.totals[side].get(key, 0)
        if needs[key] > total and key <= self._worst[side]:
          self._fail(f"executions of {needs[key]} exceed the {total} resting")
      elif kind == files.NEW and row_side != side and -key >= reach:
        end = self._row = row
        rest = size
        break
      elif kind != files.HIDDEN or row_side != side:
        break
    self.counts["aggressive_orders"] += 1
    self.counts["remainders"] += rest > 0
    limit = -key if rest else reach
    self._clear_way(side, limit, needs, end)
    order_id = self._register(end) if rest else next(self._ids)
    self._enter(1 - side, -limit, needs.total() + rest, order_id, hits)
    return end

  def _enter(self, side, key, volume, order_id, hits):
    """Emits a new order and matches it; `hits` are (id hit, volume) by feed."""
    self._emit(types.OrderKind.LIMIT, side, key, volume, order_id, True)
    for expected, size in hits:
      fills = list(self._book.match(1 - side, -key, size))
      volume -= sum(filled for _, filled in fills)
      self.counts["out_of_turn_executions"] += any(
        other in self._vouched if expected is None else other != expected
        for other, _ in fills
      )
    if volume:
      self._book.add(side, key, order_id, volume)

  def _clear_way(self, side, reach, needs, row):
    """Makes levels up to `reach` hold `needs` and what is left after `row`."""
    levels, worst = self._view(row, side)
    goal = collections.Counter(needs)
    goal.update({key: v for key, v in levels.items() if key <= reach})
    self._correct([(side, goal, min(reach, worst))])

  def _sync(self, row):
    """Makes the book equal a row of the file, as deep as that shows."""
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
    """No longer vouches for orders at levels that left the view."""
    keys = self._book.keys[side]
    first = bisect.bisect_right(keys, worst)
    for key in keys[first : bisect.bisect_right(keys, before)]:
      for order_id in self._book.levels[side][key]:
        self._vouched.pop(order_id, None)

  def _correct(self, goals):
    """Makes levels equal the goals (side, {key: volume}, key to reach)."""
    for side, goal, reach in goals:
      keys, totals = self._book.keys[side], self._book.totals[side]
      for key in keys[: bisect.bisect_right(keys, reach)]:
        excess = totals[key] - goal.get(key, 0)
        if excess > 0:
          ids = self._by_doubt(side, key)
          self.counts["removed"] += self._take(side, key, excess, ids, False)
    for side, goal, _ in goals:
      for key, volume in goal.items():
        lack = volume - self._book.totals[side].get(key, 0)
        if lack > 0:
          why = "scrolled_in" if key > self._worst[side] else "added"
          self._add_synthetic(side, key, lack, why)

  def _register(self, row):
    """Registers the new order of a row; returns our id of it."""
    _, _, feed_id, size, side, key = self._rows[row]
    if feed_id in self._feed:
      self._fail(f"order id {feed_id} rests already")
    order = _Known(next(self._ids), side, key, size)
    self._feed[feed_id] = self._vouched[order.order_id] = order
    return order.order_id

  def _use(self, kind, feed_id, size, side, key):
    """Takes `size` off the feed's order; returns our id, None if not known."""
    order = self._feed.get(feed_id)
    if order is None:
      level = self._book.levels[side].get(key, {})
      vouched = sum(
        min(volume, self._vouched[order_id].left)
        for order_id, volume in level.items()
        if order_id in self._vouched
      )
      lack = sum(level.values()) - vouched < size
      if lack and (kind != files.EXECUTE or key <= self._worst[side]):
        self._fail(f"unknown order id {feed_id}")
      return None
    if (order.side, order.key) != (side, key):
      self._fail(f"order id {feed_id} rests at another price or side")
    if size > order.left:
      self._fail(f"size {size} exceeds the {order.left} left of {feed_id}")
    order.left -= size
    if kind == files.DELETE or not order.left:
      self.counts["short_deletes"] += order.left > 0
      del self._feed[feed_id]
      self._vouched.pop(order.order_id, None)
    return order.order_id

  def _by_doubt(self, side, key):
    """Orders of a level, unexplained ones first, then youngest first."""
    ids = reversed(self._book.levels[side][key])
    return sorted(ids, key=lambda order_id: order_id in self._vouched)

  def _take(self, side, key, volume, order_ids, is_flow):
    """Cancels `volume` at a level, of these orders; returns how many events."""
    before = len(self.events)
    for order_id in order_ids:
      taken = self._book.take(side, key, order_id, volume)
      kind = types.OrderKind.CANCEL
      self._emit(kind, side, key, taken, order_id, is_flow)
      volume -= taken
      if not volume:
        break
    return len(self.events) - before

  def _add_synthetic(self, side, key, volume, why):
    order_id = next(self._ids)
    self._book.add(side, key, order_id, volume)
    self._emit(types.OrderKind.LIMIT, side, key, volume, order_id, False)
    self.counts[why] += 1

  def _emit(self, kind, side, key, volume, order_id, is_flow):
    price = -key if side == types.Side.BID else key
    self.events.append(
      (self._time, kind, side, price, volume, order_id, is_flow)
    )

  def _view(self, row, side):
    """Returns {key: volume} of a row of the book, and the worst key in view."""
    keys, volumes = self._keys[row, side], self._volumes[row, side]
    used = int(np.count_nonzero(volumes))
    shown = zip(keys[:used].tolist(), volumes[:used].tolist(), strict=True)
    worst = int(keys[-1]) if used == self._depth else _ALL_IN_VIEW
    return dict(shown), worst

  def _fail(self, reason):
    raise events.DataError(self._path, self._row + 1, reason)
