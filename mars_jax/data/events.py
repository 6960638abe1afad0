"""The one event stream that every reader yields, whatever the feed.

A stream is all that happened to the book of one instrument, in the order in
which the exchange saw it. Most events are the market's own orders (`is_flow`):
they become tokens. The others only keep the book right: the orders that rested
before the file starts, liquidity that scrolls into view of a feed of limited
depth, resting orders that the feed forgot to delete.

An aggressive order is one event of its full volume, whatever the feed says: the
fills are what the clearing house makes of it. Where it was filled at once, its
price is that of its last fill, since some feeds know no other.
"""

import collections.abc
import dataclasses
import pathlib

import numpy as np


class DataError(ValueError):
  """Broken input; says in which file, at which row, and why."""

  def __init__(self, path: pathlib.Path | str, row: int | None, reason: str):
    where = str(path) if row is None else f"{path}, row {row}"
    super().__init__(f"{where}: {reason}")


@dataclasses.dataclass(frozen=True)
class EventStream:
  """Events of one instrument, `[E]` each, in the exchange's order.

  Attributes:
    name: market, instrument and day, for titles.
    time: int64 nanoseconds since midnight, never decreasing.
    kind: int32 `types.OrderKind`.
    side: int32 `types.Side`, of the resting order for a cancel.
    price: int32 ticks.
    volume: int32 lots, > 0.
    order_id: int32 from 0, numbered in order of appearance.
    is_flow: bool, False where the event only sets up or corrects the book.
    tick_size: price of one tick, in the currency of the market.
    lot_size: volume of one lot, in shares or coins.
    counts: what the reader saw and did, for reports.
  """

  name: str
  time: np.ndarray
  kind: np.ndarray
  side: np.ndarray
  price: np.ndarray
  volume: np.ndarray
  order_id: np.ndarray
  is_flow: np.ndarray
  tick_size: float
  lot_size: float
  counts: collections.abc.Mapping[str, int]

  def __len__(self) -> int:
    return len(self.time)

  def __getitem__(self, rows: slice) -> "EventStream":
    """Returns some of the events, under the same name and counts."""
    arrays = {
      field.name: getattr(self, field.name)[rows]
      for field in dataclasses.fields(self)
      if field.type is np.ndarray
    }
    return dataclasses.replace(self, **arrays)
