"""Comparisons of a replay with what the exchange published.

Each `compare_*` is a function of the feed's `events.GroundTruth` and of what
the matching engine made of the same events. It returns None where the feed has
nothing to compare with. `verification` runs them over a day.
"""

import collections
import collections.abc
import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.lob import auction as auction_lib
from mars_jax.replay import engine


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The outcome of comparing some things of one kind.

  Attributes:
    kind: of what: "trades", "auctions", "levels", "remaining" or "orders".
    is_equal: `[n]` bool, the outcome of each.
    describe: puts one that differs in words, by its index.
  """

  kind: str
  is_equal: np.ndarray
  describe: collections.abc.Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class LevelsComparison(Comparison):
  """The comparison of rows of the book.

  Attributes:
    is_equal_at: `[n, L]` bool, whether both sides are equal on each level.
  """

  is_equal_at: np.ndarray


@dataclasses.dataclass(frozen=True)
class TradesComparison(Comparison):
  """The comparison of the trades of events.

  Attributes:
    is_reordered: `[n]` bool, whether the trades of an event are equal in all
      but the order in which they are told.
  """

  is_reordered: np.ndarray


def compare_auction(
  truth: events.GroundTruth, event: int, outcome: auction_lib.Auction
) -> Comparison | None:
  """Compares a call auction with the exchange's.

  Equal are the price, the volume, and what each order traded, where the feed
  tells the orders.

  Args:
    truth: of the feed.
    event: how many events came before the auction.
    outcome: ours, numpy leaves.
  """
  trades = truth.trades
  if trades is None:
    return None
  price, volume = int(outcome.price), int(outcome.volume)
  is_its = trades.is_auction & (trades.event == event)  # [M]
  prices = set(trades.price[is_its].tolist())
  total = int(trades.volume[is_its].sum())
  is_equal = prices <= {price} and total == volume
  for side, ids in (
    (types.Side.ASK, trades.ask_id),
    (types.Side.BID, trades.bid_id),
  ):
    theirs = _total_by_id(ids[is_its], trades.volume[is_its])
    ours = _total_by_id(outcome.fills.id[side], outcome.fills.volume[side])
    is_equal = is_equal and (types.NO_ORDER in theirs or theirs == ours)
  text = (
    f"after {event:,} events {volume} at {price}, the exchange {total} at"
    f" {sorted(prices)}"
  )
  return Comparison("auctions", np.array([is_equal]), lambda i: text)


def compare_held_auctions(
  truth: events.GroundTruth, held: collections.abc.Collection[int]
) -> Comparison | None:
  """Compares the call auctions held, except shared ones.

  Args:
    truth: of the feed.
    held: how many events came before each of ours.
  """
  trades = truth.trades
  if trades is None:
    return None
  missing = sorted(set(trades.event[trades.is_auction].tolist()) - set(held))
  return Comparison(
    "auctions",
    np.zeros(len(missing), bool),
    lambda i: f"none after {missing[i]:,} events, at the exchange one",
  )


def compare_remaining(
  truth: events.GroundTruth, stream: events.EventStream, chunk: engine.Chunk
) -> Comparison | None:
  """Compares what cancels take off their orders, and leave."""
  if truth.remaining is None:
    return None
  wanted = truth.remaining[chunk.first : chunk.last]
  rows = np.flatnonzero(wanted >= 0)
  wanted, asked = wanted[rows], stream.volume[chunk.first + rows]
  taken = chunk.output.cancelled[rows]
  remaining = chunk.output.remaining[rows]

  def describe(i):
    return (
      f"event {chunk.first + rows[i]} takes {taken[i]} and leaves"
      f" {remaining[i]}, at the exchange it takes {asked[i]} and leaves"
      f" {wanted[i]}"
    )

  is_equal = (taken == asked) & (remaining == wanted)
  return Comparison("remaining", is_equal, describe)


def compare_levels(
  truth: events.GroundTruth, first: int, last: int, snapshot: types.Snapshot
) -> LevelsComparison | None:
  """Compares rows of the feed's book with ours.

  Args:
    truth: of the feed; shows `L` levels.
    first, last: the rows after the events in `[first, last)` are compared.
    snapshot: `[last - first, 2, K]` after each of these, K >= L.
  """
  levels = truth.levels
  if levels is None:
    return None
  start, end = np.searchsorted(levels.num_events, (first + 1, last + 1))
  rows = slice(int(start), int(end))
  at = levels.num_events[rows] - first - 1  # [n], of the snapshots.
  depth = levels.volume.shape[2]
  volume, wanted = snapshot.volume[at, :, :depth], levels.volume[rows]
  # [n, 2, L]; a level that is not in use has any price.
  price = np.where(volume > 0, snapshot.price[at, :, :depth], 0)
  wanted_price = np.where(wanted > 0, levels.price[rows], 0)
  is_equal_at = ((volume == wanted) & (price == wanted_price)).all(axis=1)
  return LevelsComparison(
    kind="levels",
    is_equal=is_equal_at.all(axis=1),
    describe=lambda i: (
      f"row {rows.start + i}, after {levels.num_events[rows][i]} events"
    ),
    is_equal_at=is_equal_at,
  )


def compare_trades(
  truth: events.GroundTruth, stream: events.EventStream, fills: np.ndarray
) -> TradesComparison | None:
  """Compares trades of continuous trading, event by event.

  Equal are the lots of each pair of orders at each price. Some feeds tell the
  fills of a level in another order than that of its queue, which is marked.
  An order id that the feed does not tell fits any.

  Args:
    truth: of the feed.
    stream: the events.
    fills: `[4, n]` event, id of the resting order, price and volume of each of
      ours, in the order of the events.
  """
  trades = truth.trades
  if trades is None:
    return None
  ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
  for event, maker, price, volume in fills.T.tolist():
    pair = (int(stream.order_id[event]), maker)
    is_bid = stream.side[event] == types.Side.BID
    pair = pair if is_bid else pair[::-1]
    ours[event].append((*pair, price, volume))
  columns = (
    *(trades.event, trades.bid_id, trades.ask_id, trades.price),
    trades.volume,
  )
  for event, *trade in _rows([x[~trades.is_auction] for x in columns]):
    theirs[event].append(tuple(trade))
  at = sorted(ours.keys() | theirs.keys())
  is_same = np.array([_are_same(ours[i], theirs[i]) for i in at], bool)
  is_equal = is_same.copy()
  for place in np.flatnonzero(~is_same):
    is_equal[place] = _have_same_totals(ours[at[place]], theirs[at[place]])
  return TradesComparison(
    kind="trades",
    is_equal=is_equal,
    describe=lambda i: (
      f"event {at[i]} trades (bid, ask, price, volume) {ours[at[i]]}, at the"
      f" exchange {theirs[at[i]]}"
    ),
    is_reordered=is_equal & ~is_same,
  )


def compare_orders(
  truth: events.GroundTruth, resting: events.RestingOrders
) -> Comparison | None:
  """Compares the orders at rest at the end."""
  if truth.orders is None:
    return None
  ours, theirs = _by_id(resting), _by_id(truth.orders)
  pairs = [(ours.get(i), theirs.get(i)) for i in ours.keys() | theirs.keys()]
  return Comparison(
    "orders",
    np.array([have == want for have, want in pairs], bool),
    lambda i: "(side, id, price, volume) {}, at the exchange {}".format(
      *pairs[i]
    ),
  )


def _by_id(orders: events.RestingOrders) -> dict[int, tuple[int, ...]]:
  """Returns {order id: (side, id, price, volume)}."""
  columns = (orders.side, orders.order_id, orders.price, orders.volume)
  return {row[1]: row for row in _rows(columns)}


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


def _are_same(ours, theirs):
  """Compares an event's trades: (bid, ask, price, volume) each."""
  return len(ours) == len(theirs) and all(
    have[2:] == want[2:]
    and want[0] in (have[0], types.NO_ORDER)
    and want[1] in (have[1], types.NO_ORDER)
    for have, want in zip(ours, theirs, strict=True)
  )


def _have_same_totals(ours, theirs):
  """Compares an event's lots by its orders and prices.

  Only by orders of which all are told, or none.
  """
  is_told = [{t[i] != types.NO_ORDER for t in theirs} for i in (0, 1)]
  if not theirs or {True, False} in is_told:
    return False
  names = [i for i in (0, 1) if True in is_told[i]] + [2]
  totals = collections.Counter(), collections.Counter()
  for total, trades in zip(totals, (ours, theirs), strict=True):
    for trade in trades:
      total[tuple(trade[i] for i in names)] += trade[3]
  return totals[0] == totals[1]
