"""The place of an order in the book, and what rests by distance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import book as book_lib

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
_ORDERS = (  # Side, price, volume; ids are their numbers.
  (ASK, 104, 5),
  (ASK, 105, 1),
  (ASK, 105, 2),
  (ASK, 120, 7),
  (BID, 100, 4),
  (BID, 99, 6),
  (BID, 36, 9),
)


@pytest.fixture(autouse=True)
def strict_dtypes():
  with jax.numpy_dtype_promotion("strict"):
    yield


def _book(rows=_ORDERS, capacity=8):
  side, price, volume = np.array(rows, np.int32).reshape(-1, 3).T
  ids = np.arange(len(side), dtype=np.int32)
  none = np.full_like(ids, types.NO_OWNER)
  return lob.from_orders(
    types.Order(none, side, price, volume, ids, none), capacity
  )


def _place(book, kind, side, price, order_id=-5):
  order = types.Order(
    *(jnp.int32(x) for x in (kind, side, price, 3, order_id, types.NO_OWNER))
  )
  place = jax.device_get(lob.place(book, order, fallback=jnp.int32(50)))
  return (int(place.level), int(place.younger), int(place.resting))


@pytest.mark.parametrize(
  ("order_id", "expected"),
  [
    (0, (0, 0, 5)),
    (1, (1, 1, 1)),
    (2, (1, 0, 2)),
    (3, (2, 0, 7)),
    (5, (1, 0, 6)),
    (99, (0, 0, 0)),  # Of no order.
  ],
)
def test_a_cancel_stands_where_its_order_does(order_id, expected):
  assert _place(_book(), CANCEL, ASK, 0, order_id) == expected


@pytest.mark.parametrize(
  ("side", "price", "tradable"),
  [(BID, 103, 0), (BID, 104, 5), (BID, 119, 8), (ASK, 99, 10), (ASK, 101, 0)],
)
def test_a_new_order_meets_what_it_can_trade_with(side, price, tradable):
  assert _place(_book(), LIMIT, side, price) == (0, 0, tradable)


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    (_ORDERS, [104, 100]),
    (((ASK, 9, 1),), [9, 8]),
    (((BID, 9, 1),), [10, 9]),
    ((), [51, 50]),
  ],
)
def test_a_best_price_that_is_missing_is_a_tick_beyond_the_other(
  rows, expected
):
  best = book_lib.best_prices(_book(rows), fallback=jnp.int32(50))
  assert best.tolist() == expected


def test_depth_is_of_classes_that_widen_by_four():
  depth = lob.depth(_book())
  assert depth.volume[ASK].tolist() == [5, 3, 0, 7, 0, 0, 0, 0]
  assert depth.orders[ASK].tolist() == [1, 2, 0, 1, 0, 0, 0, 0]
  assert depth.volume[BID].tolist() == [4, 6, 0, 0, 9, 0, 0, 0]
  far = lob.depth(_book(((BID, 5000, 3), (BID, 904, 8), (BID, -(2**29), 1))))
  assert far.volume[BID].tolist() == [3, 0, 0, 0, 0, 0, 0, 9]
  assert not np.asarray(far.orders[ASK]).any()
