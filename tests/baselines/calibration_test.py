"""Tests of measured rates and scores, on known flow."""

import functools

import numpy as np
import pytest

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import types
from mars_jax.baselines import calibration
from mars_jax.baselines import ngrams
from mars_jax.baselines import zero_intelligence
from mars_jax.tokens import bins
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.tokens import vocab

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
_Z = 4.5  # Standard deviations: beyond by chance once in 150,000 times.
_NUM_ORDERS, _CAPACITY, _DISTANCE = 20_000, 128, 32
_STEP = 100_000  # Microseconds of an interval bin in the tests by hand.
# Asks and bids as (price, volume), best first.
_BOOK = ([(101, 4)], [(99, 2), (98, 6)])


def _records(rows):
  """Records of (seconds, kind, side, price, volume, traded, book)."""
  seconds, kind, side, price, volume, traded, books = zip(*rows, strict=True)
  levels = np.zeros((len(rows), 2, 2, 2), np.int32)  # order, side, level, field
  for i, sides in enumerate(books):
    for s, shown in enumerate(sides):
      levels[i, s, : len(shown)] = np.reshape(shown, (-1, 2))
  ints = functools.partial(np.array, dtype=np.int32)
  none = np.full(len(rows), -1, np.int32)
  order = types.Order(*map(ints, (kind, side, price, volume)), none, none)
  mid = np.full(len(rows), 100, np.int32)
  none_by_class = np.zeros((len(rows), 2, types.DEPTH_CLASSES), np.int32)
  return records_lib.Records(
    time=(np.array(seconds) * 1e9).round().astype(np.int64),
    order=order,
    place=types.Place(np.stack([mid + 1, mid - 1], 1), *[0 * mid] * 3),
    mid_before=mid,
    mid_after=mid,
    snapshot=types.Snapshot(levels[..., 0], levels[..., 1]),
    depth=types.Depth(none_by_class, none_by_class),
    traded=ints(traded),
  )


def test_rates_worked_out_by_hand():
  asks, bids = [(101, 4), (103, 2)], [(99, 2), (98, 6)]
  rates = calibration.calibrate(
    _records(
      [
        (0, LIMIT, ASK, 101, 9, 0, (asks, bids)),
        (1, LIMIT, BID, 98, 2, 0, (asks, [(99, 2), (98, 8)])),
        (3, LIMIT, ASK, 99, 3, 2, (asks, [(98, 8)])),  # Trades.
        (4, CANCEL, ASK, 103, 2, 0, (asks[:1], [(98, 8)])),
        (6, CANCEL, BID, 95, 4, 0, (asks[:1], [(98, 8)])),  # Nothing shows it.
        (7, LIMIT, ASK, 300, 2, 0, (asks[:1], [(98, 8)])),  # Far.
      ]
    ),
    max_distance=6,
  )
  np.testing.assert_allclose(rates.limit, [0, 0, 1 / 14, 0, 0, 0])
  np.testing.assert_allclose(rates.market, 1 / 14)
  np.testing.assert_allclose(rates.unseen, [0, 0, 0, 0, 0, 1 / 14])
  np.testing.assert_allclose(rates.other, 1 / 7)
  # Limit orders have 2 lots. So 9 orders times seconds at distance 2, 35 at 3,
  # 3 at 4 and 1 at 5, of which one was cancelled: 1 / 48 where none rested.
  np.testing.assert_allclose(rates.cancel, [1 / 48, 0, 0, 0, 1, 1 / 48])
  want = [{2}, {3}, {2, 4}]
  assert [set(row.tolist()) for row in rates.volume] == want


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(2, 4)])
def test_no_limit_orders_or_no_time_is_an_error(rows):
  records = _records(
    [
      (0, LIMIT, ASK, 101, 4, 0, _BOOK),
      (1, LIMIT, ASK, 101, 4, 0, _BOOK),
      (1, LIMIT, ASK, 102, 4, 0, _BOOK),
      (2, CANCEL, ASK, 101, 4, 0, _BOOK),
    ]
  )
  with pytest.raises(ValueError, match="no limit orders in"):
    calibration.calibrate(records[rows], max_distance=8)


def _tokenizer():
  """Bins: -15 to 16 ticks, 1 to 32 lots."""
  lots = bins.fit(np.arange(1, 33), vocab.NUM_VOLUMES)
  return features.Tokenizer(
    price=bins.fit(np.arange(-15, 17), vocab.NUM_PRICES),
    volume=lots,
    interval=bins.fit(np.arange(16) * _STEP, vocab.NUM_INTERVALS),
    level_volume=lots,
    alphabet="mid",
  )


def _rates():
  """Rates that sum to 24.46 a second with `_BOOK`.

  That is 6 limit and 4 market orders a side, half of the 6 resting orders, two
  in four seconds that are unseen, and the others.
  """
  return zero_intelligence.Rates(
    limit=np.float32([1, 2, 3]),
    market=np.float32(4),
    cancel=np.float32([0.5, 0.5, 0.5]),
    volume=np.repeat(np.int32([[2], [5], [3]]), 4, axis=1),
    unseen=np.float32([0, 0, 0.25]),
    other=np.float32(0.96),
  )


def test_nats_worked_out_by_hand():
  nats = calibration.nats(
    _rates(),
    _tokenizer(),
    _records(
      [
        (0.0, LIMIT, ASK, 101, 4, 0, _BOOK),
        (0.0, LIMIT, BID, 98, 2, 0, _BOOK),  # At distance 3.
        (0.1, LIMIT, BID, 101, 5, 4, _BOOK),  # At the best ask.
        (0.3, CANCEL, BID, 98, 3, 0, _BOOK),
        (0.3, CANCEL, ASK, 140, 9, 0, _BOOK),  # Where nothing is.
      ]
    ),
    clock=_STEP,
  )
  sides, cancels = 10.32 / 24.46, 3.82 / 24.46
  is_it, is_not = 0.999 + 0.001 / 32, 0.001 / 32
  x = 2.446  # Orders in a tick of the clock.
  same = 1 - (1 - np.exp(-x)) / x
  later = [(1 - same) * (1 - np.exp(-x)) * np.exp(-x * k) for k in range(2)]
  same, first, second = (
    0.999 * p + 0.001 / 16 for p in (same, later[0], later[1])
  )
  far = (0.01 * is_not + 4 * is_it) / 4.01
  want = [
    [sides, 3.01 / 10.32, is_it, same],
    [sides, 4.01 / 10.32, far, first],
    [cancels, (1.5 + 0.25 + 0.01) / 3.82, is_it, second],
    [cancels, 0.01 / 3.82, is_not, same],
  ]
  np.testing.assert_allclose(nats, -np.log(want), rtol=1e-5)


def test_probabilities_of_all_orders_sum_to_1():
  tokenizer = _tokenizer()
  fields = np.asarray(vocab.unpack(np.arange(vocab.NUM_ORDERS))).T
  values = (tokenizer.price, tokenizer.volume, tokenizer.interval)
  price, volume, interval = (
    value.samples[field, 0]
    for value, field in zip(values, fields[1:], strict=True)
  )
  is_cancel = fields[0] == vocab.KIND_CANCEL
  columns = (
    np.cumsum(interval) / 1e6,
    np.where(is_cancel, CANCEL, LIMIT),
    np.where(is_cancel, ASK, fields[0]),
    100 + price,
    volume,
  )
  rows = [
    (*row, 0, _BOOK) for row in zip(*(x.tolist() for x in columns), strict=True)
  ]
  records = _records([(0, LIMIT, ASK, 101, 4, 0, _BOOK), *rows])
  np.testing.assert_array_equal(
    vocab.pack(encoding.symbols(tokenizer, records)[1:]),
    np.arange(vocab.NUM_ORDERS),
  )
  nats = calibration.nats(_rates(), tokenizer, records)
  assert np.isfinite(nats).all() and (nats >= 0).all()
  np.testing.assert_allclose(np.exp(-nats.sum(axis=1)).sum(), 1)


def test_intervals_have_the_frequencies_of_a_poisson_process_by_its_clock():
  num_orders = 10_000
  clock = np.random.default_rng(0).exponential(1 / 24.46, num_orders).cumsum()
  stamp = np.floor(clock / 0.1) / 10  # Ticks of 100 ms.
  rows = [(t, LIMIT, ASK, 101, 4, 0, _BOOK) for t in stamp.tolist()]
  nats = calibration.nats(_rates(), _tokenizer(), _records(rows), clock=_STEP)
  ticks = np.diff(stamp).round(1)
  for tick in (0, 0.1, 0.2):
    p = np.exp(-nats[ticks == tick, 3][0])
    assert abs((ticks == tick).mean() - p) < _Z * (p / num_orders) ** 0.5


def _simulated(rates):
  """The records of a simulated day, with all levels."""
  stream = zero_intelligence.stream(
    seed=1, rates=rates, num_orders=_NUM_ORDERS, capacity=_CAPACITY
  )
  return replay.replay(stream, lob.init(_CAPACITY), num_levels=48)[0]


@pytest.mark.parametrize("is_one_lot", [True, False])
def test_rates_of_simulated_flow_are_recovered(is_one_lot):
  exact = zero_intelligence.PRESET
  if is_one_lot:
    exact = exact.replace(volume=np.ones_like(exact.volume))
  records = _simulated(exact)
  rates = calibration.calibrate(records, max_distance=_DISTANCE)
  is_cancel = records.order.kind == CANCEL
  is_market = records.order.kind == types.OrderKind.MARKET
  best = records.snapshot.price[:-1, :, 0]
  side = records.order.side[1:]
  ask, bid = best.T
  distance = np.where(
    side == ASK, records.order.price[1:] - bid, ask - records.order.price[1:]
  )
  distance = np.minimum(distance, _DISTANCE)
  is_limit = ~(is_cancel | is_market)
  # Of n events a rate is known to 1 / sqrt(n). That volumes tell of orders adds
  # as much again where they differ.
  for name, rows in (("limit", is_limit), ("cancel", is_cancel)):
    counts = np.bincount(distance[rows[1:]], minlength=_DISTANCE + 1)[1:]
    ratio = getattr(rates, name) / getattr(exact, name)
    spread = 1 if is_one_lot or name == "limit" else 2**0.5
    assert (np.abs(ratio - 1) < _Z * spread / np.sqrt(counts)).all(), name
  assert abs(rates.market - 1) < _Z / np.sqrt(is_market.sum())
  assert (rates.unseen == 0).all() and rates.other == 0
  assert rates.volume[0].mean() == pytest.approx(
    exact.volume[0].mean(), rel=0.05
  )


def test_on_its_own_flow_the_model_beats_counts_and_other_rates():
  records = _simulated(zero_intelligence.PRESET)
  half = len(records) // 2
  tokenizer = encoding.fit(records[:half], "mid")
  index = np.asarray(vocab.pack(encoding.symbols(tokenizer, records)))
  rates = calibration.calibrate(records[:half], max_distance=_DISTANCE)
  wrong = rates.replace(limit=rates.limit[::-1], cancel=2 * rates.cancel)

  def score(rates):
    return calibration.nats(rates, tokenizer, records[half - 1 :]).sum(axis=1)

  found = score(rates).mean()
  unigram = ngrams.unigram_nats(index[:half], index[half:])
  assert found < unigram.mean() - 0.1
  assert found < score(wrong).mean() - 0.1
  assert found == pytest.approx(
    score(zero_intelligence.PRESET).mean(), abs=0.03
  )
