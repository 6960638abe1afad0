"""Shenzhen Stock Exchange level-2 files as one checked table.

The exchange (STEP and Binary market data interface specifications, messages
300192 and 300191) gives every order and every execution of a channel a sequence
number; together they are all that happened to the instruments of the channel.
An order's number is also its name. They come as CSV files with a header, in two
layouts, distinguished by the names of their files:

             order.csv, trade.csv            SZorders.csv, SZtrans.csv
  instrument SecurityID, six digits          SecurityID, as 000001.SZ
  channel    ChannelNo                       ChannelNo
  sequence   ApplSeqNum                      ApplSeqNum
  time       TransactTime                    MDDate, as 2023.07.11, and MDTime,
               YYYYMMDDHHMMSSsss               HH:MM:SS.mmm
  order.csv                                  SZorders.csv
    kind     OrdType 1 market, 2 limit,      OrderType 1 market, 2 limit,
               U own side's best               3 own side's best
    side     Side 1 buy, 2 sell              OrderBSFlag 1 buy, 2 sell
    price    Price (yuan)                    OrderPrice
    volume   OrderQty (shares)               OrderQty
  trade.csv                                  SZtrans.csv
    kind     ExecType F trade, 4 cancel      TradeType 0 trade, 1 cancel
    bid, ask BidApplSeqNum, OfferApplSeqNum  TradeBuyNo, TradeSellNo
    price    LastPx                          TradePrice
    volume   LastQty                         TradeQty

The names on the left are the specification's; those on the right are how the
vendor of the second Shanghai layout (see `sse.parse`) calls the same. Other
columns are not looked at. A trade names both orders, a cancel one and 0 for the
other. The price of an order that is no limit order, and of a cancel, means
nothing. Dates and times may have other marks, or none, between their numbers.
One lot is one share; prices and volumes may also be the integers of the binary
feed, 1e-4 yuan and a hundredth of a share.
"""

import dataclasses
import pathlib

import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import level2
from mars_jax.feeds import tables

SUFFIX = ".SZ"  # That the codes of instruments may have.
LIMIT, MARKET, OWN_BEST, TRADE, CANCEL = range(5)  # Kinds of rows.

_MINUTE = 60 * types.NANOSECONDS
OPEN = (9 * 60 + 30) * _MINUTE  # When orders begin to match as they arrive.
CLOSE = (14 * 60 + 57) * _MINUTE  # When they collect for the last auction.
UNITS = YUAN, INTEGERS = "yuan", "integers"
"""Of prices and volumes in a file: yuan and shares, or as the binary feed has
them."""
_INTEGER_PRICE = 10**4  # One yuan, in the binary feed.
_INTEGER_VOLUME = 100  # One share there.
_MOST_YUAN = 5_000  # No instrument trades at as much.
_LEAST_INTEGER = 1_000  # Nor at as little as so many 1e-4 yuan.
_SIDES = {"1": types.Side.BID, "2": types.Side.ASK}


@dataclasses.dataclass(frozen=True)
class _File:
  """A kind of file.

  Attributes:
    name: its name.
    columns: {our name of a column: theirs}.
    codes: {our name of a column: {code: number}}.
  """

  name: str
  columns: dict[str, str]
  codes: dict[str, dict[str, int]]


@dataclasses.dataclass(frozen=True)
class _Layout:
  """Two kinds of file, and their time columns."""

  orders: _File
  executions: _File
  times: tuple[str, ...]


_COMMON = {
  **{"instrument": "SecurityID", "channel": "ChannelNo"},
  **{"sequence": "ApplSeqNum"},
}
_LAYOUTS = (
  _Layout(
    _File(
      "order.csv",
      {
        **_COMMON,
        **{"kind": "OrdType", "side": "Side"},
        **{"price": "Price", "volume": "OrderQty"},
      },
      {"kind": {"1": MARKET, "2": LIMIT, "U": OWN_BEST}, "side": _SIDES},
    ),
    _File(
      "trade.csv",
      {
        **_COMMON,
        **{"kind": "ExecType", "price": "LastPx", "volume": "LastQty"},
        **{"bid": "BidApplSeqNum", "ask": "OfferApplSeqNum"},
      },
      {"kind": {"F": TRADE, "4": CANCEL}},
    ),
    ("TransactTime",),
  ),
  _Layout(
    _File(
      "SZorders.csv",
      {
        **_COMMON,
        **{"kind": "OrderType", "side": "OrderBSFlag"},
        **{"price": "OrderPrice", "volume": "OrderQty"},
      },
      {"kind": {"1": MARKET, "2": LIMIT, "3": OWN_BEST}, "side": _SIDES},
    ),
    _File(
      "SZtrans.csv",
      {
        **_COMMON,
        **{"kind": "TradeType", "price": "TradePrice", "volume": "TradeQty"},
        **{"bid": "TradeBuyNo", "ask": "TradeSellNo"},
      },
      {"kind": {"0": TRADE, "1": CANCEL}},
    ),
    ("MDDate", "MDTime"),
  ),
)
_TYPES = {
  **dict.fromkeys(("instrument", "kind", "side"), pl.String),
  **dict.fromkeys(("price", "volume"), pl.Float64),
}  # The others are integers.


@dataclasses.dataclass(frozen=True)
class Feed:
  """All that happened to an instrument on a day.

  Attributes:
    orders: the file of the orders.
    executions: the file of the trades and cancels.
    rows: of both, by sequence number. The columns are row, is_execution, and,
      int64 each, channel, sequence, name (of an order or a cancel: its sequence
      number), time (ns since midnight), kind, side (of an
      order), bid and ask (of an execution; sequence numbers of orders, 0 for
      none), price (ticks; null where it means nothing) and volume (lots).
    day: its date, as 2023-07-11.
    num_late: orders with numbers after those of their own trades; they stand
      before these in the rows, which are renumbered then.
  """

  orders: compressed.File
  executions: compressed.File
  rows: pl.DataFrame
  day: str
  num_late: int = 0

  def require(self, rows: pl.DataFrame, is_good: pl.Expr, reason: str) -> None:
    """Raises DataError at the first row that is not good."""
    bad = rows.filter(~is_good)
    if len(bad):
      file = self.executions if bad["is_execution"][0] else self.orders
      raise events.DataError(file, bad["row"][0], reason)


def find(
  path: pathlib.Path | str,
) -> tuple[compressed.File, compressed.File]:
  """Returns the files of orders and executions.

  The argument and errors are those of `reader.read_checked`.
  """
  names = {layout.orders.name: layout.executions.name for layout in _LAYOUTS}
  return level2.find(path, names)[:2]


def load(
  orders: compressed.File,
  executions: compressed.File,
  instrument: str,
  *,
  tick_size: float,
  units: str | None = None,
) -> Feed:
  """Reads the rows of an instrument.

  Args:
    orders: the file of the orders.
    executions: the file of the trades and cancels.
    instrument: six digits.
    tick_size: in yuan.
    units: one of `UNITS`, None to tell by the orders.

  Raises:
    events.DataError: there is no order of it, a row is not well-formed, or the
      rows are not all of one day and channel, and in turn.
  """
  name = compressed.plain_name(orders)
  layout = next(x for x in _LAYOUTS if x.orders.name == name)
  added = _named(orders, layout.orders, layout, instrument)
  if added.rows.is_empty():  # Say which instruments there are.
    there = level2.instruments(orders, SUFFIX)
    level2.choose(orders, there, instrument)
  units = units or _find_units(added)
  added = _checked(added, layout.orders, tick_size, units).rows
  executed = _named(executions, layout.executions, layout, instrument)
  executed = _checked(executed, layout.executions, tick_size, units).rows
  rows = pl.concat(
    (
      added.with_columns(is_execution=pl.lit(False)),
      executed.with_columns(is_execution=pl.lit(True)),
    ),
    how="diagonal",
  ).sort("sequence", maintain_order=True)
  rows = rows.with_columns(name="sequence")
  first = Feed(orders, executions, rows, "")
  is_new = pl.col("sequence").diff() > 0
  first.require(rows, is_new, "the sequence number is repeated")
  rows, num_late = _orders_first(rows)
  kept, day = rows.drop("day"), str(rows["day"][0])
  feed = Feed(orders, executions, kept, day, num_late)
  checks = {
    "the row is of another day": pl.col("day") == pl.col("day").first(),
    "the row is of another channel": (
      pl.col("channel") == pl.col("channel").first()
    ),
    "time runs backwards": pl.col("time").diff() >= 0,
  }
  for reason, is_good in checks.items():
    feed.require(rows, is_good, reason)
  return feed


def _orders_first(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
  """Returns the rows with each order before its trades.

  Also how many orders that moves.
  """
  trades = rows.filter(pl.col("kind") == TRADE)
  named = pl.concat(
    trades.select(name=side, first="sequence") for side in ("bid", "ask")
  )
  first = named.group_by("name").agg(pl.col("first").min())
  rows = rows.join(first, on="name", how="left", maintain_order="left")
  is_late = ~pl.col("is_execution") & (pl.col("first") < pl.col("sequence"))
  is_late = is_late.fill_null(False)
  num_late = rows.select(is_late.sum()).item()
  if num_late:
    place = pl.when(is_late).then("first").otherwise("sequence")
    rows = rows.sort(place, "is_execution", maintain_order=True)
    rows = rows.with_columns(sequence=pl.int_range(pl.len(), dtype=pl.Int64))
  return rows.drop("first"), num_late


def _find_units(orders: level2.Table) -> str:
  """Returns the units of an instrument's orders, one of `UNITS`.

  Prices of the binary feed are whole numbers, of which even the least stands
  above any price in yuan.

  Raises:
    events.DataError: the prices may be of either.
  """
  prices = orders.rows.filter(pl.col("price") > 0)["price"].drop_nulls()
  prices = prices.filter(prices.is_finite())
  if prices.is_empty() or (prices != prices.round()).any():
    return YUAN
  typical = prices.median()
  volume = orders.rows["volume"].drop_nulls()
  is_whole = (volume % _INTEGER_VOLUME == 0).all()
  if typical >= _MOST_YUAN and is_whole:
    return INTEGERS
  if typical < _LEAST_INTEGER:
    return YUAN
  reason = (
    f"prices around {typical:.0f} may be yuan or the binary feed's integers"
    f" (1e-4 yuan): give units={YUAN!r} or {INTEGERS!r}"
  )
  raise events.DataError(orders.file, None, reason)


def _checked(
  table: level2.Table, kind: _File, tick_size: float, units: str
) -> level2.Table:
  """Returns one file's rows, checked, in ticks and lots."""
  if units == INTEGERS:
    table = table.replace(
      price=pl.col("price") / _INTEGER_PRICE,
      volume=pl.col("volume") / _INTEGER_VOLUME,
    )
  for name, codes in kind.codes.items():
    table = table.decoded(name, kind.columns[name], codes)
  has_price = pl.col("kind").is_in([LIMIT, TRADE])
  table = table.replace(price=pl.when(has_price).then("price"))
  is_whole = ~pl.any_horizontal(pl.all().exclude("price").is_null())
  is_whole &= pl.col("price").is_not_null() | ~has_price
  table.require(is_whole, "a value is missing")
  volume = pl.col("volume")
  is_good = volume.is_between(1, 2**31 - 1) & (volume == volume.round())
  table.require(is_good, "volume is no whole number in [1, 2**31)")
  table.require(pl.col("price") > 0, "price is not above 0")
  table = table.in_ticks("price", tick_size)
  if "bid" in kind.columns:
    named = [pl.col(name) > 0 for name in ("bid", "ask")]
    is_trade = pl.col("kind") == TRADE
    is_good = pl.when(is_trade).then(named[0] & named[1])
    is_good = is_good.otherwise(named[0] ^ named[1])
    table.require(is_good, "a trade names two orders, a cancel one")
  return table.replace(volume=volume.cast(pl.Int64))


def _named(
  file: compressed.File, kind: _File, layout: _Layout, instrument: str
) -> level2.Table:
  """Reads an instrument's rows under our names; parses the times."""
  schema = {
    theirs: _TYPES.get(ours, pl.Int64) for ours, theirs in kind.columns.items()
  }
  code = pl.col("SecurityID").str.strip_suffix(SUFFIX)
  rows = tables.read_csv(
    file,
    schema | dict.fromkeys(layout.times, pl.String),
    is_kept=code.is_null() | (code == instrument),
  )
  digits = pl.concat_str(layout.times).str.replace_all(r"[-./: ]", "")
  moment = digits.str.to_datetime("%Y%m%d%H%M%S%3f", strict=False)
  table = level2.Table(file, rows).replace(
    day=moment.dt.date(), time=moment.dt.time().cast(pl.Int64)
  )
  table.require(code.is_not_null(), "the SecurityID is missing")
  reason = f"{', '.join(layout.times)}: no YYYYMMDDHHMMSSsss"
  table.require(pl.col("day").is_not_null(), reason)
  names = {theirs: ours for ours, theirs in kind.columns.items()}
  rows = table.rows.drop(layout.times).rename(names).drop("instrument")
  return level2.Table(file, rows)
