"""Simulated markets under the rules of venues, replayed in plain Python.

Random orders and noisy agents, through the day of a preset and of rules that no
preset has.
"""

import collections
import dataclasses

import jax
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from tests.support.sim import oracle_replay
from tests.support.sim import small_markets

pytestmark = pytest.mark.usefixtures("quick_compilation")

Phase = rules_lib.Phase
_SLOTS = 3
_DAY = (
  (100, Phase.CALL_AUCTION),
  (400, Phase.NO_CANCEL),
  (500, Phase.CONTINUOUS),
  (1_500, Phase.BREAK),
  (1_700, Phase.CONTINUOUS),
  (2_600, Phase.CLOSING_AUCTION),
  (2_900, Phase.CLOSED),
)
# The other presets differ from these in numbers.
_RULES = {
  "shanghai": lob.PRESETS["shanghai"],
  "nasdaq, the newest of an owner goes": dataclasses.replace(
    lob.PRESETS["nasdaq"], self_trade=rules_lib.SelfTrade.CANCEL_NEWEST
  ),
  "halts, coarse ticks, pro-rata, the oldest of an owner goes": rules_lib.Rules(
    allocation=rules_lib.Allocation.PRO_RATA,
    top_order=True,
    self_trade=rules_lib.SelfTrade.CANCEL_OLDEST,
    reduce_keeps_priority=False,
    tick_bands=((-(2**30), 1), (1_000, 2)),
    halt=rules_lib.VolatilityHalt(move_bp=40, seconds=150),
    schedule=_DAY,
  ),
}
_NUM_EVENTS, _NUM_MARKETS = 1500, 2  # Events of a market's day, about.
_END = 86_400  # Seconds since midnight, of venues that do not close.


def _config(rules, interval):
  """A market with three noisy agents, who sleep `interval` seconds at most."""
  delays = sim.agents.Delays(computation=3 * 10**8, communication=7 * 10**8 + 1)
  noise = oracle_replay.noise(
    count=3,
    interval=interval * types.NANOSECONDS,
    slots=_SLOTS,
    delays=delays,
    lot=rules.lot,
  )
  agents = sim.AgentsConfig((noise,), slots=_SLOTS, outbox=4, levels=1)
  return sim.SimConfig(rules, agents)


def _run(rules):
  """Returns the start of a day, its events `[B, ...]`, and the last state."""
  first = rules.schedule[0][0] + 10
  seconds = (rules.schedule[-1][0] or _END) - first
  # Half of the orders are the model's.
  between = max(2 * seconds // _NUM_EVENTS, 1)
  config = _config(rules, 4 * between)
  begin = small_markets.start(seconds=first, capacity=32, lot=rules.lot)
  tokenizer = small_markets.tokenizer(between * 10**6 // 7)
  flow = sim.Flow(0, tokenizer, oracle_replay.ANY_ORDER)
  keys = jax.random.split(jax.random.key(0), _NUM_MARKETS)
  chunks = sim.run(
    flow,
    sim.init_many(flow, keys, begin, config=config),
    sim.clock.at_second(_END),
    chunk=250,
    observe_fn=oracle_replay.keep,
    config=config,
  )
  states, kept = zip(*chunks, strict=True)
  kept = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *kept)
  return begin, kept, jax.device_get(states[-1])


def _check(rules, begin, kept, last):
  """Compares all markets with their replay, and the totals at the end."""
  counts = collections.Counter()
  config = _config(rules, 1)
  for b in range(len(last.market.traded)):
    market = jax.tree.map(lambda x, b=b: x[b], kept)
    state = jax.tree.map(lambda x, b=b: x[b], last.replace(key=None))
    found = oracle_replay.check(market, begin, config)
    agents = state.agents
    # Each message is an event, rejected, dropped, or on its way.
    waiting = (agents.outbox.kind != types.OrderKind.NONE).sum()
    gone = agents.rejected.sum() + agents.dropped.sum()
    ((sent, _),) = agents.states
    assert sent.sum() == found["injected"] + gone + waiting
    assert state.num_auctions == len(config.auction_times)
    counts += found + collections.Counter(rejected=int(agents.rejected.sum()))
  return counts


@pytest.mark.parametrize(
  "name",
  [
    "shanghai",
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in _RULES
      if name != "shanghai"
    ),
  ],
)
def test_a_day_is_that_of_an_exchange_and_a_ledger_in_plain_python(name):
  rules = _RULES[name]
  begin, kept, last = _run(rules)
  counts = _check(rules, begin, kept, last)
  assert not kept.event.is_event[:, -1].any()
  assert counts["auctions"] == _NUM_MARKETS * len(
    _config(rules, 1).auction_times
  )
  assert counts["events"] > 600
  assert min(counts[name] for name in ("injected", "rejected", "traded")) > 200
  assert counts["one side empty"] < counts["events"] / 2
