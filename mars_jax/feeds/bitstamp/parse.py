"""The rows of a Bitstamp capture, checked and linked."""

import functools

import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables

LOT_SIZE = 1e-6  # Bitcoin. The feed has 1e-8, which int32 cannot add up.
UNIT_SIZE = 1e-8  # Bitcoin, of the feed.
_MAX_UNSEEN = 1e-3  # Share of rows that may delete orders never created.
_MAX_VOLUME = 2**53 * UNIT_SIZE  # Whole units beyond are not exact.
_MANY_COINS = 10_000  # No order has so many as half of the orders.
_MAX_DECIMALS = 8  # Of a price.
_NOISE = 1e-13  # Of floating point, as a share of the price.
DAY = 86_400_000  # Milliseconds.
_TIME_SCHEMA = {
  "id": pl.Int64,
  "timestamp": pl.Int64,
  "exchange_timestamp": pl.Int64,
}
_SCHEMA = {
  **_TIME_SCHEMA,
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
_require = functools.partial(tables.require, row="file_row")


def load(
  path: compressed.File, tick_size: float | None = None
) -> tuple[pl.DataFrame, float]:
  """Reads the file; raises at the first malformed row.

  Args:
    path: of the capture.
    tick_size: price of one tick; found in the prices if None (`find_tick`).

  Returns:
    The rows, their prices in ticks, and the price of one. Added: file_row, the
    number of the row in the file; clock, the latest exchange time so far.
  """
  rows = _read(path, _SCHEMA).rename({"row": "file_row"})
  price, volume = pl.col("price"), pl.col("volume")
  checks = {
    "a value is missing": ~pl.any_horizontal(pl.all().is_null()),
    "price is negative or no number": price.is_finite() & (price >= 0),
    "volume is negative or no number": volume.is_finite() & (volume >= 0),
    "action is none of created, changed, deleted": pl.col("action").is_in(
      ["created", "changed", "deleted"]
    ),
    "direction is not bid or ask": pl.col("direction").is_in(["bid", "ask"]),
  }
  for reason, is_good in checks.items():
    _require(path, rows, is_good, reason)
  if _is_in_units(rows["volume"]):
    rows = rows.with_columns(volume=volume * UNIT_SIZE)
  _require(path, rows, volume < _MAX_VOLUME, "volume is too large")
  tick_size = tick_size or find_tick(rows["price"])
  ticks = in_ticks(tick_size)
  reason = f"price is off the grid of {tick_size:g}, or too large"
  _require(path, rows, ticks.is_not_null(), reason)
  return _with_clock(rows.with_columns(price=ticks)), tick_size


def load_clock(path: compressed.File) -> pl.Series:
  """Returns the clock of each row, in milliseconds."""
  return _with_clock(_read(path, _TIME_SCHEMA).drop_nulls())["clock"]


def _read(path, schema):
  """Reads columns of a file that has rows."""
  rows = tables.read_csv(path, schema, optional=("timestamp",))
  if rows.is_empty():
    raise events.DataError(path, None, "the file has no rows")
  if "timestamp" not in rows.columns:
    rows = rows.with_columns(timestamp=pl.lit(0, pl.Int64))
  return rows


def _with_clock(rows: pl.DataFrame) -> pl.DataFrame:
  """Adds the clock, the latest exchange time so far.

  Where exchange times step back, and all rows of an order have the same, that
  is when it was created: the times of receipt are taken in their place.
  """
  time = pl.col("exchange_timestamp")
  is_back = (time.diff() < 0).any()
  is_of_order = (time == time.first().over("id")).all()
  if rows.select(
    is_back & is_of_order & (pl.col("timestamp") > 0).all()
  ).item():
    rows = rows.with_columns(exchange_timestamp="timestamp")
  return rows.with_columns(clock=time.cum_max())


def add_start(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
  """Adds the orders that rested as a capture began.

  Of a capture that does not begin with many rows at one time, that is. An order
  whose first row does not create it rested at the start, with what it has in
  that row; what a delete with volume 0 had is not known.

  Returns:
    The rows, and how many orders were added.
  """
  is_first = pl.int_range(pl.len()).over("id") == 0
  is_unseen = is_first & (pl.col("action") != "created")
  clock = pl.col("clock")
  if len(rows.filter(clock == clock.first())) > 1:
    return rows, 0
  start = (
    rows.filter(is_unseen)
    .filter(pl.col("volume") > 0)
    .with_columns(
      action=pl.lit("created"),
      exchange_timestamp=pl.lit(rows["clock"][0]),
      clock=pl.lit(rows["clock"][0]),
    )
  )
  return pl.concat([start.sort("id"), rows]), len(start)


def _is_in_units(volumes: pl.Series) -> bool:
  """Returns whether volumes are in units, as of R.

  They are if all are whole and half of those above 0 are 10,000 or more.
  """
  volumes = volumes.filter(volumes > 0)
  is_whole = bool((volumes == volumes.round()).all())
  return is_whole and (volumes.median() or 0) >= _MANY_COINS


def find_tick(prices: pl.Series) -> float:
  """Returns the largest of 1, 0.1, 0.01, ... that divides all prices."""
  table = prices.to_frame("price")
  for decimals in range(_MAX_DECIMALS):
    tick = 1 / 10**decimals
    if table.select(in_ticks(tick).is_not_null().all()).item():
      return tick
  return 1 / 10**_MAX_DECIMALS


def in_ticks(tick_size: float) -> pl.Expr:
  """Returns the prices in ticks, null off their grid.

  Prices may have the noise of floating point: 201.39000000000001.
  """
  ticks = pl.col("price") / tick_size
  is_near = (ticks - ticks.round()).abs() <= _NOISE * ticks
  is_good = is_near & (ticks <= types.MAX_PRICE_INT64)
  return pl.when(is_good).then(ticks.round().cast(pl.Int64, strict=False))


def settle_late(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
  """Settles rows that came later than others of their order.

  A row of an earlier exchange time than one before it of its order may say more
  than is left of the order, or come after its delete: it says nothing then, and
  is dropped; but a delete takes what is left. So are rows after a delete where
  they are one in a thousand or fewer, whatever their time. An order that was
  deleted before it was created has come and gone: its rows are dropped.

  Returns:
    The rows, and the counts `clock_steps` and `late_rows`; see the reader.
  """
  was_over = (pl.col("action").first() == "deleted").over("id")
  is_created = (pl.col("action") == "created").any().over("id")
  num_before = len(rows)
  rows = rows.filter(~(was_over & is_created))
  time, volume = pl.col("exchange_timestamp"), pl.col("volume")
  is_delete = pl.col("action") == "deleted"
  is_late = time < time.cum_max().over("id")
  is_rare = len(rows.filter(_was_deleted())) <= _MAX_UNSEEN * num_before
  rows = rows.with_columns(
    is_over=(is_late | is_rare) & _was_deleted(),
    left=pl.when(is_late).then(volume.cum_min().over("id")).otherwise(volume),
  )
  is_odd = pl.col("is_over") | (pl.col("left") < volume)
  counts = rows.select(
    clock_steps=(time < pl.col("clock")).sum(),
    late_rows=is_odd.sum() + num_before - len(rows),
  )
  is_kept = ~is_odd | (is_delete & ~pl.col("is_over"))
  rows = rows.filter(is_kept).with_columns(volume="left")
  return rows.drop("is_over", "left"), counts.row(0, named=True)


def _was_deleted() -> pl.Expr:
  """Returns whether an earlier row deletes a row's order."""
  is_delete = (pl.col("action") == "deleted").shift().over("id")
  return is_delete.fill_null(False).cum_max().over("id")


def link(rows: pl.DataFrame) -> pl.DataFrame:
  """Links each row to its order.

  Adds: row; units, the remaining volume in 1e-8 bitcoin, and lots; units_before
  and lots_before, the same ahead of this row; born, the row that created the
  order; arriving, the row of the order created last, null once its time and its
  fills are over; and what follows from these.
  """
  clock, time = pl.col("clock"), pl.col("exchange_timestamp")
  last = rows.filter(time == time.max())
  has_closing = len(last) > 1 and (last["action"] == "deleted").all()
  lots = (pl.col("units") * (UNIT_SIZE / LOT_SIZE)).round().cast(pl.Int64)
  is_less = (pl.col("units") < pl.col("units_before")).fill_null(False)
  return (
    rows.with_columns(
      row=pl.int_range(pl.len()),
      units=(pl.col("volume") / UNIT_SIZE).round().cast(pl.Int64),
      is_start=clock == clock.first(),
      is_closing=(time == time.max()) & has_closing,
    )
    .with_columns(
      lots=pl.when(pl.col("units") > 0).then(lots.clip(1)).otherwise(0)
    )
    .with_columns(
      units_before=pl.col("units").shift().over("id"),
      lots_before=pl.col("lots").shift().over("id"),
      born=pl.col("row").first().over("id"),
      since=_of_last_created(pl.col("row")),
    )
    .with_columns(is_hit=_is_hit() & is_less)
    .with_columns(arriving=pl.when(_is_arriving()).then("since"))
    .with_columns(
      is_own=(pl.col("arriving") == pl.col("born")).fill_null(False)
    )
    .with_columns(
      is_fill=~pl.col("is_own") & pl.col("arriving").is_not_null() & is_less
    )
  )


def _of_last_created(column: pl.Expr) -> pl.Expr:
  """Returns a column's value where the last order was created."""
  return pl.when(pl.col("action") == "created").then(column).forward_fill()


def _is_hit() -> pl.Expr:
  """Returns whether the order created last crosses a row's order."""
  side, price = pl.col("direction"), pl.col("price")
  limit = _of_last_created(price)
  reaches = (
    pl.when(side == "ask").then(price <= limit).otherwise(price >= limit)
  )
  return reaches & (side != _of_last_created(side))


def _is_arriving() -> pl.Expr:
  """Returns whether a row is of the last order's arrival.

  That is so at its time, and in the rows from there on that are its fills, of
  its volume in all, or its own, up to its last fill: that is the delete with
  volume 0, or before.
  """
  clock, units, is_hit = pl.col("clock"), pl.col("units"), pl.col("is_hit")
  is_own = pl.col("born") == pl.col("since")
  is_delete = is_own & (pl.col("action") == "deleted")
  taken = pl.when(is_hit).then(pl.col("units_before") - units).otherwise(0)
  is_within = taken.cum_sum().over("since") <= _of_last_created(units)
  end = pl.when(is_delete).then(clock).max().over("since")
  is_within &= (clock <= end).fill_null(True)
  is_part = is_own | (is_hit & is_within)
  is_chained = is_part.cast(pl.Int8).cum_min().over("since") == 1
  hit_clock = pl.when(is_chained & is_hit).then(clock).max().over("since")
  is_fill = (clock <= hit_clock) | (is_delete & (units == 0))
  is_later = is_chained & is_fill & hit_clock.is_not_null()
  return (clock == _of_last_created(clock)) | is_later.fill_null(False)


def check_orders(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises at the first row that contradicts earlier ones.

  Orders must be known, live once, keep their side and never grow.
  """
  is_created = pl.col("action") == "created"
  is_unseen = IS_FIRST & (pl.col("action") == "deleted")
  is_known = ~IS_FIRST | is_created
  grows = (pl.col("units") > pl.col("units_before")).fill_null(False)
  _require(path, rows, IS_FIRST | ~is_created, "the order is created twice")
  _require(path, rows, is_known | is_unseen, "unknown order id is changed")
  was_deleted = pl.col("action").shift().over("id") == "deleted"
  _require(path, rows, ~was_deleted.fill_null(False), "the order was deleted")
  is_same = pl.col("direction") == pl.col("direction").first().over("id")
  _require(path, rows, is_same, "the order changes its direction")
  _require(path, rows, ~grows | pl.col("is_own"), "the order grows")
  if rows.select(is_unseen.mean()).item() > _MAX_UNSEEN:
    reason = (
      "unknown order id is deleted, as in over one row of a thousand: the"
      " capture does not begin with the orders that rest then"
    )
    _require(path, rows, is_known, reason)
