"""Makes events of Shenzhen level-2 orders and executions."""

import collections
import collections.abc
import dataclasses
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds.szse import cage
from mars_jax.feeds.szse import parse

# (Rules, tick size in yuan) by how the instrument begins. Trading Rules of the
# Shenzhen Stock Exchange, section on order entry: 0.01 yuan for shares, 0.001
# for funds and bonds.
_KINDS = {
  "00": ("shenzhen", 0.01),
  "30": ("chinext", 0.01),
  **dict.fromkeys(("15", "16", "18"), ("shenzhen", 0.001)),  # Funds.
  "12": ("shenzhen-bond", 0.001),  # Convertible bonds.
}


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted."""
  return level2.instruments(parse.find(path)[0], parse.SUFFIX)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a folder for each instrument; see `level2.split`."""
  return level2.split(parse.find(path), folder, instruments, day="")


def read_checked(
  path: pathlib.Path | str,
  *,
  instrument: str | None = None,
  units: str | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, with the exchange's ground truth.

  The counts of the stream are
    rows: of orders and executions = events + trades + 2 unpriced_orders
      + 2 caged_cancels.
    limit_orders, market_orders, own_best_orders, cancels: events, by kind.
    aggressive_orders: those orders that trade as they arrive.
    unpriced_orders: market and own-best orders that are left out, as they were
      cancelled without a trade or a price.
    late_orders, if any: those numbered after their own trades.
    caged_orders, caged_cancels, caged_early: of ChiNext, see `cage.apply`.
    auction_trades, continuous_trades: trades by what made them.

  The ground truth are all trades, what cancels leave (0 lots), and the orders
  that rest at the end.

  Args:
    path: a zip or a folder with the files of one of the layouts of
      `parse`, or the file of orders, beside the other; compressed or not.
      The executions to a `*_orders.zip` may be in the `*_trades.zip` beside it.
    instrument: six digits; may be left out where there is only one.
    units: "yuan", or "integers" for those of the binary feed (1e-4 yuan, a
      hundredth of a share); by default the prices tell.

  Returns:
    The stream, all of it market events, in ticks of 0.01 yuan (0.001 for funds
    and convertible bonds) and lots of one share, and the ground truth.

  Raises:
    ValueError: there are no such units.
    events.DataError: the input is broken or of several days or channels, or
      the instrument is not in it or of no known kind; names file, row (counted
      with the header) and reason.
  """
  orders, executions = parse.find(path)
  if instrument is None:
    instrument = level2.choose(
      orders, level2.instruments(orders, parse.SUFFIX), None
    )
  if units not in (None, *parse.UNITS):
    raise ValueError(f"units {units!r} is none of {', '.join(parse.UNITS)}")
  if instrument[:2] not in _KINDS:
    reason = (
      f"{instrument} is no share (00, 30), fund (15, 16, 18) or convertible"
      " bond (12)"
    )
    raise events.DataError(orders, None, reason)
  rules, tick_size = _KINDS[instrument[:2]]
  feed = parse.load(
    orders, executions, instrument, tick_size=tick_size, units=units
  )
  caged = {}
  if rules == "chinext" and feed.day >= cage.STARTS:
    is_matched = _is_matched(pl.col("time"))
    rows, caged = cage.apply(feed.rows, feed.day, is_matched)
    feed = dataclasses.replace(feed, rows=rows)
  feed = _with_takers(feed)
  changes = _priced(feed, _changes(feed))
  stream = _stream(changes)
  is_new = stream["kind"] != parse.CANCEL
  ids = stream.filter(is_new).select("order", "order_id")
  rows = feed.rows.filter(pl.col("kind") == parse.TRADE)
  is_auction = rows["taker"].is_null()
  trades = level2.to_trades(rows, is_auction, stream, ids)
  truth = events.GroundTruth(
    trades=trades,
    remaining=np.where(is_new.to_numpy(), -1, 0),
    orders=_resting(changes, ids),
  )
  counts = _counts(feed, stream, trades) | caged
  if feed.num_late:
    counts["late_orders"] = feed.num_late
  counts["rows"] += 2 * caged.get("caged_cancels", 0)
  kind = pl.when(is_new).then(types.OrderKind.LIMIT)
  stream = level2.to_stream(
    stream.with_columns(
      kind=kind.otherwise(types.OrderKind.CANCEL),
      side="order_side",
      price="limit",
    ),
    market="SZSE",
    instrument=instrument,
    day=feed.day,
    counts=counts,
    rules=rules,
    tick_size=tick_size,
  )
  return stream, truth


def _is_matched(time: pl.Expr) -> pl.Expr:
  """Returns whether orders match as they arrive at a time."""
  return time.is_between(parse.OPEN, parse.CLOSE, closed="left")


def _with_takers(feed: parse.Feed) -> parse.Feed:
  """Adds the `taker` of each continuous trade, its order's number.

  Raises:
    events.DataError: it is not the last order or cancel before the trade.
  """
  is_trade = pl.col("kind") == parse.TRADE
  last, last_time = (
    pl.when(~is_trade).then(name).forward_fill() for name in ("name", "time")
  )
  taker = pl.when(is_trade & _is_matched(last_time)).then(last)
  rows = feed.rows.with_columns(taker=taker)
  is_its = (taker == pl.col("bid")) | (taker == pl.col("ask"))
  reason = "the trade is not of the order that came last"
  feed.require(rows, taker.is_null() | is_its.fill_null(False), reason)
  return dataclasses.replace(feed, rows=rows)


def _changes(feed: parse.Feed) -> pl.DataFrame:
  """Returns every change of an order, by sequence number.

  That is its arrival, both sides of a trade, and a cancel; the columns are
  those of `level2.follow`.

  Raises:
    events.DataError: an order does not come first, is of the other side, or
      holds less, or for a cancel more, than it should.
  """
  orders = feed.rows.filter(~pl.col("is_execution")).with_columns(
    order="name", change="volume"
  )
  hits = [
    feed.rows.filter(pl.col(name) > 0).with_columns(
      order=name, side=pl.lit(side, pl.Int64), change=-pl.col("volume")
    )
    for name, side in (("bid", types.Side.BID), ("ask", types.Side.ASK))
  ]
  changes = (
    pl.concat([orders, *hits])
    .sort("sequence", maintain_order=True)
    .with_columns(is_known=~pl.col("is_execution").first().over("order"))
  )
  changes = level2.follow(changes)
  rest, is_cancel = pl.col("remaining"), pl.col("kind") == parse.CANCEL
  checks = {
    "unknown order is cancelled": pl.col("is_known") | ~is_cancel,
    "unknown order trades": pl.col("is_known"),
    "the order is of the other side": pl.col("side") == pl.col("order_side"),
    "the volume exceeds what is left of the order": rest >= 0,
    "the cancel does not take all that is left": (rest == 0) | ~is_cancel,
  }
  for reason, is_good in checks.items():
    feed.require(changes, is_good, reason)
  return changes


def _priced(feed: parse.Feed, changes: pl.DataFrame) -> pl.DataFrame:
  """Fills in the `limit` of orders without a price.

  Raises:
    events.DataError: an order has none, but is not cancelled at once.
  """
  taken = (
    feed.rows.filter(pl.col("taker").is_not_null())
    .group_by(order="taker")
    .agg(last_fill=pl.col("price").last())
  )
  changes = changes.join(
    taken, on="order", how="left", maintain_order="left"
  ).with_columns(limit=pl.coalesce("limit", "last_fill"))
  schema = {"order": pl.Int64, "best": pl.Int64}
  best = pl.DataFrame(_own_best(changes), schema, orient="row")
  changes = changes.join(
    best, on="order", how="left", maintain_order="left"
  ).with_columns(limit=pl.coalesce("limit", "best"))
  second = pl.col("kind").get(1, null_on_oob=True).over("order")
  is_good = pl.col("limit").is_not_null() | (second == parse.CANCEL)
  reason = "the order has no price, but no cancel follows it"
  feed.require(changes, is_good.fill_null(False), reason)
  return changes


def _own_best(changes: pl.DataFrame) -> list[tuple[int, int]]:
  """Returns (order, price) of orders at their side's best.

  An order that came while its side was empty is left out.
  """
  volumes = collections.Counter(), collections.Counter()  # By `types.Side`.
  best = min, max
  prices = {}
  columns = ("order", "order_side", "kind", "limit", "change")
  for order, side, kind, price, change in changes.select(columns).rows():
    held = volumes[side]
    if price is None and kind == parse.OWN_BEST and held:
      prices[order] = best[side](held)
    price = prices.get(order) if price is None else price
    if price is not None:
      held[price] += change
      if not held[price]:
        del held[price]
  return list(prices.items())


def _stream(changes: pl.DataFrame) -> pl.DataFrame:
  """Returns the events: orders and cancels with a price, numbered."""
  is_event = (pl.col("kind") != parse.TRADE) & pl.col("limit").is_not_null()
  number = (pl.col("kind") != parse.CANCEL).cum_sum() - 1
  return (
    changes.filter(is_event)
    .with_columns(order_id=number)
    .with_columns(order_id=pl.col("order_id").first().over("order"))
  )


def _resting(changes: pl.DataFrame, ids: pl.DataFrame) -> events.RestingOrders:
  """Returns the orders that rest at the end."""
  is_last = pl.col("order").is_last_distinct()
  rows = changes.filter(is_last & (pl.col("remaining") > 0)).join(
    ids, on="order"
  )
  names = ("order_side", "limit", "remaining", "order_id")
  side, price, volume, order_id = (
    rows[name].to_numpy().astype(np.int32) for name in names
  )
  return events.RestingOrders(
    side=side, price=price, volume=volume, order_id=order_id
  )


def _counts(
  feed: parse.Feed, stream: pl.DataFrame, trades: events.Trades
) -> dict[str, int]:
  """Counts what `read_checked` promises."""
  rows, kinds = feed.rows, stream["kind"]
  counts = {
    "rows": len(rows),
    "limit_orders": (kinds == parse.LIMIT).sum(),
    "market_orders": (kinds == parse.MARKET).sum(),
    "own_best_orders": (kinds == parse.OWN_BEST).sum(),
    "cancels": (kinds == parse.CANCEL).sum(),
    "aggressive_orders": rows["taker"].drop_nulls().n_unique(),
    "unpriced_orders": (len(rows) - len(stream) - len(trades.event)) // 2,
    "auction_trades": trades.is_auction.sum(),
    "continuous_trades": (~trades.is_auction).sum(),
  }
  return {name: int(count) for name, count in counts.items()}
