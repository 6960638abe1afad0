"""Proves a feed and the matching engine against each other.

`verify` replays a stream under the rules of its exchange and compares the
outcome with the feed's `events.GroundTruth`: the exchange's own trades, its
auctions, the levels of its book, what cancels leave, the orders that rest at
the end. Capacities grow as the market needs, so nothing is lost.
`verify_and_record` gives the records of the same replay as well.
"""

import collections
import collections.abc
import contextlib
import dataclasses
import time

import jax
import numpy as np

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.lob import rules as rules_lib
from mars_jax.replay import engine
from mars_jax.replay import recorder
from mars_jax.replay import verification

DEPTHS = (1, 5, 10)  # Levels up to which rows of the book are compared.
_CAPACITY = 1_024  # At the start.
_MAX_FILLS = 32  # At the start.
_GAP = 60  # Seconds of continuous trading without an event, to be told of.


def verify(
  stream: events.EventStream,
  checks: events.GroundTruth,
  *,
  rules: rules_lib.Rules,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> verification.VerifyResult:
  """Returns the verification of `verify_and_record`, which see, alone."""
  result, _ = verify_and_record(
    stream, checks, rules=rules, num_levels=1, on_progress=on_progress
  )
  return result


def verify_and_record(
  stream: events.EventStream,
  checks: events.GroundTruth,
  *,
  rules: rules_lib.Rules,
  num_levels: int,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> tuple[verification.VerifyResult, records_lib.Records]:
  """Replays a stream and compares.

  Numbers are int64 where a side could hold more lots than int32 can count. An
  auction is executed where the phase of `rules.schedule` ends it between two
  events, and after the last event if the feed tells of one there.

  Args:
    stream: the events of one instrument and day.
    checks: what the feed has to check by.
    rules: of the venue.
    num_levels: levels of the snapshots in the records.
    on_progress: called with the number of events just done, now and then.

  Returns:
    What the comparison gave, and the records of the orders of continuous
    trading, of the same integers as the replay.
  """
  if not len(stream):
    raise ValueError(f"{stream.name}: no events to replay")
  began = time.time()
  if recorder.most_volume(stream, np.zeros(2, int)) > np.iinfo(np.int32).max:
    stream = dataclasses.replace(
      stream,
      price=stream.price.astype(np.int64),
      volume=stream.volume.astype(np.int64),
    )
  is_wide = stream.volume.dtype == np.int64
  with jax.enable_x64(True) if is_wide else contextlib.nullcontext():
    run = _Run(stream, checks, rules, num_levels)
    result = run.play(on_progress)
  result.seconds = time.time() - began
  return result, run.records


class _Run:
  """One comparison in progress; `records` are there when it is over."""

  def __init__(self, stream, checks, rules, num_levels):
    if checks.reference is None:
      rules = dataclasses.replace(rules, price_limit_bp=None)
    self._stream, self._checks, self._rules = stream, checks, rules
    self._result = verification.VerifyResult(stream.name, len(stream))
    shown = 0 if checks.levels is None else checks.levels.price.shape[2]
    self._num_levels = num_levels
    market, self._num_start = recorder.start(
      stream, capacity=_CAPACITY, reference=checks.reference or 0
    )
    self._player = engine.Replayer(
      stream,
      market,
      rules=rules,
      num_levels=max(shown, num_levels),
      max_fills=self._most_fills(),
      grows=True,
    )
    self._equal_levels = collections.Counter()
    self._fills = [np.zeros((4, 0), np.int64)]  # event, id, price, volume

  def _most_fills(self):
    """Returns how many fills of an event to list, to compare with trades."""
    trades = self._checks.trades
    if trades is None:
      return 0
    most, count = _MAX_FILLS, np.bincount(trades.event[~trades.is_auction])
    while most < count.max(initial=0):
      most *= engine.GROWTH
    return most

  def play(self, on_progress):
    """Replays all events; returns the result."""
    start, stream = self._num_start, self._stream
    self._compare_start(start)
    on_progress(start)
    parts = []
    for chunk in self._player.play(start, ends_in_auction=self._has_last()):
      self._compare(chunk)
      parts.append(recorder.records(stream, chunk, num_levels=self._num_levels))
      on_progress(chunk.last - chunk.first)
    self.records = records_lib.concatenate(parts)
    self._compare_trades()
    self._compare_orders()
    self._summarize()
    return self._result

  def _has_last(self):
    """Tells whether the feed has an auction after the last event."""
    trades = self._checks.trades
    if trades is None or not trades.is_auction[-1:].any():
      return False
    return trades.event[-1] == len(self._stream)

  def _compare_start(self, count):
    """Compares the rows that show the book before the first event played."""
    if self._checks.levels is not None:
      book = self._player.market.book
      snapshot = lob.snapshot(
        book, num_levels=self._checks.levels.price.shape[2]
      )
      self._compare_levels(
        -1,
        count,
        jax.tree.map(
          lambda x: np.broadcast_to(x, (count + 1, *x.shape)), snapshot
        ),
      )

  def _compare(self, chunk):
    """Compares what came of the events of a chunk."""
    first, last, out = chunk.first, chunk.last, chunk.output
    if chunk.auction is not None:
      self._compare_auction(last, chunk.auction)
    self._result.fills += int(out.num_fills.sum())
    self._result.traded_volume += int(out.traded.sum(dtype=np.int64))
    in_trading = chunk.phase == rules_lib.Phase.CONTINUOUS
    self._result.crossed += int((out.is_crossed & in_trading).sum())
    row, place = np.nonzero(out.fills.volume)
    fills = (x[row, place] for x in (out.fills.id, out.fills.price))
    fills = (first + row, *fills, out.fills.volume[row, place])
    self._fills.append(np.stack(fills))
    self._compare_left(first, last, out)
    self._compare_levels(first, last, out.snapshot)

  def _compare_auction(self, event, outcome):
    """Compares an auction with the feed's."""
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
    if self._checks.remaining is None:
      return
    wanted = self._checks.remaining[first:last]
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
    depth = levels.volume.shape[2]
    volume, wanted = snapshot.volume[at, :, :depth], levels.volume[rows]
    price = np.where(volume > 0, snapshot.price[at, :, :depth], 0)
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
    trades = self._checks.trades
    if trades is None:
      return
    fills = np.concatenate(self._fills, axis=1)
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
    book = jax.device_get(self._player.market.book)
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
    market = self._player.market
    book = market.book
    result.resyncs = int((~stream.is_market_event[self._num_start :]).sum())
    result.traded_volume += sum(volume for _, _, volume in result.auctions)
    if result.traded_volume:
      result.last_price = int(market.last_price)
    counts = np.asarray(book.counts).tolist()
    apart = types.Reason.ACCEPTED, types.Reason.CAPACITY
    result.dropped = counts[types.Reason.CAPACITY]
    result.rejected = {
      name: counts[reason]
      for reason, name in types.names(types.Reason).items()
      if counts[reason] and reason not in apart
    }
    result.capacity = book.price.shape[1]
    gaps = _gaps(stream, self._rules)
    result.gaps = int((gaps > _GAP).sum())
    result.longest_gap = float(gaps.max(initial=0))
    result.equal_levels = dict(self._equal_levels)


def _gaps(stream, rules):
  """Returns the seconds between events in a row of one continuous session."""
  starts = [seconds for seconds, _ in rules.schedule]
  session = np.searchsorted(starts, stream.time // types.NANOSECONDS, "right")
  phase = engine.phases(stream, rules)
  is_one = (np.diff(session) == 0) & (phase[1:] == rules_lib.Phase.CONTINUOUS)
  return np.diff(stream.time)[is_one] / types.NANOSECONDS


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
