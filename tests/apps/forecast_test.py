"""Forecasts: what is simulated, and what is said of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import futures as futures_lib
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import paths as paths_lib
from mars_jax.lob import session
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab

SECOND = 10**9
CHUNK = 8
Horizon = horizon_lib.Horizon


def _futures(time, mid, *, start=10.0, start_mid=3):
  """Trajectories from `[B, E]` seconds and ticks; the rest is zeros."""
  time, mid = np.array(time), np.array(mid, np.int32)
  zeros = np.zeros_like(mid)
  return futures_lib.Futures(
    start=round(start * SECOND),
    start_mid=start_mid,
    is_event=np.ones_like(mid, bool),
    time=np.round(time * SECOND).astype(np.int64),
    mid=mid,
    kind=zeros.astype(np.int8),
    side=zeros.astype(np.int8),
    price=zeros,
    volume=zeros,
    traded=zeros,
    dropped=np.zeros(len(mid), np.int32),
  )


def _history(time, mid):
  """Arrays as `paths_lib.paths` takes them."""
  time = np.round(np.array(time) * SECOND).astype(np.int64)
  return time, np.array(mid, np.int32)


class TestHorizon:
  @pytest.mark.parametrize(
    "values",
    [
      {},
      {"seconds": 1.0, "orders": 5},
      {"seconds": 0.0},
      {"seconds": -1.0},
      {"seconds": float("nan")},
      {"seconds": float("inf")},
      {"orders": 0},
      {"orders": -3},
      {"seconds": 1.0, "max_orders": 0},
    ],
  )
  def test_nonsense_is_refused(self, values):
    with pytest.raises(ValueError, match="horizon|max_orders"):
      Horizon(**values)


class TestStepFunction:
  TIME = np.array([10, 20, 20, 20, 30])
  VALUE = np.array([1, 2, 3, 4, 5])

  def test_is_the_last_event_at_or_before_each_time(self):
    time = np.array([9, 10, 11, 19, 20, 21, 30, 99])
    value = futures_lib.step_function(time, self.TIME, self.VALUE, before=7)
    assert value.tolist() == [7, 1, 1, 1, 4, 4, 5, 5]

  def test_without_events_is_what_was_before(self):
    none = np.array([], np.int64)
    value = futures_lib.step_function(np.array([1, 2]), none, none, before=7)
    assert value.tolist() == [7, 7]

  def test_trajectories_have_each_their_own(self):
    futures = _futures([[10.1, 10.2], [10.0, 10.3]], [[4, 5], [6, 7]])
    time = (np.array([9.9, 10.0, 10.2, 10.3]) * SECOND).astype(np.int64)
    assert futures.mid_at(time).tolist() == [[3, 3, 5, 5], [3, 6, 6, 7]]

  def test_events_are_counted_up_to_the_end_of_each_trajectory(self):
    futures = _futures([[10.1, 10.2, 10.2], [10.2, 10.2, 10.3]], [[3] * 3] * 2)
    assert futures.num_events == 6
    futures.is_event[0, 2] = False
    assert futures.num_events == 5


class TestPaths:
  def test_horizon_in_orders_counts_orders(self):
    futures = _futures([[11, 12, 13, 14]] * 2, [[7, 8, 9, 10], [2, 2, 1, 0]])
    history = _history([8, 9, 10, 11, 12, 13], [1, 2, 3, 4, 5, 6])
    found = paths_lib.paths(futures, *history, horizon=Horizon(orders=4))
    assert found.axis.tolist() == [0, 1, 2, 3, 4]
    assert found.mid.tolist() == [[3, 7, 8, 9, 10], [3, 2, 2, 1, 0]]
    # The data ends an order before the horizon.
    assert found.real_mid.tolist() == [3, 4, 5, 6]
    assert found.past_axis.tolist() == [-2, -1, 0]
    assert found.past_mid.tolist() == [1, 2, 3]

  def test_horizon_in_orders_is_thinned_to_the_points(self):
    futures = _futures([np.arange(11, 21)], [np.arange(10, 20)])
    history = _history(np.arange(40), np.arange(40) - 7)
    horizon = Horizon(orders=10)
    found = paths_lib.paths(futures, *history, horizon=horizon, num_points=4)
    assert found.axis.tolist() == [0, 1, 4, 7, 10]
    assert found.mid.tolist() == [[3, 10, 13, 16, 19]]
    assert found.real_mid.tolist() == [3, 4, 7, 10, 13]
    assert found.past_axis.tolist() == [-5, -2, 0]
    assert found.past_mid.tolist() == [-2, 1, 3]

  def test_horizon_in_seconds_reads_the_mids_at_times(self):
    futures = _futures(
      [[10.1, 10.2, 11.9, 12.5], [10.0, 10.0, 11.0, 12.0]],
      [[4, 5, 6, 7], [9, 8, 7, 1]],
    )
    history = _history([9.0, 9.5, 10.0, 10.5, 11.0], [1, 2, 3, 4, 5])
    horizon = Horizon(seconds=2.0)
    found = paths_lib.paths(futures, *history, horizon=horizon, num_points=4)
    np.testing.assert_allclose(
      found.axis, [0, 0.2, 0.8, 1.4, 2.0], rtol=0, atol=1e-9
    )
    # At 0 no trajectory has begun, though the second has events at that time.
    assert found.mid.tolist() == [[3, 5, 5, 5, 6], [3, 8, 8, 7, 1]]
    assert found.real_mid.tolist() == [3, 3, 4]
    np.testing.assert_allclose(
      found.past_axis, [-1, -0.4, 0], rtol=0, atol=1e-9
    )
    assert found.past_mid.tolist() == [1, 2, 3]

  def test_reality_reaches_the_horizon_where_the_data_does(self):
    futures = _futures([[10.1]], [[4]])
    history = _history([9.0, 10.0, 12.0], [1, 3, 5])
    found = paths_lib.paths(futures, *history, horizon=Horizon(seconds=2.0))
    assert len(found.real_mid) == len(found.axis)
    assert found.real_mid[-1] == 5

  def test_past_ends_where_the_data_begins(self):
    futures = _futures([[10.1]], [[4]])
    history = _history([9.9, 10.0, 12.0], [1, 3, 5])
    horizon = Horizon(seconds=2.0)
    found = paths_lib.paths(futures, *history, horizon=horizon, num_points=20)
    assert found.past_axis[0] >= -0.1
    assert found.past_axis[-1] == 0 and found.past_mid[-1] == 3


class TestPastChanges:
  def test_in_orders_are_differences_of_orders(self):
    history = _history([1, 2, 3, 4], [1, 4, 2, 7])
    changes = paths_lib.past_changes(*history, Horizon(orders=2))
    assert changes.tolist() == [1, 3]

  def test_in_seconds_are_taken_every_tenth_of_the_horizon(self):
    history = _history([0.0, 1.0, 1.5, 2.0], [5, 8, 6, 99])
    changes = paths_lib.past_changes(*history, Horizon(seconds=1.0))
    assert changes.tolist() == [3] * 5 + [1] * 5

  @pytest.mark.parametrize(
    "horizon", [Horizon(orders=3), Horizon(orders=9), Horizon(seconds=2.5)]
  )
  def test_too_short_a_history_is_an_error(self, horizon):
    history = _history([0.0, 1.0, 2.0], [5, 8, 6])
    with pytest.raises(ValueError, match="shorter than the horizon"):
      paths_lib.past_changes(*history, horizon)


class TestSummary:
  PAST = np.array([-1, -1, -1, 1, 1, 1])  # Terciles: -1 and 1.

  def _paths(self, ends, real_mid=(3,)):
    mid = np.array([[3, end] for end in ends], np.int32)
    none = np.zeros(0)
    return paths_lib.Paths(
      axis=np.array([0.0, 1.0]),
      mid=mid,
      real_mid=np.array(real_mid),
      past_axis=none,
      past_mid=none,
    )

  def test_quantiles_are_of_the_changes(self):
    found = self._paths(range(3, 104))  # Changes 0 to 100.
    summary = paths_lib.summarize(found, self.PAST)
    assert (summary.low, summary.median, summary.high) == (5, 50, 95)

  def test_band_of_the_past_is_of_its_changes(self):
    summary = paths_lib.summarize(self._paths([3]), np.arange(-50, 51))
    assert summary.past == (-45, 45)

  def test_a_change_on_the_bounds_is_flat(self):
    found = self._paths([0, 1, 2, 3, 4, 5, 6, 7])  # Changes -3 to 4.
    summary = paths_lib.summarize(found, self.PAST)
    assert summary.flat == (-1, 1)
    assert summary.down == pytest.approx(2 / 8)
    assert summary.stays == pytest.approx(3 / 8)
    assert summary.up == pytest.approx(3 / 8)

  @pytest.mark.parametrize(
    ("end", "name"),
    [(1, "down"), (2, "flat"), (3, "flat"), (4, "flat"), (5, "up")],
  )
  def test_what_happened_has_a_class(self, end, name):
    summary = paths_lib.summarize(self._paths([3], (3, end)), self.PAST)
    assert summary.realised == end - 3
    assert summary.realised_class == name

  def test_past_the_end_of_the_data_nothing_happened(self):
    summary = paths_lib.summarize(self._paths([3]), self.PAST)
    assert summary.realised is None
    assert summary.realised_class is None


def _random_order(params, key, inputs, cache):
  """Any order, as likely as any other; counts what it saw."""
  del params, inputs
  order = jax.random.randint(key, (), 0, vocab.NUM_ORDERS)
  return vocab.unpack(order), cache + 1


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def simulate():
  """Simulates a market of orders 50 to 800 ms apart, in small chunks."""
  tokenizer = features.Tokenizer(
    price=bins.fit(np.arange(-15, 17), vocab.NUM_PRICES),
    volume=bins.fit(np.arange(1, 33), vocab.NUM_VOLUMES),
    interval=bins.fit(np.arange(1, 17) * 50_000, vocab.NUM_INTERVALS),
    level_volume=bins.fit(np.arange(1, 33), vocab.NUM_VOLUMES),
    alphabet="mid",
  )
  zero = jnp.int32(0)
  market = sim.MarketState(
    clock=types.Timestamp(jnp.int32(100), jnp.int32(999_500_000)),
    exchange=session.init(lob.init(64), reference=1000),
    mid=jnp.int32(1000),
    open_mid=jnp.int32(1000),
    next_id=zero,
    traded=zero,
  )
  # The flow does not look at the token.
  start = sim.Start(market, token=zero, cache=zero)
  return functools.partial(
    futures_lib.simulate,
    sim.Flow(0, tokenizer, sim.OrderModelFns(_random_order)),
    start=start,
    config=sim.SimConfig(),
    chunk=CHUNK,
  )


class TestSimulate:
  def test_stops_when_all_have_passed_the_seconds(self, simulate):
    progress = []
    horizon = Horizon(seconds=9.0)
    futures = simulate(
      key=jax.random.key(3),
      num_trajectories=3,
      horizon=horizon,
      on_progress=lambda *args: progress.append(args),
    )
    num_chunks, rest = divmod(futures.mid.shape[1], CHUNK)
    assert rest == 0 and num_chunks > 1
    assert futures.start == 100_999_500_000
    assert futures.start_mid == 1000
    end = futures.start + 9 * SECOND
    for time, is_event in zip(futures.time, futures.is_event, strict=True):
      # Each ends at the horizon, and waits for the others.
      assert (np.diff(time[is_event]) >= 50_000_000).all()
      assert time.max() <= end < time[is_event][-1] + 800_000_000
      assert (np.diff(is_event.astype(int)) <= 0).all()
    assert not futures.is_event[:, -1].any()
    assert futures.is_event[:, -CHUNK - 1].any()
    shares, num_events = zip(*progress, strict=True)
    assert len(shares) == num_chunks
    assert list(shares) == sorted(shares)
    assert shares[-2] < 1.0 == shares[-1]
    assert num_events[0] == 3 * CHUNK
    assert num_events[-1] == futures.num_events

  def test_orders_are_simulated_exactly_and_depend_on_the_key_and_b(
    self, simulate
  ):
    progress = []
    run = functools.partial(simulate, horizon=Horizon(orders=20))
    three = run(
      key=jax.random.key(3),
      num_trajectories=3,
      on_progress=lambda share, num_events: progress.append(share),
    )
    five = run(key=jax.random.key(3), num_trajectories=5)
    other = run(key=jax.random.key(4), num_trajectories=3)
    assert progress == [0.4, 0.8, 1.0]
    for field in dataclasses.fields(three):
      value = getattr(five, field.name)
      if isinstance(value, np.ndarray):
        assert value.shape == (5, 20) or field.name == "dropped"
        value = value[:3]
      np.testing.assert_array_equal(getattr(three, field.name), value)
    for b in (1, 2):
      assert (three.price[0] != three.price[b]).any()
    assert (three.price != other.price).any()

  def test_no_trajectory_has_more_than_the_most_orders(self, simulate):
    progress = []
    futures = simulate(
      key=jax.random.key(3),
      num_trajectories=3,
      horizon=Horizon(seconds=1e6, max_orders=12),
      on_progress=lambda share, num_events: progress.append(share),
    )
    assert futures.mid.shape == (3, 12)
    assert progress[-1] == 1.0

  def test_saved_arrays_are_those_simulated(self, tmp_path):
    futures = _futures([[10.1, 10.2]], [[4, 5]])
    futures.save(tmp_path / "futures.npz")
    with np.load(tmp_path / "futures.npz", allow_pickle=False) as saved:
      again = futures_lib.Futures(**saved)
    for field in dataclasses.fields(futures):
      value = getattr(futures, field.name)
      np.testing.assert_array_equal(getattr(again, field.name), value)
      if isinstance(value, np.ndarray):
        assert getattr(again, field.name).dtype == value.dtype


@pytest.mark.parametrize("num_trajectories", [1, 20])
@pytest.mark.parametrize("data_ends", [10.0, 99.0])
def test_fan_draws_a_picture(num_trajectories, data_ends, tmp_path):
  pytest.importorskip("matplotlib")
  from matplotlib import image

  from mars_jax.apps.report import figures

  rng = np.random.default_rng(0)
  shape = num_trajectories, 50
  futures = _futures(
    10 + np.sort(rng.uniform(0, 3, shape), axis=1),
    3 + rng.integers(-1, 2, shape).cumsum(axis=1),
  )
  time, mid = _history(np.arange(8, 14, 0.5), np.arange(12) - 1)
  is_known = time <= data_ends * SECOND
  found = paths_lib.paths(
    futures, time[is_known], mid[is_known], horizon=Horizon(seconds=2.0)
  )
  path = tmp_path / "fan.png"
  figures.fan(path, found, tick_size=0.5, title="A market", unit="seconds")
  pixels = image.imread(path)[..., :3]
  assert pixels.shape[0] > 300 and pixels.shape[1] > 500
  is_drawn = (pixels < 0.99).any(axis=2)
  assert 0.01 < is_drawn.mean() < 0.9
