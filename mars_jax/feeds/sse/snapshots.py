"""Places Shanghai snapshots in the event stream."""

import collections
import heapq

import numpy as np
import polars as pl

from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds.sse import parse

BOOK_STATUSES = ("TRADE", "CLOSE", "ENDTR")  # In which snapshots show a book.


def levels(
  snapshots: pl.DataFrame,
  trades: level2.Table,
  changes: pl.DataFrame,
  stream: pl.DataFrame,
) -> events.Levels:
  """Places the snapshots in the stream.

  A snapshot has the number of trades so far, and the volume of all orders of a
  side. It is placed at the first point, not before the place of the one
  before it, at which these and the levels agree with what the feed says of
  single orders; what agrees nowhere is left out. Four of five have one point
  with their trades and volumes, whatever the levels. All agree at some moment
  within the second after their `UpdateTime`, or at most 0.14 s before it.

  Args:
    snapshots: the rows of `parse.load_snapshots` that show a book.
    trades: those of `parse.load_trades`.
    changes: every change of a resting order, as of `level2.follow`.
    stream: the events, with the column sequence.
  """
  shown = {
    name: np.stack([snapshots.select(side).to_numpy() for side in names], 1)
    for name, names in (("price", parse.PRICES), ("volume", parse.VOLUMES))
  }
  pairs = np.stack(list(shown.values()), axis=-1).tolist()  # [S][2][L][2]
  after = level2.num_events(changes, stream)
  candidates = _candidates(snapshots, trades, changes, stream)
  agreeing = [[] for _ in pairs]
  for point, book in _books(changes, after, sorted(candidates)):
    for row in candidates[point]:
      if pairs[row] == book:
        agreeing[row].append(point)
  places, place = [], 0
  for points in agreeing:
    later = [point for point in points if point >= place]
    place = later[0] if later else place
    places.append(place if later else -1)
  places = np.array(places, np.int64)
  kept = places >= 0
  return events.Levels(
    num_events=places[kept],
    price=shown["price"][kept].astype(np.int32),
    volume=shown["volume"][kept].astype(np.int32),
  )


def _candidates(snapshots, trades, changes, stream) -> dict[int, list[int]]:
  """Returns {number of events: snapshots with their trades and totals}."""
  points = np.arange(len(stream) + 1)
  totals = np.zeros((len(points), 2), np.int64)
  where = level2.num_events(changes, stream), changes["order_side"].to_numpy()
  np.add.at(totals, where, changes["change"].to_numpy())
  totals = totals.cumsum(axis=0)
  done = np.searchsorted(
    level2.num_events(trades.rows, stream), points, "right"
  )
  shown = snapshots.select("ask_total", "bid_total").to_numpy()
  candidates = collections.defaultdict(list)
  for row, count in enumerate(snapshots["num_trades"]):
    start, end = np.searchsorted(done, [count, count + 1])
    for i in np.flatnonzero((totals[start:end] == shown[row]).all(axis=1)):
      candidates[start + i].append(row)
  return candidates


def _books(changes: pl.DataFrame, after: np.ndarray, points: list[int]):
  """Yields points and books: `[2][L]` pairs of price and volume.

  Both are 0 where there is no level.
  """
  rows = changes.select("order_side", "limit", "change").rows()
  volumes = collections.Counter(), collections.Counter()  # By `types.Side`.
  best = (heapq.nsmallest, heapq.nlargest)
  start = 0
  for point in points:
    end = np.searchsorted(after, point, "right")
    for side, price, change in rows[start:end]:
      volumes[side][price] += change
      if not volumes[side][price]:
        del volumes[side][price]
    start = end
    book = []
    for first, held in zip(best, volumes, strict=True):
      prices = first(parse.NUM_LEVELS, held)
      pad = [[0, 0]] * (parse.NUM_LEVELS - len(prices))
      book.append([[price, held[price]] for price in prices] + pad)
    yield point, book
