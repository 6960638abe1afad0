"""Starts: the market that a simulation goes on from."""

import dataclasses
import functools
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import start as start_lib
from mars_jax.data import dataset as dataset_lib
from mars_jax.tokens import encoding
from mars_jax.utils import time_of_day
from tests.support.feeds import bitstamp_capture
from tests.support.train import random_params

CONFIG = lmm.LmmConfig(
  dim=8, num_layers=2, num_heads=2, head_dim=4, mlp_dim=16, window=8
)
NUM_PAST = 700


def _load(stream, time, *, model, capacity=512, **options):
  return start_lib.load_start(
    stream,
    time,
    model,
    book_capacity=capacity,
    replay_capacity=512,
    **options,
  )


pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


@pytest.fixture(scope="module")
def stream():
  return bitstamp_capture.stream(1200)


@pytest.fixture(scope="module")
def model(stream):
  config = dataset_lib.DataConfig(
    path="", train_fraction=0.5, book_capacity=512
  )
  tokenizers = dataset_lib.from_day(stream, config=config).tokenizers
  tokenizers = tokenizers[CONFIG.alphabet]
  return lmm.Model(random_params.params(CONFIG), CONFIG, tokenizers, {})


@pytest.fixture(scope="module")
def time(stream):
  """The time of the last order of the past."""
  return int(stream.time[stream.is_market_event][NUM_PAST - 1])


@pytest.fixture(scope="module")
def done():
  """What the progress of `moment` says."""
  return []


@pytest.fixture(scope="module")
def moment(stream, model, time, done):
  return _load(stream, time, model=model, capacity=512, on_progress=done.append)


def _rows(book, side):
  """The resting orders of a side as rows of price and volume."""
  rows = zip(book.price[side].tolist(), book.volume[side].tolist(), strict=True)
  return [row for row in rows if row[1] > 0]


def _python_rows(side, tmp_path):
  """The same of the book in plain Python that made the market."""
  path = pathlib.Path(tmp_path) / "orders.csv"
  book = bitstamp_capture.write_bitstamp(path, num_orders=NUM_PAST)
  return [(row.price, row.volume * 1000) for row in book.rows(side)]


@pytest.mark.parametrize("side", [types.Side.ASK, types.Side.BID])
def test_book_is_that_of_the_market(moment, side, tmp_path):
  book = jax.device_get(moment.initial.market.exchange.book)
  assert _rows(book, side) == _python_rows(side, tmp_path)
  assert moment.num_truncated == 0
  best = book.price[:, 0]
  expected = best[1] + (best[0] - best[1]) // 2
  assert moment.initial.market.mid == expected


def test_a_small_book_starts_with_the_best_orders_and_room_for_more(
  stream, model, time, moment
):
  small = _load(stream, time, model=model, capacity=40)
  assert small.initial.market.exchange.book.price.shape == (2, 40)
  whole = jax.device_get(moment.initial.market.exchange.book)
  book = jax.device_get(small.initial.market.exchange.book)
  num_cut = 0
  for side in (types.Side.ASK, types.Side.BID):
    rows = _rows(whole, side)
    assert _rows(book, side) == rows[:30]
    num_cut += len(rows) - 30
  assert small.num_truncated == num_cut > 0


def test_the_past_ends_at_the_time(stream, moment, time):
  assert len(moment.past) == NUM_PAST
  assert moment.past.time[-1] == moment.stream.time[-1] == time == moment.begin
  clock = jax.device_get(moment.initial.market.clock)
  assert int(clock.seconds) * 10**9 + int(clock.nanoseconds) == time
  np.testing.assert_array_equal(
    moment.past.time, stream.time[stream.is_market_event][:NUM_PAST]
  )
  assert moment.initial.market.open_mid == moment.past.mid_before[0]


def test_a_time_between_two_orders_starts_after_the_first(
  stream, model, time, moment
):
  between = _load(stream, time + 1, model=model, capacity=512)
  chex.assert_trees_all_equal(between.initial, moment.initial)


def test_corrections_before_the_moment_count_as_its_market(stream, model, time):
  # The last 50 events before the moment only correct the book.
  cut = np.searchsorted(stream.time, time, side="right")
  is_market_event = stream.is_market_event.copy()
  is_market_event[cut - 50 : cut] = False
  corrected = dataclasses.replace(stream, is_market_event=is_market_event)
  moment = _load(corrected, time, model=model, capacity=512)
  # New ids are above all that may rest, the mid is that of the book.
  assert moment.past.order.id.max() < stream.order_id[:cut].max()
  assert moment.initial.market.next_id == stream.order_id[:cut].max() + 1
  best = np.asarray(moment.initial.market.exchange.book.price[:, 0])
  assert moment.past.mid_after[-1] != best[1] + (best[0] - best[1]) // 2
  assert moment.initial.market.mid == best[1] + (best[0] - best[1]) // 2


def test_model_has_read_all_that_it_can_see(moment, model):
  tokens = encoding.encode(moment.flow.tokenizer, moment.past)
  chex.assert_trees_all_equal(
    jax.tree.map(lambda leaf: leaf[-1], tokens),
    jax.device_get(moment.initial.token),
  )
  apply = jax.jit(functools.partial(lmm.apply, config=CONFIG))
  cache = lmm.cache.init(config=CONFIG)
  for t in range(NUM_PAST - 60, NUM_PAST):  # Far more than it can see.
    token = jax.tree.map(lambda leaf, t=t: leaf[t], tokens)
    expected, cache = apply(model.params, token, cache)
  hidden, _ = apply(model.params, moment.initial.token, moment.initial.cache)
  np.testing.assert_allclose(hidden, expected, atol=1e-4)


def test_flow_draws_an_order_in_range(moment, model):
  inputs = sim.FlowInput(moment.initial.token, jnp.bool_(True), None)
  symbols, _ = jax.jit(moment.flow.fns.next_order)(
    model.params, jax.random.key(0), inputs, moment.initial.cache
  )
  sizes = model.config.field_sizes
  assert symbols.shape == (len(sizes),)
  assert (symbols >= 0).all() and (symbols < jnp.array(sizes)).all()


def test_progress_counts_all_events(stream, moment, done):
  assert len(moment.past) and sum(done) == len(moment.stream) < len(stream)


@pytest.mark.parametrize(
  ("row", "late"), [(0, 0), (CONFIG.window - 2, 0), (-1, 1)]
)
def test_a_start_outside_the_data_is_an_error_with_the_bounds(
  stream, model, row, late
):
  flow_time = stream.time[stream.is_market_event]
  first = time_of_day.clock_text(flow_time[CONFIG.window - 1])
  last = time_of_day.clock_text(stream.time[-1])
  with pytest.raises(ValueError, match=f"{first}.* 8 orders.*{last}"):
    _load(stream, int(flow_time[row]) + late, model=model, capacity=512)


def test_the_first_start_allowed_is_allowed(stream, model):
  first = int(stream.time[stream.is_market_event][CONFIG.window - 1])
  moment = _load(stream, first, model=model, capacity=512)
  assert len(moment.past) == CONFIG.window


def test_the_end_of_the_data_is_a_start(stream, model):
  last = int(stream.time[-1])
  moment = _load(stream, last, model=model, capacity=512)
  assert len(moment.past) == stream.is_market_event.sum()


def test_data_shorter_than_the_window_are_an_error_that_says_so(stream, model):
  short = stream[: 120 + 5]  # The start book and five orders.
  with pytest.raises(ValueError, match="5 orders, fewer than the 8"):
    _load(short, int(short.time[-2]), model=model, capacity=512)


def test_clock_text_is_a_time_of_day():
  nanoseconds = ((9 * 60 + 5) * 60 + 7) * 10**9 + 89_999_999
  assert time_of_day.clock_text(nanoseconds) == "09:05:07.089"


def test_what_the_replayed_book_had_no_room_for_is_counted(stream, model, time):
  full = _load(stream, time, model=model, capacity=64)
  small = start_lib.load_start(
    stream, time, model, book_capacity=64, replay_capacity=64
  )
  held = np.asarray(full.book.volume > 0).sum()
  assert held > 2 * 64
  # At least all that the replayed book could not hold at the end.
  assert small.num_truncated >= held - 2 * int(64 * 0.75)


def test_a_replayed_book_below_the_simulated_one_is_an_error(
  stream, model, time
):
  with pytest.raises(ValueError, match="replay_capacity = 16 is below"):
    start_lib.load_start(
      stream, time, model, book_capacity=512, replay_capacity=16
    )


def test_price_limits_count_from_the_previous_close_if_it_is_published(
  stream, model, time, moment
):
  known = _load(stream, time, model=model, reference=12_345)
  assert known.initial.market.exchange.reference == 12_345
  exchange = moment.initial.market.exchange
  assert exchange.reference == moment.past.mid_before[0]


def test_a_start_is_simulated_by_the_rules_of_its_exchange(moment):
  shanghai = dataclasses.replace(
    moment, stream=dataclasses.replace(moment.stream, rules="shanghai")
  )
  assert shanghai.sim_config().rules == lob.PRESETS["shanghai"]
  assert shanghai.sim_config("nasdaq").rules == lob.PRESETS["nasdaq"]
  assert moment.sim_config().rules == lob.PRESETS["continuous"]
  with pytest.raises(ValueError, match="rules = 'lse' is none of auto"):
    moment.sim_config("lse")
