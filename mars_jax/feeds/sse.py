"""Reads Shanghai level-2 orders and trades into an event stream.

`sse_files` describes the files. What the feed means, checked on six stock-days:
  - Orders and trades are one sequence. A new order's trades come first, all at
    once, then an add of what is left of it; an order that is filled at once has
    no add. The reader puts both back together, at the place and time of the
    first trade. The side of the order that came later is the taker.
  - The orders of the call auctions (09:15-09:25 and 14:57-15:00) are added as
    they arrive; nothing trades until the auction does, all at one price and in
    price-time priority on either side. No orders come from 09:25 to 09:30,
    and no deletes from 09:20 to 09:30 and after 14:57.
  - A delete tells what was left of the order, all of which it takes.
  - Market orders cannot be told from limit orders.

With an uncross after as many events as the auctions' trades say, price-time
matching of the stream gives the exchange's trades one by one.
"""

import collections
import collections.abc
import heapq
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds import sse_files as files

_LIMIT, _CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
_BOOK_STATUSES = ("TRADE", "CLOSE", "ENDTR")  # In which snapshots show a book.


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted; see `read_checked`."""
  return files.instruments(files.find(path).orders)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a folder for each instrument, in one pass; see `level2.split`."""
  found = files.find(path)
  parts = [found.orders, found.trades, found.snapshots]
  parts = [file for file in parts if file is not None]
  return level2.split(parts, folder, instruments, found.path_day)


def read(
  path: pathlib.Path | str, *, instrument: str | None = None
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, instrument=instrument)[0]


def read_checked(
  path: pathlib.Path | str, *, instrument: str | None = None
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, and what to check its replay by.

  The counts of the stream are
    rows: of orders and trades = adds + cancels + trades, where the adds are
      limit_orders - aggressive_orders + remainders.
    limit_orders, cancels: events, by kind.
    aggressive_orders: those limit orders that trade as they arrive.
    remainders: those of them that rest with what is left.
    auction_trades, continuous_trades: trades by what made them.
    snapshots: rows of the file of snapshots, if there is one.
    bookless_snapshots: those of other states than TRADE, CLOSE and ENDTR:
      before the market opens there is nothing to show, and in call auctions
      they show the price, matched and unmatched volume of an auction now.
    unplaced_snapshots: those that equal the book at no moment.

  The checks are all trades, what cancels leave (nothing), and, if there are
  snapshots, the previous close and the book's levels, placed as `_levels` says.
  Where an auction comes after as many events as a snapshot, the snapshot is of
  the book after it.

  Args:
    path: a zip or a folder with the files of one of the layouts of `sse_files`,
      or the file of orders, beside the others; each plain or compressed. The
      trades to a `*_orders.zip` may be in the `*_trades.zip` beside it.
    instrument: six digits; may be left out where there is only one.

  Returns:
    The stream, all of it market flow, in ticks of 0.01 yuan and lots of one
    share, and the checks.

  Raises:
    events.DataError: the input is broken or of several days, or the instrument
      is not in it; names file, row (counted with the header) and reason.
  """
  found = files.find(path)
  if instrument is None:
    there = files.instruments(found.orders)
    instrument = level2.choose(found.orders, there, None)
  orders = files.load_orders(found.orders, instrument)
  trades = files.load_trades(found.trades, instrument)
  day = found.day(orders, trades)
  _check_sequence(orders, trades)
  changes = _changes(orders, trades)
  arrivals = _arrivals(orders, trades)
  stream = _merge(orders, arrivals)
  counts = _counts(orders, trades, stream)
  levels = reference = None
  if found.snapshots is not None:
    snapshots = files.load_snapshots(found.snapshots, instrument).rows
    shown = snapshots.filter(pl.col("status").is_in(_BOOK_STATUSES))
    levels = _levels(shown, trades, changes, stream)
    if len(snapshots):
      reference = int(snapshots["previous_close"][0])
    counts["snapshots"] = len(snapshots)
    counts["bookless_snapshots"] = len(snapshots) - len(shown)
    counts["unplaced_snapshots"] = len(shown) - len(levels.num_events)
  checks = events.GroundTruth(
    trades=_trades(trades, stream),
    levels=levels,
    reference=reference,
    left=np.where(stream["kind"].to_numpy() == _CANCEL, 0, -1),
  )
  return _to_events(instrument, day, stream, counts), checks


def _check_sequence(orders: level2.Table, trades: level2.Table) -> None:
  """Raises unless the rows are in turn.

  Sequence numbers must be unique, time must follow them, and the rows of an
  arriving order must be one run of trades, ended by at most one add. (The rows
  that are no arrival have negative actors.)
  """
  other = -pl.col("sequence")
  is_add = pl.col("kind") == _LIMIT
  actor = {types.Side.BID: pl.col("bid"), types.Side.ASK: pl.col("ask")}
  rows = _both(
    orders.rows.with_columns(
      actor=pl.when(is_add).then("order").otherwise(other)
    ),
    trades.rows.with_columns(
      actor=pl.coalesce(
        *(pl.when(pl.col("taker") == s).then(actor[s]) for s in actor), other
      )
    ),
  ).with_columns(run=pl.col("actor").rle_id())
  was_added = is_add.fill_null(False).shift(fill_value=False)
  checks = {
    "the sequence number is repeated": pl.col("sequence").diff() > 0,
    "time runs backwards": pl.col("time").diff() >= 0,
    "the order was added before": ~was_added.over("actor"),
    "other rows came between those of the arriving order": (
      pl.col("run") == pl.col("run").first().over("actor")
    ),
  }
  for reason, is_good in checks.items():
    _require(orders, trades, rows.filter(~is_good), reason)


def _both(orders: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
  """Returns rows of both files by sequence number, marked `is_trade`."""
  marked = [
    rows.with_columns(is_trade=pl.lit(is_trade))
    for rows, is_trade in ((orders, False), (trades, True))
  ]
  return pl.concat(marked, how="diagonal").sort("sequence", maintain_order=True)


def _require(orders, trades, bad: pl.DataFrame, reason: str) -> None:
  """Raises at the first bad row of `_both`, if there is one."""
  if len(bad):
    file = (trades if bad["is_trade"][0] else orders).file
    raise events.DataError(file, bad["row"][0], reason)


def _changes(orders: level2.Table, trades: level2.Table) -> pl.DataFrame:
  """Returns every change of a resting order, by sequence number.

  That is an add, a delete, a trade of the order that came first, and either
  side of a trade of an auction; `change` lots leave `left` of the order, whose
  own side and price are `order_side` and `limit`.

  Raises:
    events.DataError: an order is not added first, or holds less than it should.
  """
  hits = [
    trades.rows.filter(pl.col("taker") != side).with_columns(order=name)
    for side, name in ((types.Side.BID, "bid"), (types.Side.ASK, "ask"))
  ]
  is_delete = pl.col("kind") == _CANCEL
  sign = pl.when(pl.col("kind") == _LIMIT).then(1).otherwise(-1)
  side, price, left = pl.col("side"), pl.col("price"), pl.col("left")
  changes = (
    _both(orders.rows, pl.concat(hits))
    .with_columns(
      change=sign * pl.col("volume"),
      order_side=side.first().over("order"),
      limit=price.first().over("order"),
      is_first=pl.col("row").cum_count().over("order") == 1,
    )
    .with_columns(left=pl.col("change").cum_sum().over("order"))
  )
  is_other = (side != pl.col("order_side")) | (price != pl.col("limit"))
  checks = {
    "unknown order is deleted": pl.col("is_first") & is_delete,
    "unknown order trades": pl.col("is_first") & pl.col("is_trade"),
    "the deleted order has another side or price": is_delete & is_other,
    "the volume is not what is left of the order": is_delete & (left != 0),
    "the trade exceeds what is left of the order": left < 0,
  }
  for reason, is_bad in checks.items():
    _require(orders, trades, changes.filter(is_bad), reason)
  return changes


def _arrivals(orders: level2.Table, trades: level2.Table) -> pl.DataFrame:
  """Returns one row a new order: what it takes and rests with, in lots."""
  is_bid = pl.col("taker") == types.Side.BID
  takers = (
    trades.rows.filter(pl.col("taker") != files.AUCTION)
    .group_by(order=pl.when(is_bid).then("bid").otherwise("ask"))
    .agg(
      pl.col("taker", "sequence", "time").first(),
      pl.col("price").last(),
      pl.col("volume").sum(),
    )
  )
  adds = orders.rows.filter(pl.col("kind") == _LIMIT)
  rows = adds.join(
    takers, on="order", how="full", coalesce=True, suffix="_taken"
  )
  arrivals = (
    rows.select(
      "order",
      pl.coalesce("sequence_taken", "sequence").alias("sequence"),
      pl.coalesce("time_taken", "time").alias("time"),
      kind=pl.lit(_LIMIT, pl.Int64),
      side=pl.coalesce("side", "taker"),
      price=pl.coalesce("price", "price_taken"),
      taken=pl.col("volume_taken").fill_null(0),
      resting=pl.col("volume").fill_null(0),
    )
    .with_columns(volume=pl.col("taken") + pl.col("resting"))
    .sort("sequence")
    .with_row_index("order_id")
  )
  large = arrivals.filter(pl.col("volume") >= 2**31)["order"]
  if len(large):
    reason = f"the volume of order {large[0]} is not below 2**31"
    raise events.DataError(orders.file, None, reason)
  return arrivals


def _merge(orders: level2.Table, arrivals: pl.DataFrame) -> pl.DataFrame:
  """Returns the events: arrivals and deletes, by sequence number."""
  deletes = orders.rows.filter(pl.col("kind") == _CANCEL)
  ids = arrivals.select("order", "order_id")
  cancels = deletes.drop("row").join(ids, on="order")
  return pl.concat([arrivals, cancels], how="diagonal").sort("sequence")


def _counts(orders, trades, stream: pl.DataFrame) -> dict[str, int]:
  """Counts what `read_checked` promises, but for the snapshots."""
  is_limit = stream["kind"] == _LIMIT
  is_taker = stream["taken"].fill_null(0) > 0
  is_auction = trades.rows["taker"] == files.AUCTION
  return {
    "rows": len(orders.rows) + len(trades.rows),
    "limit_orders": int(is_limit.sum()),
    "cancels": int((~is_limit).sum()),
    "aggressive_orders": int(is_taker.sum()),
    "remainders": int((is_taker & (stream["resting"] > 0)).sum()),
    "auction_trades": int(is_auction.sum()),
    "continuous_trades": int((~is_auction).sum()),
  }


def _num_events(rows: pl.DataFrame, stream: pl.DataFrame) -> np.ndarray:
  """Returns after how many events each of some rows has happened."""
  return stream["sequence"].search_sorted(rows["sequence"], "right").to_numpy()


def _trades(trades: level2.Table, stream: pl.DataFrame) -> events.Trades:
  """Returns the trades, with the events that made them and the ids of ours."""
  rows = trades.rows
  ids = stream.filter(pl.col("kind") == _LIMIT).select("order", "order_id")
  bid_id, ask_id = (
    rows.select(order=name)
    .join(ids, on="order", how="left", maintain_order="left")["order_id"]
    .to_numpy()
    .astype(np.int32)
    for name in ("bid", "ask")
  )
  is_auction = (rows["taker"] == files.AUCTION).to_numpy()
  return events.Trades(
    event=_num_events(rows, stream).astype(np.int64) - ~is_auction,
    is_auction=is_auction,
    bid_id=bid_id,
    ask_id=ask_id,
    price=rows["price"].to_numpy().astype(np.int32),
    volume=rows["volume"].to_numpy().astype(np.int32),
  )


def _levels(
  snapshots: pl.DataFrame, trades, changes: pl.DataFrame, stream: pl.DataFrame
) -> events.Levels:
  """Places the snapshots in the stream.

  A snapshot tells how many trades there were, and the volume of all orders of
  a side. It is placed at the first point, not before the place of the one
  before it, at which these and the levels agree with what the feed says of
  single orders; what agrees nowhere is left out. Four of five have one point
  with their trades and volumes, whatever the levels. All agree at some moment
  within the second after their `UpdateTime`, or at most 0.14 s before it.
  """
  shown = {
    name: np.stack([snapshots.select(side).to_numpy() for side in names], 1)
    for name, names in (("price", files.PRICES), ("volume", files.VOLUMES))
  }
  levels = np.stack(list(shown.values()), axis=-1).tolist()  # [S][2][L][2]
  after = _num_events(changes, stream)
  candidates = _candidates(snapshots, trades, changes, stream)
  agreeing = [[] for _ in levels]
  for point, book in _books(changes, after, sorted(candidates)):
    for row in candidates[point]:
      if levels[row] == book:
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
  where = _num_events(changes, stream), changes["order_side"].to_numpy()
  np.add.at(totals, where, changes["change"].to_numpy())
  totals = totals.cumsum(axis=0)
  done = np.searchsorted(_num_events(trades.rows, stream), points, "right")
  shown = snapshots.select("ask_total", "bid_total").to_numpy()
  candidates = collections.defaultdict(list)
  for row, count in enumerate(snapshots["num_trades"]):
    start, end = np.searchsorted(done, [count, count + 1])
    for i in np.flatnonzero((totals[start:end] == shown[row]).all(axis=1)):
      candidates[start + i].append(row)
  return candidates


def _books(changes: pl.DataFrame, after: np.ndarray, points: list[int]):
  """Yields points and `[2][L]` pairs of price and volume, 0 for no level."""
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
      prices = first(files.NUM_LEVELS, held)
      pad = [[0, 0]] * (files.NUM_LEVELS - len(prices))
      book.append([[price, held[price]] for price in prices] + pad)
    yield point, book


def _to_events(
  instrument: str, day: str, stream: pl.DataFrame, counts: dict[str, int]
) -> events.EventStream:
  """Returns the stream as arrays."""
  columns = ("kind", "side", "price", "volume", "order_id")
  return events.EventStream(
    market="SSE",
    instrument=instrument,
    day=day,
    time=stream["time"].to_numpy(),
    **{c: stream[c].to_numpy().astype(np.int32) for c in columns},
    is_market_event=np.ones(len(stream), bool),
    tick_size=files.TICK_SIZE,
    lot_size=files.LOT_SIZE,
    counts=counts,
    rules="shanghai",
  )
