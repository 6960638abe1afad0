"""Zero-intelligence flow in the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import replay
from mars_jax import sim
from mars_jax import types
from mars_jax.baselines import poisson_flow
from mars_jax.baselines import zero_intelligence
from mars_jax.tokens import bins
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.tokens import touch

pytestmark = pytest.mark.usefixtures("quick_compilation")

_DRAWS = 4000
ASK, BID = types.Side.ASK, types.Side.BID


@pytest.fixture(scope="module")
def day(quick_compilation):
  """Orders of a market at known rates, and their tokens."""
  del quick_compilation
  rates = zero_intelligence.PRESET
  stream = zero_intelligence.stream(seed=3, num_orders=4000, capacity=128)
  records, _ = replay.replay(
    stream, lob.init(128), num_levels=features.SNAPSHOT_LEVELS
  )
  tokenizer = encoding.fit(records)
  return rates, records, tokenizer, encoding.encode(tokenizer, records)


@pytest.fixture(scope="module")
def params(day):
  _, records, tokenizer, tokens = day
  return poisson_flow.fit(tokenizer, records, tokens.symbols)


def test_the_rates_are_those_that_the_orders_came_at(day, params):
  rates = day[0]
  # Within 4 deviations of counts of about 1,500, 300 and 1,500 orders.
  assert params.limit == pytest.approx(rates.limit.sum(), rel=0.1)
  assert params.market == pytest.approx(rates.market, rel=0.25)
  near = np.asarray(params.cancel[:3])
  np.testing.assert_allclose(near, rates.cancel[0], rtol=0.3)


@pytest.fixture(scope="module")
def drawn(day, params):
  """Orders drawn at one book, and its token."""
  token = jax.tree.map(lambda leaf: jnp.asarray(leaf[2000]), day[3])
  inputs = sim.FlowInput(token, jnp.bool_(True), None)
  keys = jax.random.split(jax.random.key(0), _DRAWS)
  draw = jax.jit(jax.vmap(poisson_flow.next_order, (None, 0, None, None)))
  symbols, _ = draw(params, keys, inputs, ())
  return np.asarray(symbols), jax.device_get(token)


def test_processes_have_their_shares_of_the_rate(params, drawn):
  symbols, token = drawn
  cancels = np.asarray(params.cancel) * token.depth.orders  # [2, C]
  total = 2 * (params.limit + params.market) + cancels.sum()
  is_cancel = symbols[:, touch.KIND] >= 2
  is_market = ~is_cancel & (symbols[:, touch.TOUCH] == touch.CROSSES)
  side = symbols[:, touch.KIND] % 2
  for side_of, rate in ((ASK, cancels[ASK].sum()), (BID, cancels[BID].sum())):
    share = (is_cancel & (side == side_of)).mean()
    assert share == pytest.approx(float(rate / total), abs=0.03)
    share = (is_market & (side == side_of)).mean()
    assert share == pytest.approx(float(params.market / total), abs=0.03)


def test_limit_orders_count_from_the_other_side(params, drawn):
  """Behind their own best price by their distance less the spread."""
  symbols, token = drawn
  spread = token.distances[:: features.NUM_LEVELS].sum()
  away = np.asarray(params.limits[:, 0]) - spread
  is_limit = symbols[:, touch.KIND] < 2
  is_limit &= symbols[:, touch.TOUCH] != touch.CROSSES
  of_touch = symbols[is_limit, touch.TOUCH]
  for name, share in (
    (touch.IMPROVES, (away < 0).mean()),
    (touch.JOINS, (away == 0).mean()),
    (touch.BEHIND, (away > 0).mean()),
  ):
    assert (of_touch == name).mean() == pytest.approx(share, abs=0.04)


def test_the_interval_is_exponential_with_the_sum_of_rates(day, params, drawn):
  symbols, token = drawn
  cancels = np.asarray(params.cancel) * token.depth.orders
  total = float(2 * (params.limit + params.market) + cancels.sum())
  median = np.int32(np.log(2) / total * 1e6)
  middle = int(bins.encode(day[2].interval, jnp.asarray(median)))
  interval = symbols[:, touch.INTERVAL]
  below, up_to = (interval < middle).mean(), (interval <= middle).mean()
  assert below - 0.04 < 0.5 < up_to + 0.04


def test_no_limit_order_is_no_rate(day):
  _, records, tokenizer, tokens = day
  is_cancel = records.order.kind == types.OrderKind.CANCEL
  with pytest.raises(ValueError, match="no limit orders"):
    poisson_flow.fit(tokenizer, records[is_cancel], tokens.symbols[is_cancel])
