"""A market in which every kind of agent trades."""

import jax
import numpy as np
import pytest

from mars_jax import sim
from mars_jax import types
from mars_jax.sim import agents
from mars_jax.tokens import vocab
from tests.support.sim import agent_observations

ASK, BID = types.Side.ASK, types.Side.BID

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _crowd():
  schedule = {"duration": 60.0, "passive_s": 4.0, "volume": 40}
  small = ((1, 0.5), (4, 0.3), (9, 0.2))
  script = dict.fromkeys(("nanoseconds", "price", "slot"), [0, 0])
  return (
    agents.twap.make(side=BID, **schedule),
    agents.vwap.make(side=ASK, profile=(3.0, 1.0, 2.0), **schedule),
    agents.pov.make(side=BID, volume=1000, ratio=0.2),
    agents.market_maker.make(volume=6, limit=20, interval=2.51, skew=0.1),
    agents.noise.make(count=2, volumes=small),
    agents.zero_intelligence.make(count=3, limit=[0.5, 0.3], market=0.2),
    agents.value.make(
      count=2, fundamental=1003.0, noise=1.0, interval=2.0, volume=(3, 9)
    ),
    agents.momentum.make(interval=0.5, volume=(3, 9)),
    agents.replay.make(
      seconds=[110, 120],
      kind=[types.OrderKind.MARKET] * 2,
      side=[BID, ASK],
      volume=[11, 11],
      **script,
    ),
  )


@pytest.fixture(scope="module")
def market(quick_compilation):
  """Names, the agents at the end, and the event and accounts of each step."""
  del quick_compilation
  config, state, event, accounts = agent_observations.simulate(
    _crowd(),
    lambda key: vocab.unpack(jax.random.randint(key, (), 0, vocab.NUM_ORDERS)),
    ((BID, 999, 10), (BID, 998, 20), (ASK, 1001, 10), (ASK, 1003, 5)),
    interval=40_000,  # An order in 300 ms.
    until=165,
    num_events=1000,
  )
  return config.agents.owner_names, state.agents, event, accounts


@pytest.mark.slow
def test_all_of_them_trade_and_nothing_comes_of_nothing(market):
  names, crowd, event, accounts = market
  assert not event.is_event[-1]  # It came to its end.
  cash = sim.money.to_int(accounts.cash)
  assert (cash.sum(axis=1) == 0).all()
  assert (accounts.inventory.sum(axis=1) == 0).all()
  traded = accounts.bought[-1] + accounts.sold[-1]
  assert (traded > 0).all(), dict(zip(names, traded, strict=True))
  assert not crowd.dropped.any()
  assert not crowd.rejected.any()


def test_who_executes_a_volume_has_it_at_the_end_and_no_more(market):
  _, crowd, _, accounts = market
  bought = accounts.inventory[:, :2] * np.array([1, -1])
  assert (np.diff(bought, axis=0) >= 0).all()
  assert bought[-1].tolist() == [40, 40]
  assert not crowd.orders.volume[:2].any()


def test_pov_has_its_share_of_all_trades(market):
  names, _, event, accounts = market
  own = accounts.inventory[:, names.index("POV")]
  share = own[-1] / event.report.traded.sum()
  # It has not caught up with the last seconds.
  assert 0.18 < share < 0.205


def test_the_market_maker_keeps_to_its_limit(market):
  names, _, _, accounts = market
  held = np.abs(accounts.inventory[:, names.index("market maker")])
  assert 6 < held.max() <= 20
