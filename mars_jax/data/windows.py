"""Windows of successive orders of one day.

A window is read from its file (`store.DayFile`), or from memory
(`store.MemoryDay`), when it is asked for. Nothing in it depends on bins.
"""

import collections
import collections.abc
import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.data import store
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import checks

Item = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Part:
  """Successive orders of a day, in one split.

  Attributes:
    day: whose orders.
    market: the name under which `by_market` puts them.
    start: the first of them.
    stop: the first after them.
  """

  day: store.DayFile | store.MemoryDay
  market: str
  start: int
  stop: int

  def __post_init__(self):
    if not 0 <= self.start <= self.stop:
      raise ValueError(f"orders {self.start} to {self.stop} are no part")


class Windows:
  """Windows of `length` successive orders, every `stride`.

  No window has orders of two parts. A random-access source for Grain; an item
  is a dict of int32 arrays, `[length]` unless said otherwise:
    market: `[]`, its number.
    kind, side, price, volume: of the orders, as in `types.Order`.
    best, level, younger, resting: as in `types.Place`; `best` is `[length, 2]`.
    interval: microseconds since the order before, of the day, not the window.
    open_mid: ticks, before the first order of the day.
    mid_before, mid_after: ticks.
    level_price, level_volume: `[length, 2, features.SNAPSHOT_LEVELS]`, after
      it.
    depth_volume, depth_orders: `[length, 2, types.DEPTH_CLASSES]`, after it.
    time: seconds since midnight.
    segment: only if packed, see there.

  Attributes:
    num_left_out: orders that are in no item.
  """

  def __init__(
    self,
    parts: collections.abc.Iterable[Part],
    length: int,
    stride: int,
    *,
    market: int = 0,
    pack: bool = False,
  ):
    """Lays out the windows, without reading anything.

    Args:
      parts: whose orders.
      length: of a window, in orders.
      stride: orders from the start of a window to that of the next in a part.
      market: the number of the market of all parts.
      pack: whether the orders after the last window of each part, and parts
        that are too short for one, come too, several of them one after
        another in an item, each with its number from 0 as its `segment`, and
        -1 with the kind `NONE` where nothing is left to put. Attention and loss
        have to be masked by it. Other windows are one segment.

    Raises:
      ValueError: if a number is not positive, or packing is asked for where
        windows lie apart.
    """
    checks.at_least(1, length=length, stride=stride)
    if pack and stride > length:
      raise ValueError(f"pack needs stride {stride} <= length {length}")
    self._parts = tuple(parts)
    self._length, self._stride = length, stride
    self._market, self._is_packed = np.int32(market), pack
    sizes = np.array([part.stop - part.start for part in self._parts], int)
    counts = np.maximum((sizes - length) // stride + 1, 0)
    ends = np.where(counts > 0, (counts - 1) * stride + length, 0)
    self._left = sizes - ends
    self._firsts = np.cumsum([0, *counts])
    self._rows = _packed(self._left.tolist(), length) if pack else []
    num_between = np.maximum(counts - 1, 0) * max(stride - length, 0)
    self.num_left_out = 0 if pack else int((self._left + num_between).sum())

  def __len__(self) -> int:
    return int(self._firsts[-1]) + len(self._rows)

  def __getitem__(self, index: int) -> Item:
    """Returns an item; those that are packed are the last."""
    if not 0 <= index < len(self):
      raise IndexError(f"item {index} of {len(self)}")
    spans = [read(*span) for span in self._spans(index)]
    if self._is_packed:
      for number, span in enumerate(spans):
        span["segment"] = np.full_like(span["kind"], number)
    if room := self._length - sum(len(span["kind"]) for span in spans):
      spans.append(_padding(spans[0], room))
    return {
      "market": self._market,
      **{
        name: np.concatenate([span[name] for span in spans])
        for name in spans[0]
      },
    }

  def _spans(self, index):
    """Yields (day, start, stop) of each span of an item."""
    row = index - int(self._firsts[-1])
    if row < 0:
      number = int(np.searchsorted(self._firsts, index, "right")) - 1
      part = self._parts[number]
      start = part.start + (index - int(self._firsts[number])) * self._stride
      yield part.day, start, start + self._length
    else:
      for number in self._rows[row]:
        part = self._parts[number]
        yield part.day, part.stop - int(self._left[number]), part.stop


def _packed(sizes, capacity):
  """Packs spans into few rows: best fit, the longest first.

  Each goes where the least room is left that is enough, in linear time. That
  takes at most 11/9 of the fewest rows possible, and one more [1].

  Args:
    sizes: of the spans, in [0, capacity]; those of 0 are in no row.
    capacity: of a row.

  Returns:
    For each row the indices of its spans.

  [1] Johnson, Near-optimal bin packing algorithms, MIT, 1973.
  """
  rows = []
  by_room = collections.defaultdict(list)
  rooms = 0  # A bit for each room that a row has.
  for span in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
    size = sizes[span]
    if not size:
      break
    if enough := rooms >> size:
      room = size + (enough & -enough).bit_length() - 1  # The lowest bit.
      row = by_room[room].pop()
      rooms ^= (not by_room[room]) << room
    else:
      room, row = capacity, []
      rows.append(row)
    row.append(span)
    by_room[room - size].append(row)
    rooms |= 1 << (room - size)
  return rows


def read(day: store.DayFile | store.MemoryDay, start: int, stop: int) -> Item:
  """Returns a day's orders `[start, stop)`, as in `Windows`.

  Raises:
    ValueError: if the day has fewer price levels than tokens are made of.
    Whatever `store.DayFile.read` raises.
  """
  if day.num_levels < features.SNAPSHOT_LEVELS:
    raise ValueError(
      f"{day.path} has {day.num_levels} price levels a side, but"
      f" {features.SNAPSHOT_LEVELS} are needed: prepare the data again"
    )
  before = max(start - 1, 0)
  records = day.read(before, stop)
  order, place = records.order, records.place
  levels, depth = records.snapshot, records.depth
  item = {
    "kind": order.kind,
    "side": order.side,
    "price": order.price,
    "volume": order.volume,
    "best": place.best,
    "level": place.level,
    "younger": place.younger,
    "resting": place.resting,
    "interval": encoding.intervals(records.time),
    "open_mid": np.full_like(order.kind, day.open_mid),
    "mid_before": records.mid_before,
    "mid_after": records.mid_after,
    "level_price": levels.price[..., : features.SNAPSHOT_LEVELS],
    "level_volume": levels.volume[..., : features.SNAPSHOT_LEVELS],
    "depth_volume": depth.volume,
    "depth_orders": depth.orders,
    "time": (records.time // types.NANOSECONDS).astype(np.int32),
  }
  return {name: leaf[start - before :] for name, leaf in item.items()}


def _padding(span, size):
  """Returns padding, with the leaves of a packed span."""
  zeros = {
    name: np.zeros((size, *leaf.shape[1:]), np.int32)
    for name, leaf in span.items()
  }
  return {
    **zeros,
    "kind": zeros["kind"] + types.OrderKind.NONE,
    "segment": zeros["segment"] - 1,
  }


def by_market(
  parts: collections.abc.Iterable[Part],
  markets: collections.abc.Sequence[str],
  length: int,
  stride: int,
  *,
  pack: bool = False,
) -> dict[str, Windows]:
  """Returns the windows of each market that has a part.

  Args:
    parts: of any days.
    markets: all there are, in the order of the tokenizers; a market's place is
      its number.
    length, stride, pack: see `Windows`.

  Raises:
    ValueError: if a part is of another market.
  """
  found = collections.defaultdict(list)
  for part in parts:
    found[part.market].append(part)
  if unknown := found.keys() - set(markets):
    raise ValueError(
      f"markets {sorted(unknown)} are none of {', '.join(markets)}"
    )
  return {
    name: Windows(
      found[name], length, stride, market=markets.index(name), pack=pack
    )
    for name in sorted(found)
  }
