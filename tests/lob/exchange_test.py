"""The matching engine against a Python exchange, under random rules."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from tests.support import exchanges
from tests.support.oracles import python_exchange

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
Kind, Reason, Phase = types.OrderKind, types.Reason, rules_lib.Phase
Message = python_exchange.Message
_PRO_RATA = rules_lib.Allocation.PRO_RATA
_NEWEST = rules_lib.SelfTrade.CANCEL_NEWEST
_OLDEST = rules_lib.SelfTrade.CANCEL_OLDEST
_CENTER = 100
_DAY = (
  (4, Phase.PRE_OPEN),
  (8, Phase.CALL_AUCTION),
  (24, Phase.NO_CANCEL),
  (32, Phase.BREAK),
  (34, Phase.CONTINUOUS),
  (56, Phase.BREAK),
  (58, Phase.CONTINUOUS),
  (66, Phase.CLOSING_AUCTION),
  (78, Phase.CLOSED),
)
_BANDS = ((-(2**30), 1), (100, 2))
_HALT = rules_lib.VolatilityHalt(move_bp=250, seconds=5)

RULES = {
  "plain": rules_lib.Rules(),
  "a reduction loses priority": rules_lib.Rules(reduce_keeps_priority=False),
  "pro-rata": rules_lib.Rules(allocation=_PRO_RATA),
  "pro-rata, top order": rules_lib.Rules(allocation=_PRO_RATA, top_order=True),
  "pro-rata, top order, minimum": rules_lib.Rules(
    allocation=_PRO_RATA, top_order=True, min_allocation=3
  ),
  "cancel newest": rules_lib.Rules(self_trade=_NEWEST),
  "cancel oldest": rules_lib.Rules(self_trade=_OLDEST),
  "pro-rata, cancel newest": rules_lib.Rules(
    allocation=_PRO_RATA, min_allocation=2, self_trade=_NEWEST
  ),
  "pro-rata, top order, cancel oldest": rules_lib.Rules(
    allocation=_PRO_RATA, top_order=True, self_trade=_OLDEST
  ),
  "bands, lots, limits": rules_lib.Rules(
    tick_bands=_BANDS, lot=3, odd_lots_on_sale=True, price_limit_bp=200
  ),
  "halts": rules_lib.Rules(halt=_HALT, lot=2),
  "a day": rules_lib.Rules(schedule=_DAY),
  "a day, middle, coarse tick": rules_lib.Rules(
    schedule=_DAY,
    auction_tie=rules_lib.AuctionTie.MIDDLE,
    tick_bands=((-(2**30), 2),),
  ),
  "a day of everything": rules_lib.Rules(
    allocation=_PRO_RATA,
    top_order=True,
    self_trade=_OLDEST,
    reduce_keeps_priority=False,
    tick_bands=_BANDS,
    lot=2,
    odd_lots_on_sale=True,
    price_limit_bp=300,
    halt=_HALT,
    schedule=_DAY,
    auction_tie=rules_lib.AuctionTie.MIDDLE,
  ),
}
_ALL = pytest.mark.parametrize("name", RULES)
# Without shrinking, which takes minutes: an assertion names the message.
_FEW = hypothesis.settings(
  deadline=None, max_examples=15, phases=[hypothesis.Phase.generate]
)

_KINDS = (Kind.LIMIT,) * 6 + (
  Kind.NONE,
  Kind.CANCEL,
  Kind.CANCEL,
  Kind.MARKET,
  Kind.IOC,
  Kind.FOK,
  Kind.POST_ONLY,
  Kind.MODIFY,
  Kind.MODIFY,
)
_DRAWS = st.lists(
  st.tuples(
    st.sampled_from(_KINDS),
    st.sampled_from((ASK, BID)),
    st.integers(_CENTER - 3, _CENTER + 3),
    st.integers(-1, 12),
    st.integers(0, exchanges.LENGTH),  # Which order a cancel or a modify names.
    st.integers(types.NO_OWNER, 1),
    st.integers(0, 5),  # Seconds since the message before.
  ),
  min_size=20,
  max_size=exchanges.LENGTH,
)


def _to_stream(draws):
  """Returns draws as messages with new ids, and their times.

  Limit orders are moved outwards by a tick, so that levels grow; cancels and
  modifies mostly name an earlier order.
  """
  messages, seconds, now = [], [], 0
  for i, (kind, side, price, volume, named, owner, wait) in enumerate(draws):
    now += wait
    if kind in (Kind.CANCEL, Kind.MODIFY):
      id_ = named if named == exchanges.LENGTH else named % max(i, 1)
    else:
      id_ = i
    if kind == Kind.LIMIT:
      price += 1 if side == ASK else -1
    messages.append(Message(kind, side, price, volume, id_, owner))
    seconds.append(now)
  return messages, seconds


def _expect(rules, messages, seconds):
  """Yields the oracle, its auction and its result by message."""
  oracle = python_exchange.PythonExchange(rules, exchanges.CAPACITY, _CENTER)
  ends = exchanges.ends_auction(rules, seconds)
  for message, time, ends_here in zip(messages, seconds, ends, strict=True):
    outcome = oracle.uncross() if ends_here else None
    yield oracle, outcome, oracle.apply(message, time)


@_ALL
@_FEW
@hypothesis.given(draws=_DRAWS)
def test_any_stream_equals_the_python_exchange(name, draws):
  rules = RULES[name]
  messages, seconds = _to_stream(draws)
  played = exchanges.play(rules, messages, seconds, reference=_CENTER)
  expected = _expect(rules, messages, seconds)
  for i, (oracle, outcome, result) in enumerate(expected):
    assert played.reasons[i] == result.reason, (i, messages[i])
    assert played.fills(i) == result.fills, (i, messages[i])
    assert played.reports.num_fills[i] == len(result.fills)
    assert played.numbers(i) == (
      result.traded,
      result.rested,
      result.cancelled,
    ), (i, messages[i])
    for side in (ASK, BID):
      fields = "price volume id owner"
      assert played.rows(side, i, fields) == oracle.rows(side), (i, side)
    if outcome:
      got = played.auctions
      assert (got.price[i], got.volume[i]) == outcome[:2], i
      assert got.imbalance[i] == outcome.imbalance, i
      for side in (ASK, BID):
        assert played.auction_fills(side, i) == outcome.fills[side], i
  after = played.exchanges
  assert after.book.counts[-1].tolist() == oracle.counts
  assert after.last_price[-1] == oracle.last_price
  if rules.halt:
    assert after.resumes[-1] == oracle.resumes
    assert after.halt_price[-1] == oracle.halt_price


@_ALL
@_FEW
@hypothesis.given(draws=_DRAWS)
def test_what_always_holds(name, draws):
  rules = RULES[name]
  messages, seconds = _to_stream(draws)
  played = exchanges.play(rules, messages, seconds, reference=_CENTER)
  _check_books(rules, played, seconds)
  _check_volume(played, messages)
  _check_reasons(played, messages)


def _check_books(rules, played, seconds):
  """Checks that books are packed, sorted and not crossed."""
  book = jax.tree.map(lambda leaf: leaf[: played.length], played.exchanges.book)
  filled = book.volume > 0  # [T, 2, N]
  assert (book.volume >= 0).all()
  assert (filled[..., :-1] >= filled[..., 1:]).all()
  assert (book.id[~filled] == types.NO_ORDER).all()
  assert (book.owner[~filled] == types.NO_OWNER).all()
  keys = book.price.astype(np.int64) * np.array([1, -1])[:, None]
  assert (np.diff(keys) >= 0).all()
  for ids, used in zip(book.id, filled, strict=True):
    assert len(set(ids[used].tolist())) == used.sum()
  oracle = python_exchange.PythonExchange(rules, 1, 0)
  is_continuous = [oracle.phase(time) == Phase.CONTINUOUS for time in seconds]
  best = book.price[is_continuous & filled[..., 0].all(axis=1), :, 0]
  assert (best[:, BID] < best[:, ASK]).all()


def _check_volume(played, messages):
  """Checks that all volume that entered is accounted for."""
  resting = 0
  for i, message in enumerate(messages):
    traded, rested, cancelled = played.numbers(i)
    auctioned = 0
    if played.auctions is not None:
      auctioned = int(played.auctions.volume[i])
    resting += rested - traded - cancelled - 2 * auctioned
    assert played.exchanges.book.volume[i].sum() == resting, (i, message)
    assert played.reports.fills.volume[i].sum() == traded
    volume = max(message.volume, 0)
    if message.kind == Kind.CANCEL:
      assert traded == rested == 0 and cancelled <= volume
    else:
      assert traded + rested <= volume
    never_drops = message.kind in (Kind.LIMIT, Kind.POST_ONLY)
    if never_drops and played.reasons[i] == Reason.ACCEPTED:
      assert traded + rested == volume


def _check_reasons(played, messages):
  """Checks one reason a message, and that rejections change nothing."""
  reports, book = played.reports, played.exchanges.book
  asked = sum(message.kind != Kind.NONE for message in messages)
  assert sum(played.counts.values()) == asked
  partly = (Reason.ACCEPTED, Reason.SELF_TRADE, Reason.CAPACITY)
  for i, reason in enumerate(played.reasons):
    if reason in partly:
      continue
    assert played.numbers(i) == (0, 0, 0)
    if i and played.auctions is None:
      for leaf in (book.price, book.volume, book.id, book.owner):
        assert (leaf[i] == leaf[i - 1]).all()
  counts = np.diff(book.counts, axis=0, prepend=0)
  assert counts.sum() == asked and counts.min() >= 0
  for i, message in enumerate(messages):
    assert counts[i][reports.reason[i]] == (message.kind != Kind.NONE)


def test_random_streams_reach_every_reason_and_trade_in_auctions():
  rng = np.random.default_rng(0)
  reasons, auctioned = set(), 0
  for rules in RULES.values():
    for _ in range(20):
      for _, outcome, result in _expect(rules, *_random_stream(rng)):
        reasons.add(result.reason)
        auctioned += outcome is not None and outcome.volume > 0
  assert reasons == set(range(Reason.COUNT))
  assert auctioned > 20


@pytest.mark.parametrize("name", ["plain", "a day of everything"])
def test_markets_in_a_batch_do_not_touch_each_other(name):
  rng = np.random.default_rng(0)
  streams = [_random_stream(rng) for _ in range(3)]
  alone = [
    exchanges.play(RULES[name], *stream, reference=_CENTER)
    for stream in streams
  ]
  expected = jax.tree.map(
    lambda *leaves: np.stack(leaves), *(played.exchanges for played in alone)
  )
  before = jax.tree.map(
    lambda leaf: np.stack([leaf] * 3),
    session.init(lob.init(exchanges.CAPACITY), reference=_CENTER),
  )
  padded = [exchanges.pad(*stream) for stream in streams]
  orders = [exchanges.put_orders(messages) for messages, _ in padded]
  ends = [exchanges.ends_auction(RULES[name], times) for _, times in padded]
  has_auctions = alone[0].auctions is not None
  got, _, _ = jax.vmap(
    lambda *args: exchanges.scan(
      *args, rules=RULES[name], has_auctions=has_auctions
    )
  )(
    before,
    jax.tree.map(lambda *leaves: np.stack(leaves), *orders),
    np.array([times for _, times in padded], np.int32),
    np.stack(ends),
  )
  jax.tree.map(np.testing.assert_array_equal, got, expected)


def _random_stream(rng):
  draws = []
  for _ in range(exchanges.LENGTH):
    kind = _KINDS[rng.integers(len(_KINDS))]
    low, high = (0, 97, 0, 0, -1, 0), (2, 104, 13, exchanges.LENGTH, 2, 6)
    draws.append((kind, *rng.integers(low, high).tolist()))
  return _to_stream(draws)
