"""One market simulated in several ways is one market."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import sim
from mars_jax import types
from mars_jax.sim import agents
from mars_jax.sim import clock
from mars_jax.tokens import bins
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day
from tests.support.processes import devices
from tests.support.sim import noisy_market
from tests.support.sim import small_markets
from tests.support.train import random_params

pytestmark = pytest.mark.usefixtures("quick_compilation")

BID = types.Side.BID


@pytest.fixture(scope="module")
def alone():
  """What was kept of each start, on one device."""
  keys = noisy_market.keys_of_starts()
  return [
    noisy_market.run(keys[s], start, noisy_market.UNTIL)
    for s, start in enumerate(noisy_market.starts())
  ]


@pytest.mark.slow
def test_trajectories_in_chunks_are_single_steps_until_they_end(alone):
  step = jax.jit(functools.partial(sim.step, config=noisy_market.CONFIG))
  init = jax.jit(functools.partial(sim.init, config=noisy_market.CONFIG))
  for b in (0, 5):
    state = init(
      noisy_market.flow(),
      noisy_market.keys_of_starts()[0, b],
      noisy_market.starts()[0],
    )
    number = alone[0][0].is_event.shape[1]
    for i in range(number):
      state, event = step(
        noisy_market.flow(), state, clock.at_second(noisy_market.UNTIL)
      )
      expected = jax.tree.map(lambda x, at=(b, i): x[at], alone[0])
      chex.assert_trees_all_equal(noisy_market.keep(state, event), expected)
    assert not event.is_event


@pytest.mark.slow
def test_trajectories_end_at_their_own_time_and_then_stay(alone):
  event, num_events, cache, *_ = alone[0]
  assert len(set(num_events[:, -1].tolist())) > 1
  assert num_events.max() > 2 * noisy_market.CHUNK  # In several chunks.
  np.testing.assert_array_equal(event.is_event.sum(axis=1), num_events[:, -1])
  np.testing.assert_array_equal(cache, num_events + 1)
  assert (np.diff(event.is_event.astype(int)) <= 0).all()
  times = time_of_day.nanoseconds(event.time)
  assert times.max() <= noisy_market.UNTIL * types.NANOSECONDS
  ended = ~event.is_event[:, 1:]
  assert (np.diff(times)[ended] == 0).all()
  assert (np.diff(event.mid)[ended] == 0).all()


@pytest.mark.slow
def test_each_trajectory_may_have_its_own_end(alone):
  ends = np.full(noisy_market.NUM, noisy_market.UNTIL, np.int32)
  ends[[1, 4]] = 101, 102
  event, num_events, *_ = noisy_market.run(
    noisy_market.keys_of_starts()[0], noisy_market.starts()[0], ends
  )
  together = alone[0][0]
  times = time_of_day.nanoseconds(together.time)
  is_in_time = times <= ends[:, None].astype(np.int64) * types.NANOSECONDS
  expected = (together.is_event & is_in_time).sum(axis=1)
  np.testing.assert_array_equal(num_events[:, -1], expected)
  assert (expected[[1, 4]] < together.is_event[[1, 4]].sum(axis=1)).all()
  for b, count in enumerate(expected):
    np.testing.assert_array_equal(event.mid[b, :count], together.mid[b, :count])


@pytest.mark.slow
def test_trajectories_on_eight_devices_are_those_on_one(
  alone, tmp_path_factory
):
  folder = tmp_path_factory.mktemp("eight")
  process = devices.start("noisy_markets", folder, num_devices=8)
  devices.finish(process)
  for s, one in enumerate(alone):
    with np.load(noisy_market.path(folder, s)) as file:
      together = [file[name] for name in file.files]
    for x, y in zip(together, jax.tree.leaves(one), strict=True):
      np.testing.assert_array_equal(x, y)


def test_a_market_of_a_model_that_has_stopped_goes_on_as_if_it_had_not():
  model = lmm.LmmConfig(
    dim=8,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    mlp_dim=8,
    window=6,
    dtype="float32",
    alphabet="mid",
  )
  params = random_params.params(model)
  fns = sim.OrderModelFns(
    functools.partial(lmm.next_order, config=model),
    cache_axes=lmm.cache.AXES,
    align_cache=lmm.cache.align,
  )
  flow = noisy_market.flow(params, fns)
  cache = lmm.cache.share(lmm.cache.init(config=model))
  start = small_markets.start(capacity=32).replace(cache=cache)
  keys = jax.random.split(jax.random.key(4), 3)

  def run(state, seconds):
    """The last state, and the events of each trajectory until then."""
    chunks = sim.run(
      flow,
      state,
      clock.at_second(seconds),
      chunk=7,
      observe_fn=_keep_event,
    )
    states, kept = zip(*chunks, strict=True)
    kept = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *kept)
    return states[-1], [
      jax.tree.map(lambda x, b=b: x[b][kept.is_event[b]], kept)
      for b in range(len(keys))
    ]

  begin = sim.init_many(flow, keys, start)
  straight, events = run(begin, 108)
  stopped, before = run(begin, 103)
  last, after = run(stopped, 108)
  numbers = [len(market.mid) for market in before]
  assert len(set(numbers)) > 1 and min(numbers) > 2
  for whole, *parts in zip(events, before, after, strict=True):
    joined = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    chex.assert_trees_all_equal(joined, whole)
  aligned, expected = (
    lmm.cache.align(state.cache) for state in (last, straight)
  )
  np.testing.assert_array_equal(aligned.position, expected.position)


def _keep_event(state, event):
  del state
  return event


def _buy_once(key, observation):
  """Wakes up 150 ms after the start."""
  del key
  return (), clock.add(observation.time, 150 * noisy_market.MS)


def _buy(state, observation):
  del observation
  order = agents.order(types.OrderKind.MARKET, BID, volume=14)
  return state, agents.Action(agents.orders(order), clock.never())


def _bid_below(params, key, inputs, cache):
  """A bid three ticks below the mid, every 100 ms."""
  del params, key
  tokenizer = small_markets.tokenizer(100_000)
  price = bins.encode(tokenizer.price, jnp.int32(-3))
  volume = bins.encode(tokenizer.volume, jnp.int32(2))
  fields = [vocab.KIND_BID, price, volume, 1]
  return jnp.stack([jnp.int32(x) for x in fields]), cache + inputs.is_new


@pytest.mark.parametrize(
  ("changes", "expected"),
  [
    ({"price_from": "sending"}, [(200, 998), (300, 998)]),
    ({"after_injection": "redraw"}, [(250, 998), (350, 998)]),
  ],
)
def test_a_plan_that_an_order_overtakes_does_as_the_config_says(
  changes, expected
):
  buyer = agents.Agent("buyer", _buy_once, _buy)
  buyers = sim.AgentsConfig((buyer,), slots=1, outbox=1, levels=1)
  config = sim.SimConfig(agents=buyers, **changes)

  @jax.jit
  def simulate(start):
    tokenizer = small_markets.tokenizer(100_000)
    flow = sim.Flow(0, tokenizer, sim.OrderModelFns(_bid_below))
    state = sim.init(flow, jax.random.key(0), start, config=config)
    return sim.rollout(
      flow, state, num_events=4, observe_fn=_keep_event, config=config
    )

  _, events = simulate(small_markets.start(capacity=16))
  # The buy takes all at 1001 and 4 at 1003: the mid goes from 1000 to 1001.
  assert events.order.owner.tolist() == [-1, 0, -1, -1]
  assert events.mid.tolist() == [1000, 1001, 1001, 1001]
  times = (
    time_of_day.nanoseconds(events.time) // noisy_market.MS - 100_000
  ).tolist()
  rows = list(zip(times, events.order.price.tolist(), strict=True))
  assert rows[0] == (100, 997) and times[1] == 150
  assert rows[2:] == expected
