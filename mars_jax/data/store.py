"""Files of the orders of one instrument and day.

Exact, small, and read anywhere. A day is one file of blocks of successive
orders, each of which `codec` turns into bytes, compressed as one zstd frame
with a checksum. `launch/benchmark.py data` compares this with other containers.

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
from mars_jax.data import codec
from mars_jax.feeds import events
from mars_jax.utils import files
from mars_jax.utils.compression import zstd

BLOCK_SIZE = 1024  # Orders.
_MAGIC = b"MARSday\0"
_VERSION = 2
_HEADER = struct.Struct("<8sI IIiQ")  # Magic, version; those of `_Header`.
_CRC = struct.Struct("<I")
_OPTIONS = {
  zstd.CompressionParameter.compression_level: 9,
  zstd.CompressionParameter.checksum_flag: 1,
}
_UINT64 = np.dtype("<u8")


@dataclasses.dataclass(frozen=True)
class DayInfo:
  """Description of a file that `write` wrote.

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
      none. None has an owner, as in a feed.
    block_size: orders that are compressed as one.

  Raises:
    ValueError: if a number exceeds int32, or an order has an owner.
  """
  blocks = []
  for start in range(0, len(records), block_size):
    block = codec.encode(*codec.to_columns(records[start : start + block_size]))
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
    """Names the file; each read opens it."""
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
    """Mid before the first order, ticks; 0 without orders."""
    return self._header.open_mid

  @property
  def time(self) -> np.ndarray:
    """Times of all orders, int64 `[T]` nanoseconds since midnight.

    This reads the whole file."""
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
    num_columns = codec.num_columns(header.num_levels)
    values = np.empty((num_columns, num_orders), np.int32)
    for index, block in enumerate(self._read_blocks(first, last)):
      rows = slice(index * size, (index + 1) * size)
      try:
        codec.decode(zstd.decompress(block), time[rows], values[:, rows])
      except (ValueError, zstd.ZstdError) as error:
        row = (first + index) * size
        reason = f"the block that begins here is broken: {error}"
        raise events.DataError(self.path, row, reason) from error
    rows = slice(start - first * size, stop - first * size)
    return codec.from_columns(time[rows], values[:, rows])

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
  """Orders of a day in memory, read like a `DayFile`."""

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
    """Mid before the first order, ticks; 0 without orders."""
    return int(self._records.mid_before[0]) if len(self) else 0

  def read(self, start: int, stop: int) -> records_lib.Records:
    """Returns the orders in `[start, stop)`.

    Raises:
      IndexError: unless 0 <= start <= stop <= len(self).
    """
    if not 0 <= start <= stop <= len(self):
      raise IndexError(f"{self.path}: orders {start} to {stop} of {len(self)}")
    return self._records[start:stop]


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
