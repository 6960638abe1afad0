"""Proof of feed and matching engine against each other.

`verify` replays a stream under the rules of its venue and compares the outcome
with whatever the feed has to check by (`events.GroundTruth`): the
exchange's own trades, its auctions, the levels of its book, what cancels leave,
the orders that rest at the end. Capacities grow as the market needs, so nothing
is lost. `verify_and_record` gives the records of the same replay, too.
"""

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
from mars_jax.lob import session
from mars_jax.replay import comparison
from mars_jax.replay import engine
from mars_jax.replay import recorder

DEPTHS = (1, 5, 10)  # Levels up to which rows of the book are compared.
_CAPACITY = 1_024  # At the start.
_MAX_FILLS = 32  # At the start.
_GAP = 60  # Seconds of continuous trading without an event, to be reported.
_NUM_EXAMPLES = 5  # Mismatches that are put in words.


@dataclasses.dataclass
class VerifyResult:
  """Outcome of a replay, and its differences from the feed.

  Attributes:
    name: market, instrument and day.
    events: of the stream.
    fills: trades in continuous trading, one for each resting order hit.
    traded_volume: lots, those of auctions included.
    last_price: ticks, of the last trade; None without one.
    auctions: (events before it, price in ticks, lots) of each call auction.
    checked: how many things were compared, by kind:
      trades: events with trades, the exchange's or ours, of continuous trading;
      auctions: call auctions: price, volume, and what each order traded;
      levels: rows of the book;
      remaining: cancels, by what they leave of their order;
      orders: orders that rest at the end, the feed's or ours.
    mismatches: how many of these differ.
    equal_levels: rows equal up to a depth, by depth.
    examples: the first mismatches, in words.
    reordered: events whose trades the exchange tells in another order, equal
      otherwise.
    rejected: orders by `types.Reason`, in words; `dropped` apart.
    dropped: orders lost because a side was full.
    crossed: events of continuous trading after which bids reach asks.
    gaps: times in continuous trading without an event for over a minute.
    longest_gap: the longest time between two of its events, seconds.
    resyncs: events that correct the book where the feed does not tell all.
    orders_left: orders that rest at the end.
    capacity: orders that a side of the book had room for in the end.
    seconds: of the replay, compilation included.
    feed: what the reader counted.
  """

  name: str
  events: int
  fills: int = 0
  traded_volume: int = 0
  last_price: int | None = None
  auctions: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
  checked: dict[str, int] = dataclasses.field(default_factory=dict)
  mismatches: dict[str, int] = dataclasses.field(default_factory=dict)
  equal_levels: dict[int, int] = dataclasses.field(default_factory=dict)
  examples: list[str] = dataclasses.field(default_factory=list)
  reordered: int = 0
  rejected: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped: int = 0
  crossed: int = 0
  gaps: int = 0
  longest_gap: float = 0.0
  resyncs: int = 0
  orders_left: int = 0
  capacity: int = 0
  seconds: float = 0.0
  feed: dict[str, int] = dataclasses.field(default_factory=dict)

  def add_comparisons(
    self, *all_compared: comparison.Comparison | None
  ) -> None:
    """Counts what was compared; None adds nothing."""
    for compared in filter(None, all_compared):
      wrong = np.flatnonzero(~compared.is_equal)
      for counts, more in (
        (self.checked, len(compared.is_equal)),
        (self.mismatches, len(wrong)),
      ):
        if more:
          counts[compared.kind] = counts.get(compared.kind, 0) + more
      for i in wrong[: max(_NUM_EXAMPLES - len(self.examples), 0)]:
        self.examples.append(f"{compared.kind}: {compared.describe(i)}")
      if isinstance(compared, comparison.TradesComparison):
        self.reordered += int(compared.is_reordered.sum())
      if isinstance(compared, comparison.LevelsComparison):
        for depth in DEPTHS:
          num = int(compared.is_equal_at[:, :depth].all(axis=1).sum())
          self.equal_levels[depth] = self.equal_levels.get(depth, 0) + num

  def add_chunk(self, chunk: engine.Chunk) -> None:
    """Counts what some events did."""
    out = chunk.output
    if chunk.auction is not None:
      price, volume = int(chunk.auction.price), int(chunk.auction.volume)
      self.auctions.append((chunk.last, price, volume))
      self.traded_volume += volume
    self.fills += int(out.num_fills.sum())
    self.traded_volume += int(out.traded.sum(dtype=np.int64))
    is_continuous = chunk.phase == rules_lib.Phase.CONTINUOUS
    self.crossed += int((out.is_crossed & is_continuous).sum())

  def add_end(self, exchange: session.Exchange) -> None:
    """Takes over what the exchange counts, when all is done."""
    book = exchange.book
    if self.traded_volume:
      self.last_price = int(exchange.last_price)
    counts = np.asarray(book.counts).tolist()
    apart = types.Reason.ACCEPTED, types.Reason.CAPACITY
    self.dropped = counts[types.Reason.CAPACITY]
    self.rejected = {
      name: counts[reason]
      for reason, name in types.names(types.Reason).items()
      if counts[reason] and reason not in apart
    }
    self.orders_left = int((np.asarray(book.volume) > 0).sum())
    self.capacity = book.price.shape[1]


def verify(
  stream: events.EventStream,
  truth: events.GroundTruth,
  *,
  rules: rules_lib.Rules,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> VerifyResult:
  """Replays a stream and compares, as `verify_and_record`, without records."""
  return _checked(stream, truth, rules, None, on_progress)[0]


def verify_and_record(
  stream: events.EventStream,
  truth: events.GroundTruth,
  *,
  rules: rules_lib.Rules,
  num_levels: int,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> tuple[VerifyResult, records_lib.Records]:
  """Replays a stream, compares, and keeps the records.

  Numbers are int64 where a side could hold more lots than int32 can count. An
  auction is executed where the phase of `rules.schedule` ends it between two
  events, and after the last event if the feed has one there.

  Args:
    stream: the events of one instrument and day.
    truth: what the feed has to check by.
    rules: of the venue.
    num_levels: levels of the snapshots in the records.
    on_progress: called with the number of events just done, now and then.

  Returns:
    The outcome, and the records of the orders of continuous trading, of the
    same integers as the replay.

  Raises:
    ValueError: if there is no event.
  """
  return _checked(stream, truth, rules, num_levels, on_progress)


def _checked(stream, truth, rules, num_levels, on_progress):
  """Verifies in wide enough numbers; no records without levels."""
  if not len(stream):
    raise ValueError(f"{stream.name}: no events to replay")
  began = time.time()
  if truth.reference is None:
    rules = dataclasses.replace(rules, price_limit_bp=None)
  most = recorder.max_side_volume(stream, np.zeros(2, int))
  is_wide = stream.volume.dtype == np.int64
  if most > np.iinfo(np.int32).max and not is_wide:
    is_wide = True
    stream = dataclasses.replace(
      stream,
      price=stream.price.astype(np.int64),
      volume=stream.volume.astype(np.int64),
    )
  with jax.enable_x64(True) if is_wide else contextlib.nullcontext():
    result, records = _verify(stream, truth, rules, num_levels, on_progress)
  result.seconds = time.time() - began
  return result, records


def _verify(stream, truth, rules, num_levels, on_progress):
  """Replays and compares."""
  result = VerifyResult(stream.name, len(stream))
  exchange, num_start = recorder.initial_exchange(
    stream, capacity=_CAPACITY, reference=truth.reference or 0
  )
  num_shown = 0 if truth.levels is None else truth.levels.price.shape[2]
  replayer = engine.Replayer(
    stream,
    exchange,
    rules=rules,
    num_levels=max(num_shown, num_levels or 1),
    max_fills=_max_fills(truth),
    grows=True,
    keeps_places=num_levels is not None,
  )
  result.add_comparisons(_compare_start(truth, exchange.book, num_start))
  on_progress(num_start)
  parts, fills = [], [np.zeros((4, 0), np.int64)]
  for chunk in replayer.run(
    num_start, ends_in_auction=_has_closing_auction(truth, len(stream))
  ):
    result.add_chunk(chunk)
    result.add_comparisons(*_compare_chunk(truth, stream, chunk))
    fills.append(_fills(chunk))
    if num_levels is not None:
      parts.append(recorder.records(stream, chunk, num_levels=num_levels))
    on_progress(chunk.last - chunk.first)
  held = [num_before for num_before, _, _ in result.auctions]
  resting = _resting_orders(replayer.exchange.book)
  result.add_comparisons(
    comparison.compare_held_auctions(truth, held),
    comparison.compare_trades(truth, stream, np.concatenate(fills, axis=1)),
    comparison.compare_orders(truth, resting),
  )
  result.add_end(replayer.exchange)
  result.resyncs = int((~stream.is_market_event[num_start:]).sum())
  gaps = _gaps(stream, rules)
  result.gaps = int((gaps > _GAP).sum())
  result.longest_gap = float(gaps.max(initial=0))
  return result, records_lib.concatenate(parts) if parts else None


def _compare_chunk(truth, stream, chunk):
  """Yields the comparisons of the events of a chunk."""
  first, last, out = chunk.first, chunk.last, chunk.output
  if chunk.auction is not None:
    yield comparison.compare_auction(truth, last, chunk.auction)
  yield comparison.compare_remaining(truth, stream, chunk)
  yield comparison.compare_levels(truth, first, last, out.snapshot)


def _compare_start(truth, book, num_start):
  """Compares the rows of the book before the replay."""
  if truth.levels is None:
    return None
  snapshot = lob.snapshot(book, num_levels=truth.levels.price.shape[2])
  repeated = jax.tree.map(
    lambda x: np.broadcast_to(x, (num_start + 1, *x.shape)), snapshot
  )  # [num_start + 1, 2, L], one after each event, and one before all.
  return comparison.compare_levels(truth, -1, num_start, repeated)


def _max_fills(truth):
  """Returns the number of fills of an event to list."""
  if truth.trades is None:
    return 0
  is_continuous = ~truth.trades.is_auction
  counts = np.bincount(truth.trades.event[is_continuous])  # [E]
  max_fills = _MAX_FILLS
  while max_fills < counts.max(initial=0):
    max_fills *= engine.GROWTH
  return max_fills


def _has_closing_auction(truth, num_events):
  """Returns whether an auction follows the last event."""
  trades = truth.trades
  if trades is None or not trades.is_auction[-1:].any():
    return False
  return trades.event[-1] == num_events


def _fills(chunk):
  """Returns fills `[4, n]`: event, maker's id, price, volume."""
  fills = chunk.output.fills  # [T, F]
  row, slot = np.nonzero(fills.volume)
  columns = (x[row, slot] for x in (fills.id, fills.price, fills.volume))
  return np.stack([chunk.first + row, *columns])


def _resting_orders(book):
  """Returns the orders of a book."""
  book = jax.device_get(book)
  side, slot = np.nonzero(book.volume)
  return events.RestingOrders(
    side=side,
    price=book.price[side, slot],
    volume=book.volume[side, slot],
    order_id=book.id[side, slot],
  )


def _gaps(stream, rules):
  """Returns the seconds between events of one continuous session."""
  starts = [seconds for seconds, _ in rules.schedule]
  session_index = np.searchsorted(
    starts, stream.time // types.NANOSECONDS, "right"
  )
  is_continuous = engine.phases(stream, rules) == rules_lib.Phase.CONTINUOUS
  is_one = (np.diff(session_index) == 0) & is_continuous[1:]
  return np.diff(stream.time)[is_one] / types.NANOSECONDS
