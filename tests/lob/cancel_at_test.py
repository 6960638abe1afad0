"""Cancels that name a price and a volume, of one owner or of all, by hand."""

import jax
import jax.numpy as jnp
import pytest
from absl.testing import absltest
from absl.testing import parameterized

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import venues
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
CANCEL, Reason = types.OrderKind.CANCEL, types.Reason
ME, YOU = 0, 1


def _limit(side, price, volume, id_, owner):
  kind = types.OrderKind.LIMIT
  return python_exchange.Message(kind, side, price, volume, id_, owner)


class CancelAtTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion("strict"))
    played = exchanges.play(
      venues.CONTINUOUS,
      [
        _limit(BID, 100, 4, 0, ME),
        _limit(BID, 100, 5, 1, YOU),
        _limit(BID, 100, 6, 2, ME),
        _limit(BID, 96, 7, 3, YOU),
        _limit(ASK, 110, 8, 4, ME),
      ],
    )
    self.book = jax.tree.map(lambda leaf: leaf[-1], played.markets.book)

  def _cancel_at(self, side, price, volume, owner=types.NO_OWNER):
    order = types.Order(
      *map(jnp.int32, (CANCEL, side, price, volume, types.NO_ORDER, owner))
    )
    book, report = jax.device_get(jax.jit(lob.cancel_at)(self.book, order))
    used = book.volume[side] > 0
    left = zip(book.id[side][used], book.volume[side][used], strict=True)
    return int(report.reason), int(report.cancelled), list(left), book

  @parameterized.named_parameters(
    ("oldest_first", 100, 7, -1, 7, [(1, 2), (2, 6), (3, 7)]),
    ("no_more_than_the_level", 100, 99, -1, 15, [(3, 7)]),
    ("nearest_price", 97, 1, -1, 1, [(0, 4), (1, 5), (2, 6), (3, 6)]),
    ("better_of_two_as_near", 98, 1, -1, 1, [(0, 3), (1, 5), (2, 6), (3, 7)]),
    ("of_one_owner", 100, 5, ME, 5, [(1, 5), (2, 5), (3, 7)]),
    ("all_of_one_owner", 100, 99, ME, 10, [(1, 5), (3, 7)]),
    ("nearest_of_one_owner", 96, 2, ME, 2, [(0, 2), (1, 5), (2, 6), (3, 7)]),
  )
  def test_cancels(self, price, volume, owner, cancelled, left):
    reason, total, got, _ = self._cancel_at(BID, price, volume, owner)
    self.assertEqual((reason, total), (Reason.ACCEPTED, cancelled))
    self.assertEqual(got, left)

  def test_where_the_owner_has_no_order_nothing_is_cancelled(self):
    reason, total, left, book = self._cancel_at(ASK, 110, 5, YOU)
    self.assertEqual((reason, total), (Reason.UNKNOWN_ID, 0))
    self.assertEqual(left, [(4, 8)])
    self.assertEqual(book.counts[Reason.UNKNOWN_ID], 1)

  def test_no_volume_is_a_rejection(self):
    reason, total, _, _ = self._cancel_at(BID, 100, 0)
    self.assertEqual((reason, total), (Reason.NO_VOLUME, 0))

  @parameterized.named_parameters(
    ("nearest_volume_of_one_owner", BID, 100, 5, YOU, (1, 5)),
    ("nearest_price_of_one_owner", BID, 99, 7, ME, (2, 6)),
    ("oldest_of_volumes_as_near", BID, 100, 5, ME, (0, 4)),
    ("of_a_volume_that_another_has", BID, 96, 5, ME, (0, 4)),
    ("of_an_owner_without_orders", ASK, 110, 8, YOU, (types.NO_ORDER, 0)),
  )
  def test_find_cancel_looks_at_one_owner(
    self, side, price, volume, owner, expected
  ):
    args = side, (price, price), (volume, volume), volume, owner
    *args, owner = jax.tree.map(jnp.int32, args)
    found = lob.find_cancel(self.book, *args, owner=owner)
    self.assertEqual((int(found.id), int(found.volume)), expected)


if __name__ == "__main__":
  absltest.main()
