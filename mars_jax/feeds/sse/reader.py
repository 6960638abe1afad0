"""Makes events of Shanghai level-2 orders and trades."""

import collections.abc
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds.sse import parse
from mars_jax.feeds.sse import snapshots

_LIMIT, _CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted."""
  return level2.instruments(parse.find(path).orders, parse.SUFFIX)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a folder for each instrument; see `level2.split`."""
  found = parse.find(path)
  parts = [found.orders, found.trades, found.snapshots]
  parts = [file for file in parts if file is not None]
  return level2.split(parts, folder, instruments, found.path_day)


def read_checked(
  path: pathlib.Path | str, *, instrument: str | None = None
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, with the exchange's ground truth.

  The counts of the stream are
    rows: of orders and trades = adds + cancels + trades, where the adds are
      limit_orders - aggressive_orders + remainders.
    limit_orders, cancels: events, by kind.
    aggressive_orders: those limit orders that trade as they arrive.
    remainders: those of them that rest with a remainder.
    auction_trades, continuous_trades: trades by what made them.
    snapshots: rows of the file of snapshots, if there is one.
    bookless_snapshots: those of other states than TRADE, CLOSE and ENDTR:
      before the market opens there is no book, and in call auctions they show
      the price, matched and unmatched volume of an auction now.
    unplaced_snapshots: those that equal the book at no moment.

  The ground truth is all trades, what cancels leave (0 lots), and, if there are
  snapshots, the previous close and the book's levels, placed as by
  `snapshots.levels`. Where an auction comes after as many events as a snapshot,
  the snapshot is of the book after it.

  Args:
    path: a zip or a folder with the files of one of the layouts of `parse`,
      or the file of orders, beside the others; each plain or compressed. The
      trades to a `*_orders.zip` may be in the `*_trades.zip` beside it.
    instrument: six digits; may be left out where there is only one.

  Returns:
    The stream, all of it market events, in ticks of 0.01 yuan and lots of one
    share, and the ground truth.

  Raises:
    events.DataError: the input is broken or of several days, or the instrument
      is not in it; names file, row (counted with the header) and reason.
  """
  found = parse.find(path)
  if instrument is None:
    there = level2.instruments(found.orders, parse.SUFFIX)
    instrument = level2.choose(found.orders, there, None)
  orders = parse.load_orders(found.orders, instrument)
  trades = parse.load_trades(found.trades, instrument)
  day = found.day(orders, trades)
  _check_sequence(orders, trades)
  changes = _changes(orders, trades)
  arrivals = _arrivals(orders, trades)
  stream = _merge(orders, arrivals)
  counts = _counts(orders, trades, stream)
  levels = reference = None
  if found.snapshots is not None:
    rows = parse.load_snapshots(found.snapshots, instrument).rows
    reference = int(rows["previous_close"][0]) if len(rows) else None
    shown = rows.filter(pl.col("status").is_in(snapshots.BOOK_STATUSES))
    levels = snapshots.levels(shown, trades, changes, stream)
    counts["snapshots"] = len(rows)
    counts["bookless_snapshots"] = len(rows) - len(shown)
    counts["unplaced_snapshots"] = len(shown) - len(levels.num_events)
  ids = stream.filter(kind=_LIMIT).select("order", "order_id")
  is_auction = trades.rows["taker"] == parse.AUCTION
  truth = events.GroundTruth(
    trades=level2.to_trades(trades.rows, is_auction, stream, ids),
    levels=levels,
    reference=reference,
    remaining=np.where(stream["kind"].to_numpy() == _CANCEL, 0, -1),
  )
  stream = level2.to_stream(
    stream,
    market="SSE",
    instrument=instrument,
    day=day,
    counts=counts,
    rules="shanghai",
  )
  return stream, truth


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
  """Raises DataError at the first of some bad rows."""
  if len(bad):
    file = (trades if bad["is_trade"][0] else orders).file
    raise events.DataError(file, bad["row"][0], reason)


def _changes(orders: level2.Table, trades: level2.Table) -> pl.DataFrame:
  """Returns every change of a resting order, by sequence number.

  That is an add, a delete, a trade of the order that came first, and either
  side of a trade of an auction; the columns are those of `level2.follow`.

  Raises:
    events.DataError: an order is not added first, or holds less than it should.
  """
  hits = [
    trades.rows.filter(pl.col("taker") != side).with_columns(order=name)
    for side, name in ((types.Side.BID, "bid"), (types.Side.ASK, "ask"))
  ]
  is_delete = pl.col("kind") == _CANCEL
  sign = pl.when(pl.col("kind") == _LIMIT).then(1).otherwise(-1)
  side, price, rest = pl.col("side"), pl.col("price"), pl.col("remaining")
  changes = level2.follow(
    _both(orders.rows, pl.concat(hits)).with_columns(
      change=sign * pl.col("volume"),
      is_first=pl.col("row").cum_count().over("order") == 1,
    )
  )
  is_other = (side != pl.col("order_side")) | (price != pl.col("limit"))
  checks = {
    "unknown order is deleted": pl.col("is_first") & is_delete,
    "unknown order trades": pl.col("is_first") & pl.col("is_trade"),
    "the deleted order has another side or price": is_delete & is_other,
    "the volume is not what is left of the order": is_delete & (rest != 0),
    "the trade exceeds what is left of the order": rest < 0,
  }
  for reason, is_bad in checks.items():
    _require(orders, trades, changes.filter(is_bad), reason)
  return changes


def _arrivals(orders: level2.Table, trades: level2.Table) -> pl.DataFrame:
  """Returns a row for each new order.

  Lots `taken` as it arrives, and `resting` then, make its `volume`.
  """
  is_bid = pl.col("taker") == types.Side.BID
  takers = (
    trades.rows.filter(pl.col("taker") != parse.AUCTION)
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
  is_auction = trades.rows["taker"] == parse.AUCTION
  return {
    "rows": len(orders.rows) + len(trades.rows),
    "limit_orders": int(is_limit.sum()),
    "cancels": int((~is_limit).sum()),
    "aggressive_orders": int(is_taker.sum()),
    "remainders": int((is_taker & (stream["resting"] > 0)).sum()),
    "auction_trades": int(is_auction.sum()),
    "continuous_trades": int((~is_auction).sum()),
  }
