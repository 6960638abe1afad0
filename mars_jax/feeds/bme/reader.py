"""Makes events of the rows of a BME file."""

import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables
from mars_jax.feeds.bme import parse

TICK_SIZE = 1e-4  # Euro.
_DAY = 86_400 * 10**9  # Nanoseconds.


def read_checked(
  path: pathlib.Path | str,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one share and day, with the exchange's ground truth.

  Args:
    path: a file of this format, plain or compressed.

  Returns:
    The stream and the ground truth: `remaining` is 0 after a cancel, and -1 for
    a modif; `orders` are none where a purge ends the file (its last time has no
    new order, and bought equals sold), and not given for another file.
    The counts are
      rows: rows of the file;
      start_orders: orders of the book at the start;
      limit_orders: new orders after it;
      market_orders: those of them that have no price;
      cancels, reductions: rows of cancel and of modif;
      bought, sold: shares ordered and never taken off;
      price_step: ticks, the greatest common divisor of the prices.

  Raises:
    events.DataError: if the file is broken; names file, row and reason.
  """
  path = compressed.resolve(path)
  rows = parse.parse(parse.load(path))
  parse.check(path, rows)
  rows = _link(rows)
  _check_orders(path, rows)
  bought, sold = (
    int(rows.filter(side=side)["change"].sum())
    for side in (types.Side.BID, types.Side.ASK)
  )
  is_new, is_start = rows["ordtype"] == "new", rows["is_start"]
  is_cancel = rows["ordtype"] == "cancel"
  is_last = rows["time"] == rows["time"][-1]
  is_purged = bought == sold and not (is_new & is_last).any()
  counts = {
    "rows": len(rows),
    "start_orders": int(is_start.sum()),
    "limit_orders": int((is_new & ~is_start).sum()),
    "market_orders": int((is_new & rows["ticks"].is_null()).sum()),
    "cancels": int(is_cancel.sum()),
    "reductions": int((rows["ordtype"] == "modif").sum()),
    "bought": bought,
    "sold": sold,
    "price_step": int(np.gcd.reduce(rows["ticks"].drop_nulls().to_numpy())),
  }
  truth = events.GroundTruth(
    orders=_no_orders() if is_purged else None,
    remaining=np.where(is_cancel.to_numpy(), 0, -1),
  )
  return _to_events(path, rows, counts), truth


def _link(rows: pl.DataFrame) -> pl.DataFrame:
  """Gives each row its order's id, side and price.

  Adds: own_side, the side that the row itself gives; price; change, of what is
  ordered and not taken off; first_type, of the order's first row; is_start.
  """
  ticks, is_bid = pl.col("ticks"), pl.col("side") == types.Side.BID
  worst = pl.when(is_bid).then(ticks.max()).otherwise(ticks.min())
  return rows.with_columns(
    own_side="side",
    price=ticks.fill_null(worst),
    order_id=parse.IS_NEW.cum_sum() - 1,
    first_type="ordtype",
    change=pl.when(parse.IS_NEW).then("volume").otherwise(-pl.col("volume")),
    is_start=parse.IS_NEW & (pl.col("time") == pl.col("time").first()),
  ).with_columns(
    pl.col("side", "price", "order_id", "first_type").first().over("uid")
  )


def _check_orders(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises at the first row that contradicts its order.

  Orders are new once, keep side and price, and never grow.
  """
  was_cancelled = pl.col("ordtype").shift().over("uid") == "cancel"
  is_again = parse.IS_NEW & (pl.col("uid").cum_count().over("uid") > 1)
  ticks, own_side = pl.col("ticks"), pl.col("own_side")
  checks = {
    "unknown uid": pl.col("first_type") == "new",
    "the order is new twice": ~is_again,
    "the order was cancelled": ~was_cancelled.fill_null(False),
    "the order has another side": (own_side == pl.col("side")).fill_null(True),
    "the order has another price": (ticks == pl.col("price")).fill_null(True),
    "qty is more than was left": pl.col("change").cum_sum().over("uid") >= 0,
  }
  for reason, is_good in checks.items():
    tables.require(path, rows, is_good, reason)


def _no_orders() -> events.RestingOrders:
  """Returns an empty book."""
  return events.RestingOrders(*(np.zeros(0, np.int32) for _ in range(4)))


def _to_events(
  path: compressed.File, rows: pl.DataFrame, counts: dict[str, int]
) -> events.EventStream:
  """Returns the rows as arrays."""
  day = rows["day"][0]
  is_new = rows["ordtype"].to_numpy() == "new"
  kind = np.where(is_new, types.OrderKind.LIMIT, types.OrderKind.CANCEL)

  def column(name: str) -> np.ndarray:
    return rows[name].to_numpy().astype(np.int32)

  return events.EventStream(
    market="BME",
    instrument=compressed.stem(path).removesuffix(f"_{day}"),
    day=day,
    time=rows["time"].to_numpy() % _DAY,
    kind=kind.astype(np.int32),
    side=column("side"),
    price=column("price"),
    volume=column("volume"),
    order_id=column("order_id"),
    is_market_event=~rows["is_start"].to_numpy(),
    tick_size=TICK_SIZE,
    lot_size=1.0,
    counts=counts,
  )
