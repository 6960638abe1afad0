"""Orders and the book around each, real or simulated."""

import dataclasses
import functools

import jax
import numpy as np

from mars_jax import types


@dataclasses.dataclass(frozen=True)
class Records:
  """Orders with the book before and after each, `[T]`.

  Attributes:
    time: int64 nanoseconds since midnight.
    order: what was sent, leaves `[T]`.
    place: where it stood in the book that it met, leaves `[T]`.
    mid_before: int32 ticks, of the book that the order met.
    mid_after: int32 ticks, of the book that it left.
    snapshot: the best levels after it, leaves `[T, 2, L]`.
    depth: what rests by distance after it, leaves `[T, 2, C]`.
    traded: int32 lots that it took.
  """

  time: np.ndarray
  order: types.Order
  place: types.Place
  mid_before: np.ndarray
  mid_after: np.ndarray
  snapshot: types.Snapshot
  depth: types.Depth
  traded: np.ndarray

  def __len__(self) -> int:
    return len(self.time)

  def __getitem__(self, rows: slice | np.ndarray) -> "Records":
    """Returns some of the rows."""
    cut = functools.partial(jax.tree.map, lambda leaf: leaf[rows])
    fields = dataclasses.fields(self)
    return Records(**{f.name: cut(getattr(self, f.name)) for f in fields})


def concatenate(parts: list[Records]) -> Records:
  """Joins records, one after another."""
  return Records(
    **{
      field.name: jax.tree.map(
        lambda *leaves: np.concatenate(leaves),
        *(getattr(part, field.name) for part in parts),
      )
      for field in dataclasses.fields(Records)
    }
  )
