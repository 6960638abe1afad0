"""Codec of orders: records, columns of integers, bytes.

`to_columns` and `from_columns` go between records and columns, `encode` and
`decode` between columns and the bytes of a block.

A block holds successive orders as columns, one after another, each in the
smallest integers that can hold it. The price is kept as ticks from the mid;
time, id, mids, best prices, levels and depth, most of which stay as they are
from order to order, as the difference to the order before. `store` compresses
blocks into files.
"""

import itertools

import numpy as np

from mars_jax import records as records_lib
from mars_jax import types

NUM_SINGLE = 13  # Columns before the depth.
NUM_DEPTH = 4 * types.DEPTH_CLASSES  # Columns before the levels.
PRICE, MID_BEFORE, MID_AFTER = 7, 9, 10  # Among the first.
_NUM_PLAIN = 8  # Columns that are kept as they are, not as differences.
_INT32, _INT64 = np.dtype("<i4"), np.dtype("<i8")
_INTEGERS = [np.dtype(f"<i{width}") for width in (1, 2, 4, 8)]


def to_columns(records: records_lib.Records) -> tuple[np.ndarray, np.ndarray]:
  """Returns int64 times `[T]` and int32 columns `[C, T]`.

  With L levels, `C = NUM_SINGLE + NUM_DEPTH + 4 L`: asks before bids, prices
  before volumes, volumes before numbers of orders.

  Raises:
    ValueError: if a number exceeds int32, or an order has an owner.
  """
  order, place = records.order, records.place
  if (order.owner != types.NO_OWNER).any():
    raise ValueError("orders with an owner cannot be stored")
  single = {
    "kind": order.kind,
    "side": order.side,
    "volume": order.volume,
    "traded": records.traded,
    "level": place.level,
    "younger": place.younger,
    "resting": place.resting,
    "price": order.price,
    "id": order.id,
    "mid_before": records.mid_before,
    "mid_after": records.mid_after,
    "best ask": place.best[:, types.Side.ASK],
    "best bid": place.best[:, types.Side.BID],
  }
  values = [_as_int32(name, column)[None] for name, column in single.items()]
  by_side = {
    "depth volume": records.depth.volume,
    "depth orders": records.depth.orders,
    "level price": records.snapshot.price,
    "level volume": records.snapshot.volume,
  }
  for name, columns in by_side.items():
    columns = _as_int32(name, columns)
    values.append(columns.reshape(len(records), 2 * columns.shape[-1]).T)
  values = np.concatenate(values)
  values[PRICE] -= values[MID_BEFORE]
  return records.time.astype(np.int64), values


def from_columns(time: np.ndarray, values: np.ndarray) -> records_lib.Records:
  """Returns records of the columns of `to_columns`."""
  single, depth, levels = np.split(values, [NUM_SINGLE, NUM_SINGLE + NUM_DEPTH])
  kind, side, volume, traded, *queue, distance, id_, before, after = single[:-2]

  def by_side(columns):
    """Returns two arrays `[T, 2, n]` of `[4 n, T]`."""
    parts = columns.reshape(2, 2, len(columns) // 4, len(time))
    return parts.transpose(0, 3, 1, 2)

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
    place=types.Place(single[-2:].T, *queue),
    mid_before=before,
    mid_after=after,
    snapshot=types.Snapshot(*by_side(levels)),
    depth=types.Depth(*by_side(depth)),
    traded=traded,
  )


def _as_int32(name, column):
  """Returns numbers as int32; raises if it cannot hold them."""
  column = np.asarray(column)
  limits = np.iinfo(np.int32)
  if column.dtype != np.int32 and len(column):
    low, high = column.min(), column.max()
    if low < limits.min or high > limits.max:
      raise ValueError(f"{name}: numbers from {low} to {high} exceed int32")
  return column.astype(np.int32)


def num_columns(num_levels: int) -> int:
  """Returns C, the number of columns with so many levels."""
  return NUM_SINGLE + NUM_DEPTH + 4 * num_levels


def groups(num_columns: int) -> list[slice]:
  """Returns slices of columns that share a type.

  Each single column is one; the volumes of the depth are one, and its numbers
  of orders; all prices of levels are one, and all volumes.
  """
  first_level = NUM_SINGLE + NUM_DEPTH
  middle = (first_level + num_columns) // 2
  edges = [NUM_SINGLE, NUM_SINGLE + NUM_DEPTH // 2, first_level, middle]
  return [
    *(slice(column, column + 1) for column in range(NUM_SINGLE)),
    *(slice(*pair) for pair in itertools.pairwise([*edges, num_columns])),
  ]


def encode(time: np.ndarray, values: np.ndarray) -> bytes:
  """Returns the columns of `to_columns` as bytes.

  First the numbers that the differences start from; then the width of the
  integers of the times and of each group; then these. A difference wraps, and
  the sum back. Nothing is compressed.
  """
  changing = values[_NUM_PLAIN:]
  steps = np.diff(changing, axis=1, prepend=changing[:, :1])
  columns = np.concatenate([values[:_NUM_PLAIN], steps])
  parts = [np.diff(time, prepend=time[:1])]
  parts += [columns[rows] for rows in groups(len(values))]
  parts = [narrow(part) for part in parts]
  return b"".join(
    [
      time[:1].astype(_INT64).tobytes(),
      changing[:, 0].astype(_INT32).tobytes(),
      bytes(part.itemsize for part in parts),
      *(part.tobytes() for part in parts),
    ]
  )


def narrow(values: np.ndarray) -> np.ndarray:
  """Returns integers in the smallest type that holds them all."""
  low, high = values.min(), values.max()
  for dtype in _INTEGERS:
    limits = np.iinfo(dtype)
    if limits.min <= low and high <= limits.max:
      return values.astype(dtype)


def decode(data: bytes, time: np.ndarray, values: np.ndarray) -> None:
  """Fills `time` `[T]` and `values` `[C, T]` from bytes."""
  rows_by_group = groups(len(values))
  changing = values[_NUM_PLAIN:]
  first_time = np.frombuffer(data, _INT64, 1)
  first = np.frombuffer(data, _INT32, len(changing), first_time.nbytes)
  offset = first_time.nbytes + first.nbytes
  widths = data[offset : offset + 1 + len(rows_by_group)]
  offset += len(widths)
  targets = [time[None], *(values[rows] for rows in rows_by_group)]
  for width, target in zip(widths, targets, strict=True):
    found = np.frombuffer(data, f"<i{width}", target.size, offset)
    target[:] = found.reshape(target.shape)
    offset += found.nbytes
  time[0] = first_time[0]
  np.cumsum(time, out=time)
  changing[:, 0] = first
  np.cumsum(changing, axis=1, out=changing)
