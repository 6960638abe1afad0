"""The matching engine: worked examples, an oracle, invariants."""

import functools

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import strategies as st

from mars_jax import lob
from mars_jax import types
from tests.support.oracles import python_book

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
Message = python_book.Message


def _put_orders(messages):
  """Returns messages as `types.Order`, leaves `[T]`."""
  columns = np.array(messages, np.int32).reshape(-1, 5).T
  owner = np.full(len(messages), types.NO_OWNER, np.int32)
  return types.Order(*columns, owner=owner)


@jax.jit
def _scan(book, orders):
  return jax.lax.scan(lob.step, book, orders)


@jax.jit
def _scan_with_books(book, orders):
  def body(book, order):
    book, fills = lob.step(book, order)
    return book, (book, fills)

  return jax.lax.scan(body, book, orders)[1]


def _run(messages, capacity=8):
  """Returns the book after messages, and their fills, in NumPy."""
  book, reports = _scan(lob.init(capacity), _put_orders(messages))
  return jax.device_get((book, reports.fills))


def _get_fills(fills):
  """Returns fills `[T, N]` as lists of rows."""
  return [
    [row for row in zip(*rows, strict=True) if row[1] > 0]
    for rows in zip(
      fills.price.tolist(),
      fills.volume.tolist(),
      fills.id.tolist(),
      strict=True,
    )
  ]


def _get_rows(book, side):
  """Returns a side's filled slots: (price, volume, id)."""
  rows = zip(
    book.price[side].tolist(),
    book.volume[side].tolist(),
    book.id[side].tolist(),
    strict=True,
  )
  return [row for row in rows if row[1] > 0]


def _random_messages(seed, num_messages, center=10_000, spread=6):
  """Draws a narrow stream: ties, deep sweeps, all cancels."""
  rng = np.random.default_rng(seed)
  messages = []
  for i in range(num_messages):
    side = int(rng.integers(2))
    outwards = 1 if side == ASK else -1
    volume = int(rng.integers(0, 12))
    draw = rng.random()
    if draw < 0.5:  # Mostly rests.
      price = center + outwards * int(rng.integers(-1, spread))
      messages.append(Message(LIMIT, side, price, volume, i))
    elif draw < 0.6:  # Walks through several levels.
      price = center - outwards * int(rng.integers(0, spread))
      messages.append(Message(LIMIT, side, price, 5 * volume, i))
    elif draw < 0.95 and i:  # Of an order that may rest still.
      named = int(rng.integers(max(0, i - 40), i))
      messages.append(Message(CANCEL, side, 0, volume, named))
    else:  # Of an order that never was.
      messages.append(Message(CANCEL, side, center, volume, 10**6 + i))
  return messages


_MESSAGES = st.builds(
  lambda kind, side, price, volume, named: (kind, side, price, volume, named),
  kind=st.sampled_from((LIMIT, LIMIT, CANCEL)),
  side=st.sampled_from((ASK, BID)),
  price=st.integers(-2, 2),
  volume=st.integers(0, 9),
  named=st.integers(0, 19),
)


class LobTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.numpy_dtype_promotion("strict"))

  def _assert_same_as_oracle(self, messages, capacity):
    oracle = python_book.PythonBook(capacity)
    expected_fills = [oracle.apply(message) for message in messages]
    book, fills = _run(messages, capacity)
    self.assertEqual(_get_fills(fills), expected_fills)
    for side in (ASK, BID):
      self.assertEqual(_get_rows(book, side), oracle.rows(side))
    self.assertEqual(book.dropped, oracle.dropped)
    self.assertEqual(book.unknown, oracle.unknown)
    return oracle, book


class ExamplesTest(LobTest):
  def test_order_rests_in_an_empty_book(self):
    book, fills = _run([Message(LIMIT, BID, 100, 7, 3)])
    self.assertEqual(_get_rows(book, BID), [(100, 7, 3)])
    self.assertEqual(_get_rows(book, ASK), [])
    self.assertEqual(_get_fills(fills), [[]])

  def test_marketable_buy_walks_the_book(self):
    book, fills = _run(
      [
        Message(LIMIT, ASK, 101, 10, 0),
        Message(LIMIT, ASK, 100, 10, 1),
        Message(LIMIT, ASK, 102, 10, 2),
        Message(LIMIT, BID, 102, 25, 3),
      ]
    )
    self.assertEqual(
      _get_fills(fills)[-1], [(100, 10, 1), (101, 10, 0), (102, 5, 2)]
    )
    self.assertEqual(_get_rows(book, ASK), [(102, 5, 2)])
    self.assertEqual(_get_rows(book, BID), [])

  def test_remainder_of_marketable_sell_rests_at_its_limit(self):
    book, fills = _run(
      [
        Message(LIMIT, BID, 100, 10, 0),
        Message(LIMIT, BID, 98, 10, 1),
        Message(LIMIT, ASK, 99, 25, 2),
      ]
    )
    self.assertEqual(_get_fills(fills)[-1], [(100, 10, 0)])
    self.assertEqual(_get_rows(book, ASK), [(99, 15, 2)])
    self.assertEqual(_get_rows(book, BID), [(98, 10, 1)])

  def test_older_order_trades_first_at_equal_prices(self):
    book, fills = _run(
      [
        Message(LIMIT, BID, 100, 4, 0),
        Message(LIMIT, BID, 100, 4, 1),
        Message(LIMIT, ASK, 100, 5, 2),
      ]
    )
    self.assertEqual(_get_fills(fills)[-1], [(100, 4, 0), (100, 1, 1)])
    self.assertEqual(_get_rows(book, BID), [(100, 3, 1)])

  def test_partial_cancel_keeps_priority(self):
    book, _ = _run(
      [
        Message(LIMIT, ASK, 100, 10, 0),
        Message(LIMIT, ASK, 100, 10, 1),
        Message(CANCEL, ASK, 100, 4, 0),
      ]
    )
    self.assertEqual(_get_rows(book, ASK), [(100, 6, 0), (100, 10, 1)])

  def test_cancel_of_more_than_rests_removes_the_order(self):
    book, fills = _run(
      [
        Message(LIMIT, BID, 100, 10, 0),
        Message(LIMIT, BID, 99, 10, 1),
        Message(LIMIT, BID, 98, 10, 2),
        Message(CANCEL, BID, 0, 99, 1),
      ]
    )
    self.assertEqual(_get_rows(book, BID), [(100, 10, 0), (98, 10, 2)])
    self.assertEqual(_get_fills(fills)[-1], [])
    self.assertEqual(book.unknown, 0)

  def test_cancel_goes_by_id_whatever_its_side_says(self):
    book, _ = _run(
      [Message(LIMIT, BID, 100, 10, 0), Message(CANCEL, ASK, 100, 10, 0)]
    )
    self.assertEqual(_get_rows(book, BID), [])

  @parameterized.parameters(5, types.NO_ORDER)
  def test_cancel_of_unknown_id_is_counted_and_changes_nothing(self, unknown):
    book, _ = _run(
      [Message(LIMIT, BID, 100, 10, 0), Message(CANCEL, BID, 100, 10, unknown)]
    )
    self.assertEqual(_get_rows(book, BID), [(100, 10, 0)])
    self.assertEqual(book.unknown, 1)

  @parameterized.product(kind=(LIMIT, CANCEL), volume=(0, -3))
  def test_order_without_volume_is_a_no_op(self, kind, volume):
    resting = Message(LIMIT, BID, 100, 10, 0)
    before, _ = _run([resting])
    after, fills = _run([resting, Message(kind, ASK, 100, volume, 0)])
    self.assertEqual(_get_rows(after, BID), _get_rows(before, BID))
    self.assertEqual(_get_rows(after, ASK), [])
    self.assertEqual(after.counts[types.Reason.NO_VOLUME], 1)
    self.assertEqual(_get_fills(fills)[-1], [])

  def test_full_side_drops_the_worst_order_and_counts_it(self):
    book, _ = _run(
      [
        Message(LIMIT, ASK, 100, 1, 0),
        Message(LIMIT, ASK, 102, 2, 1),
        Message(LIMIT, ASK, 101, 3, 2),
      ],
      capacity=2,
    )
    self.assertEqual(_get_rows(book, ASK), [(100, 1, 0), (101, 3, 2)])
    self.assertEqual(book.dropped, 1)

  @parameterized.parameters(101, 102)
  def test_order_behind_a_full_side_is_dropped_itself(self, price):
    book, _ = _run(
      [
        Message(LIMIT, ASK, 100, 1, 0),
        Message(LIMIT, ASK, 101, 2, 1),
        Message(LIMIT, ASK, price, 3, 2),
      ],
      capacity=2,
    )
    self.assertEqual(_get_rows(book, ASK), [(100, 1, 0), (101, 2, 1)])
    self.assertEqual(book.dropped, 1)

  def test_largest_order_against_a_full_side_does_not_overflow(self):
    largest = 2**31 - 1
    resting = [Message(LIMIT, ASK, 100 + i, largest // 4, i) for i in range(4)]
    book, fills = _run([*resting, Message(LIMIT, BID, 200, largest, 4)], 4)
    self.assertEqual(
      _get_fills(fills)[-1], [(100 + i, largest // 4, i) for i in range(4)]
    )
    self.assertEqual(_get_rows(book, BID), [(200, largest % 4, 4)])

  def test_rows_not_in_use_are_blank(self):
    book, fills = _run([Message(LIMIT, BID, 100, 10, 0)], capacity=2)
    self.assertEqual(book.volume.tolist(), [[0, 0], [10, 0]])
    self.assertEqual(book.id.tolist(), [[types.NO_ORDER] * 2, [0, -1]])
    self.assertEqual(fills.price.tolist(), [[0, 0]])
    self.assertEqual(fills.id.tolist(), [[types.NO_ORDER] * 2])
    empty = jax.device_get(lob.init(2))
    self.assertEqual(book.price[ASK].tolist(), empty.price[ASK].tolist())
    self.assertEqual(book.price[BID, 1], empty.price[BID, 1])


class OracleTest(LobTest):
  @parameterized.product(seed=(0, 1, 2), center=(10_000, 0, 2**30 - 16))
  def test_random_stream_equals_python_book(self, seed, center):
    messages = _random_messages(seed, 500, center)
    oracle, book = self._assert_same_as_oracle(messages, capacity=64)
    self.assertEqual(book.dropped, 0)
    self.assertGreater(book.unknown, 0)
    for num_levels in (3, 12):
      levels = jax.device_get(lob.snapshot(book, num_levels=num_levels))
      for side in (ASK, BID):
        expected = oracle.levels(side)[:num_levels]
        expected += [(0, 0)] * (num_levels - len(expected))
        rows = zip(levels.price[side], levels.volume[side], strict=True)
        self.assertEqual(list(rows), expected)

  @parameterized.parameters(0, 1, 2)
  def test_random_stream_equals_python_book_when_sides_are_full(self, seed):
    messages = _random_messages(seed, 500)
    _, book = self._assert_same_as_oracle(messages, capacity=5)
    self.assertGreater(book.dropped, 0)

  @hypothesis.settings(deadline=None, max_examples=60)
  @hypothesis.given(messages=st.lists(_MESSAGES, max_size=20))
  def test_any_stream_equals_python_book(self, messages):
    padding = [(LIMIT, ASK, 0, 0, 0)] * (20 - len(messages))
    messages = [
      Message(kind, side, price, volume, i if kind == LIMIT else named)
      for i, (kind, side, price, volume, named) in enumerate(messages + padding)
    ]
    self._assert_same_as_oracle(messages, capacity=4)


class InvariantsTest(LobTest):
  @parameterized.parameters(0, 1, 2)
  def test_book_is_in_order_after_every_message(self, seed):
    orders = _put_orders(_random_messages(seed, 400))
    books, _ = jax.device_get(_scan_with_books(lob.init(64), orders))
    filled = books.volume > 0  # [T, 2, N]

    with self.subTest("filled slots are a prefix"):
      self.assertTrue((filled[..., :-1] >= filled[..., 1:]).all())
    with self.subTest("empty slots are blank"):
      blank = jax.device_get(lob.init(64))
      self.assertTrue((books.volume >= 0).all())
      self.assertTrue((books.id[~filled] == types.NO_ORDER).all())
      self.assertTrue(((books.price == blank.price[None]) | filled).all())
    with self.subTest("sorted by price, then by arrival"):
      sign = np.array([1, -1])[None, :, None]
      step = np.diff(books.price.astype(np.int64)) * sign
      older = np.diff(books.id) > 0
      in_order = (step > 0) | ((step == 0) & older)
      self.assertTrue((in_order | ~filled[..., 1:]).all())
    with self.subTest("best bid below best ask"):
      both = filled[..., 0].all(axis=1)
      self.assertTrue(both.any())
      best = books.price[both, :, 0]
      self.assertTrue((best[:, BID] < best[:, ASK]).all())
    with self.subTest("unique ids"):
      for ids, mask in zip(books.id, filled, strict=True):
        self.assertLen(set(ids[mask].tolist()), mask.sum())

  @parameterized.parameters(0, 1, 2)
  def test_no_volume_appears_or_vanishes(self, seed):
    orders = _put_orders(_random_messages(seed, 400))
    books, reports = jax.device_get(_scan_with_books(lob.init(64), orders))
    fills = reports.fills
    self.assertEqual(books.dropped[-1], 0)
    before = np.zeros_like(books.volume[0]), books.id[0]
    cancelled = []
    for i in range(400):
      volume, ids = before
      named = volume[ids == orders.id[i]].sum()
      cancelled.append(min(named, orders.volume[i]))
      before = books.volume[i], books.id[i]
    is_limit = orders.kind == LIMIT
    submitted = np.where(is_limit, orders.volume, 0).cumsum()
    cancelled = np.where(is_limit, 0, cancelled).cumsum()
    traded = fills.volume.sum(axis=1).cumsum()
    resting = books.volume.sum(axis=(1, 2))
    self.assertGreater(traded[-1], 0)
    self.assertGreater(cancelled[-1], 0)
    np.testing.assert_array_equal(submitted, resting + cancelled + 2 * traded)


class EquivalencesTest(LobTest):
  def test_vmap_equals_a_loop_over_markets(self):
    streams = [_put_orders(_random_messages(seed, 100)) for seed in range(3)]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *streams)
    expected = [_scan(lob.init(32), orders) for orders in streams]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *expected)
    actual = jax.vmap(functools.partial(_scan, lob.init(32)))(batch)
    chex.assert_trees_all_equal(actual, expected)

  def test_scan_equals_a_loop_over_orders(self):
    orders = _put_orders(_random_messages(0, 50))
    step = jax.jit(lob.step)
    book, fills = lob.init(32), []
    for i in range(50):
      order = jax.tree.map(lambda leaf, i=i: leaf[i], orders)
      book, fill = step(book, order)
      fills.append(fill)
    fills = jax.tree.map(lambda *leaves: np.stack(leaves), *fills)
    chex.assert_trees_all_equal(_scan(lob.init(32), orders), (book, fills))

  def test_step_is_traced_once(self):
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(lob.step, n=1))
    book = lob.init(4)
    for message in _random_messages(0, 5):
      fields = (*message, types.NO_OWNER)
      order = types.Order(*(jnp.int32(field) for field in fields))
      book, _ = step(book, order)

  def test_dtypes_are_int32(self):
    book, fills = _scan(lob.init(4), _put_orders(_random_messages(0, 5)))
    results = (
      book,
      fills,
      lob.snapshot(book, num_levels=2),
      lob.mid(book, fallback=0),
      lob.resize(book, 2),
    )
    chex.assert_type(jax.tree.leaves(results), jnp.int32)


class MidTest(LobTest):
  @parameterized.parameters(
    dict(bid=100, ask=104, expected=102),
    dict(bid=100, ask=103, expected=101),
    dict(bid=-3, ask=0, expected=-2),
    dict(bid=2**30 - 2, ask=2**30 - 1, expected=2**30 - 2),
    dict(bid=-(2**30) + 1, ask=2**30 - 1, expected=0),
    dict(bid=100, ask=None, expected=100),
    dict(bid=None, ask=104, expected=104),
    dict(bid=None, ask=None, expected=77),
  )
  def test_mid_is_rounded_down_and_falls_back(self, bid, ask, expected):
    messages = [
      Message(LIMIT, side, price if price is not None else 0, volume, side)
      for side, price in ((ASK, ask), (BID, bid))
      for volume in (0 if price is None else 1,)
    ]
    book = jax.device_put(_run(messages)[0])
    self.assertEqual(lob.mid(book, fallback=77), expected)
    self.assertEqual(lob.mid(book, fallback=jnp.int32(77)), expected)


class ResizeTest(LobTest):
  def setUp(self):
    super().setUp()
    messages = [Message(LIMIT, ASK, 100 + i, 1, i) for i in range(4)]
    messages += [Message(LIMIT, BID, 90 - i, 1, 10 + i) for i in range(3)]
    self.book, _ = _run(messages, capacity=5)

  def test_growing_loses_nothing(self):
    grown = jax.device_get(lob.resize(self.book, 9))
    self.assertEqual(grown.price.shape, (2, 9))
    self.assertEqual(grown.dropped, 0)
    for side in (ASK, BID):
      self.assertEqual(_get_rows(grown, side), _get_rows(self.book, side))
    chex.assert_trees_all_equal(lob.resize(grown, 5), self.book)

  def test_shrinking_keeps_the_best_orders_and_counts_the_others(self):
    shrunk = jax.device_get(lob.resize(self.book, 2))
    self.assertEqual(_get_rows(shrunk, ASK), [(100, 1, 0), (101, 1, 1)])
    self.assertEqual(_get_rows(shrunk, BID), [(90, 1, 10), (89, 1, 11)])
    self.assertEqual(shrunk.dropped, 3)

  def test_grown_book_equals_one_of_that_capacity(self):
    chex.assert_trees_all_equal(lob.resize(lob.init(3), 7), lob.init(7))
