"""LOBSTER files as checked arrays."""

import dataclasses
import io
import pathlib
import re

import numpy as np
import polars as pl

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import lobster
from mars_jax.feeds import nasdaq

_INT32_MAX = 2**31 - 1
_DAY = 86_400 * 10**9  # Nanoseconds.
_TYPES = range(lobster.NEW, lobster.HALT + 1)
_OFF_GRID = "off the grid of half a cent, and not below a dollar"


@dataclasses.dataclass(frozen=True)
class BookRows:
  """An order-book file; empty levels have price and volume 0.

  Attributes:
    price: `[rows, 2, L]` ticks, by `types.Side`, best first, int32 or int64;
      int64 units of the file as `parse_book` returns them.
    volume: int32 `[rows, 2, L]` lots.
  """

  price: np.ndarray
  volume: np.ndarray


def open_pair(
  path: pathlib.Path | str, book_path: pathlib.Path | str | None
) -> list[tuple[compressed.File, bytes]]:
  """Returns (name, bytes) of the message and order-book files.

  Only of the message file where there is no order-book file.

  The arguments are those of `reader.read_checked`; raises as that does.
  """
  path = pathlib.Path(path)
  in_zip = not path.is_dir() and compressed.is_zip(path)
  if path.is_dir() or (in_zip and "message" not in path.name):
    if book_path is not None:
      raise ValueError("book_path goes with a message file, not with a pair.")
    pair = _find_pair(path)
  else:
    book = pathlib.Path(book_path) if book_path else _find_book(path)
    pair = [path] if book is None else [path, book]
  return [(file, compressed.read(file)) for file in pair]


def _find_pair(path):
  """Returns the files of a folder or zip, messages first."""
  files, pair = compressed.members(path), []
  for word in ("message", "orderbook"):
    pattern = re.compile(rf".*{word}.*\.csv")
    found = [f for f in files if pattern.fullmatch(compressed.plain_name(f))]
    if len(found) > 1 or (word == "message" and not found):
      reason = f"{len(found)} {word} files, expected one"
      raise events.DataError(path, None, reason)
    pair += found
  return pair


def _find_book(path):
  """Returns the order-book file beside a message file, if any."""
  if "message" not in path.name:
    raise events.DataError(path, None, "no 'message' in its name")
  name = compressed.plain_name(path).replace("message", "orderbook")
  return compressed.find(path.parent, name)


def _width(data):
  """Returns the number of columns in the first row."""
  return data[: (data + b"\n").index(b"\n")].count(b",") + 1


def _parse_csv(path, data, schema):
  """Parses a CSV file without header.

  Every field must be present but in columns of text.
  """
  if not data.strip():
    raise events.DataError(path, None, "empty file")
  try:
    frame = pl.read_csv(
      io.BytesIO(data), has_header=False, schema=schema, quote_char=None
    )
    needed = [name for name, dtype in schema.items() if dtype != pl.String]
    is_null = pl.any_horizontal(pl.col(needed).is_null())
    broken = frame.select(is_null.any()).item()
  except pl.exceptions.PolarsError:
    broken = True
  if broken:
    _raise_fault(path, data, schema)
  return frame


def _raise_fault(path, data, schema):
  """Raises at the first bad row of an unparsable file."""
  for row, line in enumerate(data.decode(errors="replace").splitlines(), 1):
    fields = line.split(",")
    if len(fields) != len(schema):
      raise events.DataError(
        path, row, f"{len(fields)} columns, expected {len(schema)}"
      )
    for (column, dtype), field in zip(schema.items(), fields, strict=True):
      if not field and dtype != pl.String:
        raise events.DataError(path, row, f"missing value of {column}")
      if dtype == pl.Int64 and not re.fullmatch(r"[+-]?\d{1,18}", field):
        raise events.DataError(path, row, f"{column} {field!r} is no integer")
  raise events.DataError(path, None, "not a CSV file of numbers")


def _check(path, bad, reason):
  """Raises DataError for the first row where `bad`."""
  if bad.any():
    row = int(np.argmax(bad))
    text = reason(row) if callable(reason) else reason
    raise events.DataError(path, row + 1, text)


def parse_messages(path: compressed.File, data: bytes) -> dict[str, np.ndarray]:
  """Parses and checks a message file.

  Size, price and direction are checked where an order has them: not for halts
  and cross trades. Columns past the sixth are left out.

  Args:
    path: the name of the file, for errors.
    data: its content.

  Returns:
    int64 `[rows]` by the names of `lobster.COLUMNS`; time in nanoseconds since
    midnight, price in units of the file.

  Raises:
    events.DataError: names the first bad row, counted from 1.
  """
  names = [*lobster.COLUMNS]
  extra = [f"column {i}" for i in range(len(names) + 1, _width(data) + 1)]
  schema = {name: pl.Int64 for name in names} | {"time": pl.String}
  schema |= dict.fromkeys(extra, pl.String)
  frame = _parse_csv(path, data, schema)
  digits = pl.col("time").str.extract(r"^\d+\.?(\d*)$", 1).str.pad_end(10, "0")
  nanoseconds = (
    pl.col("time").str.extract(r"^(\d{1,6})(?:\.|$)", 1).cast(pl.Int64) * 10**9
    + digits.str.slice(0, 9).cast(pl.Int64)
    + (digits.str.slice(9, 1) >= "5").cast(pl.Int64)
  )
  text, frame = frame["time"], frame.with_columns(time=nanoseconds)
  bad = frame["time"].is_null().to_numpy()
  _check(path, bad, lambda row: f"time {text[row]!r} is no decimal number")
  out = {name: frame[name].to_numpy() for name in lobster.COLUMNS}
  _, kind, _, size, price, direction = out.values()
  order = ~np.isin(kind, (lobster.CROSS, lobster.HALT))
  _check(
    path,
    ~np.isin(kind, _TYPES),
    lambda row: f"unknown type {kind[row]}",
  )
  back = np.diff(out["time"], prepend=out["time"][0]) < 0
  _check(path, back, "time runs backwards")
  _check(path, out["time"] >= _DAY, "time is not before midnight (86,400 s)")
  bad = order & ((size <= 0) | (size > _INT32_MAX))
  _check(path, bad, lambda row: f"size {size[row]} is not in [1, 2**31)")
  bad = order & ((price <= 0) | (price // nasdaq.TICKS[0] > types.MAX_PRICE))
  _check(path, bad, lambda row: f"price {price[row]} is negative or too large")
  bad = order & (kind != lobster.HIDDEN) & _is_off_grid(price)
  _check(path, bad, lambda row: f"price {price[row]} is {_OFF_GRID}")
  bad = order & (np.abs(direction) != 1)
  _check(path, bad, lambda row: f"direction {direction[row]} is not 1 or -1")
  return out


def parse_book(path: compressed.File, data: bytes) -> BookRows:
  """Parses and checks an order-book file, as `parse_messages` its own."""
  width = _width(data)
  if data.strip() and width % 4:
    raise events.DataError(path, 1, f"{width} columns, not a multiple of 4")
  schema = {f"column {i + 1}": pl.Int64 for i in range(width)}
  table = _parse_csv(path, data, schema).to_numpy().reshape(-1, width // 4, 4)
  prices = np.zeros((len(table), 2, width // 4), np.int64)
  volumes = np.zeros_like(prices, np.int32)
  for side, sign in ((types.Side.ASK, 1), (types.Side.BID, -1)):
    first = 0 if side == types.Side.ASK else 2
    price, volume = table[..., first], table[..., first + 1]
    used = volume > 0
    bad = (volume < 0) | (volume > _INT32_MAX)
    _check(path, bad.any(1), "size is not in [0, 2**31)")
    bad = used & ((price <= 0) | (price // nasdaq.TICKS[0] > types.MAX_PRICE))
    _check(path, bad.any(1), "price is negative or too large")
    bad = used & _is_off_grid(price)
    _check(path, bad.any(1), f"price is {_OFF_GRID}")
    prices[:, side] = np.where(used, price, 0)
    volumes[:, side] = volume
    unsorted = np.diff(price, axis=1) * sign <= 0
    bad = used[:, 1:] & (unsorted | ~used[:, :-1])
    _check(path, bad.any(1), "levels are not sorted from best to worst")
  return BookRows(prices, volumes)


def _is_off_grid(price):
  """Returns whether no rule of NASDAQ allows a price."""
  return (price >= nasdaq.UNITS) & (price % nasdaq.TICKS[1] != 0)


def to_ticks(
  messages: dict[str, np.ndarray], rows: BookRows
) -> tuple[dict[str, np.ndarray], BookRows, int]:
  """Returns both files in ticks, and the units of one.

  That is a cent, or half a cent where a visible order needs it, or a hundredth.
  Prices of hidden executions and cross trades are rounded down.

  Args:
    messages: as `parse_messages` returns them.
    rows: as `parse_book` returns them.
  """
  price = messages["price"]
  is_visible = np.isin(messages["type"], lobster.VISIBLE)
  both = (price[is_visible], rows.price)
  tick = next(t for t in nasdaq.TICKS if not any((x % t).any() for x in both))
  highest = max(x.max(initial=0) // tick for x in both)
  dtype = events.integer_type(highest)
  scaled = BookRows((rows.price // tick).astype(dtype), rows.volume)
  return messages | {"price": price // tick}, scaled, tick


def find_halts(
  path: compressed.File, messages: dict[str, np.ndarray], rows: BookRows
) -> np.ndarray:
  """Returns `[rows]`, whether trading is halted after each row.

  A halt (-1) lasts until trading resumes (1), and then through the rows of that
  time and as long as bids reach asks: those are of its cross.

  Args:
    path: the name of the order-book file, for errors.
    messages: as `parse_messages` returns them.
    rows: as `parse_book` returns them.

  Raises:
    events.DataError: bids reach asks in a row that is of no halt.
  """
  best, there = rows.price[:, :, 0], (rows.volume[:, :, 0] > 0).all(1)
  crossed = there & (best[:, types.Side.ASK] <= best[:, types.Side.BID])
  time, price = messages["time"], messages["price"]
  is_halt = messages["type"] == lobster.HALT
  state = np.where(is_halt & (price == -1), 1, 0)
  turns = np.where(is_halt & np.isin(price, (-1, 1)), np.arange(len(time)), 0)
  halted = state[np.maximum.accumulate(turns)] == 1
  for row in np.flatnonzero(is_halt & (price == 1)).tolist():
    end = row
    while end < len(time) and (time[end] == time[row] or crossed[end - 1]):
      halted[end] = True
      end += 1
  _check(path, crossed & ~halted, "best bid is not below best ask")
  return halted
