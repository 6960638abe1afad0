"""Makes events of the rows of a Bitstamp capture."""

import datetime
import heapq
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import capture_days
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables
from mars_jax.feeds.bitstamp import parse

_MAX_PRICE_RATIO = 10  # To the best prices at the start; beyond is left out.


def read_checked(
  path: pathlib.Path | str,
  *,
  tick_size: float | None = None,
  day: str | None = None,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads a capture, with the exchange's ground truth.

  Args:
    path: `orders.csv`, plain or compressed: `orders.csv.gz`, a zip of it.
    tick_size: price of one tick; if None, the largest of 1, 0.1, 0.01, ... that
      divides all prices of the capture.
    day: which one (UTC), of a capture of several; see `capture_days.pick`.

  Returns:
    The stream and the ground truth. `remaining` is given for every cancel.
    `trades` are the fills of resting orders, their volume the lots by which the
    rounded rest of the order shrinks, as a replay of the stream must give it:
    that is off the amount of the trade by up to a lot and a half. Where the
    neighbour `trades.csv` exists, plain or compressed, its trades must be
    these, by their times, orders, prices and exact amounts.

    Volumes are in lots of 1e-6 bitcoin: the remaining volume of an order is
    rounded to lots, and never to zero. Prices and volumes are int64 where int32
    cannot hold them. `counts` has
      rows: rows of the file;
      start_orders: orders of the book at the start;
      limit_orders, cancels: events of the market, by kind;
      aggressive_orders: those limit orders that trade as they arrive;
      executions: fills of resting orders;
      refused: orders deleted as they arrive, untraded;
      ghosts: orders of the start book left out as gone;
      unseen_deletes: deletes of orders that were never created;
      far_orders: orders over ten times the best prices of the start, or under
        a tenth of them;
      closing_deletes: rows that end the capture;
      clock_steps: rows of an exchange time before that of an earlier row: they
        are taken as they come in the file, and the clock stands still;
      late_rows: those of them that say more than is left of their order, or
        follow its delete, and rows of orders deleted before they are created;
      implied_orders: of a capture without its first book, orders that rested
        then as later rows show (`parse.add_start`).

  Raises:
    events.DataError: if the file is broken, names file, row and reason; or of
      several days, and none is named.
  """
  path = pathlib.Path(path)
  stream, rows, table = _read(path, tick_size)
  fills = _fills(rows, table)
  if trades_path := compressed.find(path.parent, "trades.csv"):
    _check_fills(trades_path, rows, fills, stream.tick_size)
  remaining = table["remaining"].fill_null(-1).to_numpy()
  truth = events.GroundTruth(
    trades=_to_trades(fills, stream), remaining=remaining
  )
  return capture_days.pick(path, stream, truth, day)


def day_names(path: pathlib.Path | str) -> tuple[str, ...]:
  """Returns the days of a capture, as 2024-10-04."""
  path = compressed.resolve(pathlib.Path(path))
  numbers = parse.load_clock(path).to_numpy() // parse.DAY
  first = datetime.date(1970, 1, 1) + datetime.timedelta(int(numbers[0]))
  return capture_days.names(str(first), numbers - numbers[0])


def _read(
  path: pathlib.Path, tick_size: float | None
) -> tuple[events.EventStream, pl.DataFrame, pl.DataFrame]:
  """Returns the stream, the linked rows, and the event table."""
  path = compressed.resolve(path)
  loaded, tick_size = parse.load(path, tick_size)
  rows, late = parse.settle_late(loaded)
  rows, num_implied = parse.add_start(rows)
  rows = parse.link(rows)
  parse.check_orders(path, rows)
  arrivals = _arrivals(rows)
  is_far = _is_far(arrivals)
  ghosts = _ghosts(arrivals)
  is_order = (pl.col("volume") > 0) & ~pl.col("born").is_in(ghosts)
  orders = arrivals.filter(~is_far & is_order).with_row_index("order_id")
  if orders.is_empty():
    raise events.DataError(path, None, "the file has no orders")
  cancels = _cancels(rows, orders)
  table = pl.concat([orders, cancels], how="diagonal").sort("row")
  action = pl.col("action")
  counts = {
    "rows": len(loaded),
    "start_orders": orders["is_start"].sum(),
    "limit_orders": (~orders["is_start"]).sum(),
    "cancels": len(cancels),
    "aggressive_orders": (orders["taken"] > 0).sum(),
    "executions": rows["is_fill"].sum(),
    "refused": (arrivals["volume"] == 0).sum(),
    "ghosts": len(ghosts),
    "unseen_deletes": len(rows.filter(parse.IS_FIRST & (action == "deleted"))),
    "far_orders": is_far.sum(),
    "closing_deletes": rows["is_closing"].sum(),
    **late,
    "implied_orders": num_implied,
  }
  counts = {name: int(n) for name, n in counts.items()}
  return _to_events(table, counts, tick_size), rows, table


def _arrivals(rows: pl.DataFrame) -> pl.DataFrame:
  """Returns a row for each order created.

  `taken`, the lots that it trades as it arrives, `resting`, those that it rests
  with, and their sum `volume` are lots; `died` is the row that deletes the
  order. An order of no volume was refused.
  """
  own = (
    rows.filter("is_own")
    .group_by("born")
    .agg(resting=pl.col("lots").last() * (pl.col("action").last() != "deleted"))
  )
  fills = (
    rows.filter("is_fill")
    .group_by("arriving")
    .agg(
      taken=(pl.col("lots_before") - pl.col("lots")).sum(),
      last_price=pl.col("price").last(),
    )
  )
  deletes = rows.filter(pl.col("action") == "deleted")
  is_filled = (pl.col("resting") == 0) & (pl.col("taken") > 0)
  return (
    rows.filter(pl.col("action") == "created")
    .join(own, on="born")
    .join(fills, left_on="born", right_on="arriving", how="left")
    .join(deletes.select("born", died="row"), on="born", how="left")
    .with_columns(
      pl.col("taken").fill_null(0),
      pl.col("died").fill_null(len(rows)),
      is_market_event=~pl.col("is_start"),
      kind=pl.lit(types.OrderKind.LIMIT),
    )
    .with_columns(
      price=pl.when(is_filled).then("last_price").otherwise("price"),
      volume=pl.col("taken") + pl.col("resting"),
    )
    .sort("row")
  )


def _is_far(arrivals: pl.DataFrame) -> pl.Series:
  """Returns whether each resting order is priced beyond reason."""
  start = arrivals.filter("is_start")
  is_bid = start["direction"] == "bid"
  lowest = (start.filter(is_bid)["price"].max() or 0) / _MAX_PRICE_RATIO
  highest = (start.filter(~is_bid)["price"].min() or np.inf) * _MAX_PRICE_RATIO
  is_near = arrivals["price"].is_between(lowest, highest)
  return ~is_near & (arrivals["resting"] > 0)


def _cancels(rows: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
  """Returns the rows that cancel resting volume of `orders`.

  A delete takes the remainder, after the fill if the row is also one.
  """
  is_delete = pl.col("action") == "deleted"
  before = pl.when("is_fill").then("lots").otherwise("lots_before")
  after = pl.when(is_delete).then(0).otherwise("lots")
  ignored = pl.col("is_own") | pl.col("is_closing") | parse.IS_FIRST
  return (
    rows.filter(~ignored)
    .with_columns(
      volume=before - after,
      remaining=after,
      kind=pl.lit(types.OrderKind.CANCEL),
      is_market_event=True,
    )
    .filter(pl.col("volume") > 0)
    .drop("price")
    .join(orders.select("born", "order_id", "price"), on="born")
    .sort("row")
  )


def _ghosts(arrivals: pl.DataFrame) -> list[int]:
  """Returns `born` of orders that a later one proves gone.

  An order that rests untraded shows that all which it crosses are gone.
  """
  best: dict[str, list] = {"bid": [], "ask": []}  # heaps of (key, died, born)
  ghosts = []
  resting = arrivals.filter(pl.col("resting") > 0)
  for born, died, price, direction, taken in resting.select(
    "born", "died", "price", "direction", "taken"
  ).iter_rows():
    is_bid = direction == "bid"
    opposite = best["ask" if is_bid else "bid"]
    limit = price if is_bid else -price
    while opposite and (opposite[0][1] <= born or opposite[0][0] <= limit):
      _, crossed_died, crossed = heapq.heappop(opposite)
      if crossed_died > born and not taken:
        ghosts.append(crossed)
    heapq.heappush(best[direction], (-price if is_bid else price, died, born))
  return ghosts


def _fills(rows: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
  """Returns a row for each fill of any lots.

  `event`, `taker_id` and `maker_id` are by the events of `table`.
  """
  is_limit = pl.col("kind") == types.OrderKind.LIMIT
  orders = table.with_row_index("event").filter(is_limit)
  takers = orders.select("event", arriving="born", taker_id="order_id")
  return (
    rows.filter("is_fill")
    .with_columns(
      volume=pl.col("lots_before") - pl.col("lots"),
      units=pl.col("units_before") - pl.col("units"),
      taker=rows["id"].gather(rows.filter("is_fill")["arriving"]),
    )
    .join(takers, on="arriving")
    .join(orders.select("born", maker_id="order_id"), on="born")
    .filter(pl.col("volume") > 0)
    .sort("row")
  )


def _check_fills(
  path: compressed.File,
  rows: pl.DataFrame,
  fills: pl.DataFrame,
  tick_size: float,
) -> None:
  """Raises unless the trades of a file are the fills.

  Only trades within the times of the capture count.
  """
  trades = tables.read_csv(path, parse.TRADE_SCHEMA)
  time = rows["exchange_timestamp"]
  within = pl.col("exchange_timestamp").is_between(time.min(), time.max())
  is_bid = pl.col("direction") == "bid"
  want = fills.select(
    "exchange_timestamp",
    "price",
    "units",
    buy_order_id=pl.when(is_bid).then("id").otherwise("taker"),
    sell_order_id=pl.when(is_bid).then("taker").otherwise("id"),
  )
  have = trades.filter(within).with_columns(
    price=parse.in_ticks(tick_size),
    units=(pl.col("amount") / parse.UNIT_SIZE).round().cast(pl.Int64),
  )
  names = want.columns
  both = zip(want.iter_rows(), have.select(names).iter_rows(), strict=False)
  same = [a == b for a, b in both]
  if not all(same):
    reason = "the trade is not the next fill of the orders"
    raise events.DataError(path, have["row"][same.index(False)], reason)
  if len(want) != len(have):
    reason = f"{len(have)} trades, but the orders have {len(want)} fills"
    raise events.DataError(path, None, reason)


def _to_trades(
  fills: pl.DataFrame, stream: events.EventStream
) -> events.Trades:
  """Returns the fills as trades, in the stream's types."""
  maker, taker = fills["maker_id"].to_numpy(), fills["taker_id"].to_numpy()
  is_bid = fills["direction"].to_numpy() == "bid"
  return events.Trades(
    event=fills["event"].to_numpy().astype(np.int64),
    is_auction=np.zeros(len(fills), bool),
    bid_id=np.where(is_bid, maker, taker).astype(np.int32),
    ask_id=np.where(is_bid, taker, maker).astype(np.int32),
    price=fills["price"].to_numpy().astype(stream.price.dtype),
    volume=fills["volume"].to_numpy().astype(stream.volume.dtype),
  )


def _to_events(
  stream: pl.DataFrame, counts: dict[str, int], tick_size: float
) -> events.EventStream:
  """Returns the stream as arrays: ticks, lots, time of day."""
  milliseconds = stream["clock"].to_numpy()
  start = datetime.datetime.fromtimestamp(milliseconds[0] / 1e3, datetime.UTC)
  midnight = datetime.datetime.combine(start, datetime.time(), datetime.UTC)
  since_midnight = milliseconds - int(midnight.timestamp() * 1e3)
  is_bid = stream["direction"].to_numpy() == "bid"

  number = events.integer_type(stream["price"].max(), stream["volume"].max())

  def column(name: str, dtype: np.typing.DTypeLike = np.int32) -> np.ndarray:
    return stream[name].to_numpy().astype(dtype)

  return events.EventStream(
    market="Bitstamp",
    instrument="BTC/USD",
    day=f"{start:%Y-%m-%d}",
    time=since_midnight * 1_000_000,
    kind=column("kind"),
    side=np.where(is_bid, types.Side.BID, types.Side.ASK).astype(np.int32),
    price=column("price", number),
    volume=column("volume", number),
    order_id=column("order_id"),
    is_market_event=stream["is_market_event"].to_numpy(),
    tick_size=tick_size,
    lot_size=parse.LOT_SIZE,
    counts=counts,
  )
