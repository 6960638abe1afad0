"""Absurd numbers end in a sentence, not in a wrong book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import session
from mars_jax.lob import submit
from mars_jax.lob import venues

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
HALF = 2**30


def orders(*rows, dtype=np.int32):
  """Orders of (side, price, volume, id), as arrays."""
  side, price, volume, id_ = np.array(rows, np.int64).reshape(-1, 4).T
  return types.Order(
    kind=np.zeros(len(rows), np.int32),
    side=side.astype(np.int32),
    price=price.astype(dtype),
    volume=volume.astype(dtype),
    id=id_.astype(np.int32),
    owner=np.full(len(rows), types.NO_OWNER, np.int32),
  )


@pytest.mark.parametrize(
  ("rows", "reason"),
  [
    ([(2, 10, 1, 0)], "side of a resting order must be 0"),
    ([(ASK, 10, 1, -1)], "ids of their own, 0 or more"),
    ([(ASK, 10, 1, 5), (BID, 9, 1, 5)], "ids of their own"),
    ([(ASK, 10, 0, 0)], "volume of a resting order must be positive"),
    ([(ASK, HALF, 1, 0)], "price of a resting order must be in"),
    ([(BID, -HALF, 1, 0)], "price of a resting order must be in"),
    ([(ASK, 10, HALF, 0), (ASK, 11, HALF, 1)], "2147483648 lots rest on a"),
  ],
)
def test_orders_that_cannot_rest_are_named(rows, reason):
  with pytest.raises(ValueError, match=reason):
    lob.from_orders(orders(*rows), 4)


def test_largest_numbers_that_fit_rest():
  rows = [(ASK, HALF - 1, HALF, 0), (ASK, HALF - 1, HALF - 1, 1)]
  book = lob.from_orders(orders(*rows), 4)
  assert int(book.volume[ASK].sum()) == 2**31 - 1


def test_books_of_other_sizes_and_types_are_named():
  with pytest.raises(ValueError, match="capacity is -1"):
    lob.init(-1)
  with pytest.raises(ValueError, match="dtype is uint32; give int32 or int64"):
    lob.init(4, dtype=jnp.uint32)
  with pytest.raises(ValueError, match="needs x64"):
    lob.init(4, dtype=np.int64)
  with jax.enable_x64(True):
    assert lob.init(4, dtype=np.int64).price.dtype == np.int64


def send(exchange, *fields, **options):
  order = lob.make_order(*fields, **options)
  return submit.submit(exchange, order, 0, rules=venues.CONTINUOUS)[0]


def test_id_of_an_order_that_rests_is_refused():
  start = session.init(lob.init(4), reference=100)
  exchange = send(start, LIMIT, ASK, 101, 5, 7)
  with pytest.raises(ValueError, match="id 7 rests already"):
    send(exchange, LIMIT, BID, 99, 5, 7)
  exchange = send(exchange, CANCEL, ASK, 0, 5, 7)
  assert int(send(exchange, LIMIT, BID, 99, 5, 7).book.volume[BID, 0]) == 5


def test_volume_that_a_side_cannot_count_is_refused():
  start = session.init(lob.init(4), reference=100)
  exchange = send(start, LIMIT, ASK, 101, HALF, 1)
  with pytest.raises(ValueError, match="could hold 2147483648 lots"):
    send(exchange, LIMIT, ASK, 102, HALF, 2)
  exchange = send(exchange, LIMIT, ASK, 102, HALF - 1, 2)
  assert int(exchange.book.volume[ASK].sum()) == 2**31 - 1


def test_order_of_another_type_than_the_book_is_refused():
  start = session.init(lob.init(4), reference=100)
  with jax.enable_x64(True):
    order = lob.make_order(LIMIT, ASK, 101, 5, 1, dtype=np.int64)
    with pytest.raises(ValueError, match="numbers of int64, the book of int32"):
      submit.submit(start, order, 0, rules=venues.CONTINUOUS)
