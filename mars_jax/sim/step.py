"""One event of a simulated market (paper, section 3).

  1. The model's planned order becomes ticks, lots and a time: each bin draws
     one of the values it was fitted to, and the price counts from the mid.
  2. A cancel looks for the resting order that it means.
  3. The clearing house matches the order.
  4. What happened becomes a token, as of a real market; the model takes it in
     and plans the next order.

Choices where the paper is silent. A price counts from the mid at the moment of
sending. A cancel means, among the orders of its price bin, that of the nearest
volume; with no order in the price bin the nearest price serves. It takes the
whole order unless its volume is under half of it: were each miss of a bin a
partial cancel, the rests would pile up at the best prices and pin the mid. The
token says what was done, not what was planned. A cancel of an empty side does
nothing.
"""

import jax
import jax.numpy as jnp

from mars_jax import lob
from mars_jax import types
from mars_jax.sim import state as state_lib
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab

_MICROSECONDS = 1_000_000  # In a second.


def step(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  *,
  flow: state_lib.OrderFlow,
) -> tuple[state_lib.SimState, state_lib.Event]:
  """Simulates one event of one market.

  Args:
    params: of the model.
    tokenizer: the bins that the model was trained with.
    state: the market before the event.
    flow: the model; static.

  Returns:
    The market after it, and what happened.
  """
  key, order_key, plan_key = jax.random.split(state.key, 3)
  with jax.named_scope("order"):
    order, interval = _planned_order(tokenizer, order_key, state)
    clock = _advance(state.clock, interval)
  with jax.named_scope("match"):
    book, report = lob.step(state.book, order, max_fills=0)
    mid = lob.mid(book, fallback=state.mid)
  with jax.named_scope("features"):
    token = features.encode(
      tokenizer,
      order,
      interval=interval,
      open_mid=state.open_mid,
      mid_before=state.mid,
      mid_after=mid,
      snapshot=lob.snapshot(book, num_levels=features.SNAPSHOT_LEVELS),
      time=clock.seconds,
    )
  with jax.named_scope("model"):
    plan, cache = flow.next_order(params, plan_key, token, state.cache)
  is_limit = order.kind == types.OrderKind.LIMIT
  new_state = state_lib.SimState(
    key=key,
    clock=clock,
    book=book,
    mid=mid,
    open_mid=state.open_mid,
    next_id=state.next_id + is_limit,
    plan=plan,
    cache=cache,
  )
  return new_state, state_lib.Event(clock, order, report.traded, mid)


def _planned_order(
  tokenizer: features.Tokenizer, key: jax.Array, state: state_lib.SimState
) -> tuple[types.Order, jax.Array]:
  """Returns the order, and the microseconds until it is sent."""
  kind, price_bin, volume_bin, interval_bin = vocab.unpack(state.plan)
  uniform = jax.random.uniform(key, (3,))
  price = state.mid + bins.decode(tokenizer.price, price_bin, uniform[0])
  volume = bins.decode(tokenizer.volume, volume_bin, uniform[1])
  interval = bins.decode(tokenizer.interval, interval_bin, uniform[2])

  side = jnp.where(price > state.mid, types.Side.ASK, types.Side.BID)
  low, high = bins.bounds(tokenizer.price, price_bin)
  cancel = lob.find_cancel(
    state.book, side, state.mid + low, state.mid + high, volume
  )
  is_part = volume < cancel.volume // 2
  cancel = cancel.replace(volume=jnp.where(is_part, volume, cancel.volume))
  limit = types.Order(
    kind=jnp.int32(types.OrderKind.LIMIT),
    side=kind,
    price=price,
    volume=volume,
    id=state.next_id,
    owner=jnp.int32(types.NO_OWNER),
  )
  is_cancel = kind == vocab.KIND_CANCEL
  order = jax.tree.map(lambda x, y: jnp.where(is_cancel, x, y), cancel, limit)
  return order, interval


def _advance(clock: types.Timestamp, interval: jax.Array) -> types.Timestamp:
  """Returns the time `interval` microseconds later."""
  seconds, microseconds = jnp.divmod(interval, _MICROSECONDS)
  nanoseconds = clock.nanoseconds + microseconds * features.MICROSECOND
  carry = nanoseconds >= types.NANOSECONDS
  return types.Timestamp(
    seconds=clock.seconds + seconds + carry,
    nanoseconds=nanoseconds - carry * types.NANOSECONDS,
  )
