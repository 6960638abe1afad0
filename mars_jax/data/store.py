"""The orders of one instrument and day on disk: exact, small, read anywhere.

A day is one file of blocks of successive orders. A block holds columns, one
after another, each in the smallest integers that can hold it, compressed as one
zstd frame with a checksum. The price is kept as ticks from the mid; time, id,
mids and levels, most of which stay as they are from order to order, as the
difference to the order before. `launch/benchmark.py data` compares this with
other containers.

The file, little-endian: a header (`_HEADER`); where each block begins, and at
last the file's size, uint64 each; the CRC-32 of all that, uint32; the blocks.
"""

import dataclasses
import functools
import hashlib
import pathlib
import struct
import typing
import zlib

import numpy as np

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.utils import files
from mars_jax.utils.compression import zstd

BLOCK_SIZE = 1024  # Orders.
_MAGIC = b"MARSday\0"
_VERSION = 1
_HEADER = struct.Struct("<8sI IIiQ")  # Magic, version; those of `_Header`.
_CRC = struct.Struct("<I")
_OPTIONS = {
  zstd.CompressionParameter.compression_level: 9,
  zstd.CompressionParameter.checksum_flag: 1,
}
_NUM_PLAIN = 5  # Columns that are kept as they are, not as differences.
_NUM_SINGLE = 8  # Columns before the levels.
_PRICE, _MID_BEFORE = 4, 6  # Among them.
_INT32, _INT64, _UINT64 = np.dtype("<i4"), np.dtype("<i8"), np.dtype("<u8")
_INTEGERS = [np.dtype(f"<i{width}") for width in (1, 2, 4, 8)]


@dataclasses.dataclass(frozen=True)
class DayInfo:
  """What `write` wrote.

  Attributes:
    num_orders: in the file.
    num_bytes: of the file.
    sha256: of the file, in hexadecimal digits.
  """

  num_orders: int
  num_bytes: int
  sha256: str


class _Header(typing.NamedTuple):
  block_size: int  # Orders of each block but the last.
  num_levels: int
  open_mid: int  # Ticks, before the first order.
  num_orders: int
  offsets: np.ndarray


def write(
  path: pathlib.Path | str,
  records: records_lib.Records,
  *,
  block_size: int = BLOCK_SIZE,
) -> DayInfo:
  """Writes the orders of one instrument and day.

  The file is there when it is complete, not before; it replaces one of the same
  name. The same records give the same bytes.

  Args:
    path: of the file, in a folder that exists.
    records: of the whole day, in order, `[T, 2, L]` with any L; there may be
      none. All are nobody's, as those of a feed are.
    block_size: orders that are compressed as one.

  Raises:
    ValueError: if a number exceeds int32, or an order has an owner.
  """
  blocks = []
  for start in range(0, len(records), block_size):
    block = _encode(*_columns(records[start : start + block_size]))
    blocks.append(zstd.compress(block, options=_OPTIONS))
  start = _HEADER.size + _UINT64.itemsize * (len(blocks) + 1) + _CRC.size
  header = _Header(
    block_size=block_size,
    num_levels=records.snapshot.price.shape[-1],
    open_mid=int(records.mid_before[0]) if len(records) else 0,
    num_orders=len(records),
    offsets=start + np.cumsum([0, *map(len, blocks)]).astype(_UINT64),
  )
  content = b"".join([_pack_header(header), *blocks])
  with files.replacing(pathlib.Path(path)) as partial:
    partial.write_bytes(content)
  digest = hashlib.sha256(content).hexdigest()
  return DayInfo(len(records), len(content), digest)


class DayFile:
  """The orders of a file that `write` wrote.

  The file is opened for each read and closed again: there may be more days than
  a process may have open files, and a day can be pickled.
  """

  def __init__(self, path: pathlib.Path | str):
    """Names the file, which is opened when something of it is asked for."""
    self.path = pathlib.Path(path)

  def __len__(self) -> int:
    """Returns the number of orders."""
    return self._header.num_orders

  @property
  def num_levels(self) -> int:
    """Price levels of each side, after an order."""
    return self._header.num_levels

  @property
  def open_mid(self) -> int:
    """Ticks, of the book that the first order met; 0 if there is no order."""
    return self._header.open_mid

  @property
  def time(self) -> np.ndarray:
    """int64 `[T]` nanoseconds since midnight, of all orders: reads them all."""
    return self.read(0, len(self)).time

  def read(self, start: int, stop: int) -> records_lib.Records:
    """Returns the orders in `[start, stop)` as they were written.

    Raises:
      IndexError: unless 0 <= start <= stop <= len(self).
      OSError: if the file cannot be read.
      events.DataError: if it is broken, or no such file.
    """
    header = self._header
    if not 0 <= start <= stop <= header.num_orders:
      raise IndexError(
        f"{self.path}: orders {start} to {stop} of {header.num_orders}"
      )
    size = header.block_size
    first, last = start // size, -(-stop // size)
    num_orders = min(last * size, header.num_orders) - first * size
    time = np.empty(num_orders, np.int64)
    num_columns = _NUM_SINGLE + 4 * header.num_levels
    values = np.empty((num_columns, num_orders), np.int32)
    for index, block in enumerate(self._read_blocks(first, last)):
      rows = slice(index * size, (index + 1) * size)
      try:
        _decode(zstd.decompress(block), time[rows], values[:, rows])
      except (ValueError, zstd.ZstdError) as error:
        row = (first + index) * size
        reason = f"the block that begins here is broken: {error}"
        raise events.DataError(self.path, row, reason) from error
    rows = slice(start - first * size, stop - first * size)
    return _records(time[rows], values[:, rows])

  def _read_blocks(self, first, last):
    """Returns blocks in a row, compressed."""
    bounds = self._header.offsets[first : last + 1].tolist()
    with open(self.path, "rb", buffering=0) as file:
      file.seek(bounds[0])
      data = memoryview(file.read(bounds[-1] - bounds[0]))
    starts = [bound - bounds[0] for bound in bounds]
    return [
      data[start:stop]
      for start, stop in zip(starts[:-1], starts[1:], strict=True)
    ]

  @functools.cached_property
  def _header(self):
    return _read_header(self.path)


class MemoryDay:
  """The orders of a day in memory, read as those of a `DayFile` are."""

  path = "a day in memory"  # For messages.

  def __init__(self, records: records_lib.Records):
    """Takes the orders of a whole day."""
    self._records = records

  def __len__(self) -> int:
    """Returns the number of orders."""
    return len(self._records)

  @property
  def num_levels(self) -> int:
    """Price levels of each side, after an order."""
    return self._records.snapshot.price.shape[-1]

  @property
  def open_mid(self) -> int:
    """Ticks, of the book that the first order met; 0 if there is no order."""
    return int(self._records.mid_before[0]) if len(self) else 0

  def read(self, start: int, stop: int) -> records_lib.Records:
    """Returns the orders in `[start, stop)`.

    Raises:
      IndexError: unless 0 <= start <= stop <= len(self).
    """
    if not 0 <= start <= stop <= len(self):
      raise IndexError(f"{self.path}: orders {start} to {stop} of {len(self)}")
    return self._records[start:stop]


def _columns(records):
  """Returns the times `[T]` and the other columns, int32 `[C, T]`."""
  order, snapshot = records.order, records.snapshot
  if (order.owner != types.NO_OWNER).any():
    raise ValueError("orders with an owner cannot be stored")
  single = {
    "kind": order.kind,
    "side": order.side,
    "volume": order.volume,
    "traded": records.traded,
    "price": order.price,
    "id": order.id,
    "mid_before": records.mid_before,
    "mid_after": records.mid_after,
  }
  values = [_as_int32(name, column)[None] for name, column in single.items()]
  for name in ("price", "volume"):
    levels = _as_int32(f"level {name}", getattr(snapshot, name))
    values.append(levels.reshape(len(records), 2 * levels.shape[-1]).T)
  values = np.concatenate(values)
  values[_PRICE] -= values[_MID_BEFORE]
  return records.time.astype(np.int64), values


def _records(time, values):
  """Returns records of the columns of `_columns`."""
  single, levels = np.split(values, [_NUM_SINGLE])
  kind, side, volume, traded, distance, id_, before, after = single
  levels = levels.reshape(2, 2, len(levels) // 4, len(time))
  price, volumes = levels.transpose(0, 3, 1, 2)
  return records_lib.Records(
    time=time,
    order=types.Order(
      kind=kind,
      side=side,
      price=distance + before,
      volume=volume,
      id=id_,
      owner=np.full_like(id_, types.NO_OWNER),
    ),
    mid_before=before,
    mid_after=after,
    snapshot=types.Snapshot(price=price, volume=volumes),
    traded=traded,
  )


def _as_int32(name, column):
  """Returns a column of numbers as int32, which must hold them."""
  column = np.asarray(column)
  limits = np.iinfo(np.int32)
  if column.dtype != np.int32 and len(column):
    low, high = column.min(), column.max()
    if low < limits.min or high > limits.max:
      raise ValueError(f"{name}: numbers from {low} to {high} exceed int32")
  return column.astype(np.int32)


def _groups(num_columns):
  """Returns the columns that share a type: a slice for each."""
  levels = (num_columns - _NUM_SINGLE) // 2
  return [
    *(slice(column, column + 1) for column in range(_NUM_SINGLE)),
    slice(_NUM_SINGLE, _NUM_SINGLE + levels),
    slice(_NUM_SINGLE + levels, num_columns),
  ]


def _encode(time, values):
  """Returns a block, not compressed: the columns of `_columns` as bytes.

  First what the differences start from; then the width of the integers of the
  times and of each group; then these. A difference wraps, and the sum back.
  """
  changing = values[_NUM_PLAIN:]
  steps = np.diff(changing, axis=1, prepend=changing[:, :1])
  columns = np.concatenate([values[:_NUM_PLAIN], steps])
  groups = [np.diff(time, prepend=time[:1])]
  groups += [columns[rows] for rows in _groups(len(values))]
  groups = [_narrow(group) for group in groups]
  return b"".join(
    [
      time[:1].astype(_INT64).tobytes(),
      changing[:, 0].astype(_INT32).tobytes(),
      bytes(group.itemsize for group in groups),
      *(group.tobytes() for group in groups),
    ]
  )


def _narrow(values):
  """Returns integers in the smallest type that holds them all."""
  low, high = values.min(), values.max()
  for dtype in _INTEGERS:
    limits = np.iinfo(dtype)
    if limits.min <= low and high <= limits.max:
      return values.astype(dtype)


def _decode(data, time, values):
  """Fills the times `[T]` and the columns `[C, T]` of a block."""
  groups = _groups(len(values))
  changing = values[_NUM_PLAIN:]
  first_time = np.frombuffer(data, _INT64, 1)
  first = np.frombuffer(data, _INT32, len(changing), first_time.nbytes)
  offset = first_time.nbytes + first.nbytes
  widths = data[offset : offset + 1 + len(groups)]
  offset += len(widths)
  targets = [time[None], *(values[rows] for rows in groups)]
  for width, target in zip(widths, targets, strict=True):
    found = np.frombuffer(data, f"<i{width}", target.size, offset)
    target[:] = found.reshape(target.shape)
    offset += found.nbytes
  time[0] = first_time[0]
  np.cumsum(time, out=time)
  changing[:, 0] = first
  np.cumsum(changing, axis=1, out=changing)


def _pack_header(header):
  """Returns what is before the blocks."""
  *fields, offsets = header
  head = _HEADER.pack(_MAGIC, _VERSION, *fields) + offsets.tobytes()
  return head + _CRC.pack(zlib.crc32(head))


def _read_header(path):
  """Returns the header of a file, once it is checked."""
  num_bytes = path.stat().st_size
  with open(path, "rb") as file:
    head = file.read(_HEADER.size)
    if head[: len(_MAGIC)] != _MAGIC:
      raise events.DataError(path, None, "is no day of mars_jax.data.store")
    if len(head) < _HEADER.size:
      raise events.DataError(path, None, "is cut off within its header")
    _, version, *fields = _HEADER.unpack(head)
    if version != _VERSION:
      reason = f"is of version {version}; this mars_jax reads {_VERSION}"
      raise events.DataError(path, None, reason)
    block_size, *_, num_orders = fields
    num_offsets = -(-num_orders // max(block_size, 1)) + 1
    offsets = file.read(min(_UINT64.itemsize * num_offsets, num_bytes))
    checksum = file.read(_CRC.size)
  if checksum != _CRC.pack(zlib.crc32(head + offsets)):
    raise events.DataError(path, None, "has a broken header")
  header = _Header(*fields, offsets=np.frombuffer(offsets, _UINT64))
  if header.offsets[-1] != num_bytes:
    reason = f"has {num_bytes} bytes, not {header.offsets[-1]}: it is cut off"
    raise events.DataError(path, None, reason)
  return header
