"""The order that a model's cancel names, worked by hand."""

import chex
import jax
import jax.numpy as jnp
import pytest
from absl.testing import parameterized

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import venues
from mars_jax.sim import cancels
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT = types.OrderKind.LIMIT
ME, YOU = 0, 1
Message = python_exchange.Message


def _limit(side, price, volume, id_, owner):
  return Message(LIMIT, side, price, volume, id_, owner)


def _play(messages):
  """Returns the book after messages."""
  played = exchanges.play(venues.CONTINUOUS, messages)
  return jax.tree.map(lambda leaf: leaf[-1], played.exchanges.book)


def _find_cancel(book, side, price, volume, *, high=None, volumes=(0, 2**30)):
  """Returns the cancel found from `price` to `high`."""
  high = price if high is None else high
  args = side, (price, high), volumes, volume
  return jax.device_get(cancels.nearest(book, *jax.tree.map(jnp.int32, args)))


class FindCancelTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion("strict"))
    messages = [
      Message(LIMIT, side, price, volume, order_id)
      for side, price, volume, order_id in (
        (ASK, 100, 5, 0),
        (ASK, 104, 10, 1),
        (ASK, 104, 20, 2),
        (ASK, 104, 10, 3),
        (BID, 95, 7, 4),
        (BID, 91, 8, 5),
      )
    ]
    self.book = _play(messages)

  @parameterized.named_parameters(
    ("its_price_and_volume", ASK, 104, 20, (2, 20)),
    ("nearest_price", ASK, 999, 20, (2, 20)),
    ("nearest_volume", ASK, 104, 17, (2, 20)),
    ("oldest_of_equal_volumes", ASK, 104, 9, (1, 10)),
    ("oldest_of_volumes_as_near", ASK, 104, 15, (1, 10)),
    ("better_of_asks_as_near", ASK, 102, 20, (0, 5)),
    ("better_of_bids_as_near", BID, 93, 8, (4, 7)),
    ("farthest_price_allowed", BID, 1 - 2**30, 1, (5, 8)),
    ("largest_volume", ASK, 104, 2**31 - 1, (2, 20)),
  )
  def test_finds_the_order_of(self, side, price, volume, expected):
    found = _find_cancel(self.book, side, price, volume)
    self.assertEqual((int(found.id), int(found.volume)), expected)
    self.assertEqual(found.side, side)

  def test_within_the_range_the_volume_decides_not_the_price(self):
    found = _find_cancel(self.book, ASK, 100, 20, high=104)
    self.assertEqual((found.id, found.price, found.volume), (2, 104, 20))

  @parameterized.named_parameters(
    ("of_one_volume", 104, 10, (10, 10), (1, 10)),
    ("of_the_volumes_the_nearest_price", 100, 12, (8, 20), (1, 10)),
    ("of_the_volumes_at_the_price_the_nearest", 104, 17, (8, 20), (2, 20)),
    ("any_where_no_volume_is_in_range", 100, 30, (21, 40), (0, 5)),
    ("either_end_of_the_range", 104, 7, (5, 9), (0, 5)),
  )
  def test_volumes_in_range_come_before_the_price(
    self, price, volume, volumes, expected
  ):
    found = _find_cancel(self.book, ASK, price, volume, volumes=volumes)
    self.assertEqual((int(found.id), int(found.volume)), expected)

  def test_empty_side_gives_no_order_whose_cancel_does_nothing(self):
    book = lob.init(4)
    cancel = _find_cancel(book, ASK, 100, 5)
    self.assertEqual((cancel.id, cancel.volume), (types.NO_ORDER, 0))
    after, report = jax.jit(lob.step)(book, cancel)
    self.assertEqual(report.reason, types.Reason.NO_VOLUME)
    chex.assert_trees_all_equal(after.volume, book.volume)

  def test_distance_between_extreme_prices_does_not_overflow(self):
    far = 2**30 - 1
    book = _play([Message(LIMIT, ASK, far, 3, 0)])
    found = _find_cancel(book, ASK, -far, 3)
    self.assertEqual((found.id, found.volume), (0, 3))

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
    book = _play(
      [
        _limit(BID, 100, 4, 0, ME),
        _limit(BID, 100, 5, 1, YOU),
        _limit(BID, 100, 6, 2, ME),
        _limit(BID, 96, 7, 3, YOU),
        _limit(ASK, 110, 8, 4, ME),
      ],
    )
    args = side, (price, price), (volume, volume), volume, owner
    *args, owner = jax.tree.map(jnp.int32, args)
    found = cancels.nearest(book, *args, owner=owner)
    self.assertEqual((int(found.id), int(found.volume)), expected)

  def test_dtypes_are_int32(self):
    found = _find_cancel(self.book, ASK, 1, 1)
    chex.assert_type(jax.tree.leaves(found), jnp.int32)


class AtLevelTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion("strict"))
    self.book = _play(
      [
        _limit(side, price, volume, order_id, types.NO_OWNER)
        for side, price, volume, order_id in (
          (ASK, 100, 5, 0),
          (ASK, 104, 10, 1),
          (ASK, 104, 20, 2),
          (ASK, 104, 10, 3),
          (ASK, 109, 4, 4),
          (BID, 95, 7, 5),
        )
      ]
    )

  @parameterized.named_parameters(
    ("best", ASK, 0, 0, (0, 5)),
    ("youngest_of_a_level", ASK, 1, 0, (3, 10)),
    ("second_youngest", ASK, 1, 1, (2, 20)),
    ("oldest", ASK, 1, 2, (1, 10)),
    ("oldest_where_there_are_fewer", ASK, 1, 7, (1, 10)),
    ("last_level_where_there_are_fewer", ASK, 9, 0, (4, 4)),
    ("bid", BID, 0, 0, (5, 7)),
  )
  def test_finds_the(self, side, level, younger, expected):
    found = cancels.at_level(
      self.book, *jax.tree.map(jnp.int32, (side, level, younger))
    )
    self.assertEqual((int(found.id), int(found.volume)), expected)

  def test_an_order_of_an_agent_stays(self):
    book = self.book.replace(
      owner=jnp.where(self.book.id == 2, ME, self.book.owner)
    )
    found = cancels.at_level(book, jnp.int32(ASK), jnp.int32(1), jnp.int32(1))
    self.assertIn(int(found.id), (1, 3))

  def test_of_an_empty_side_it_is_nothing(self):
    found = cancels.at_level(
      lob.init(4), jnp.int32(ASK), jnp.int32(0), jnp.int32(0)
    )
    self.assertEqual((int(found.id), int(found.volume)), (types.NO_ORDER, 0))
