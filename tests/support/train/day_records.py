"""Random orders of a day, with a plausible book."""

import numpy as np

from mars_jax import records as records_lib
from mars_jax import types


def make(num_orders, *, seed=0, num_levels=6):
  """Records of a calm market; 5 % of levels are empty."""
  rng = np.random.default_rng(seed)

  def draw(low, high, *shape):
    return rng.integers(low, high, (num_orders, *shape), dtype=np.int32)

  mid = np.cumsum(np.append(np.int32(10_000), draw(-2, 3)), dtype=np.int32)
  away = np.cumsum(draw(1, 4, 2, num_levels), axis=-1, dtype=np.int32)
  is_used = rng.random((num_orders, 2, num_levels)) < 0.95
  sign = np.array([[1], [-1]], np.int32)  # By `types.Side`.
  price = mid[1:, None, None] + sign * away
  return records_lib.Records(
    time=34_200 * types.NANOSECONDS
    + np.cumsum(rng.integers(0, 10**8, num_orders) * draw(0, 2)),
    order=types.Order(
      kind=draw(0, 2),
      side=draw(0, 2),
      price=mid[:-1] + draw(-20, 20),
      volume=draw(1, 500),
      id=draw(0, 1000),
      owner=np.full(num_orders, types.NO_OWNER, np.int32),
    ),
    place=types.Place(
      best=mid[:-1, None] + np.array([1, -1], np.int32),
      level=draw(0, 4),
      younger=draw(0, 3),
      resting=draw(1, 500),
    ),
    mid_before=mid[:-1],
    mid_after=mid[1:],
    snapshot=types.Snapshot(
      price=np.where(is_used, price, 0),
      volume=np.where(is_used, draw(1, 900, 2, num_levels), 0),
    ),
    depth=types.Depth(
      volume=draw(0, 900, 2, types.DEPTH_CLASSES),
      orders=draw(0, 9, 2, types.DEPTH_CLASSES),
    ),
    traded=draw(0, 5),
  )
