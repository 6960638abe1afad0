"""Reads a day of Madrid's exchange (BME): its inbound orders, in their order.

A file has the columns `ordtype;uid;is_buy;qty;price;timestamp`, and a row is
one of
  new     an order arrives; it may take liquidity, which the file does not tell.
  cancel  an order is taken out of the book; `qty` is all that was left of it.
  modif   `qty` is taken off an order, which keeps its priority.
Only a new order says its side and price. The rows come in the exchange's order,
which is what tells apart those of one `timestamp` (local time, ms or finer).

What the file means, found in a day of Acciona:
  - The new orders of the first time are the best levels of the book that the
    opening auction left. They are the book at the start.
  - The rows of the last time purge the book. That nothing rests after them can
    be seen without matching: what was ordered and never taken off was traded,
    or still rests, and it is as much bought as sold.
  - A new order without a price would be a market order. There is none in that
    day; such an order is given the price of the file that is worst for it, at
    which it takes all that there is.

Prices are in ticks of 0.0001 euro, the finest tick of MiFID II (RTS 11), so
that any day of any share fits, and the days of a share fit each other, whatever
its bands of price and liquidity. The tick of the market is coarser, and not
told: the count `price_step` is what all prices of the file are multiples of.
"""

import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables

TICK_SIZE = 1e-4  # Euro.
_DECIMALS = 4  # Of a price in ticks.
_PRICE_LIMIT = 2**30  # Ticks, of `lob`.
_DAY = 86_400 * 10**9  # Nanoseconds.
_SCHEMA = dict.fromkeys(
  ("ordtype", "uid", "is_buy", "qty", "price", "timestamp"), pl.String
)
_IS_NEW = pl.col("ordtype") == "new"


def read(path: pathlib.Path | str) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path)[0]


def read_checked(
  path: pathlib.Path | str,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one share and day, and what to check its replay by.

  Args:
    path: a file as this module tells, plain or compressed.

  Returns:
    The stream and the checks: `left` is 0 after a cancel, and -1, not told, of
    a modif; `orders` are none where a purge ends the file (its last time has no
    new order, and bought equals sold), and not told of another file.
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
  rows = _parse(_load(path))
  _check_rows(path, rows)
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
  checks = events.GroundTruth(
    orders=_no_orders() if is_purged else None,
    left=np.where(is_cancel.to_numpy(), 0, -1),
  )
  return _to_events(path, rows, counts), checks


def _load(path: compressed.File) -> pl.DataFrame:
  """Reads the columns as text."""
  rows = tables.read_csv(path, _SCHEMA, separator=";")
  if rows.is_empty():
    raise events.DataError(path, None, "the file has no rows")
  return rows


def _parse(text: pl.DataFrame) -> pl.DataFrame:
  """Returns the columns as numbers, null where broken; time in ns."""
  whole = pl.col("price").str.extract(r"^(\d{1,9})(?:\.\d+)?$").cast(pl.Int64)
  decimals = pl.col("price").str.extract(r"^\d+\.(\d+?)0*$").fill_null("")
  is_fine = decimals.str.len_chars() <= _DECIMALS
  part = decimals.str.pad_end(_DECIMALS, "0").cast(pl.Int64, strict=False)
  seconds = (
    pl.col("timestamp")
    .str.extract(r"^([^.]*)(?:\.\d{1,9})?$")
    .str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns", strict=False)
  )
  nanoseconds = (
    pl.col("timestamp")
    .str.extract(r"\.(\d+)$")
    .fill_null("")
    .str.pad_end(9, "0")
    .cast(pl.Int64, strict=False)
  )
  sides = {"true": types.Side.BID, "false": types.Side.ASK}
  return text.select(
    "ordtype",
    "is_buy",
    "price",
    uid=pl.col("uid").cast(pl.Int64, strict=False),
    side=pl.col("is_buy")
    .str.to_lowercase()
    .replace_strict(sides, default=None, return_dtype=pl.Int32),
    volume=pl.col("qty").cast(pl.Int64, strict=False),
    ticks=pl.when(is_fine).then(whole * 10**_DECIMALS + part),
    day=pl.col("timestamp").str.slice(0, 10),
    time=seconds.dt.timestamp("ns") + nanoseconds,
  )


def _check_rows(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises unless each row is well-formed."""
  volume, ticks, time = pl.col("volume"), pl.col("ticks"), pl.col("time")
  is_price = ticks.is_between(1, _PRICE_LIMIT, closed="left")
  ordtype = pl.col("ordtype")
  checks = {
    "ordtype is none of new, cancel, modif": ordtype.is_in(
      ["new", "cancel", "modif"]
    ),
    "uid is no whole number": pl.col("uid").is_not_null(),
    "qty is no whole number from 1 to 2**31": (volume > 0) & (volume < 2**31),
    "timestamp is no date and time": time.is_not_null(),
    "timestamp is of another day": pl.col("day") == pl.col("day").first(),
    "timestamp runs backwards": (time >= time.shift()).fill_null(True),
    "is_buy is not True or False": pl.col("side").is_not_null()
    | (~_IS_NEW & pl.col("is_buy").is_null()),
    "price is no number from 0.0001, on that grid, to 107374": (
      pl.col("price").is_null() | is_price
    ),
  }
  for reason, is_good in checks.items():
    tables.require(path, rows, is_good.fill_null(False), reason)
  if rows["ticks"].is_null().all():
    raise events.DataError(path, None, "no order has a price")


def _link(rows: pl.DataFrame) -> pl.DataFrame:
  """Gives each row the id, the side and the price of its order.

  Adds: own_side, the side that the row itself gives; price; change, of what is
  ordered and not taken off; first_type, of the order's first row; is_start.
  """
  ticks, is_bid = pl.col("ticks"), pl.col("side") == types.Side.BID
  worst = pl.when(is_bid).then(ticks.max()).otherwise(ticks.min())
  return rows.with_columns(
    own_side="side",
    price=ticks.fill_null(worst),
    order_id=_IS_NEW.cum_sum() - 1,
    first_type="ordtype",
    change=pl.when(_IS_NEW).then("volume").otherwise(-pl.col("volume")),
    is_start=_IS_NEW & (pl.col("time") == pl.col("time").first()),
  ).with_columns(
    pl.col("side", "price", "order_id", "first_type").first().over("uid")
  )


def _check_orders(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises unless orders are new once, keep what they are, and never grow."""
  was_cancelled = pl.col("ordtype").shift().over("uid") == "cancel"
  is_again = _IS_NEW & (pl.col("uid").cum_count().over("uid") > 1)
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
