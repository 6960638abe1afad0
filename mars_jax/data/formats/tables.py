"""What the readers of CSV files share."""

import pathlib

import polars as pl

from mars_jax.data import events

FIRST_ROW = 2  # Of the data, in a file with a header, counted from one.


def require(
  path: pathlib.Path, rows: pl.DataFrame, is_good: pl.Expr, reason: str
) -> None:
  """Raises DataError at the first row of a whole file that is not good."""
  bad = rows.select((~is_good).arg_true()).to_series()
  if len(bad):
    raise events.DataError(path, bad[0] + FIRST_ROW, reason)
