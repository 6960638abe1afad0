"""Batches of windows of orders, in an order that a checkpoint can return to.

A window is `length` successive orders of one day, read from its file
(`store.DayFile`), or from memory (`store.MemoryDay`), when Grain asks for it;
what a model reads of it is computed on the device (`tokens`), so that the files
serve any bins. Grain shuffles, repeats and mixes markets; its elastic iterator
keeps one integer as its state, so that a run that was killed goes on with the
batch that it would have had, also on another number of processes.
"""

import collections
import collections.abc
import dataclasses
import typing

import grain
import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import types
from mars_jax.data import store
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import checks

Item = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig:
  """Windows of orders, and how many of them make a batch.

  Attributes:
    window_length: orders in a training window.
    window_stride: orders from the start of a window to that of the next.
    batch_size: windows in a batch, over all processes.
  """

  window_length: int
  window_stride: int
  batch_size: int

  def __post_init__(self):
    # The first order of a window is not scored.
    checks.at_least(2, window_length=self.window_length)
    checks.at_least(
      1, window_stride=self.window_stride, batch_size=self.batch_size
    )


class Source(typing.Protocol):
  """What `batches` draws from; all items have the same names and shapes."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Item: ...


@dataclasses.dataclass(frozen=True)
class Part:
  """Successive orders of a day that belong to one split, training say.

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
  """All windows of `length` successive orders of some parts, every `stride`.

  No window has orders of two parts. A random-access source for Grain; an item
  is a dict of int32 arrays, `[length]` unless said otherwise:
    market: `[]`, its number.
    kind, side, price, volume: of the orders, as in `types.Order`.
    interval: microseconds since the order before, of the day, not the window.
    open_mid: ticks, before the first order of the day.
    mid_before, mid_after: ticks.
    level_price, level_volume: `[length, 2, features.SNAPSHOT_LEVELS]`, after
      it.
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
        that are too short for one, come as well, several of them one after
        another in an item, each with its number from 0 as its `segment`, and
        -1 with the kind `NONE` where nothing is left to put. Attention and loss
        have to be masked by it. Other windows are one segment.

    Raises:
      ValueError: if a number is not positive, or packing is asked for where
        windows lie apart.
    """
    if min(length, stride) < 1:
      raise ValueError(f"length {length} and stride {stride} must be >= 1")
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
    """Yields the day, the start and the stop of each span of an item."""
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
  """Puts spans into few rows: best fit, the longest first, in linear time.

  Each goes where the least room is left that is enough. That takes at most
  11/9 of the fewest rows possible, and one more [1].

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
  """Returns the orders in `[start, stop)` of a day, as in `Windows`.

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
  order, levels = records.order, records.snapshot
  item = {
    "kind": order.kind,
    "side": order.side,
    "price": order.price,
    "volume": order.volume,
    "interval": encoding.intervals(records.time),
    "open_mid": np.full_like(order.kind, day.open_mid),
    "mid_before": records.mid_before,
    "mid_after": records.mid_after,
    "level_price": levels.price[..., : features.SNAPSHOT_LEVELS],
    "level_volume": levels.volume[..., : features.SNAPSHOT_LEVELS],
    "time": (records.time // types.NANOSECONDS).astype(np.int32),
  }
  return {name: leaf[start - before :] for name, leaf in item.items()}


def _padding(span, size):
  """Returns an item of nothing, with the leaves of a span that is packed."""
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


def batches(
  sources: collections.abc.Mapping[str, Source],
  *,
  batch_size: int,
  seed: int,
  weights: collections.abc.Mapping[str, float] | None = None,
  num_threads: int = 2,
  num_workers: int = 0,
) -> grain.experimental.ElasticIterator:
  """Returns endless shuffled batches of this process's share.

  Its `get_state()` is a small dict for a checkpoint; `set_state` returns there.

  Args:
    sources: of each market, `by_market` say.
    batch_size: windows in a batch, over all processes.
    seed: of the shuffle, a new one each epoch.
    weights: what share of the windows is of each market, in any unit, to one
      percent of the least of them; every market then has epochs of its own. By
      default all windows of all markets make an epoch.
    num_threads: that read ahead, up to two batches for each.
    num_workers: processes that do this instead, if any: where one core is too
      slow. Each imports JAX. The script needs the guard `__name__ ==
      "__main__"` and parsed absl flags, as under `absl.app.run`.

  Raises:
    ValueError: if there is no market, one has no window, or not every one a
      weight.
  """
  if not sources:
    raise ValueError("there is no market to draw windows from")
  for market, source in sources.items():
    if not len(source):
      raise ValueError(
        f"{market!r} has no window: all of its parts are shorter than one; give"
        " more data or a smaller batch.window_length"
      )
  options = grain.MultiprocessingOptions(num_workers) if num_workers else None
  return iter(
    grain.experimental.ElasticIterator(
      _shuffled(sources, seed, weights),
      batch_size,
      grain.sharding.ShardOptions(jax.process_index(), jax.process_count()),
      read_options=grain.ReadOptions(num_threads, 2 * num_threads),
      multiprocessing_options=options,
    )
  )


def _shuffled(sources, seed, weights):
  """Returns an endless dataset of the items of all sources."""
  markets = sorted(sources)
  datasets = [grain.MapDataset.source(sources[market]) for market in markets]
  if weights is None:
    joined = grain.MapDataset.concatenate(datasets)
    return joined.seed(seed).shuffle().repeat()
  if weights.keys() != sources.keys() or min(weights.values()) <= 0:
    raise ValueError(
      f"weights {dict(weights)} are not positive numbers of each of {markets}"
    )
  endless = [
    dataset.seed(seed + number).shuffle().repeat()
    for number, dataset in enumerate(datasets)
  ]
  return grain.MapDataset.mix(endless, [weights[name] for name in markets])


def tokens(
  tokenizers: collections.abc.Sequence[features.Tokenizer],
  batch: dict[str, jax.Array],
) -> features.TokenFeatures:
  """Returns the tokens of a batch of `Windows`, leaves `[B, T]`; for `jit`.

  Args:
    tokenizers: of all markets, by their numbers.
    batch: of items of `Windows`, leaves `[B, ...]`.
  """
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tokenizers)
  return jax.vmap(_row_tokens, (None, 0))(stacked, batch)


def _row_tokens(tokenizers, item):
  """Returns the tokens of an item; tokenizers have leaves `[M, ...]`."""
  order = types.Order(
    kind=item["kind"],
    side=item["side"],
    price=item["price"],
    volume=item["volume"],
    id=None,  # Of which tokens tell nothing.
    owner=None,
  )
  return features.encode(
    jax.tree.map(lambda leaf: leaf[item["market"]], tokenizers),
    order,
    interval=item["interval"],
    open_mid=item["open_mid"],
    mid_before=item["mid_before"],
    mid_after=item["mid_after"],
    snapshot=types.Snapshot(item["level_price"], item["level_volume"]),
    time=item["time"],
  )
