"""Zero-intelligence flow against a plain book and a plain simulation."""

import functools

import chex
import jax
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import replay
from mars_jax import types
from mars_jax.baselines import zero_intelligence
from tests.support.oracles import python_book

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
MARKET = types.OrderKind.MARKET
_NUM_ORDERS, _CAPACITY = 4_000, 128
_NUM_MARKETS = 512
_Z = 4.5  # Standard deviations: beyond by chance once in 150,000 times.
_FIRST_BEST = (10_001, 9_999)  # By `types.Side`.

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")
_simulate = jax.jit(
  zero_intelligence.simulate, static_argnames=("num_orders", "capacity")
)


def _rates(*, limit, market, cancel, volume=1, far=32):
  """Rates to a distance of `far`; the rest is 0."""
  return zero_intelligence.Rates(
    limit=np.pad(np.float32(limit), (0, far - len(limit))),
    market=np.float32(market),
    cancel=np.broadcast_to(np.float32(cancel), far),
    volume=np.full((3, 1024), volume, np.int32),
    unseen=np.zeros(far, np.float32),
    other=np.float32(0),
  )


def _run(rates, *, key=None, num_orders=_NUM_ORDERS, capacity=_CAPACITY):
  key = jax.random.key(0) if key is None else key
  flow = _simulate(key, rates, num_orders=num_orders, capacity=capacity)
  return jax.device_get(flow)


@jax.jit
def _run_many(rates):
  """Short histories of many markets, with distances to 3."""
  keys = jax.random.split(jax.random.key(1), _NUM_MARKETS)
  run = functools.partial(
    zero_intelligence.simulate, num_orders=200, capacity=64
  )
  return jax.vmap(run, in_axes=(0, None))(keys, rates)


def _stream(flow):
  return zero_intelligence.to_stream(flow, instrument="ZI", day="2000-01-03")


def _opposite(flow):
  """The best price of the other side before each order."""
  before = np.roll(flow.best, 1, axis=-2)
  before[..., 0, :] = _FIRST_BEST
  side = flow.order.side
  return np.where(side == ASK, before[..., BID], before[..., ASK])


@pytest.fixture(scope="module")
def flow():
  return _run(zero_intelligence.PRESET)


def test_plain_book_makes_the_same_trades_and_book(flow):
  stream, _ = _stream(flow)
  # What finds all of its volume is a limit order at the price of its last fill.
  is_market = flow.order.kind == MARKET
  assert (flow.traded == np.where(is_market, flow.order.volume, 0)).all()
  kind = np.where(stream.kind == MARKET, LIMIT, stream.kind)
  columns = (kind, stream.side, stream.price, stream.volume, stream.order_id)
  rows = np.stack(columns, axis=1).tolist()
  book = python_book.PythonBook(_CAPACITY)
  for i, row in enumerate(rows, start=_NUM_ORDERS - len(rows)):
    fills = book.apply(python_book.Message(*row))
    assert not fills or fills[-1].price == row[2]
    if i >= 0:
      assert sum(fill.volume for fill in fills) == flow.traded[i]
      ask, bid = book.levels(ASK)[0][0], book.levels(BID)[0][0]
      assert bid < ask
      assert flow.best[i].tolist() == [ask, bid]
  assert book.unknown == 0
  for side in (ASK, BID):
    rests = flow.book.volume[side] > 0
    fields = (flow.book.price, flow.book.volume, flow.book.id)
    have = np.stack([field[side][rests] for field in fields], axis=1)
    assert have.tolist() == [list(row) for row in book.rows(side)]


def test_volume_is_conserved_and_ids_are_unique(flow):
  order, is_cancel = flow.order, flow.order.kind == CANCEL
  sent = flow.start.volume.sum() + order.volume[~is_cancel].sum()
  gone = order.volume[is_cancel].sum() + 2 * flow.traded.sum()
  assert sent == flow.book.volume.sum() + gone
  ids = np.append(flow.start.id[flow.start.id >= 0], order.id[~is_cancel])
  assert sorted(ids) == list(range(len(ids)))
  assert flow.book.counts[types.Reason.ACCEPTED] == _NUM_ORDERS
  assert flow.book.counts.sum() == _NUM_ORDERS
  assert min(np.bincount(order.kind)[[LIMIT, CANCEL, MARKET]]) > 100


def _verified(flow):
  """The verification of a flow, and its records."""
  stream, checks = _stream(flow)
  result, records = replay.verify_and_record(
    stream, checks, rules=lob.PRESETS[stream.rules], num_levels=1
  )
  assert result.mismatches == {}
  assert result.checked == {"orders": (flow.book.volume > 0).sum()}
  assert len(records) == _NUM_ORDERS
  return result, records


def test_stream_replays_to_the_same_trades_and_resting_orders(flow):
  result, records = _verified(flow)
  assert result.rejected == {} and result.dropped == 0
  np.testing.assert_array_equal(records.traded, flow.traded)
  np.testing.assert_array_equal(records.snapshot.price[..., 0], flow.best)
  np.testing.assert_array_equal(np.diff(records.time), 1000 * flow.interval[1:])


def test_distances_count_from_the_last_best_price_where_a_side_is_empty():
  flow = _run(_rates(limit=[0, 1], market=2, cancel=1, volume=3))
  order, opposite = flow.order, _opposite(flow)
  is_limit, is_idle = order.kind == LIMIT, flow.traded == 0
  is_idle &= order.kind == MARKET
  away = np.where(order.side == ASK, 2, -2)
  assert (order.price - opposite == away)[is_limit].all()
  assert (order.price == opposite)[is_idle].all()
  assert is_idle.sum() > 100

  _, records = _verified(flow)
  is_there = records.snapshot.volume[..., 0] > 0
  before = np.concatenate([[_FIRST_BEST], flow.best[:-1]])
  shown = np.where(is_there, records.snapshot.price[..., 0], before)
  np.testing.assert_array_equal(flow.best, shown)
  np.testing.assert_array_equal(records.traded, flow.traded)


def test_markets_together_are_those_alone():
  thin = _rates(limit=np.full(32, 0.1), market=0.2, cancel=0.1)
  rates = jax.tree.map(lambda *x: np.stack(x), zero_intelligence.PRESET, thin)
  keys = jax.random.split(jax.random.key(3), 2)
  run = functools.partial(
    zero_intelligence.simulate, num_orders=_NUM_ORDERS, capacity=_CAPACITY
  )
  together = jax.device_get(jax.jit(jax.vmap(run))(keys, rates))
  for b, key in enumerate(keys):
    alone = _run(jax.tree.map(lambda x, b=b: x[b], rates), key=key)
    mine = jax.tree.map(lambda x, b=b: x[b], together)
    chex.assert_trees_all_equal(mine.order, alone.order)
    chex.assert_trees_all_equal(mine.book, alone.book)
    # Sums of many rates may be rounded another way.
    np.testing.assert_allclose(mine.interval, alone.interval, atol=1, rtol=1e-6)


def test_stream_is_decided_by_its_seed(flow):
  size = {"num_orders": _NUM_ORDERS, "capacity": _CAPACITY}
  first, other = (
    zero_intelligence.stream(seed=seed, **size) for seed in (0, 1)
  )
  again, _ = _stream(flow)
  for name in ("time", "kind", "side", "price", "volume", "order_id"):
    np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
  assert (first.time != other.time).any()
  assert first.name == "Synthetic ZI 2000-01-03"
  assert sum(first.counts.values()) == len(first) == 64 + _NUM_ORDERS
  assert first.is_market_event.sum() == _NUM_ORDERS


def test_small_book_starts_symmetric_and_counts_what_it_loses():
  rates = _rates(limit=np.ones(32), market=0, cancel=0, volume=7)
  flow = _run(rates, num_orders=100, capacity=16)
  steps = np.arange(1, 9)
  assert (flow.start.price[ASK, :8] == 10_000 + steps).all()
  assert (flow.start.price[BID, :8] == 10_000 - steps).all()
  assert (flow.start.volume == np.repeat([7, 0], 8)).all()
  assert flow.book.dropped == 8 + 8 + 100 - 32
  with pytest.raises(ValueError, match="84 orders found the book full"):
    _stream(flow)


@pytest.mark.parametrize("num_orders, capacity", [(0, 16), (5, 1)])
def test_no_orders_or_no_room_is_an_error(num_orders, capacity):
  with pytest.raises(ValueError, match=f"{num_orders} orders in a book of"):
    zero_intelligence.stream(seed=0, num_orders=num_orders, capacity=capacity)


def test_stream_of_more_than_a_day_is_refused(flow):
  slow = flow.replace(interval=np.full(_NUM_ORDERS, 30_000_000, np.int32))
  with pytest.raises(ValueError, match="4000 orders take longer than a day"):
    _stream(slow)


def test_clock_kinds_sides_and_distances_have_their_rates():
  # Without cancels the total is constant: 2 * (3 + 2 + 1 + 4) = 20 a second.
  rates = _rates(limit=[3, 2, 1], market=4, cancel=0, far=3)
  flow = jax.device_get(_run_many(rates))
  n = flow.interval.size
  unit = flow.interval / 1e6 * 20  # Exponential, of mean 1.
  assert abs(unit.mean() - 1) < _Z / n**0.5
  assert abs((unit**2).mean() - 2) < _Z * (20 / n) ** 0.5
  is_ask, is_limit = flow.order.side == ASK, flow.order.kind == LIMIT
  distance = np.abs(flow.order.price - _opposite(flow))
  for share, expected in (
    (flow.order.kind == MARKET, 0.4),
    (is_ask, 0.5),
    (is_ask & is_limit, 0.3),
    *((is_limit & (distance == d), (4 - d) / 10) for d in (1, 2, 3)),
  ):
    deviation = (expected * (1 - expected) / n) ** 0.5
    assert abs(share.mean() - expected) < _Z * deviation


def _plain_spread(rng, limit, market, cancel, num_orders):
  """The mean spread of one-lot orders, after the first 50.

  The first of all clocks rings: written with none of the means of the package.
  """
  far = len(limit)
  queues = [{10_000 + i: 1 for i in range(1, far + 1)}]
  queues.append({10_000 - i: 1 for i in range(1, far + 1)})
  best, spreads = list(_FIRST_BEST), []
  for _ in range(num_orders):
    clocks = []
    for side, sign in ((ASK, 1), (BID, -1)):
      opposite = best[1 - side]
      clocks.append((1 / market, "market", side, best[side]))
      for i, rate in enumerate(limit):
        clocks.append((1 / rate, "limit", side, opposite + sign * (i + 1)))
      for price, count in queues[side].items():
        rate = cancel[min(abs(price - opposite), far) - 1]
        clocks.append((1 / (count * rate), "cancel", side, price))
    times = rng.exponential([clock[0] for clock in clocks])
    _, process, side, price = clocks[np.argmin(times)]
    queue = queues[side]
    if process == "limit":
      queue[price] = queue.get(price, 0) + 1
    elif queue:
      queue[price] -= 1
      if not queue[price]:
        del queue[price]
    best = [
      min(queues[ASK], default=best[ASK]),
      max(queues[BID], default=best[BID]),
    ]
    spreads.append(best[ASK] - best[BID])
  return np.mean(spreads[50:])


def test_mean_spread_is_that_of_a_plain_simulation():
  limit, market, cancel = [0.6, 0.5, 0.4], 0.8, [0.3, 0.2, 0.1]
  rates = _rates(limit=limit, market=market, cancel=cancel, far=3)
  best = jax.device_get(_run_many(rates).best)
  ours = (best[..., ASK] - best[..., BID])[:, 50:].mean(axis=1)
  rng = np.random.default_rng(0)
  plain = [_plain_spread(rng, limit, market, cancel, 200) for _ in range(200)]
  error = np.hypot(np.std(plain) / 200**0.5, np.std(ours) / _NUM_MARKETS**0.5)
  assert abs(np.mean(plain) - np.mean(ours)) < _Z * error
  assert error < 0.1 * np.mean(plain)
