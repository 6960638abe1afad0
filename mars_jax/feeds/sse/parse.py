"""Shanghai Stock Exchange level-2 files as checked tables.

The exchange (LDDS level-2 interface specification, order and trade messages)
gives every order and every trade of a channel a sequence number; together they
are all that happened. Vendors write them as CSV files with a header, here in
two layouts, distinguished by the names of their files:

            entrust.csv, trade.csv         SHorders.csv, SHtrans.csv
  date      (in the path, if anywhere)     MDDate, or as on the left
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
one share. The files may be compressed, and larger than memory: they stream.
"""

import collections.abc
import dataclasses
import pathlib
import re

import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds import tables

SUFFIX = ".SH"  # That the codes of instruments may have.
AUCTION = -1  # The `taker` of a trade that a call auction made.
NUM_LEVELS = 10  # Of a snapshot.

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
_DATE = "MDDate"
# Ours: theirs, by layout.
_ORDERS = {
  "entrust.csv": {
    **{"instrument": "SecurityID", "sequence": "BizIndex"},
    **{"time": "OrderTime", "kind": "OrderType", "order": "OrderNO"},
    **{"side": "OrderBSFlag", "price": "OrderPrice", "volume": "Balance"},
  },
  "SHorders.csv": {
    **{"instrument": "SecurityID", "sequence": "ApplSeqNum"},
    **{"date": _DATE, "time": "MDTime"},
    **{"kind": "OrderType", "order": "OrderNO"},
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
    **{"date": _DATE, "time": "MDTime"},
    **{"bid": "TradeBuyNo", "ask": "TradeSellNo"},
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
  **dict.fromkeys(("instrument", "date", "time", "status"), pl.String),
  **dict.fromkeys(_CODES, pl.String),
  **dict.fromkeys(
    ("price", "previous_close", *PRICES[0], *PRICES[1]), pl.Float64
  ),
}  # The others are integers.


@dataclasses.dataclass(frozen=True)
class Files:
  """The files of a day; the snapshots may be missing."""

  orders: compressed.File
  trades: compressed.File
  snapshots: compressed.File | None

  @property
  def path_day(self) -> str:
    """The last date in the path of the orders."""
    days = re.findall(r"(20\d\d)-?(\d\d)-?(\d\d)", str(self.orders))
    return "-".join(days[-1]) if days else ""

  def day(self, orders: level2.Table, trades: level2.Table) -> str:
    """Returns the date of the rows, or of the path.

    Raises:
      events.DataError: the trades are not of the day of the orders.
    """
    if "date" in orders.rows:
      day = orders.rows["date"][0]
      if "date" in trades.rows:
        reason = f"{_DATE} is not {day}, that of the orders"
        trades.require(pl.col("date") == day, reason)
      return day
    return self.path_day


def find(path: pathlib.Path | str) -> Files:
  """Returns the files of a day.

  The argument and errors are those of `reader.read_checked`.
  """
  layouts = dict(zip(_ORDERS, _TRADES, strict=True))
  orders, trades, found = level2.find(path, layouts)
  snapshots = [
    file for file in found if compressed.plain_name(file) == _SNAPSHOT_FILE
  ]
  if len(snapshots) > 1:
    reason = f"there are several {_SNAPSHOT_FILE}"
    raise events.DataError(path, None, reason)
  return Files(orders, trades, snapshots[0] if snapshots else None)


def load_orders(file: compressed.File, instrument: str) -> level2.Table:
  """Returns an instrument's adds and deletes, by sequence number.

  The columns, int64 each, are row, sequence, time (ns since midnight), kind,
  order, side, price (ticks) and volume (lots); also date, if the file has it.

  Raises:
    events.DataError: if there are none.
  """
  table = _load(file, _ORDERS[compressed.plain_name(file)], instrument)
  if table.rows.is_empty():  # Say which instruments there are.
    level2.choose(file, level2.instruments(file, SUFFIX), instrument)
  return table


def load_trades(file: compressed.File, instrument: str) -> level2.Table:
  """Returns the trades of an instrument, by sequence number.

  The columns, int64 each, are row, sequence, time (ns since midnight), bid and
  ask (numbers of orders), taker (a side, or `AUCTION`), price (ticks) and
  volume (lots); also date, if the file has it.
  """
  return _load(file, _TRADES[compressed.plain_name(file)], instrument)


def load_snapshots(file: compressed.File, instrument: str) -> level2.Table:
  """Returns the snapshots of an instrument, in file order.

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
    table = table.in_ticks(name)
  return table.replace(
    **{name: pl.col(name).fill_null(0) for name in level_names}
  )


def _load(
  file: compressed.File,
  names: collections.abc.Mapping[str, str],
  instrument: str,
) -> level2.Table:
  """Returns orders or trades; raises at the first malformed one."""
  table = _named(file, names, instrument)
  is_whole = ~pl.any_horizontal(pl.all().is_null())
  table.require(is_whole, "a value is missing")
  volume = pl.col("volume")
  table.require(volume.is_between(1, 2**31 - 1), "volume is not in [1, 2**31)")
  is_price = pl.col("price").is_finite() & (pl.col("price") > 0)
  table.require(is_price, "price is not above 0, or no number")
  table = table.in_ticks("price")
  for name in names.keys() & _CODES:
    table = table.decoded(name, names[name], _CODES[name])
  return level2.Table(file, table.rows.sort("sequence"))


def _named(
  file: compressed.File,
  names: collections.abc.Mapping[str, str],
  instrument: str,
) -> level2.Table:
  """Reads an instrument's rows under our names; parses the times."""
  code = pl.col(names["instrument"])
  rows = tables.read_csv(
    file,
    {theirs: _TYPES.get(ours, pl.Int64) for ours, theirs in names.items()},
    optional=[_DATE],
    is_kept=code.is_null() | (code.str.strip_suffix(SUFFIX) == instrument),
  )
  ours = {theirs: ours for ours, theirs in names.items()}
  table = level2.Table(file, rows.rename(lambda name: ours.get(name, name)))
  table.require(pl.col("instrument").is_not_null(), "the SecurityID is missing")
  time = pl.col("time").str.to_time("%H:%M:%S%.3f", strict=False)
  table = table.replace(time=time.cast(pl.Int64))
  table.require(pl.col("time").is_not_null(), "the time is no HH:MM:SS.mmm")
  if "date" in table.rows:
    digits = pl.col("date").str.replace_all(r"[-./]", "")
    date = digits.str.to_date("%Y%m%d", strict=False).cast(pl.String)
    table = table.replace(date=date)
    table.require(pl.col("date").is_not_null(), f"{_DATE} is no date")
    is_same = pl.col("date") == pl.col("date").first()
    table.require(is_same, f"{_DATE} is of another day")
  return table
