"""Level-2 feeds of the Chinese exchanges, for `sse` and `szse`."""

import collections
import collections.abc
import dataclasses
import pathlib

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import tables

_CODE = "SecurityID"  # The column of the instrument.
_NOISE = 1e-4  # Ticks.
_PENDING = 2**27  # Bytes that `split` holds before it writes.
TICK_SIZE = 0.01  # Yuan.
LOT_SIZE = 1.0  # Shares.


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of a file, with their numbers there in `row`."""

  file: compressed.File
  rows: pl.DataFrame

  def require(self, is_good: pl.Expr, reason: str) -> None:
    """Raises DataError at the first row that is not good."""
    bad = self.rows.filter(~is_good)["row"]
    if len(bad):
      raise events.DataError(self.file, bad[0], reason)

  def replace(self, **columns: pl.Expr) -> "Table":
    """Returns a table with some columns new."""
    return Table(self.file, self.rows.with_columns(**columns))

  def decoded(
    self, name: str, column: str, codes: collections.abc.Mapping[str, int]
  ) -> "Table":
    """Returns a table with a column's codes as numbers.

    Args:
      name: of the column here.
      column: of the column in the file.
      codes: {code: number}, all that there may be.
    """
    code = pl.col(name)
    reason = f"{column} is none of {', '.join(codes)}"
    self.require(code.is_in(list(codes)).fill_null(False), reason)
    numbers = code.replace_strict(codes, return_dtype=pl.Int64)
    return self.replace(**{name: numbers})

  def in_ticks(self, name: str, tick_size: float = TICK_SIZE) -> "Table":
    """Rounds prices to ticks; raises if off the grid."""
    ticks = pl.col(name) / tick_size
    is_good = (ticks - ticks.round()).abs() < _NOISE
    is_good &= ticks.round() <= types.MAX_PRICE
    reason = f"price is off the grid of {tick_size} yuan, or too large"
    self.require(is_good.fill_null(True), reason)
    return self.replace(**{name: ticks.round().cast(pl.Int64)})


def find(
  path: pathlib.Path | str, layouts: collections.abc.Mapping[str, str]
) -> tuple[compressed.File, compressed.File, list[compressed.File]]:
  """Finds the files of orders and trades of a day.

  Args:
    path: a zip or a folder with both, or the file of orders, beside that of
      trades; each plain or compressed. The trades to a `*_orders.zip` may be in
      the `*_trades.zip` beside it.
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


def instruments(orders: compressed.File, suffix: str) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted.

  Args:
    orders: the file.
    suffix: of the exchange, which codes may have, as ".SH".
  """
  codes = tables.distinct(orders, _CODE)
  return tuple(sorted({code.removesuffix(suffix) for code in codes}))


def choose(
  path: compressed.File,
  there: collections.abc.Collection[str],
  instrument: str | None,
) -> str:
  """Returns the requested instrument, or the only one."""
  if not there:
    raise events.DataError(path, None, "there is no order in it")
  if instrument is None and len(there) == 1:
    return next(iter(there))
  if instrument not in there:
    problem = "several" if instrument is None else f"no {instrument}"
    reason = f"{problem} among the instruments {', '.join(there)}"
    raise events.DataError(path, None, reason)
  return instrument


def split(
  files: collections.abc.Sequence[compressed.File],
  folder: pathlib.Path | str,
  instruments: collections.abc.Collection[str] | None,
  day: str,
) -> list[pathlib.Path]:
  """Writes a folder for each instrument, in one pass.

  Its files have the names of those that are split, without what compresses
  them, and read like the whole.

  Args:
    files: that of orders, then the others; none is in memory as a whole.
    folder: where to write; it is made if need be.
    instruments: which; by default all that have orders.
    day: the date, for the names of the folders; empty if the files have it.

  Returns:
    The folders, such as `600519_2023-02-01`, sorted.

  Raises:
    events.DataError: a file is broken, or an instrument has no orders.
  """
  folder = pathlib.Path(folder)
  wanted = None if instruments is None else set(instruments)
  for index, file in enumerate(files):
    found = set()
    for code, lines in _rows_by_instrument(file, wanted):
      own = folder / "_".join(filter(None, (code, day)))
      own.mkdir(parents=True, exist_ok=True)
      with (own / compressed.plain_name(file)).open("ab") as target:
        target.write(lines)
      found.add(code)
    if index == 0:
      if missing := (wanted or found) - found:
        reason = f"no {', '.join(sorted(missing))} among the instruments"
        raise events.DataError(file, None, f"{reason} {', '.join(found)}")
      wanted = found
  return sorted(folder.iterdir())


def _rows_by_instrument(file, wanted):
  """Yields (instrument, lines), the first ones with the header.

  Args:
    file: a CSV file.
    wanted: whose lines to keep; None for all.
  """
  with compressed.open_binary(file) as lines:
    header = lines.readline()
    names = header.decode("utf-8-sig", "replace").strip().split(",")
    if _CODE not in names:
      raise events.DataError(file, 1, f'unable to find column "{_CODE}"')
    place = names.index(_CODE)
    pending, seen, size = collections.defaultdict(list), set(), 0
    for row, line in enumerate(lines, tables.FIRST_ROW):
      fields = line.split(b",", place + 1)
      if len(fields) <= place or b'"' in line:
        reason = "the row has a quotation mark, or too few columns"
        raise events.DataError(file, row, reason)
      code = fields[place].decode("ascii", "replace").partition(".")[0].strip()
      if wanted is not None and code not in wanted:
        continue
      if code not in seen:
        seen.add(code)
        pending[code].append(header)
      pending[code].append(line)
      size += len(line)
      if size > _PENDING:
        yield from ((code, b"".join(part)) for code, part in pending.items())
        pending.clear()
        size = 0
    yield from ((code, b"".join(part)) for code, part in pending.items())


def follow(changes: pl.DataFrame) -> pl.DataFrame:
  """Follows each order through its changes.

  Args:
    changes: arrivals, trades and cancels by sequence number, an order's arrival
      first, with the columns order, side, price and change (lots, signed).

  Returns:
    The rows, with what their order arrived with, order_side and limit, and what
    each change leaves of it, remaining.
  """
  return changes.with_columns(
    order_side=pl.col("side").first().over("order"),
    limit=pl.col("price").first().over("order"),
    remaining=pl.col("change").cum_sum().over("order"),
  )


def num_events(rows: pl.DataFrame, stream: pl.DataFrame) -> np.ndarray:
  """Returns the number of events up to each row, `[M]`."""
  return stream["sequence"].search_sorted(rows["sequence"], "right").to_numpy()


def to_trades(
  rows: pl.DataFrame,
  is_auction: pl.Series,
  stream: pl.DataFrame,
  ids: pl.DataFrame,
) -> events.Trades:
  """Returns trades with the events that made them.

  Args:
    rows: the trades, with the columns sequence, bid, ask, price and volume.
    is_auction: whether a call auction made each.
    stream: the events, with the column sequence.
    ids: the orders, with the columns order and order_id.
  """
  bid_id, ask_id = (
    rows.select(order=name)
    .join(ids, on="order", how="left", maintain_order="left")["order_id"]
    .to_numpy()
    .astype(np.int32)
    for name in ("bid", "ask")
  )
  is_auction = is_auction.to_numpy()
  return events.Trades(
    event=num_events(rows, stream).astype(np.int64) - ~is_auction,
    is_auction=is_auction,
    bid_id=bid_id,
    ask_id=ask_id,
    price=rows["price"].to_numpy().astype(np.int32),
    volume=rows["volume"].to_numpy().astype(np.int32),
  )


def to_stream(
  stream: pl.DataFrame, *, tick_size: float = TICK_SIZE, **fields
) -> events.EventStream:
  """Returns a table of market events as arrays.

  Args:
    stream: the columns time, kind, side, price, volume and order_id.
    tick_size: in yuan.
    **fields: the others of `events.EventStream`.
  """
  columns = ("kind", "side", "price", "volume", "order_id")
  return events.EventStream(
    time=stream["time"].to_numpy(),
    **{c: stream[c].to_numpy().astype(np.int32) for c in columns},
    is_market_event=np.ones(len(stream), bool),
    tick_size=tick_size,
    lot_size=LOT_SIZE,
    **fields,
  )
