"""Zero-intelligence order flow: the market that needs no data.

Orders come as independent Poisson processes, after Cont, Stoikov and Talreja
("A stochastic model for order book dynamics", Operations Research 58(3), 2010):
limit orders at each distance from the best price of the other side, market
orders, and a cancel of each resting order. All that is known of the future is
the book. `simulate` draws such a flow and matches it in the matching engine,
`calibration` measures the rates of a real day.

Not as there: volumes are not all one, but drawn from those of each kind, and
rates are as they were counted, where the authors fit a power law to those of
limit orders. With volumes of one lot `simulate` is their model, but for orders
that the market left farther behind than the last distance: these are cancelled
at the rate of the last.
"""

import datetime
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.tokens import features
from mars_jax.utils import preset_rates

LIMIT, MARKET, CANCEL = 0, 1, 2  # Rows of `Rates.volume`.
QUANTILES = (np.arange(1024) + 0.5) / 1024  # That these rows hold.
_SIGN = np.array([1, -1], np.int32)  # By `Side`: away from the other side.
_MICROSECONDS = 1_000_000  # In a second.
_NUM_ORDERS = 20_000  # Of a day that `read_checked` simulates.
_DAY = 86_400 * types.NANOSECONDS
_PREFIX = "synthetic-"  # Of the names of days that `feeds` reads.


@struct.dataclass
class Rates:
  """Poisson rates of each order kind; sides are alike.

  The distance of an order, 1 to D, is in ticks from the best price of the other
  side. One of `limit` must be positive, and all rates together must make from
  0.01 to 100,000 orders a second, for int32 microseconds to tell the time.
  """

  limit: jax.Array  # [D] float32, limit orders per second and side
  market: jax.Array  # [] float32, market orders per second and side
  # [D] float32, cancels per second and resting order; the last also for
  # those farther away.
  cancel: jax.Array
  volume: jax.Array  # [3, S] int32, lots, quantiles: limit, market, cancel
  # The rest is not simulated; it serves `calibration.nats`.
  unseen: jax.Array  # [D] float32, cancels of what no snapshot shows, as limit
  other: jax.Array  # [] float32, orders per second that none of this is


@struct.dataclass
class SyntheticDay:
  """Orders of one market, and its book before and after."""

  start: lob.Book  # leaves [2, N]
  order: types.Order  # leaves [T]; the price of a market order: its last fill's
  interval: jax.Array  # [T] int32, microseconds since the order before
  traded: jax.Array  # [T] int32, lots that it took
  # [T, 2] int32 ticks, the best prices after it, by `types.Side`; of an empty
  # side the last one.
  best: jax.Array
  book: lob.Book  # leaves [2, N]; its `counts` are those of the T orders


def _preset() -> Rates:
  """Returns the rates of `PRESET`."""
  size = preset_rates.MAX_DISTANCE
  return Rates(
    limit=preset_rates.limit().astype(np.float32),
    market=np.float32(preset_rates.MARKET),
    cancel=np.full(size, preset_rates.CANCEL, np.float32),
    volume=np.tile(preset_rates.volume(len(QUANTILES)), (3, 1)),
    unseen=np.zeros(size, np.float32),
    other=np.float32(0),
  )


PRESET = _preset()
"""The liquid market of `utils.preset_rates`.

It has 40 orders a second, 45 % of them cancels, some 45 resting orders on a
side, and a spread of 1.4 ticks.
"""


def simulate(
  key: jax.Array,
  rates: Rates,
  *,
  num_orders: int,
  capacity: int,
  mid: jax.Array | int = 10_000,
) -> SyntheticDay:
  """Simulates one market.

  Batch with `jax.vmap`, over keys or rates too.

  Each process has an exponential clock, and the first to ring sends its order;
  so the time until then is exponential with the sum of all rates, and the share
  of that sum tells whose it is. A cancel takes all of the order that it names,
  a market order drops what it finds no counterpart for. Where a side is empty,
  its last best price serves as the one to count distances from.

  At the start an order of the median volume rests at each of the D prices next
  to the mid on either side, or on as many as fill half of the capacity.

  Args:
    key: typed PRNG key, consumed.
    rates: of each kind.
    num_orders: how many to send, T, > 0; static.
    capacity: orders that a side has room for, N, > 1; static. What a full side
      loses is counted in `book.dropped` of the result.
    mid: ticks, of the book at the start.

  Raises:
    ValueError: if `num_orders` or `capacity` is too small.
  """
  if num_orders < 1 or capacity < 2:
    raise ValueError(f"{num_orders} orders in a book of {capacity} a side")
  start = _start(rates, capacity, mid)
  uniforms = jax.random.uniform(key, (num_orders, 4))
  next_id = (start.volume > 0).sum(dtype=jnp.int32)
  state = (start, start.price[:, 0], next_id)

  def step(state, uniform):
    book, best, next_id = state
    order, interval = _next_order(rates, book, best, next_id, uniform)
    book, report = lob.step(book, order, max_fills=0)
    best = jnp.where(book.volume[:, 0] > 0, book.price[:, 0], best)
    price = jnp.where(report.traded > 0, report.last_price, order.price)
    next_id += order.kind != types.OrderKind.CANCEL
    sent = order.replace(price=price)
    return (book, best, next_id), (sent, interval, report.traded, best)

  (book, _, _), kept = jax.lax.scan(step, state, uniforms)
  return SyntheticDay(start, *kept, book)


def _start(rates, capacity, mid):
  """Returns the symmetric book that a simulation starts from."""
  num_levels = min(rates.limit.shape[0], capacity // 2)
  ids = jnp.arange(2 * num_levels, dtype=jnp.int32).reshape(2, num_levels)
  price = mid + _SIGN[:, None] * np.arange(1, num_levels + 1, dtype=np.int32)
  volume = rates.volume[LIMIT, rates.volume.shape[1] // 2]
  empty = lob.init(capacity)
  return empty.replace(
    price=empty.price.at[:, :num_levels].set(price),
    volume=empty.volume.at[:, :num_levels].set(volume),
    id=empty.id.at[:, :num_levels].set(ids),
  )


def _next_order(rates, book, best, next_id, uniform):
  """Draws the next order, and the microseconds until then.

  Args:
    rates, book: of the market.
    best: `[2]` ticks, the best price of each side, or its last one.
    next_id: `[]`, of the order.
    uniform: `[4]`, what draws: which process, where, the volume, the time.
  """
  opposite, sign = best[::-1], jnp.asarray(_SIGN)
  rests = book.volume > 0
  prices = jnp.where(rests, book.price, opposite[:, None])
  away = jnp.abs(prices - opposite[:, None])
  away = jnp.clip(away, 1, rates.cancel.shape[0])
  cancels = jnp.where(rests, jnp.asarray(rates.cancel)[away - 1], 0)

  limits = jnp.cumsum(rates.limit)
  arrivals = jnp.stack([rates.market, rates.market, limits[-1], limits[-1]])
  ends = jnp.cumsum(jnp.concatenate([cancels.sum(axis=1), arrivals]))
  event = (uniform[0] * ends[-1] >= ends[:-1]).sum(dtype=jnp.int32)
  process, side = jnp.divmod(event, 2)  # As in `ends`, asks first in each.
  is_cancel, is_limit = process == 0, process == 2

  slots = jnp.cumsum(jnp.where(side == types.Side.ASK, cancels[0], cancels[1]))
  slot = _pick(slots, uniform[1], rests[side].sum())
  distance = jnp.where(is_limit, 1 + _pick(limits, uniform[1], len(limits)), 0)
  kinds = types.OrderKind
  column = (uniform[2] * rates.volume.shape[1]).astype(jnp.int32)
  volumes = jnp.asarray(rates.volume)[:2, column]
  drawn = jnp.where(is_limit, volumes[LIMIT], volumes[MARKET])
  price = opposite[side] + sign[side] * distance
  order = types.Order(
    kind=jnp.where(
      is_cancel, kinds.CANCEL, jnp.where(is_limit, kinds.LIMIT, kinds.MARKET)
    ),
    side=side,
    price=jnp.where(is_cancel, book.price[side, slot], price),
    volume=jnp.where(is_cancel, book.volume[side, slot], drawn),
    id=jnp.where(is_cancel, book.id[side, slot], next_id),
    owner=jnp.int32(types.NO_OWNER),
  )
  seconds = -jnp.log1p(-uniform[3]) / ends[-1]
  return order, jnp.round(seconds * _MICROSECONDS).astype(jnp.int32)


def _pick(reached, uniform, count):
  """Draws one of the first `count` by cumulative weights `[n]`."""
  index = (reached <= uniform * reached[-1]).sum(dtype=jnp.int32)
  return jnp.minimum(index, count - 1)  # Where rounding lets it slip by.


_jit_simulate = jax.jit(simulate, static_argnames=("num_orders", "capacity"))


def to_stream(
  flow: SyntheticDay, *, instrument: str, day: str
) -> tuple[events.EventStream, events.GroundTruth]:
  """Returns a simulated day, as a reader would.

  A tick is a cent, a lot is a share, and the day starts at midnight.

  Args:
    flow: of one market.
    instrument: its name.
    day: its date.

  Returns:
    The events, those of the book at the start first, and as a check the orders
    that rest at the end.

  Raises:
    ValueError: if a side was full, so that orders are gone of which the stream
      could not tell, or the day has more than 24 hours.
  """
  chex.assert_rank(flow.interval, 1)
  flow = jax.device_get(flow)
  if flow.book.dropped:
    raise ValueError(
      f"{flow.book.dropped} orders found the book full; raise its capacity"
    )
  time = np.cumsum(flow.interval, dtype=np.int64) * features.MICROSECOND
  if time[-1] >= _DAY:
    raise ValueError(f"{len(time)} orders take longer than a day")
  seeds, ends = _resting(flow.start), _resting(flow.book)
  kinds = np.full(len(seeds.side), types.OrderKind.LIMIT, np.int32)

  names = types.names(types.OrderKind)
  counts = {"start_orders": len(kinds)}
  for kind in np.unique(flow.order.kind):
    counts[f"{names[kind]}_orders"] = int((flow.order.kind == kind).sum())

  def joined(seeded, sent):
    return np.concatenate([seeded, sent])

  stream = events.EventStream(
    market="Synthetic",
    instrument=instrument,
    day=day,
    time=joined(np.zeros(len(kinds), np.int64), time),
    kind=joined(kinds, flow.order.kind),
    side=joined(seeds.side, flow.order.side),
    price=joined(seeds.price, flow.order.price),
    volume=joined(seeds.volume, flow.order.volume),
    order_id=joined(seeds.order_id, flow.order.id),
    is_market_event=np.arange(len(kinds) + len(time)) >= len(kinds),
    tick_size=0.01,
    lot_size=1.0,
    counts=counts,
  )
  return stream, events.GroundTruth(orders=ends)


def _resting(book):
  """Returns the orders of a book."""
  side, slot = np.nonzero(book.volume)
  return events.RestingOrders(
    side=side.astype(np.int32),
    price=book.price[side, slot],
    volume=book.volume[side, slot],
    order_id=book.id[side, slot],
  )


def stream(
  *,
  seed: int,
  num_orders: int,
  rates: Rates = PRESET,
  capacity: int = 256,
  instrument: str = "ZI",
  day: str = "2000-01-03",
) -> events.EventStream:
  """Simulates a day; the same arguments give the same events.

  Arguments and errors are those of `simulate` and `to_stream`.
  """
  key = jax.random.key(seed)
  flow = _jit_simulate(key, rates, num_orders=num_orders, capacity=capacity)
  return to_stream(flow, instrument=instrument, day=day)[0]


def read_checked(
  name: pathlib.Path | str,
) -> tuple[events.EventStream, events.GroundTruth]:
  """Simulates the day of a name: `synthetic-` and a seed.

  It has `_NUM_ORDERS` orders, and its date is as many days after 2000-01-03.

  Returns:
    The events and the check of `to_stream`.

  Raises:
    ValueError: if there is no seed in the name.
  """
  seed = str(name).removeprefix(_PREFIX)
  if not seed.isdecimal() or len(seed) > 5:
    raise ValueError(f"{name}: give a seed of up to five digits, synthetic-0")
  flow = _jit_simulate(
    jax.random.key(int(seed)), PRESET, num_orders=_NUM_ORDERS, capacity=256
  )
  day = datetime.date(2000, 1, 3) + datetime.timedelta(int(seed))
  return to_stream(flow, instrument="ZI", day=day.isoformat())


registry.register(
  registry.Format(name="synthetic", read=read_checked, prefix=_PREFIX)
)
