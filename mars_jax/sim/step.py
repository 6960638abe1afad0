"""One event of a simulated market (paper, section 3).

  1. Whatever comes before the next order is done: agents wake up and send
     messages, a call auction is executed.
  2. The next order is the model's plan or the message of an agent that arrives
     first. The plan becomes ticks and lots (`plan`).
  3. The matching engine matches it under the rules of the venue, and the
     accounts of agents are settled.
  4. What happened becomes a token, as of a real market, whoever sent the order;
     the model takes it in and plans the next one.

The token says what was done, not what was planned. An order that the venue
turns away when it meets the book (post-only, fill or kill) is a token as well:
an order that came and left no trace. At the same time an auction comes first,
then messages, the plan, and wake-ups.

Where a side of the book is empty, the mid is the best price of the other, and
where both are, the last mid: orders go on to be priced from it.
"""

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import session
from mars_jax.sim import clock
from mars_jax.sim import pending as plan_lib
from mars_jax.sim import pretrade
from mars_jax.sim import state as state_lib
from mars_jax.sim.agents import runtime as crowd_lib
from mars_jax.tokens import features


def step(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  flow: state_lib.OrderModelFns,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> tuple[state_lib.SimState, state_lib.Event]:
  """Simulates one event of one market.

  Args:
    params: of the model.
    tokenizer: the bins that the model was trained with.
    state: the market before the event.
    until: orders after this moment do not come: the trajectory has ended, and
      the step does nothing. None for the end of the venue's day, which ends it
      in any case.
    flow: the model; static.
    config: static.

  Returns:
    The market after it, and what happened.
  """
  end = plan_lib.end_of_day(config.rules)
  until = end if until is None else clock.earlier(until, end)
  key, order_key, index_key, plan_key = jax.random.split(state.key, 4)
  with jax.named_scope("agents"):
    state = _until_next_order(state, until, config)
  with jax.named_scope("order"):
    order, time, message, is_injected = _next_order(
      tokenizer, order_key, state, config
    )
    is_event = ~clock.is_before(until, time)
    order, time = _unless_over(is_event, order, time, state)
  with jax.named_scope("match"):
    exchange, report = session.step(
      state.exchange,
      order,
      time.seconds,
      rules=config.rules,
      max_fills=None if config.crowd.agents else 0,
    )
    mid = lob.mid(exchange.book, fallback=state.mid)
  with jax.named_scope("features"):
    snapshot = lob.snapshot(exchange.book, num_levels=features.SNAPSHOT_LEVELS)
    token = _token(tokenizer, state, order, time, report, mid, snapshot)
  with jax.named_scope("model"):
    index, cache = flow.next_order(
      params, index_key, token, state.cache, is_event
    )
  with jax.named_scope("plan"):
    plan = plan_lib.make(
      tokenizer, plan_key, index, time, mid, rules=config.rules
    )
    keeps = ~is_event
    if config.after_injection == "keep":
      keeps |= is_injected
    plan = _select(keeps, state.plan, plan)
  takes_id = is_event & (order.id == state.next_id)
  new_state = state.replace(
    key=_select(is_event, key, state.key),
    clock=time,
    exchange=exchange,
    mid=mid,
    next_id=state.next_id + takes_id,
    traded=state.traded + report.traded,
    num_events=state.num_events + is_event,
    plan=plan,
    cache=cache,
  )
  if state.crowd is not None:
    with jax.named_scope("accounts"):
      new_state = _settle(new_state, order, report, message, is_event, config)
  best = jax.tree.map(lambda x: x[:, :1], snapshot)
  event = state_lib.Event(is_event, time, order, report, best, mid)
  return new_state, event


def _plan_time(state: state_lib.SimState, config) -> types.Timestamp:
  """Returns when the plan is sent: one that meets a halt waits for its end."""
  if config.rules.halt is None:
    return state.plan.time
  resumes = clock.at_second(state.exchange.resumes)
  time = clock.later(state.plan.time, resumes)
  return plan_lib.when_open(config.rules, time)


def _auction_time(state: state_lib.SimState, config) -> types.Timestamp:
  """Returns when the next call auction is executed."""
  times = jnp.asarray([*config.auction_times, clock.NEVER], jnp.int32)
  return clock.at_second(times[state.num_auctions])


def _until_next_order(
  state: state_lib.SimState, until: types.Timestamp, config
) -> state_lib.SimState:
  """Does all that comes before the next order."""
  state = _wake_agents(state, until, config)
  if not config.auction_times:
    return state

  def is_due(state):
    time = _auction_time(state, config)
    order_time = _plan_time(state, config)
    if state.crowd is not None:
      _, arrival = crowd_lib.next_message(state.crowd)
      order_time = clock.earlier(order_time, arrival)
    return ~clock.is_before(clock.earlier(order_time, until), time)

  def execute(state):
    return _wake_agents(_uncross(state, config), until, config)

  return _while(is_due, execute, state)


def _while(condition, body, state):
  """Loops over what may change between two orders: not over the cache."""
  cache = state.cache
  small = state.replace(cache=None)
  return jax.lax.while_loop(condition, body, small).replace(cache=cache)


def _uncross(state: state_lib.SimState, config) -> state_lib.SimState:
  """Executes a call auction."""
  exchange, outcome = session.uncross(state.exchange, rules=config.rules)
  state = state.replace(
    clock=clock.later(state.clock, _auction_time(state, config)),
    exchange=exchange,
    mid=lob.mid(exchange.book, fallback=state.mid),
    traded=state.traded + outcome.volume,
    num_auctions=state.num_auctions + 1,
  )
  if state.crowd is None:
    return state
  crowd = crowd_lib.settle_auction(state.crowd, outcome.fills, exchange.book)
  return _keep_view(state.replace(crowd=crowd), config)


def _keep_view(state, config):
  crowd = crowd_lib.keep_view(state.crowd, _market(state), config=config.crowd)
  return state.replace(crowd=crowd)


def _market(state: state_lib.SimState) -> crowd_lib.Market:
  return crowd_lib.Market(state.clock, state.exchange, state.mid, state.traded)


def _wake_agents(
  state: state_lib.SimState, until: types.Timestamp, config
) -> state_lib.SimState:
  """Lets agents act that wake up before the next order, and refuses messages.

  A loop of as many rounds as it takes, none for most orders: a wake-up may send
  a message that arrives before the next wake-up.
  """
  if state.crowd is None:
    return state
  market = _market(state)
  last = until
  if config.auction_times:
    just_before = clock.add(_auction_time(state, config), -1)
    last = clock.earlier(last, just_before)
  plan_time = _plan_time(state, config)

  def next_message(crowd):
    index, time = crowd_lib.next_message(crowd)
    order = crowd_lib.message(crowd, index, state.next_id, config=config.crowd)
    is_next = ~clock.is_before(plan_time, time) & ~clock.is_before(last, time)
    is_next &= ~clock.is_before(crowd_lib.next_wake(crowd), time)
    refused = is_next & pretrade.is_refused(
      order, time, state.exchange, rules=config.rules
    )
    return index, time, refused

  def has_more(crowd):
    _, arrival, refused = next_message(crowd)
    wake = crowd_lib.next_wake(crowd)
    comes_first = clock.is_before(wake, clock.earlier(plan_time, arrival))
    return refused | (comes_first & ~clock.is_before(last, wake))

  def do_one(crowd):
    index, _, refused = next_message(crowd)
    awake = crowd_lib.wake(crowd, market, config=config.crowd)
    turned_away = crowd_lib.refuse(crowd, index, refused)
    return _select(refused, turned_away, awake)

  crowd = jax.lax.while_loop(has_more, do_one, state.crowd)
  return state.replace(crowd=crowd)


def _next_order(tokenizer, key, state: state_lib.SimState, config):
  """Returns the order that comes next, when, its message and if it has one."""
  mid = state.plan.mid if config.price_from == "planning" else state.mid
  order = plan_lib.order(
    tokenizer,
    key,
    state.plan,
    state.exchange,
    mid,
    state.next_id,
    rules=config.rules,
  )
  time = _plan_time(state, config)
  if state.crowd is None:
    return order, time, None, jnp.bool_(False)
  index, arrival = crowd_lib.next_message(state.crowd)
  sent = crowd_lib.message(
    state.crowd, index, state.next_id, config=config.crowd
  )
  is_injected = ~clock.is_before(time, arrival)
  is_injected &= arrival.seconds < clock.NEVER
  order = _select(is_injected, sent, order)
  time = clock.select(is_injected, arrival, time)
  return order, time, index, is_injected


def _settle(state, order, report, message, is_event, config):
  """Returns the state after an order with the accounts settled."""
  crowd = state.crowd
  is_injected = is_event & (order.owner >= 0)
  slot = crowd.outbox.id.ravel()[message]
  crowd = crowd_lib.take(crowd, message, is_injected)
  crowd = crowd_lib.settle(crowd, order, slot, report, state.exchange.book)
  kept = _keep_view(state.replace(crowd=crowd), config).crowd
  # Else a trajectory that has ended would forget what it may look back to.
  return state.replace(crowd=_select(is_event, kept, crowd))


def _unless_over(is_event, order, time, state):
  """Returns the order and its time; no order, and the last, after the end."""
  none = jnp.int32(types.OrderKind.NONE)
  order = order.replace(kind=jnp.where(is_event, order.kind, none))
  return order, clock.select(is_event, time, state.clock)


def _token(tokenizer, state, order, time, report, mid, snapshot):
  """Returns an order as a feed shows it: a market order at its last price."""
  price = jnp.where(report.traded > 0, report.last_price, state.mid)
  is_market = order.kind == types.OrderKind.MARKET
  return features.encode(
    tokenizer,
    order.replace(price=jnp.where(is_market, price, order.price)),
    interval=features.interval(state.clock, time),
    open_mid=state.open_mid,
    mid_before=state.mid,
    mid_after=mid,
    snapshot=snapshot,
    time=time.seconds,
  )


def _select(condition, a, b):
  return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
