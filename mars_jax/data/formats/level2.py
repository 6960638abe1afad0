"""What the readers of the Chinese exchanges' level-2 feeds share."""

import collections.abc
import dataclasses
import pathlib

import polars as pl

from mars_jax.data import events
from mars_jax.data.formats import compressed

_NOISE = 1e-4  # Ticks.
_PRICE_LIMIT = 2**30  # Ticks, of `lob`.


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of a file, with the number of each in `row`, to point at."""

  file: compressed.File
  rows: pl.DataFrame

  def require(self, is_good: pl.Expr, reason: str) -> None:
    """Raises at the first row that is not good."""
    bad = self.rows.filter(~is_good)["row"]
    if len(bad):
      raise events.DataError(self.file, bad[0], reason)

  def replace(self, **columns: pl.Expr) -> "Table":
    """Returns a table with some columns new."""
    return Table(self.file, self.rows.with_columns(**columns))

  def in_ticks(self, name: str, tick_size: float) -> "Table":
    """Rounds prices to ticks, by which only the noise of floats may be lost."""
    ticks = pl.col(name) / tick_size
    is_good = ((ticks - ticks.round()).abs() < _NOISE) & (ticks < _PRICE_LIMIT)
    reason = f"price is off the grid of {tick_size} yuan, or too large"
    self.require(is_good.fill_null(True), reason)
    return self.replace(**{name: ticks.round().cast(pl.Int64)})


def find(
  path: pathlib.Path | str, layouts: collections.abc.Mapping[str, str]
) -> tuple[compressed.File, compressed.File, list[compressed.File]]:
  """Finds the files of orders and of trades of a day, plain or compressed.

  Args:
    path: a zip or a folder with both, or the file of orders, beside that of
      trades. The trades to a `*_orders.zip` may be in the `*_trades.zip`
      beside it.
    layouts: {name of a file of orders: name of its file of trades}.

  Returns:
    The two, and all files that lie with them.

  Raises:
    events.DataError: there is no such pair, or more than one.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise events.DataError(path, None, "no such file or folder")
  given = found = compressed.members(path)
  is_one = path.is_file() and compressed.plain_name(path) in layouts
  if path.is_file() and compressed.is_zip(path) and not is_one:
    trades = path.with_name(path.name.replace("_orders", "_trades"))
    found = given if trades == path else given + compressed.members(trades)
  elif path.is_file():
    found = compressed.members(path.parent)
  names = [compressed.plain_name(file) for file in found]
  given = {compressed.plain_name(file) for file in given}
  present = [name for name in layouts if name in given]
  if len(present) != 1:
    reason = f"{len(present)} files of orders ({' or '.join(layouts)}), not one"
    raise events.DataError(path, None, reason)
  pair = present[0], layouts[present[0]]
  if pair[1] not in names:
    raise events.DataError(path, None, f"there is no {pair[1]} with it")
  for name in pair:
    if names.count(name) > 1:
      raise events.DataError(path, None, f"there are several {name}")
  orders, trades = (found[names.index(name)] for name in pair)
  return orders, trades, found


def choose(
  path: compressed.File,
  there: collections.abc.Collection[str],
  instrument: str | None,
) -> str:
  """Returns the instrument asked for, or the only one that there is."""
  if not there:
    raise events.DataError(path, None, "there is no order in it")
  if instrument is None and len(there) == 1:
    return next(iter(there))
  if instrument not in there:
    problem = "several" if instrument is None else f"no {instrument}"
    reason = f"{problem} among the instruments {', '.join(there)}"
    raise events.DataError(path, None, reason)
  return instrument
