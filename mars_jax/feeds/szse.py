"""Reads Shenzhen level-2 orders and executions into an event stream.

`szse_files` describes the files. What the feed means, by its specification and
the exchange's trading rules (checked on simulated days, and on a Shanghai day
written in this form; there was no Shenzhen file to check on):
  - Orders and executions are one sequence. An order comes with its full volume,
    then its trades follow, before the next order or cancel. The side of the
    order that came later is the taker.
  - The orders of the call auctions (09:15-09:25 and 14:57-15:00) come as they
    arrive; nothing trades until the auction does. Whether a trade is an
    auction's is told by the time of the last order or cancel before it.
  - A cancel takes all that is left of its order.
  - A market order has no price of its own. Where it trades as it comes, it gets
    that of its last fill: if it was to take the other side's best price only,
    what is left rests there; if it was immediate or cancel, a cancel of what is
    left follows. An order at its own side's best price gets that price. One
    that gets none, since the other side or its own was empty, or since it was
    fill or kill, is cancelled as it comes: it is left out, and counted.

Price-time matching of the stream, with an uncross after as many events as the
auctions' trades say, gives the exchange's trades one by one. The reader refuses
a continuous trade between orders that both came before the last one, as after a
volatility halt, or of an order that ChiNext's price cage held back. The feed
does not tell the previous close, which the price limits and a tie of the
opening auction need: where it is known, put it into `Checks.reference`.
"""

import collections
import collections.abc
import dataclasses
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds import szse_files as files

_MINUTE = 60 * types.NANOSECONDS
_OPEN = (9 * 60 + 30) * _MINUTE  # When orders begin to match as they arrive.
_CLOSE = (14 * 60 + 57) * _MINUTE  # When they collect for the last auction.
_VENUES = {"00": "shenzhen", "30": "chinext"}  # By how the instrument begins.


def instruments(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted; see `read_checked`."""
  return files.instruments(files.find(path)[0])


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Writes a folder for each instrument, in one pass; see `level2.split`."""
  return level2.split(files.find(path), folder, instruments, day="")


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
    rows: of orders and executions = events + trades + 2 unpriced_orders.
    limit_orders, market_orders, own_best_orders, cancels: events, by kind.
    aggressive_orders: those orders that trade as they arrive.
    unpriced_orders: market and own-best orders that are left out, as they were
      cancelled without a trade or a price.
    auction_trades, continuous_trades: trades by what made them.

  The checks are all trades, what cancels leave (nothing), and the orders that
  rest at the end.

  Args:
    path: a zip or a folder with the files of one of the layouts of
      `szse_files`, or the file of orders, beside the other; compressed or not.
      The executions to a `*_orders.zip` may be in the `*_trades.zip` beside it.
    instrument: six digits; may be left out where there is only one.

  Returns:
    The stream, all of it market flow, in ticks of 0.01 yuan and lots of one
    share, and the checks.

  Raises:
    events.DataError: the input is broken or of several days or channels, or
      the instrument is not in it or no share; names file, row (counted with the
      header) and reason.
  """
  orders, executions = files.find(path)
  if instrument is None:
    instrument = level2.choose(orders, files.instruments(orders), None)
  if instrument[:2] not in _VENUES:
    reason = f"{instrument} is no share: these begin with 00 or 30"
    raise events.DataError(orders, None, reason)
  feed = _with_takers(files.load(orders, executions, instrument))
  changes = _priced(feed, _changes(feed))
  stream = _stream(changes)
  is_new = stream["kind"] != files.CANCEL
  ids = stream.filter(is_new).select("order", "order_id")
  trades = _trades(feed, stream, ids)
  checks = events.GroundTruth(
    trades=trades,
    left=np.where(is_new.to_numpy(), -1, 0),
    orders=_resting(changes, ids),
  )
  counts = _counts(feed, stream, trades)
  return _to_events(instrument, feed.day, stream, counts), checks


def _with_takers(feed: files.Feed) -> files.Feed:
  """Adds the `taker` of each continuous trade: the number of its order.

  Raises:
    events.DataError: it is not the last order or cancel before the trade.
  """
  is_trade = pl.col("kind") == files.TRADE
  last, last_time = (
    pl.when(~is_trade).then(name).forward_fill()
    for name in ("sequence", "time")
  )
  is_matched = last_time.is_between(_OPEN, _CLOSE, closed="left")
  taker = pl.when(is_trade & is_matched).then(pl.max_horizontal("bid", "ask"))
  rows = feed.rows.with_columns(taker=taker)
  reason = "the trade is not of the order that came last"
  feed.require(rows, pl.col("taker") == last, reason)
  return dataclasses.replace(feed, rows=rows)


def _changes(feed: files.Feed) -> pl.DataFrame:
  """Returns every change of an order, by sequence number.

  That is its arrival, both sides of a trade, and a cancel: `change` lots leave
  `left` of the `order`, whose own side is `order_side`.

  Raises:
    events.DataError: an order does not come first, is of the other side, or
      holds less, or for a cancel more, than it should.
  """
  orders = feed.rows.filter(~pl.col("is_execution")).with_columns(
    order="sequence", change="volume"
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
    .with_columns(
      order_side=pl.col("side").first().over("order"),
      left=pl.col("change").cum_sum().over("order"),
      is_known=~pl.col("is_execution").first().over("order"),
    )
  )
  left, is_cancel = pl.col("left"), pl.col("kind") == files.CANCEL
  checks = {
    "unknown order is cancelled": pl.col("is_known") | ~is_cancel,
    "unknown order trades": pl.col("is_known"),
    "the order is of the other side": pl.col("side") == pl.col("order_side"),
    "the volume exceeds what is left of the order": left >= 0,
    "the cancel does not take all that is left": (left == 0) | ~is_cancel,
  }
  for reason, is_good in checks.items():
    feed.require(changes, is_good, reason)
  return changes


def _priced(feed: files.Feed, changes: pl.DataFrame) -> pl.DataFrame:
  """Returns the changes with the price of their orders, `limit`, if any.

  Raises:
    events.DataError: an order has none, but is not cancelled at once.
  """
  taken = (
    feed.rows.filter(pl.col("taker").is_not_null())
    .group_by(order="taker")
    .agg(last_fill=pl.col("price").last())
  )
  own = pl.col("price").first().over("order")
  changes = changes.join(
    taken, on="order", how="left", maintain_order="left"
  ).with_columns(limit=pl.coalesce(own, "last_fill"))
  schema = {"order": pl.Int64, "best": pl.Int64}
  best = pl.DataFrame(_own_best(changes), schema, orient="row")
  changes = changes.join(
    best, on="order", how="left", maintain_order="left"
  ).with_columns(limit=pl.coalesce("limit", "best"))
  second = pl.col("kind").get(1, null_on_oob=True).over("order")
  is_good = pl.col("limit").is_not_null() | (second == files.CANCEL)
  reason = "the order has no price, but no cancel follows it"
  feed.require(changes, is_good.fill_null(False), reason)
  return changes


def _own_best(changes: pl.DataFrame) -> list[tuple[int, int]]:
  """Returns (order, best price of its side as it came), if it asked for that.

  An order that came while its side was empty is left out.
  """
  volumes = collections.Counter(), collections.Counter()  # By `types.Side`.
  best = min, max
  prices = {}
  columns = ("order", "order_side", "kind", "limit", "change")
  for order, side, kind, price, change in changes.select(columns).rows():
    held = volumes[side]
    if price is None and kind == files.OWN_BEST and held:
      prices[order] = best[side](held)
    price = prices.get(order) if price is None else price
    if price is not None:
      held[price] += change
      if not held[price]:
        del held[price]
  return list(prices.items())


def _stream(changes: pl.DataFrame) -> pl.DataFrame:
  """Returns the events: orders and cancels with a price, numbered."""
  is_event = (pl.col("kind") != files.TRADE) & pl.col("limit").is_not_null()
  number = (pl.col("kind") != files.CANCEL).cum_sum() - 1
  return (
    changes.filter(is_event)
    .with_columns(order_id=number)
    .with_columns(order_id=pl.col("order_id").first().over("order"))
  )


def _trades(
  feed: files.Feed, stream: pl.DataFrame, ids: pl.DataFrame
) -> events.Trades:
  """Returns the trades, with the events that made them and the ids of ours."""
  trades = feed.rows.filter(pl.col("kind") == files.TRADE)
  bid_id, ask_id = (
    trades.select(order=name)
    .join(ids, on="order", how="left", maintain_order="left")["order_id"]
    .to_numpy()
    .astype(np.int32)
    for name in ("bid", "ask")
  )
  is_auction = trades["taker"].is_null().to_numpy()
  before = stream["sequence"].search_sorted(trades["sequence"]).to_numpy()
  return events.Trades(
    event=before.astype(np.int64) - ~is_auction,
    is_auction=is_auction,
    bid_id=bid_id,
    ask_id=ask_id,
    price=trades["price"].to_numpy().astype(np.int32),
    volume=trades["volume"].to_numpy().astype(np.int32),
  )


def _resting(changes: pl.DataFrame, ids: pl.DataFrame) -> events.RestingOrders:
  """Returns the orders that rest at the end."""
  is_last = pl.col("order").is_last_distinct()
  rows = changes.filter(is_last & (pl.col("left") > 0)).join(ids, on="order")
  names = ("order_side", "limit", "left", "order_id")
  side, price, volume, order_id = (
    rows[name].to_numpy().astype(np.int32) for name in names
  )
  return events.RestingOrders(
    side=side, price=price, volume=volume, order_id=order_id
  )


def _counts(
  feed: files.Feed, stream: pl.DataFrame, trades: events.Trades
) -> dict[str, int]:
  """Counts what `read_checked` promises."""
  rows, kinds = feed.rows, stream["kind"]
  counts = {
    "rows": len(rows),
    "limit_orders": (kinds == files.LIMIT).sum(),
    "market_orders": (kinds == files.MARKET).sum(),
    "own_best_orders": (kinds == files.OWN_BEST).sum(),
    "cancels": (kinds == files.CANCEL).sum(),
    "aggressive_orders": rows["taker"].drop_nulls().n_unique(),
    "unpriced_orders": (len(rows) - len(stream) - len(trades.event)) // 2,
    "auction_trades": trades.is_auction.sum(),
    "continuous_trades": (~trades.is_auction).sum(),
  }
  return {name: int(count) for name, count in counts.items()}


def _to_events(
  instrument: str, day: str, stream: pl.DataFrame, counts: dict[str, int]
) -> events.EventStream:
  """Returns the stream as arrays."""
  is_cancel = (stream["kind"] == files.CANCEL).to_numpy()
  side, price, volume, order_id = (
    stream[name].to_numpy().astype(np.int32)
    for name in ("order_side", "limit", "volume", "order_id")
  )
  kind = np.where(is_cancel, types.OrderKind.CANCEL, types.OrderKind.LIMIT)
  return events.EventStream(
    market="SZSE",
    instrument=instrument,
    day=day,
    time=stream["time"].to_numpy(),
    kind=kind.astype(np.int32),
    side=side,
    price=price,
    volume=volume,
    order_id=order_id,
    is_market_event=np.ones(len(stream), bool),
    tick_size=files.TICK_SIZE,
    lot_size=files.LOT_SIZE,
    counts=counts,
    rules=_VENUES[instrument[:2]],
  )
