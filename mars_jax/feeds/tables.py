"""CSV files as checked tables, for the readers."""

import collections.abc
import contextlib
import csv
import io

import polars as pl

from mars_jax.feeds import compressed
from mars_jax.feeds import events

FIRST_ROW = 2  # Of the data, in a file with a header, counted from one.
_ROW = "row of the file"  # No name of a column.
_KINDS = {pl.Int64: "whole number", pl.Float64: "number"}


def require(
  path: compressed.File,
  rows: pl.DataFrame,
  is_good: pl.Expr,
  reason: str,
  *,
  row: str | None = None,
) -> None:
  """Raises DataError at the first invalid row.

  Args:
    path: of the file.
    rows: to check.
    is_good: whether each is valid.
    reason: why one is not.
    row: the column with the numbers of the rows in the file; None if they are
      all of the file, in its order.
  """
  number = pl.col(row) if row else FIRST_ROW + pl.int_range(pl.len())
  bad = rows.select(number.filter(~is_good)).to_series()
  if len(bad):
    raise events.DataError(path, bad[0], reason)


def read_csv(
  path: compressed.File,
  types: collections.abc.Mapping[str, type[pl.DataType]],
  *,
  separator: str = ",",
  optional: collections.abc.Collection[str] = (),
  is_kept: pl.Expr | None = None,
) -> pl.DataFrame:
  """Reads columns of a CSV file with a header.

  The file may be compressed. It streams: only the rows kept are ever in memory.
  Its text may be of any encoding that extends ASCII; what is not UTF-8 is
  replaced.

  Args:
    path: the file, or one in a zip.
    types: String, Int64 or Float64 by the names of the columns; R writes a dot
      for the underscore of a name, which is read as the same.
    separator: of the columns.
    optional: those of the columns that may be absent.
    is_kept: the rows to return, by the columns as text; None for all.

  Returns:
    `row`, the number of a row in the file, counted with the header from one;
    and the columns that there are, null where a field is empty.

  Raises:
    events.DataError: if the file cannot be read or a column is absent; or, with
      its row, if a row has more fields than the header, or one that is kept has
      something else than a number where one should be.
  """
  required = [name for name in types if name not in optional]
  with _scanned(path, required, separator) as scan:
    names = scan.collect_schema().names()
    dotted = {name.replace("_", "."): name for name in types}
    scan = scan.rename({name: dotted[name] for name in dotted if name in names})
    rows = scan.with_row_index(_ROW, FIRST_ROW)
    if is_kept is not None:
      rows = rows.filter(is_kept)
    # Of all columns, without which too many fields would go unseen.
    text = rows.collect(engine="streaming")
  return _parse(path, text, types)


def distinct(path: compressed.File, column: str) -> list[str]:
  """Returns the distinct values of a column, sorted, as text.

  The file is read, and errors are raised, as by `read_csv`.
  """
  with _scanned(path, [column]) as scan:
    values = scan.select(pl.col(column).drop_nulls().unique())
    return values.collect(engine="streaming")[column].sort().to_list()


@contextlib.contextmanager
def _scanned(
  path: compressed.File,
  required: collections.abc.Iterable[str],
  separator: str = ",",
) -> collections.abc.Iterator[pl.LazyFrame]:
  """Gives the text of a file, lazily; errors are DataError."""
  try:
    with compressed.extracted(path) as plain:
      scan = pl.scan_csv(
        plain,
        separator=separator,
        infer_schema=False,
        encoding="utf8-lossy",
        glob=False,
      )
      names = scan.collect_schema().names()
      for name in required:
        if name not in names and name.replace("_", ".") not in names:
          reason = f'unable to find column "{name}"'
          raise events.DataError(path, None, reason)
      yield scan
  except pl.exceptions.NoDataError as error:
    raise events.DataError(path, None, "empty file") from error
  except pl.exceptions.PolarsError as error:
    _raise_fault(path, separator, error)


def _parse(path, text, types):
  """Parses the columns; raises at the first invalid number."""
  types = {name: kind for name, kind in types.items() if name in text.columns}
  text = text.select(pl.col(_ROW).alias("row"), *types)
  rows = text.cast(types, strict=False)
  for name, kind in types.items():
    bad = text.filter(rows[name].is_null() & text[name].is_not_null())
    if len(bad):
      reason = f"{name} {bad[name][0]!r} is no {_KINDS[kind]}"
      raise events.DataError(path, bad["row"][0], reason)
  return rows


def _raise_fault(path, separator, error):
  """Raises at the first row of too many fields.

  If there is none, the reason is that of polars.
  """
  with compressed.open_binary(path) as source:
    text = io.TextIOWrapper(source, "utf-8", "replace", newline="")
    lines = csv.reader(text, delimiter=separator)
    with contextlib.suppress(csv.Error):
      width = len(next(lines))
      for row, fields in enumerate(lines, FIRST_ROW):
        if len(fields) > width:
          reason = f"{len(fields)} columns, expected {width}"
          raise events.DataError(path, row, reason) from error
  reason = str(error).split("\n")[0]
  raise events.DataError(path, None, reason) from error
