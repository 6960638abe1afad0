"""The files of a Coinbase capture, checked."""

import collections.abc
import contextlib
import dataclasses
import datetime
import json
import pathlib

from mars_jax import types
from mars_jax.feeds import compressed
from mars_jax.feeds import events

UNITS = 10**8  # Of a price and of a size, in one.
_DECIMALS = 8
_MAX_WHOLE = {"price": 16, "size": 10}  # Digits before the point.
_SIDES = {"sell": types.Side.ASK, "buy": types.Side.BID}


@dataclasses.dataclass(frozen=True)
class Book:
  """An order-by-order book, asks first.

  Attributes:
    sequence: number of the last message that it includes.
    orders: (side, price, volume, Coinbase's id) each, the price in units.
  """

  sequence: int
  orders: list[tuple[int, int, int, str]]


@contextlib.contextmanager
def located(
  path: compressed.File, row: int | None = None
) -> collections.abc.Iterator[None]:
  """Raises DataError for errors in the content of a row."""
  try:
    yield
  except KeyError as error:
    raise events.DataError(path, row, f"no {error}") from error
  except (AttributeError, TypeError, ValueError) as error:
    raise events.DataError(path, row, str(error)) from error


def find(path: pathlib.Path, name: str) -> compressed.File:
  """Returns a file of a capture, plain or compressed.

  Raises:
    events.DataError: if there is none.
  """
  found = compressed.find(path, name)
  if found is None:
    raise events.DataError(path / name, None, "no such file")
  return found


def load_book(path: compressed.File) -> Book:
  """Reads one of the two books."""
  data, orders, names = _load(path), [], set()
  with located(path):
    sequence = int(data["sequence"])
    sides = ((types.Side.ASK, data["asks"]), (types.Side.BID, data["bids"]))
    rows = [(side, order) for side, half in sides for order in half]
  for row, (side, order) in enumerate(rows, 1):
    with located(path, row):
      price, size, name = order
      if name in names:
        raise ValueError(f"order id {name} is there already")
      if not to_size(size):
        raise ValueError("the order has no size")
      names.add(name)
      orders.append((side, to_price(price), to_size(size), name))
  return Book(sequence, orders)


def load_messages(
  path: compressed.File, start: Book, end: Book | None
) -> tuple[list[tuple[int, dict]], int]:
  """Returns (row, message) between the books; counts the others."""
  messages = _load(path)
  if not isinstance(messages, list):
    raise events.DataError(path, None, "no list of messages")
  last, kept = start.sequence, []
  for row, message in enumerate(messages, 1):
    with located(path, row):
      sequence = message["sequence"]
      if sequence <= start.sequence or (end and sequence > end.sequence):
        continue
      if sequence != last + 1:
        raise ValueError(f"sequence number {sequence} follows {last}")
      last = sequence
      kept.append((row, message))
  if not kept:
    raise events.DataError(path, None, "no messages after the start book")
  if end and last != end.sequence:
    reason = f"ends at {last}, but the end book at {end.sequence}"
    raise events.DataError(path, None, reason)
  return kept, len(messages) - len(kept)


def _load(path):
  """Reads a JSON file."""
  data = compressed.read(path)
  if not data.strip():
    raise events.DataError(path, None, "empty file")
  with located(path):
    return json.loads(data)


def to_price(text: str) -> int:
  """Returns a price in units of 1e-8."""
  price = _scaled("price", text)
  if not price:
    raise ValueError("price is zero")
  return price


def to_size(text: str) -> int:
  """Returns a size in lots of 1e-8."""
  return _scaled("size", text)


def _scaled(name, text):
  """Returns a decimal number in units of 1e-8, exactly."""
  if not isinstance(text, str):
    raise ValueError(f"{name} {text!r} is no text, as numbers must be")
  whole, _, part = text.partition(".")
  part = part.rstrip("0")
  digits = whole + part.ljust(_DECIMALS, "0")
  is_number = digits.isascii() and digits.isdecimal()
  is_short = len(whole) <= _MAX_WHOLE[name] and len(part) <= _DECIMALS
  if not is_number or not is_short:
    reason = f"{name} {text!r} is no number of up to {_DECIMALS} decimals"
    raise ValueError(reason)
  return int(digits)


def to_side(text: str) -> int:
  """Returns a side."""
  if text not in _SIDES:
    raise ValueError(f"side {text!r} is not buy or sell")
  return _SIDES[text]


def to_time(text: str) -> datetime.datetime:
  """Returns a time, to the microsecond."""
  return datetime.datetime.fromisoformat(text)
