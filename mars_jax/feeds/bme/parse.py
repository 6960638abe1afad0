"""The rows of a BME file as checked columns."""

import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables

_DECIMALS = 4  # Of a price in ticks.
_SCHEMA = dict.fromkeys(
  ("ordtype", "uid", "is_buy", "qty", "price", "timestamp"), pl.String
)
IS_NEW = pl.col("ordtype") == "new"


def load(path: compressed.File) -> pl.DataFrame:
  """Reads the columns as text."""
  rows = tables.read_csv(path, _SCHEMA, separator=";")
  if rows.is_empty():
    raise events.DataError(path, None, "the file has no rows")
  return rows


def parse(text: pl.DataFrame) -> pl.DataFrame:
  """Returns the columns as numbers, null where broken.

  Adds `ticks`, the price, `day`, and `time` in nanoseconds.
  """
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


def check(path: compressed.File, rows: pl.DataFrame) -> None:
  """Raises at the first malformed row."""
  volume, ticks, time = pl.col("volume"), pl.col("ticks"), pl.col("time")
  is_price = ticks.is_between(1, types.MAX_PRICE)
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
    | (~IS_NEW & pl.col("is_buy").is_null()),
    "price is no number from 0.0001, on that grid, to 107374": (
      pl.col("price").is_null() | is_price
    ),
  }
  for reason, is_good in checks.items():
    tables.require(path, rows, is_good.fill_null(False), reason)
  if rows["ticks"].is_null().all():
    raise events.DataError(path, None, "no order has a price")
