"""The files of a Shanghai Stock Exchange level-2 feed as checked tables.

The exchange (LDDS level-2 interface specification, order and trade messages)
gives every order and every trade of a channel a sequence number; together they
are all that happened. Vendors write them as CSV files with a header, here in
two layouts, told apart by the names of their files:

            entrust.csv, trade.csv         SHorders.csv, SHtrans.csv
  sequence  BizIndex                       ApplSeqNum
  time      OrderTime, TradTime            MDTime; both HH:MM:SS.mmm
  kind      OrderType A add, D delete      OrderType 2 add, 10 delete
  order     OrderNO                        OrderNO
  side      OrderBSFlag B buy, S sell      OrderBSFlag 1 buy, 2 sell
  price     OrderPrice, TradPrice (yuan)   OrderPrice, TradePrice
  volume    Balance, TradVolume (shares)   OrderQty, TradeQty
  bid, ask  TradeBuyNo, TradeSellNo        TradeBuyNo, TradeSellNo
  taker     TradeBSFlag B, S, N            TradeBSFlag 1, 2, 0

The taker is the side that came later; the last letter marks the trades of a
call auction. Beside the first layout may lie `snapshot.csv`, the ten best
levels of each side about every three seconds. One tick is 0.01 yuan, one lot
one share.
"""

import collections.abc
import dataclasses
import io
import pathlib
import re
import zipfile
import zlib

import polars as pl

from mars_jax import types
from mars_jax.data import events
from mars_jax.data.formats import tables

TICK_SIZE = 0.01  # Yuan.
LOT_SIZE = 1.0  # Shares.
AUCTION = -1  # The `taker` of a trade that a call auction made.
NUM_LEVELS = 10  # Of a snapshot.
File = pathlib.Path | zipfile.Path

_NOISE = 1e-4  # Ticks.
_PRICE_LIMIT = 2**30  # Ticks, of `lob`.
_KINDS = {
  **{"A": types.OrderKind.LIMIT, "D": types.OrderKind.CANCEL},
  **{"2": types.OrderKind.LIMIT, "10": types.OrderKind.CANCEL},
}
_SIDES = {
  **{"B": types.Side.BID, "S": types.Side.ASK},
  **{"1": types.Side.BID, "2": types.Side.ASK},
}
_CODES = {
  "kind": _KINDS,
  "side": _SIDES,
  "taker": _SIDES | {"N": AUCTION, "0": AUCTION},
}
# Ours: theirs, by layout.
_ORDERS = {
  "entrust.csv": {
    **{"instrument": "SecurityID", "sequence": "BizIndex"},
    **{"time": "OrderTime", "kind": "OrderType", "order": "OrderNO"},
    **{"side": "OrderBSFlag", "price": "OrderPrice", "volume": "Balance"},
  },
  "SHorders.csv": {
    **{"instrument": "SecurityID", "sequence": "ApplSeqNum"},
    **{"time": "MDTime", "kind": "OrderType", "order": "OrderNO"},
    **{"side": "OrderBSFlag", "price": "OrderPrice", "volume": "OrderQty"},
  },
}
_TRADES = {
  "trade.csv": {
    **{"instrument": "SecurityID", "sequence": "BizIndex"},
    **{"time": "TradTime", "bid": "TradeBuyNo", "ask": "TradeSellNo"},
    **{"taker": "TradeBSFlag", "price": "TradPrice", "volume": "TradVolume"},
  },
  "SHtrans.csv": {
    **{"instrument": "SecurityID", "sequence": "ApplSeqNum"},
    **{"time": "MDTime", "bid": "TradeBuyNo", "ask": "TradeSellNo"},
    **{"taker": "TradeBSFlag", "price": "TradePrice", "volume": "TradeQty"},
  },
}
_SNAPSHOT_FILE = "snapshot.csv"
_SNAPSHOTS = {
  **{"instrument": "SecurityID", "time": "UpdateTime"},
  **{"status": "InstruStatus", "num_trades": "TradNumber"},
  **{"ask_total": "TotalAskVol", "bid_total": "TotalBidVol"},
  **{"previous_close": "PreCloPrice"},
}
# `[2, L]` by `types.Side`.
PRICES, VOLUMES = (
  [
    [f"{side}{what}{level}" for level in range(1, NUM_LEVELS + 1)]
    for side in ("Ask", "Bid")
  ]
  for what in ("Price", "Volume")
)
_TYPES = {
  **dict.fromkeys(("instrument", "time", "status", *_CODES), pl.String),
  **dict.fromkeys(
    ("price", "previous_close", *PRICES[0], *PRICES[1]), pl.Float64
  ),
}  # The others are integers.


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of a file, with the number of each in `row`, to point at."""

  file: File
  rows: pl.DataFrame

  def require(self, is_good: pl.Expr, reason: str) -> None:
    """Raises at the first row that is not good."""
    bad = self.rows.filter(~is_good)["row"]
    if len(bad):
      raise events.DataError(self.file, bad[0], reason)

  def replace(self, **columns: pl.Expr) -> "Table":
    """Returns a table with some columns new."""
    return Table(self.file, self.rows.with_columns(**columns))


@dataclasses.dataclass(frozen=True)
class Files:
  """The files of a day; the snapshots may be missing."""

  orders: File
  trades: File
  snapshots: File | None

  @property
  def day(self) -> str:
    """The last date in the path of the orders, if any."""
    days = re.findall(r"(20\d\d)-?(\d\d)-?(\d\d)", str(self.orders))
    return "-".join(days[-1]) if days else ""


def find(path: pathlib.Path | str) -> Files:
  """Returns the files of a day; argument and errors are those of `sse.read`."""
  path = pathlib.Path(path)
  if not path.exists():
    raise events.DataError(path, None, "no such file or folder")
  if path.suffix == ".zip":
    paths = {path, path.with_name(path.name.replace("_orders", "_trades"))}
    found = [file for archive in sorted(paths) for file in _members(archive)]
  else:
    folder = path if path.is_dir() else path.parent
    found = sorted(folder.glob("*.csv"))
  files = {file.name: file for file in found}
  has_many = path.suffix == ".zip" or path.is_dir()
  given = set(files) if has_many else {path.name}
  layouts = [
    pair
    for pair in zip(_ORDERS, _TRADES, strict=True)
    if pair[0] in given & set(files)
  ]
  if len(layouts) != 1:
    reason = f"{len(layouts)} files of orders ({' or '.join(_ORDERS)}), not one"
    raise events.DataError(path, None, reason)
  order_name, trade_name = layouts[0]
  if trade_name not in files:
    raise events.DataError(path, None, f"there is no {trade_name} with it")
  names = [file.name for file in found]
  for name in (order_name, trade_name, _SNAPSHOT_FILE):
    if names.count(name) > 1:
      raise events.DataError(path, None, f"there are several {name}")
  return Files(files[order_name], files[trade_name], files.get(_SNAPSHOT_FILE))


def _members(path):
  """Returns the files in an archive."""
  try:
    archive = zipfile.ZipFile(path)
  except (zipfile.BadZipFile, OSError) as error:
    raise events.DataError(path, None, f"no zip file: {error}") from error
  return [zipfile.Path(archive, name) for name in archive.namelist()]


def instruments(orders: File) -> tuple[str, ...]:
  """Returns the instruments of a file of orders, sorted."""
  codes = _read(orders, {"SecurityID": pl.String})["SecurityID"]
  return tuple(codes.drop_nulls().str.strip_suffix(".SH").unique().sort())


def load_orders(file: File, instrument: str) -> Table:
  """Returns added and deleted orders of an instrument, by sequence number.

  The columns, int64 each, are row, sequence, time (ns since midnight), kind,
  order, side, price (ticks) and volume (lots).
  """
  return _load(file, _ORDERS[file.name], instrument)


def load_trades(file: File, instrument: str) -> Table:
  """Returns the trades of an instrument, by sequence number.

  The columns, int64 each, are row, sequence, time (ns since midnight), bid and
  ask (numbers of orders), taker (a side, or `AUCTION`), price (ticks) and
  volume (lots).
  """
  return _load(file, _TRADES[file.name], instrument)


def load_snapshots(file: File, instrument: str) -> Table:
  """Returns the snapshots of an instrument, in the order of the file.

  The columns are row, time (ns since midnight), status, num_trades (of the day
  so far), ask_total and bid_total (lots, of all orders of a side),
  previous_close (ticks), and, named in `PRICES` and `VOLUMES`, the levels
  (ticks, lots; 0 where there is none).
  """
  level_names = sum(PRICES + VOLUMES, [])
  names = _SNAPSHOTS | {name: name for name in level_names}
  table = _named(file, names, instrument)
  is_whole = ~pl.any_horizontal(pl.col(list(_SNAPSHOTS)).is_null())
  table.require(is_whole, "a value is missing")
  for name in ("previous_close", *sum(PRICES, [])):
    table = _in_ticks(table, name)
  return table.replace(
    **{name: pl.col(name).fill_null(0) for name in level_names}
  )


def _load(
  file: File, names: collections.abc.Mapping[str, str], instrument: str
) -> Table:
  """Returns orders or trades; raises unless each is well-formed."""
  table = _named(file, names, instrument)
  is_whole = ~pl.any_horizontal(pl.all().is_null())
  table.require(is_whole, "a value is missing")
  volume = pl.col("volume")
  table.require(volume.is_between(1, 2**31 - 1), "volume is not in [1, 2**31)")
  table.require(pl.col("price") > 0, "price is not above 0")
  table = _in_ticks(table, "price")
  for name in names.keys() & _CODES:
    code = pl.col(name)
    reason = f"{names[name]} is none of {', '.join(_CODES[name])}"
    table.require(code.is_in(list(_CODES[name])), reason)
    decoded = code.replace_strict(_CODES[name], return_dtype=pl.Int64)
    table = table.replace(**{name: decoded})
  return Table(file, table.rows.sort("sequence"))


def _named(
  file: File, names: collections.abc.Mapping[str, str], instrument: str
) -> Table:
  """Reads the rows of an instrument, under our names, and parses the time."""
  schema = {names[name]: _TYPES.get(name, pl.Int64) for name in names}
  code = pl.col("instrument").str.strip_suffix(".SH")
  rows = (
    _read(file, schema)
    .rename({theirs: ours for ours, theirs in names.items()})
    .with_row_index("row", tables.FIRST_ROW)
  )
  Table(file, rows).require(code.is_not_null(), "the SecurityID is missing")
  time = pl.col("time").str.to_time("%H:%M:%S%.3f", strict=False)
  table = Table(file, rows.filter(code == instrument)).replace(
    time=time.cast(pl.Int64)
  )
  table.require(pl.col("time").is_not_null(), "the time is no HH:MM:SS.mmm")
  return table


def _read(file: File, schema) -> pl.DataFrame:
  """Reads some columns of a file."""
  try:
    return pl.read_csv(
      io.BytesIO(file.read_bytes()),
      columns=list(schema),
      schema_overrides=schema,
    )
  except (zipfile.BadZipFile, zlib.error, EOFError) as error:
    raise events.DataError(file, None, f"broken zip file: {error}") from error
  except (pl.exceptions.PolarsError, OSError) as error:
    reason = str(error).split("\n")[0]
    raise events.DataError(file, None, reason) from error


def _in_ticks(table: Table, name: str) -> Table:
  """Rounds prices to ticks, by which only the noise of floats may be lost."""
  ticks = pl.col(name) / TICK_SIZE
  is_good = ((ticks - ticks.round()).abs() < _NOISE) & (ticks < _PRICE_LIMIT)
  reason = f"price is off the grid of {TICK_SIZE} yuan, or too large"
  table.require(is_good.fill_null(True), reason)
  return table.replace(**{name: ticks.round().cast(pl.Int64)})
