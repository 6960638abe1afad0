"""Tests of the input of a token, by hand."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import types
from mars_jax.tokens import bins
from mars_jax.tokens import features

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
# Bins that can be told by eye: ticks + 16, lots - 1, a hundred microseconds,
# and ten resting lots.
TOKENIZER = features.Tokenizer(
  price=bins.fit(np.arange(-16, 16), 32),
  volume=bins.fit(np.arange(1, 33), 32),
  interval=bins.fit(np.arange(1600), 16),
  level_volume=bins.fit(np.arange(1, 321), 32),
  alphabet="mid",
)
BOOK = types.Snapshot(
  price=np.array([[101, 103, 0, 0, 0], [99, 95, 94, 0, 0]], np.int32),
  volume=np.array([[30, 5, 0, 0, 0], [10, 999, 11, 0, 0]], np.int32),
)


@pytest.fixture(autouse=True)
def strict_dtypes():
  with jax.numpy_dtype_promotion("strict"):
    yield


def put(*columns):
  """Numbers as int32 arrays."""
  return [np.asarray(column, np.int32) for column in columns]


def encode(kind, side, price, volume, interval, snapshot=BOOK):
  """The token of an order at mid 98, open 95."""
  order = types.Order(*put(kind, side, price, volume, 7, types.NO_OWNER))
  interval, open_mid, mid_before, mid_after, time = put(
    interval, 95, 98, 100, 34_200
  )
  return features.encode(
    TOKENIZER,
    order,
    interval=interval,
    open_mid=open_mid,
    place=types.Place(*put([101, 97], 0, 0, 0)),
    mid_before=mid_before,
    mid_after=mid_after,
    snapshot=snapshot,
    depth=types.Depth(*put(np.ones((2, 8)), np.ones((2, 8)))),
    time=time,
  )


def test_limit_order_worked_out_by_hand():
  token = encode(LIMIT, BID, 95, 5, 250)
  # Kind bid, 3 ticks below the mid before, 5 lots, 200 to 299 microseconds.
  assert token.symbols.tolist() == [1, 13, 4, 2]
  assert token.volumes.tolist() == [1, 32, 2, 0, 0, 3, 1, 0, 0, 0]
  assert token.distances.tolist() == [1, 5, 6, 0, 0, 1, 3, 0, 0, 0]
  assert token.mid_change == 5
  assert token.mid_move == 2
  assert token.time == 34_200
  values = (token.price_offset, token.order_volume, token.interval)
  assert values == (-3, 5, 250)


def test_kind_of_a_limit_order_is_its_side_and_of_a_cancel_its_own():
  index = [
    int(encode(kind, side, 98, 1, 0).symbols[0])
    for kind, side in ((LIMIT, ASK), (LIMIT, BID), (CANCEL, ASK), (CANCEL, BID))
  ]
  assert index == [0, 1, 2, 2]


def test_distances_and_volumes_are_0_where_a_side_is_empty():
  one_sided = BOOK.replace(volume=BOOK.volume * np.array([[0], [1]], np.int32))
  token = encode(LIMIT, BID, 95, 5, 250, snapshot=one_sided)
  assert token.volumes.tolist() == [1, 32, 2, 0, 0] + [0] * 5
  assert token.distances.tolist()[5:] == [0] * 5


@pytest.mark.parametrize(
  "earlier, later, microseconds",
  [
    ((5, 0), (5, 0), 0),
    ((5, 100), (5, 1_099), 0),
    ((5, 100), (5, 1_100), 1),
    ((5, 999_999_000), (6, 1_000), 2),
    ((5, 999_999_999), (6, 0), 0),
    ((0, 0), (1_999, 999_999_999), 1_999_999_999),
    ((0, 500_000_000), (2_000, 500_000_000), 2_000_000_000),
    ((0, 0), (2_000, 999_999_999), 2_000_000_000),
    ((0, 999_999_999), (2_001, 0), 2_000_000_000),
    ((0, 999_999_999), (2_002, 0), 2_000_000_000),
    ((0, 0), (86_399, 999_999_999), 2_000_000_000),
  ],
)
def test_interval_is_in_microseconds_and_saturates(
  earlier, later, microseconds
):
  moments = [types.Timestamp(*put(*moment)) for moment in (earlier, later)]
  have = features.interval(*map(jax.device_put, moments))
  assert have == microseconds
  assert have.dtype == jnp.int32


def test_many_orders_at_once_are_as_one_by_one():
  rng = np.random.default_rng(0)
  num = 12
  order = types.Order(
    *put(
      rng.integers(2, size=num),
      rng.integers(2, size=num),
      rng.integers(80, 120, num),
      rng.integers(1, 40, num),
      np.arange(num),
      np.full(num, types.NO_OWNER),
    )
  )
  snapshot = types.Snapshot(
    *put(
      rng.integers(90, 110, (num, 2, 5)),
      rng.integers(0, 3, (num, 2, 5)) * 50,
    )
  )
  interval, mid_before, mid_after, time = put(
    rng.integers(2_000, size=num),
    rng.integers(95, 105, num),
    rng.integers(95, 105, num),
    np.arange(num),
  )
  open_mid = np.int32(100)
  place = types.Place(
    *put(
      rng.integers(95, 105, (num, 2)),
      rng.integers(4, size=num),
      rng.integers(4, size=num),
      rng.integers(40, size=num),
    )
  )
  depth = types.Depth(*put(*rng.integers(0, 99, (2, num, 2, 8))))

  @jax.jit
  def encode_rows(rows):
    order, interval, place, mid_before, mid_after, snapshot, depth, time = rows
    return features.encode(
      TOKENIZER,
      order,
      interval=interval,
      open_mid=open_mid,
      place=place,
      mid_before=mid_before,
      mid_after=mid_after,
      snapshot=snapshot,
      depth=depth,
      time=time,
    )

  rows = order, interval, place, mid_before, mid_after, snapshot, depth, time
  many = jax.device_get(encode_rows(rows))
  assert many.volumes.shape == (num, 10)
  assert all(leaf.dtype == np.int32 for leaf in jax.tree.leaves(many))
  for i in range(num):
    row = jax.tree.map(operator.itemgetter(i), rows)
    want = jax.tree.map(operator.itemgetter(i), many)
    have = jax.device_get(encode_rows(row))
    jax.tree.map(np.testing.assert_array_equal, have, want)
