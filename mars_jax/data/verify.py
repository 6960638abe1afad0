"""Proves a feed and the clearing house against each other.

`verify` replays a stream under the rules of its venue and compares what comes
out with whatever the feed has to check by (`events.Checks`): the exchange's own
trades, its auctions, the levels of its book, what cancels leave, the orders
that rest at the end. Capacities grow as the market needs, so nothing is lost.
"""

import collections
import collections.abc
import contextlib
import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.data import events
from mars_jax.data import replay
from mars_jax.data import verification
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session

DEPTHS = (1, 5, 10)  # Levels up to which rows of the book are compared.
_CAPACITY = 1_024  # At the start.
_MAX_FILLS = 32  # At the start.
_GROWTH = 4  # Of these, where they are too small; each costs a compilation.


def verify(
  stream: events.EventStream,
  checks: events.Checks,
  *,
  rules: rules_lib.Rules,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> verification.Verification:
  """Replays a stream and compares.

  Numbers are int64 where a side could hold more lots than int32 can count. An
  auction is executed where the phase of `rules.schedule` ends it between two
  events, and after the last event if the feed tells of one there.

  Args:
    stream: the events of one instrument and day.
    checks: what the feed has to check by.
    rules: of the venue.
    on_progress: called with the number of events just done, now and then.
  """
  if not len(stream):
    raise ValueError(f"{stream.name}: no events to replay")
  if checks.reference is None:
    rules = dataclasses.replace(rules, price_limit_bp=None)
  began = time.time()
  if replay.most_volume(stream, np.zeros(2, int)) > np.iinfo(np.int32).max:
    stream = dataclasses.replace(
      stream,
      price=stream.price.astype(np.int64),
      volume=stream.volume.astype(np.int64),
    )
  is_wide = stream.volume.dtype == np.int64
  with jax.enable_x64(True) if is_wide else contextlib.nullcontext():
    run = _Run(stream, checks, rules)
    result = run.play(on_progress)
  result.seconds = time.time() - began
  return result


class _Run:
  """One replay in progress."""

  def __init__(self, stream, checks, rules):
    self._stream, self._checks, self._rules = stream, checks, rules
    self._result = verification.Verification(stream.name, len(stream))
    self._max_fills = _MAX_FILLS
    if checks.trades is not None:
      trades = checks.trades.event[~checks.trades.is_auction]
      while self._max_fills < np.bincount(trades, minlength=1).max():
        self._max_fills *= _GROWTH
    levels = checks.levels
    self._num_levels = 0 if levels is None else levels.price.shape[2]
    self._equal_levels = collections.Counter()
    self._fills = [np.zeros((4, 0), np.int64)]  # event, id, price, volume

  def play(self, on_progress):
    """Replays all events; returns the result."""
    start = self._num_start = self._start_book()
    on_progress(start)
    for end, has_auction in self._segments():
      for first in range(start, end, replay.CHUNK):
        last = min(first + replay.CHUNK, end)
        self._replay(first, last, has_auction and last == end)
        on_progress(last - first)
      start = end
    self._compare_trades()
    self._compare_orders()
    self._summarize()
    return self._result

  def _start_book(self):
    """Puts the orders that rest at the start in place; returns how many."""
    stream = self._stream
    is_start = ~stream.is_flow & (stream.kind == types.OrderKind.LIMIT)
    count = int(np.logical_and.accumulate(is_start).sum())
    orders = replay.orders_of(stream, slice(count))
    capacity = _CAPACITY
    while capacity < np.bincount(orders.side, minlength=2).max():
      capacity *= _GROWTH
    book = lob.from_orders(orders, capacity)
    reference = self._checks.reference or 0
    self._market = session.init(book, reference=reference)
    if self._num_levels:
      snapshot = lob.snapshot(book, num_levels=self._num_levels)
      self._compare_levels(
        -1,
        count,
        jax.tree.map(
          lambda x: np.broadcast_to(x, (count + 1, *x.shape)), snapshot
        ),
      )
    return count

  def _segments(self):
    """Yields where runs of events end, and whether an auction follows."""
    starts, phases = np.array(self._rules.schedule).T
    index = np.searchsorted(starts, self._seconds(slice(None)), "right") - 1
    phase = np.where(index < 0, rules_lib.Phase.CLOSED, phases[index])
    collects = np.isin(phase, rules_lib.AUCTION_PHASES)
    for end in np.flatnonzero(collects[:-1] & ~collects[1:]) + 1:
      yield int(end), True
    trades, count = self._checks.trades, len(self._stream)
    at_end = trades is not None and (trades.is_auction[-1:]).any()
    at_end = at_end and trades.event[-1] == count
    yield count, bool(collects[-1] and at_end)

  def _seconds(self, rows):
    return (self._stream.time[rows] // types.NANOSECONDS).astype(np.int32)

  def _replay(self, first, last, has_auction):
    """Replays events of one phase, and the auction that ends it."""
    orders = replay.padded_orders(self._stream, first, last)
    seconds = self._seconds(slice(first, last))
    seconds = np.pad(seconds, (0, replay.CHUNK - len(seconds)), mode="edge")
    market, out = self._matched(orders, seconds)
    self._market = market
    if has_auction:
      self._auction(last)
      if out.snapshot is not None:  # The last row is of the book after it.
        snapshot = lob.snapshot(self._market.book, num_levels=self._num_levels)
        for mine, new in zip(
          jax.tree.leaves(out.snapshot), jax.tree.leaves(snapshot), strict=True
        ):
          mine[last - first - 1] = new
    row, place = np.nonzero(out.fills.volume)
    fills = (x[row, place] for x in (out.fills.id, out.fills.price))
    fills = (first + row, *fills, out.fills.volume[row, place])
    self._fills.append(np.stack(fills))
    self._compare_left(first, last, out)
    self._compare_levels(first, last, out.snapshot)

  def _matched(self, orders, seconds):
    """Matches a chunk with capacities that hold all of it."""
    while True:
      market, out = _replay_chunk(
        self._market,
        orders,
        seconds,
        rules=self._rules,
        max_fills=self._max_fills,
        num_levels=self._num_levels,
      )
      if out.num_fills.max() > self._max_fills:
        self._max_fills *= _GROWTH
      elif market.book.dropped > self._market.book.dropped:
        book = self._market.book
        book = lob.resize(book, _GROWTH * book.price.shape[1])
        self._market = self._market.replace(book=book)
      else:
        return market, jax.tree.map(np.array, out)

  def _auction(self, event):
    """Executes an auction and compares it with the feed's."""
    self._market, outcome = _uncross(self._market, rules=self._rules)
    outcome = jax.device_get(outcome)
    price, volume = int(outcome.price), int(outcome.volume)
    self._result.auctions.append((event, price, volume))
    trades = self._checks.trades
    if trades is None:
      return
    is_its = trades.is_auction & (trades.event == event)
    text = f"after {event:,} events {volume} at {price}"
    prices = set(trades.price[is_its].tolist())
    total = int(trades.volume[is_its].sum())
    is_equal = prices <= {price} and total == volume
    text += f", the exchange {total} at {sorted(prices)}"
    for side, ids in (
      (types.Side.ASK, trades.ask_id),
      (types.Side.BID, trades.bid_id),
    ):
      theirs = _total_by_id(ids[is_its], trades.volume[is_its])
      mine = _total_by_id(outcome.fills.id[side], outcome.fills.volume[side])
      is_equal = is_equal and (types.NO_ORDER in theirs or theirs == mine)
    self._result.compare("auctions", [is_equal], lambda i: text)

  def _compare_left(self, first, last, out):
    """Compares what cancels take off their orders, and what they leave."""
    if self._checks.left is None:
      return
    wanted = self._checks.left[first:last]
    rows = np.flatnonzero(wanted >= 0)
    taken, left = out.cancelled[rows], out.left[rows]
    wanted, asked = wanted[rows], self._stream.volume[first + rows]

    def describe(i):
      return (
        f"event {first + rows[i]} takes {taken[i]} and leaves {left[i]}, at the"
        f" exchange it takes {asked[i]} and leaves {wanted[i]}"
      )

    self._result.compare("left", (taken == asked) & (left == wanted), describe)

  def _compare_levels(self, first, last, snapshot):
    """Compares the rows that show the book after the events of a chunk."""
    levels = self._checks.levels
    if levels is None:
      return
    start, end = np.searchsorted(levels.num_events, (first + 1, last + 1))
    rows = slice(int(start), int(end))
    at = levels.num_events[rows] - first - 1
    volume, wanted = snapshot.volume[at], levels.volume[rows]
    price = np.where(volume > 0, snapshot.price[at], 0)
    wanted_price = np.where(wanted > 0, levels.price[rows], 0)
    is_equal = ((volume == wanted) & (price == wanted_price)).all(axis=1)
    for depth in DEPTHS:
      equal = is_equal[:, :depth].all(axis=1)
      self._equal_levels[depth] += int(equal.sum())
    self._result.compare(
      "levels",
      is_equal.all(axis=1),
      lambda i: (
        f"row {rows.start + i}, after {levels.num_events[rows][i]} events"
      ),
    )

  def _compare_trades(self):
    """Compares the fills with the exchange's trades, event by event."""
    fills = np.concatenate(self._fills, axis=1)
    self._result.fills = len(fills[0])
    self._result.traded_volume = int(fills[3].sum(dtype=np.int64))
    trades = self._checks.trades
    if trades is None:
      return
    held = {event for event, _, _ in self._result.auctions}
    missing = sorted(set(trades.event[trades.is_auction].tolist()) - held)
    self._result.compare(
      "auctions",
      [False] * len(missing),
      lambda i: f"none after {missing[i]:,} events, at the exchange one",
    )
    mine, theirs = collections.defaultdict(list), collections.defaultdict(list)
    sides, ids = self._stream.side, self._stream.order_id
    for event, maker, price, volume in fills.T.tolist():
      pair = (int(ids[event]), maker)
      pair = pair if sides[event] == types.Side.BID else pair[::-1]
      mine[event].append((*pair, price, volume))
    columns = (
      *(trades.event, trades.bid_id, trades.ask_id, trades.price),
      trades.volume,
    )
    for event, *trade in _rows([x[~trades.is_auction] for x in columns]):
      theirs[event].append(tuple(trade))
    all_events = sorted(mine.keys() | theirs.keys())
    self._result.compare(
      "trades",
      [_are_same(mine[event], theirs[event]) for event in all_events],
      lambda i: (
        f"event {all_events[i]} trades (bid, ask, price, volume)"
        f" {mine[all_events[i]]}, at the exchange {theirs[all_events[i]]}"
      ),
    )

  def _compare_orders(self):
    """Compares what rests at the end, order by order."""
    book = jax.device_get(self._market.book)
    side, slot = np.nonzero(book.volume)
    columns = (book.id, book.price, book.volume)
    columns = (side, *(x[side, slot] for x in columns))
    mine = {row[1]: row for row in _rows(columns)}
    self._result.orders_left = len(mine)
    orders = self._checks.orders
    if orders is None:
      return
    columns = (orders.side, orders.order_id, orders.price, orders.volume)
    theirs = {row[1]: row for row in _rows(columns)}
    pairs = [(mine.get(i), theirs.get(i)) for i in mine.keys() | theirs.keys()]
    self._result.compare(
      "orders",
      [have == want for have, want in pairs],
      lambda i: "(side, id, price, volume) {}, at the exchange {}".format(
        *pairs[i]
      ),
    )

  def _summarize(self):
    """Takes over what the state of the market counts."""
    result, stream = self._result, self._stream
    book = self._market.book
    result.resyncs = int((~stream.is_flow[self._num_start :]).sum())
    result.traded_volume += sum(volume for _, _, volume in result.auctions)
    if result.traded_volume:
      result.last_price = int(self._market.last_price)
    counts = np.asarray(book.counts).tolist()
    apart = types.Reason.ACCEPTED, types.Reason.CAPACITY
    result.dropped = counts[types.Reason.CAPACITY]
    result.rejected = {
      name: counts[reason]
      for reason, name in types.names(types.Reason).items()
      if counts[reason] and reason not in apart
    }
    result.capacity = book.price.shape[1]
    result.equal_levels = dict(self._equal_levels)


@struct.dataclass
class _Output:
  """What is kept of each event of a chunk."""

  fills: types.Fills  # [T, F]
  num_fills: jax.Array  # [T]
  cancelled: jax.Array  # [T] lots
  left: jax.Array  # [T] lots of the order that it names
  snapshot: types.Snapshot | None  # [T, 2, L]


@functools.partial(
  jax.jit, static_argnames=("rules", "max_fills", "num_levels")
)
def _replay_chunk(market, orders, seconds, *, rules, max_fills, num_levels):
  """Scans over orders and the seconds at which they came."""

  def step(market, inputs):
    order, now = inputs
    market, report = session.step(
      market, order, now, rules=rules, max_fills=max_fills
    )
    book = market.book
    is_named = (book.id == order.id) & (book.volume > 0)
    output = _Output(
      fills=report.fills,
      num_fills=report.num_fills,
      cancelled=report.cancelled,
      left=jnp.where(is_named, book.volume, 0).sum(dtype=book.volume.dtype),
      snapshot=lob.snapshot(book, num_levels=num_levels)
      if num_levels
      else None,
    )
    return market, output

  return jax.lax.scan(step, market, (orders, seconds))


_uncross = jax.jit(session.uncross, static_argnames="rules")


def _rows(columns):
  """Yields the rows of arrays as tuples of Python numbers."""
  return zip(*(column.tolist() for column in columns), strict=True)


def _total_by_id(ids, volumes):
  """Returns {order id: lots} of what traded."""
  totals = collections.Counter()
  for order_id, volume in _rows((ids, volumes)):
    if volume:
      totals[order_id] += volume
  return totals


def _are_same(mine, theirs):
  """Compares trades one by one; an id that the feed does not tell fits any."""
  return len(mine) == len(theirs) and all(
    have[2:] == want[2:]
    and want[0] in (have[0], types.NO_ORDER)
    and want[1] in (have[1], types.NO_ORDER)
    for have, want in zip(mine, theirs, strict=True)
  )
