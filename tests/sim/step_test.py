"""The simulator, driven by models of a few lines."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from tests.support.sim import small_markets

ASK, BID = types.Side.ASK, types.Side.BID
_CAPACITY = 256

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _random_order(params, key, inputs, cache):
  """Any order, as likely as any other; counts what it saw."""
  del params
  order = jax.random.randint(key, (), 0, vocab.NUM_ORDERS)
  return vocab.unpack(order), cache + inputs.is_new


def _scripted_order(params, key, inputs, cache):
  """The orders of `params`, one after the other."""
  del key
  return vocab.unpack(params[cache]), cache + inputs.is_new


_tokenizer = functools.partial(small_markets.tokenizer, 100_000)
RANDOM = sim.Flow(0, _tokenizer(), sim.OrderModelFns(_random_order))
_start = functools.partial(
  small_markets.start, nanoseconds=999_500_000, capacity=_CAPACITY
)


def _index(kind, offset, volume, interval_bin=0):
  """The order index of ticks from the mid and lots."""
  tokenizer = _tokenizer()
  fields = [
    kind,
    int(bins.encode(tokenizer.price, offset)),
    int(bins.encode(tokenizer.volume, volume)),
    interval_bin,
  ]
  return int(vocab.pack(np.array(fields)))


def _run_script(script, orders):
  """The events of scripted order indices, and the last state."""
  params = jnp.array([*script, script[-1]], jnp.int32)
  flow = sim.Flow(params, _tokenizer(), sim.OrderModelFns(_scripted_order))
  state = sim.init(flow, jax.random.key(0), _start(orders))
  return _rollout(flow, state, len(script))


@functools.partial(jax.jit, static_argnums=2)
def _rollout(flow, state, num_events):
  return sim.rollout(flow, state, num_events=num_events, observe_fn=_event)


def _event(state, event):
  del state
  return event


class StepTest(parameterized.TestCase):
  def test_limit_order_counts_its_price_from_the_mid_and_rests(self):
    state, events = _run_script(
      [_index(vocab.KIND_BID, -3, 7)], small_markets.QUOTES
    )
    self.assertEqual(events.order.price[0], 1000 - 3)
    self.assertEqual(events.order.id[0], 4)
    self.assertEqual(state.market.next_id, 5)
    self.assertEqual(
      state.market.exchange.book.volume[BID].tolist()[:3], [10, 20, 7]
    )

  def test_marketable_order_trades_and_moves_the_mid(self):
    state, events = _run_script(
      [_index(vocab.KIND_BID, 1, 12)], small_markets.QUOTES
    )
    self.assertEqual(events.report.traded[0], 10)
    # The rest of 2 at 1001 is the best bid now, the ask 1003 the best ask.
    self.assertEqual(events.mid[0], 1002)
    self.assertEqual(state.market.mid, 1002)

  @parameterized.named_parameters(
    ("of_its_volume", -2, 20, (998, 20, 1)),
    ("of_its_volume_at_another_price", -1, 20, (998, 20, 1)),
    ("of_its_price_where_no_volume_fits", -1, 4, (999, 4, 0)),
    ("whole_unless_of_under_half_of_it", -1, 6, (999, 10, 0)),
    ("of_no_more_than_rests", -1, 30, (999, 10, 0)),
    ("nearest_where_none_is_priced_so", 9, 5, (1003, 5, 3)),
  )
  def test_cancel_means_the_order(self, offset, volume, expected):
    script = [_index(vocab.KIND_CANCEL, offset, volume)]
    state, events = _run_script(script, small_markets.QUOTES)
    order = jax.tree.map(lambda leaf: leaf[0], events.order)
    self.assertEqual((order.price, order.volume, order.id), expected)
    self.assertEqual(state.market.next_id, 4)
    self.assertEqual(state.market.exchange.book.unknown, 0)

  def test_cancel_of_an_empty_side_does_nothing(self):
    state, events = _run_script(
      [_index(vocab.KIND_CANCEL, 5, 3)], ((BID, 999, 10),)
    )
    self.assertEqual(events.order.volume[0], 0)
    before = _start(((BID, 999, 10),)).market.exchange.book
    chex.assert_trees_all_equal(
      state.market.exchange.book.volume, before.volume
    )
    rejected = state.market.exchange.book.counts - before.counts
    self.assertEqual(rejected[types.Reason.NO_VOLUME], 1)

  def test_a_market_whose_sides_empty_goes_on_from_the_last_mid(self):
    state, events = _run_script(
      [
        _index(vocab.KIND_BID, 1, 10),  # At 1001: takes the only ask.
        _index(vocab.KIND_ASK, -2, 10),  # At 997: takes the only bid.
        _index(vocab.KIND_CANCEL, 3, 7),  # Of nothing.
        _index(vocab.KIND_BID, -1, 4),  # At 998, from the last mid.
        _index(vocab.KIND_ASK, 2, 5),  # At 1000, from the best bid.
      ],
      ((BID, 999, 10), (ASK, 1001, 10)),
    )
    self.assertEqual(events.report.traded.tolist(), [10, 10, 0, 0, 0])
    self.assertEqual(events.mid.tolist(), [999, 999, 999, 998, 999])
    self.assertEqual(events.order.volume.tolist(), [10, 10, 0, 4, 5])
    self.assertEqual(events.order.price.tolist()[-2:], [998, 1000])
    self.assertEqual(state.market.exchange.book.volume[:, 0].tolist(), [5, 4])
    self.assertEqual(state.num_events, 5)

  def test_clock_carries_nanoseconds_into_seconds(self):
    index = _index(vocab.KIND_BID, -3, 7, interval_bin=1)  # 100 ms
    state, _ = _run_script([index] * 6, small_markets.QUOTES)
    self.assertEqual(state.market.clock.seconds, 101)
    self.assertEqual(state.market.clock.nanoseconds, 599_500_000)

  def test_model_is_told_what_was_done_with_the_book_that_it_left(self):
    def next_order(params, key, inputs, cache):
      index = jnp.int32(_index(vocab.KIND_BID, 1, 12))
      return vocab.unpack(index), inputs.token

    flow = sim.Flow(0, _tokenizer(), sim.OrderModelFns(next_order))
    start = _start(small_markets.QUOTES).replace(cache=_start(()).token)
    state = sim.init(flow, jax.random.key(0), start)
    state, event = sim.step(flow, state)
    wanted = features.encode(
      _tokenizer(),
      event.order,
      interval=jnp.int32(0),
      open_mid=jnp.int32(1000),
      place=event.place,
      mid_before=jnp.int32(1000),
      mid_after=jnp.int32(1002),
      snapshot=lob.snapshot(
        state.market.exchange.book, num_levels=features.SNAPSHOT_LEVELS
      ),
      depth=lob.depth(state.market.exchange.book),
      time=jnp.int32(100),
    )
    chex.assert_trees_all_equal(state.cache, wanted)
    index = vocab.pack(wanted.symbols)
    self.assertEqual(index, _index(vocab.KIND_BID, 1, 12))
    self.assertEqual(wanted.mid_move, 2)


class RolloutTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.keys = jax.random.split(jax.random.key(7), 4)
    self.start = _start(small_markets.QUOTES)

  def _states(self):
    return sim.init_many(RANDOM, self.keys, self.start)

  def test_scan_is_a_python_loop(self):
    state = sim.init(RANDOM, self.keys[0], self.start)
    last, events = _rollout(RANDOM, state, 50)
    step = jax.jit(sim.step)
    for i in range(50):
      state, event = step(RANDOM, state)
      chex.assert_trees_all_equal(
        event, jax.tree.map(lambda leaf, i=i: leaf[i], events)
      )
    chex.assert_trees_all_equal(
      jax.random.key_data(last.key), jax.random.key_data(state.key)
    )
    chex.assert_trees_all_equal(
      last.market.exchange.book, state.market.exchange.book
    )

  @pytest.mark.slow
  def test_trajectories_together_are_those_alone(self):
    run = sim.run(RANDOM, self._states(), chunk=60, observe_fn=_event)
    _, together = next(run)
    for b, key in enumerate(self.keys):
      state = sim.init(RANDOM, key, self.start)
      _, alone = _rollout(RANDOM, state, 60)
      chex.assert_trees_all_equal(
        alone, jax.tree.map(lambda leaf, b=b: leaf[b], together)
      )
    self.assertGreater(len(set(together.mid[:, -1].tolist())), 1)

  @pytest.mark.slow
  def test_chunks_in_a_row_are_one_rollout(self):
    run = functools.partial(
      sim.run,
      RANDOM,
      observe_fn=lambda state, event: (event.mid, event.order),
    )
    _, whole = next(run(self._states(), chunk=40))
    pieces = []
    for _, piece in run(self._states(), chunk=10):
      pieces.append(piece)
      if len(pieces) == 4:
        break
    chex.assert_trees_all_equal(
      whole, jax.tree.map(lambda *x: np.concatenate(x, axis=1), *pieces)
    )

  def test_random_markets_keep_the_rules(self):
    num_events = 1000
    run = sim.run(
      RANDOM,
      self._states(),
      chunk=num_events,
      observe_fn=lambda state, event: (event, state.market.exchange.book),
    )
    last, (events, books) = next(run)
    self.assertTrue((last.cache == num_events + 1).all())
    best = books.price[:, :, :, 0]
    both = (books.volume[:, :, :, 0] > 0).all(axis=2)
    self.assertGreater(both.mean(), 0.5)
    self.assertTrue((best[both][:, BID] < best[both][:, ASK]).all())
    time = events.time.seconds * 1e9 + events.time.nanoseconds
    self.assertTrue((np.diff(time, axis=1) >= 0).all())
    self.assertTrue((last.market.exchange.book.unknown == 0).all())
    self.assertGreater(events.report.traded.sum(), 0)
    if not last.market.exchange.book.dropped.any():
      is_limit = events.order.kind == types.OrderKind.LIMIT
      sent = np.where(is_limit, events.order.volume, 0).sum(axis=1) + 45
      taken = np.where(is_limit, 0, events.order.volume).sum(axis=1)
      rests = last.market.exchange.book.volume.sum(axis=(1, 2))
      both_sides = 2 * events.report.traded.sum(axis=1)
      np.testing.assert_array_equal(sent, rests + taken + both_sides)
    else:
      self.fail("the book of this test is meant to be large enough")


def test_an_order_from_outside_is_that_of_an_event_without_the_event():
  """The same market and token as if the flow had sent it."""

  def keep_token(params, key, inputs, cache):
    del key, cache
    return vocab.unpack(params), inputs.token

  flow = sim.Flow(
    _index(BID, 3, 12), _tokenizer(), sim.OrderModelFns(keep_token)
  )
  start = _start()
  start = start.replace(cache=start.token)

  @jax.jit
  def both(flow, start):
    state = sim.init(flow, jax.random.key(0), start)
    state, event = sim.step(flow, state)
    found = sim.submit(flow.tokenizer, start.market, event.order, event.time)
    return (state.market, state.cache), found, event

  wanted, found, event = both(flow, start)
  assert event.report.traded > 0
  chex.assert_trees_all_equal(wanted, found)
