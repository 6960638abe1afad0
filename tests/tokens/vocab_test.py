"""Tests of the alphabet of orders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import types
from mars_jax.tokens import vocab


@pytest.fixture(autouse=True)
def strict_dtypes():
  with jax.numpy_dtype_promotion("strict"):
    yield


def test_there_are_49152_orders():
  assert vocab.NUM_ORDERS == 49_152
  assert vocab.FIELD_SIZES == (3, 32, 32, 16)
  assert len(vocab.FIELDS) == len(vocab.FIELD_SIZES)


def test_kinds_are_ask_bid_cancel_in_the_order_of_the_official_code():
  kinds = (vocab.KIND_ASK, vocab.KIND_BID, vocab.KIND_CANCEL)
  assert kinds == (0, 1, 2)
  assert (types.Side.ASK, types.Side.BID) == kinds[:2]


@pytest.mark.parametrize(
  "fields, index",
  [
    ((0, 0, 0, 0), 0),
    ((0, 0, 0, 1), 1),
    ((0, 0, 1, 0), 16),
    ((0, 1, 0, 0), 512),
    ((1, 0, 0, 0), 16_384),
    ((2, 5, 7, 3), 35_443),  # 2 * 16384 + 5 * 512 + 7 * 16 + 3
    ((2, 31, 31, 15), 49_151),
  ],
)
def test_index_worked_out_by_hand(fields, index):
  assert vocab.pack(jnp.array(fields)) == index
  assert vocab.unpack(jnp.int32(index)).tolist() == list(fields)


def test_all_orders_are_packed_in_the_order_of_their_fields():
  all_fields = list(itertools.product(*map(range, vocab.FIELD_SIZES)))
  fields = jnp.array(all_fields, jnp.int32)
  index = jax.jit(vocab.pack)(fields)
  assert index.dtype == jnp.int32
  np.testing.assert_array_equal(index, np.arange(vocab.NUM_ORDERS))
  unpacked = jax.jit(vocab.unpack)(index)
  assert unpacked.dtype == jnp.int32
  np.testing.assert_array_equal(unpacked, fields)


def test_leading_dimensions_are_kept():
  index = jnp.arange(24).reshape(2, 3, 4) * 2_000
  fields = vocab.unpack(index)
  assert fields.shape == (2, 3, 4, 4)
  np.testing.assert_array_equal(vocab.pack(fields), index)
