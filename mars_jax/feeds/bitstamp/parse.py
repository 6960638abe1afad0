"""The rows of a Bitstamp capture, checked and linked."""

import polars as pl

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables

LOT_SIZE = 1e-6  # Bitcoin. The feed has 1e-8, which int32 cannot add up.
UNIT_SIZE = 1e-8  # Bitcoin, of the feed.
_MAX_UNSEEN = 1e-3  # Share of rows that may delete orders never created.
_DAY = 86_400_000  # Milliseconds.
_SCHEMA = {
  "id": pl.Int64,
  "exchange_timestamp": pl.Int64,
  "price": pl.Float64,
  "volume": pl.Float64,
  "action": pl.String,
  "direction": pl.String,
}
TRADE_SCHEMA = {
  "exchange_timestamp": pl.Int64,
  "price": pl.Float64,
  "amount": pl.Float64,
  "buy_order_id": pl.Int64,
  "sell_order_id": pl.Int64,
}
IS_FIRST = pl.col("row") == pl.col("born")  # The first row of its order.


def load(path: compressed.File) -> pl.DataFrame:
  """Reads the file; raises at the first malformed row."""
  rows = tables.read_csv(path, _SCHEMA)
  if rows.is_empty():
    raise events.DataError(path, None, "the file has no rows")
  price, volume = pl.col("price"), pl.col("volume")
  time = pl.col("exchange_timestamp")
  checks = {
    "a value is missing": ~pl.any_horizontal(pl.all().is_null()),
    "price is negative or no number": price.is_finite() & (price >= 0),
    "price is off the grid of 1 dollar": price == price.round(),
    "volume is negative or no number": volume.is_finite() & (volume >= 0),
    "exchange_timestamp runs backwards": time.diff().fill_null(0) >= 0,
    "exchange_timestamp is of another day; split the capture at midnight": (
      time // _DAY == time.first() // _DAY
    ),
    "action is none of created, changed, deleted": pl.col("action").is_in(
      ["created", "changed", "deleted"]
    ),
    "direction is not bid or ask": pl.col("direction").is_in(["bid", "ask"]),
  }
  for reason, is_good in checks.items():
    tables.require(path, rows, is_good, reason)
  return rows


def link(rows: pl.DataFrame) -> pl.DataFrame:
  """Links each row to its order.

  Adds: row; units, the remaining volume in 1e-8 bitcoin, and lots; units_before
  and lots_before, the same ahead of this row; born, the row that created the
  order; arriving, the row of the order created last, null once its time is
  over; and what follows from these.
  """
  is_created = pl.col("action") == "created"
  time = pl.col("exchange_timestamp")
  last = rows.filter(time == time.max())
  has_closing = len(last) > 1 and (last["action"] == "deleted").all()
  lots = (pl.col("units") * (UNIT_SIZE / LOT_SIZE)).round().cast(pl.Int64)
  return (
    rows.with_columns(
      row=pl.int_range(pl.len()),
      units=(pl.col("volume") / UNIT_SIZE).round().cast(pl.Int64),
      is_start=time == time.min(),
      is_closing=(time == time.max()) & has_closing,
    )
    .with_columns(
      lots=pl.when(pl.col("units") > 0).then(lots.clip(1)).otherwise(0)
    )
    .with_columns(
      units_before=pl.col("units").shift().over("id"),
      lots_before=pl.col("lots").shift().over("id"),
      born=pl.col("row").first().over("id"),
      arriving=pl.when(is_created).then("row").forward_fill(),
      arrived=pl.when(is_created).then(time).forward_fill(),
    )
    .with_columns(arriving=pl.when(pl.col("arrived") == time).then("arriving"))
    .with_columns(
      is_own=(pl.col("arriving") == pl.col("born")).fill_null(False)
    )
    .with_columns(
      is_fill=~pl.col("is_own")
      & pl.col("arriving").is_not_null()
      & (pl.col("units") < pl.col("units_before")).fill_null(False)
    )
  )


def check_orders(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises at the first row that contradicts earlier ones.

  Orders must be known, live once, keep their side and never grow.
  """
  is_created = pl.col("action") == "created"
  is_unseen = IS_FIRST & (pl.col("action") == "deleted")
  is_known = ~IS_FIRST | is_created
  grows = (pl.col("units") > pl.col("units_before")).fill_null(False)
  tables.require(
    path, rows, IS_FIRST | ~is_created, "the order is created twice"
  )
  tables.require(
    path, rows, is_known | is_unseen, "unknown order id is changed"
  )
  was_deleted = pl.col("action").shift().over("id") == "deleted"
  tables.require(
    path, rows, ~was_deleted.fill_null(False), "the order was deleted"
  )
  is_same = pl.col("direction") == pl.col("direction").first().over("id")
  tables.require(path, rows, is_same, "the order changes its direction")
  tables.require(path, rows, ~grows | pl.col("is_own"), "the order grows")
  if rows.select(is_unseen.mean()).item() > _MAX_UNSEEN:
    reason = "unknown order id is deleted, as in over one row of a thousand"
    tables.require(path, rows, is_known, reason)
