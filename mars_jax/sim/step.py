"""One event of a simulated market (paper, section 3).

  1. Whatever comes before the next order is done: agents wake up and send
     messages, a call auction is executed.
  2. The next order is the pending one of the model or the message of an agent,
     whichever arrives first. The pending order becomes ticks and lots.
  3. The exchange matches it, and the accounts of agents are settled.
  4. The outcome becomes a token, as of a real market, whoever sent the order;
     the model takes it in and plans the next order.

The token says what was done, not what was planned. An order that the exchange
rejects when it meets the book (post-only, fill or kill) is a token too: an
order that came and left no trace. At the same time an auction comes first, then
messages, the pending order, and wake-ups (`_due`).

Where a side of the book is empty, the mid is the best price of the other, and
where both are, the last mid: orders go on to be priced from it.
"""

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import session
from mars_jax.sim import clock
from mars_jax.sim import market as market_lib
from mars_jax.sim import pending as pending_lib
from mars_jax.sim import pretrade
from mars_jax.sim import state as state_lib
from mars_jax.sim.agents import messages
from mars_jax.sim.agents import runtime
from mars_jax.sim.agents import settlement
from mars_jax.tokens import features

# What happens next; of several at once the first in this order.
_AUCTION, _MESSAGE, _PENDING, _WAKE = range(4)


def step(
  flow: state_lib.Flow,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> tuple[state_lib.SimState, state_lib.Event]:
  """Simulates one event of one market.

  Args:
    flow: the order flow.
    state: the market before the event.
    until: orders after this time do not come: the trajectory has ended, and
      the step does nothing. None for the end of the exchange's day, which ends
      it in any case.
    config: static.

  Returns:
    The market after it, and what happened.
  """
  end = pending_lib.end_of_day(config.rules)
  until = end if until is None else clock.earlier(until, end)
  key, order_key, symbols_key, plan_key = jax.random.split(state.key, 4)
  with jax.named_scope("agents"):
    state = _until_next_order(state, until, config)
  with jax.named_scope("order"):
    order, time, message, is_injected = _next_order(
      flow.tokenizer, order_key, state, config
    )
    is_event = ~clock.is_before(until, time)
    order, time = _unless_over(is_event, order, time, state.market)
  market, report, token, views = _take(
    flow.tokenizer, state.market, order, time, is_event, config
  )
  with jax.named_scope("model"):
    inputs = state_lib.FlowInput(token, is_event, state.context)
    symbols, cache = flow.fns.next_order(
      flow.params, symbols_key, inputs, state.cache
    )
  with jax.named_scope("plan"):
    pending = pending_lib.make(
      flow.tokenizer, plan_key, symbols, market, rules=config.rules
    )
    keeps = ~is_event
    if config.after_injection == "keep":
      keeps |= is_injected
    pending = _select(keeps, state.pending, pending)
  new_state = state.replace(
    key=_select(is_event, key, state.key),
    market=market,
    num_events=state.num_events + is_event,
    pending=pending,
    cache=cache,
  )
  if state.agents is not None:
    with jax.named_scope("accounts"):
      new_state = _settle(new_state, order, report, message, is_event, config)
  place, snapshot, depth = views
  event = state_lib.Event(
    is_event, time, order, place, report, snapshot, depth, market.mid
  )
  return new_state, event


def submit(
  tokenizer: features.Tokenizer,
  market: market_lib.MarketState,
  order: types.Order,
  time: types.Timestamp,
  *,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> tuple[market_lib.MarketState, features.TokenFeatures]:
  """Matches one order from outside, before a simulation starts.

  With the token and a model's memory of the orders before, the market is a
  `Start`: simulations from it and from the market without the order share the
  random numbers of every order that follows.

  Args:
    tokenizer: the bins.
    market: not past the time.
    order: leaves `[]`.
    time: `[]`, of the order.
    config: static.

  Returns:
    The market after the order, and the order's token.
  """
  market, _, token, _ = _take(
    tokenizer, market, order, time, jnp.bool_(True), config
  )
  return market, token


def _take(tokenizer, before, order, time, is_event, config):
  """Matches an order and makes its token.

  Returns:
    The market after it, the execution report, the token, and of the order its
    place, the snapshot and the depth after it.
  """
  with jax.named_scope("match"):
    market, report = _match(before, order, time, is_event, config)
  with jax.named_scope("features"):
    shown = _shown(order, report, before.mid)
    place = lob.place(before.exchange.book, shown, fallback=before.mid)
    snapshot = lob.snapshot(
      market.exchange.book, num_levels=features.SNAPSHOT_LEVELS
    )
    depth = lob.depth(market.exchange.book)
    views = place, snapshot, depth
    token = _token(tokenizer, (before, market), shown, views)
  return market, report, token, views


def _match(market, order, time, is_event, config):
  """Returns the market after an order, and the execution report."""
  exchange, report = session.step(
    market.exchange,
    order,
    time.seconds,
    rules=config.rules,
    max_fills=None if config.agents.kinds else 0,
  )
  takes_id = is_event & (order.id == market.next_id)
  market = market.replace(
    clock=time,
    exchange=exchange,
    mid=lob.mid(exchange.book, fallback=market.mid),
    next_id=market.next_id + takes_id,
    traded=market.traded + report.traded,
  )
  return market, report


def _due(
  state: state_lib.SimState, config: state_lib.SimConfig
) -> tuple[jax.Array, types.Timestamp]:
  """Returns what happens next, and when.

  Returns:
    int32 `[]`, one of `_AUCTION`, `_MESSAGE`, `_PENDING` and `_WAKE`, of
    several at once the first of these; and its time `[]`.
  """
  times = {_PENDING: _pending_time(state, config)}
  if config.auction_times:
    times[_AUCTION] = _auction_time(state, config)
  if state.agents is not None:
    times[_MESSAGE] = messages.next_arrival(state.agents)[1]
    times[_WAKE] = runtime.next_wake(state.agents)
  kinds = sorted(times)
  in_order = [times[kind] for kind in kinds]
  first, time = clock.first(jax.tree.map(lambda *x: jnp.stack(x), *in_order))
  return jnp.asarray(kinds, jnp.int32)[first], time


def _pending_time(state: state_lib.SimState, config) -> types.Timestamp:
  """Returns when the pending order is sent: one that meets a halt waits."""
  if config.rules.halt is None:
    return state.pending.time
  resumes = clock.at_second(state.market.exchange.resumes)
  time = clock.later(state.pending.time, resumes)
  return pending_lib.when_open(config.rules, time)


def _auction_time(state: state_lib.SimState, config) -> types.Timestamp:
  """Returns when the next call auction is executed."""
  times = jnp.asarray([*config.auction_times, clock.NEVER], jnp.int32)
  return clock.at_second(times[state.num_auctions])


def _until_next_order(
  state: state_lib.SimState, until: types.Timestamp, config
) -> state_lib.SimState:
  """Executes auctions and wake-ups that come before the next order."""
  state = _wake_agents(state, until, config)
  if not config.auction_times:
    return state

  def is_due(state):
    kind, time = _due(state, config)
    return (kind == _AUCTION) & ~clock.is_before(until, time)

  def execute(state):
    return _wake_agents(_uncross(state, config), until, config)

  # Not over the cache, which does not change between two orders.
  cache = state.cache
  small = state.replace(cache=None)
  return jax.lax.while_loop(is_due, execute, small).replace(cache=cache)


def _uncross(state: state_lib.SimState, config) -> state_lib.SimState:
  """Executes a call auction."""
  market = state.market
  exchange, outcome = session.uncross(market.exchange, rules=config.rules)
  market = market.replace(
    clock=clock.later(market.clock, _auction_time(state, config)),
    exchange=exchange,
    mid=lob.mid(exchange.book, fallback=market.mid),
    traded=market.traded + outcome.volume,
  )
  state = state.replace(market=market, num_auctions=state.num_auctions + 1)
  if state.agents is None:
    return state
  agents = settlement.settle_auction(state.agents, outcome.fills, exchange.book)
  return state.replace(
    agents=runtime.keep_view(agents, market, config=config.agents)
  )


def _wake_agents(
  state: state_lib.SimState, until: types.Timestamp, config
) -> state_lib.SimState:
  """Runs agents due before the next order.

  And rejects invalid messages.

  A loop of as many rounds as it takes, none for most orders: a wake-up may send
  a message that arrives before the next wake-up.
  """
  if state.agents is None:
    return state
  market = state.market

  def next_round(agents):
    """Decides between rejecting a message and waking agents.

    Returns whether the next message is rejected, its index, and the agents that
    wake up.
    """
    kind, time = _due(state.replace(agents=agents), config)
    index, _ = messages.next_arrival(agents)
    order = messages.to_order(
      agents, index, market.next_id, config=config.agents
    )
    is_in_time = ~clock.is_before(until, time)
    rejected = pretrade.is_rejected(
      order, time, market.exchange, rules=config.rules
    )
    rejected &= is_in_time & (kind == _MESSAGE)
    return rejected, index, is_in_time & (kind == _WAKE)

  def has_more(agents):
    rejected, _, wakes = next_round(agents)
    return rejected | wakes

  def do_one(agents):
    rejected, index, _ = next_round(agents)
    awake = runtime.wake(agents, market, config=config.agents)
    return _select(rejected, messages.reject(agents, index, rejected), awake)

  agents = jax.lax.while_loop(has_more, do_one, state.agents)
  return state.replace(agents=agents)


def _next_order(tokenizer, key, state: state_lib.SimState, config):
  """Returns the next order, its time and its message.

  And whether there is one.
  """
  market = state.market
  is_planned = config.price_from == "planning"
  order = pending_lib.order(
    tokenizer,
    key,
    state.pending,
    market.exchange,
    state.pending.seen if is_planned else pending_lib.reference(market),
    market.next_id,
    rules=config.rules,
  )
  time = _pending_time(state, config)
  if state.agents is None:
    return order, time, None, jnp.bool_(False)
  index, arrival = messages.next_arrival(state.agents)
  sent = messages.to_order(
    state.agents, index, market.next_id, config=config.agents
  )
  is_injected = ~clock.is_before(time, arrival)
  is_injected &= arrival.seconds < clock.NEVER
  order = _select(is_injected, sent, order)
  time = clock.select(is_injected, arrival, time)
  return order, time, index, is_injected


def _settle(state, order, report, message, is_event, config):
  """Returns the state after an order with the accounts settled."""
  agents = state.agents
  is_injected = is_event & (order.owner >= 0)
  slot = agents.outbox.id.ravel()[message]
  agents = messages.remove(agents, message, is_injected)
  agents = settlement.settle(
    agents, order, slot, report, state.market.exchange.book
  )
  kept = runtime.keep_view(agents, state.market, config=config.agents)
  # Else a trajectory that has ended would forget what it may look back to.
  return state.replace(agents=_select(is_event, kept, agents))


def _unless_over(is_event, order, time, market):
  """Returns the order and its time; no order, and the last, after the end."""
  none = jnp.int32(types.OrderKind.NONE)
  order = order.replace(kind=jnp.where(is_event, order.kind, none))
  return order, clock.select(is_event, time, market.clock)


def _shown(order, report, mid):
  """Returns an order as a feed shows it: a market order at its last price."""
  price = jnp.where(report.traded > 0, report.last_price, mid)
  is_market = order.kind == types.OrderKind.MARKET
  return order.replace(price=jnp.where(is_market, price, order.price))


def _token(tokenizer, markets, order, views):
  """Returns the token of an order.

  Args:
    tokenizer: the bins.
    markets: before and after it.
    order: as a feed shows it.
    views: its place, the snapshot and the depth after it.
  """
  before, after = markets
  place, snapshot, depth = views
  return features.encode(
    tokenizer,
    order,
    interval=features.interval(before.clock, after.clock),
    open_mid=before.open_mid,
    place=place,
    mid_before=before.mid,
    mid_after=after.mid,
    snapshot=snapshot,
    depth=depth,
    time=after.clock.seconds,
  )


def _select(condition, a, b):
  return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
