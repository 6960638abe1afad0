"""Zero-intelligence flow as the simulator takes an order model.

The processes are those of `zero_intelligence`, after Cont, Stoikov and Talreja
(2010): limit orders at distances from the best price of the other side, market
orders, and a cancel of each resting order, all Poisson, with rates measured on
past orders. So the flow knows nothing but the book: how many orders may be
cancelled, and where the best prices are.

Not as there: each order is a past one of its process, whole, so that volume and
price have the frequencies seen together. The rate of cancels goes by the
distance classes of `types.Depth`, which a token has of the whole book; the
cancel is a past one of the same side and class.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import bins
from mars_jax.tokens import features

_MICROSECONDS = 1_000_000  # In a second.
_SIGN = np.array([1, -1], np.int32)  # By `Side`: away from the other side.
_CLASSES = types.DEPTH_CLASSES


@struct.dataclass
class Params:
  """Rates of the processes, and past orders of each.

  Sides are alike in their rates. The symbols of a group are a run of rows:
  group g has those from `starts[g]` to `starts[g + 1]`. Groups 0 and 1 are the
  market orders by `types.Side`, the others cancels by side and class.
  """

  tokenizer: features.Tokenizer
  limit: jax.Array  # [] float32, a second and side
  market: jax.Array  # [] float32, a second and side
  cancel: jax.Array  # [C] float32, a second and resting order
  # [T, 2] int32: ticks from the best price of the other side, and lots.
  limits: jax.Array
  symbols: jax.Array  # [T, F] int32
  starts: jax.Array  # [2 + 2 C + 1] int32


def fit(
  tokenizer: features.Tokenizer,
  records: records_lib.Records,
  symbols: np.ndarray,
) -> Params:
  """Measures the rates of past orders.

  An order that trades at once is a market order, whatever its kind. A group
  without orders has those of all groups of its process; its rate counts both
  sides.

  Args:
    tokenizer: the bins of the alphabet.
    records: successive orders of one day.
    symbols: `[T, F]` of these.

  Raises:
    ValueError: if there is no limit order, or no time passes.
  """
  order = records.order
  kinds, rows = types.OrderKind, np.arange(len(records))
  seconds = np.diff(records.time) / types.NANOSECONDS
  sign, best = _SIGN[order.side], records.place.best
  distance = sign * (order.price - best[rows, 1 - order.side])
  behind = sign * (order.price - best[rows, order.side])
  # The first has no interval before it.
  is_market = (records.traded > 0) & (rows > 0)
  is_limit = (order.kind == kinds.LIMIT) & ~is_market & (distance > 0)
  is_limit &= rows > 0
  is_cancel = (order.kind == kinds.CANCEL) & (rows > 0)
  if not is_limit.any() or not seconds.sum():
    raise ValueError("no limit orders, or no time: there are no rates")
  exposed = records.depth.orders[:-1].sum(axis=1) * seconds[:, None]  # [T, C]
  exposed = exposed.sum(axis=0)
  edges = 4 ** np.arange(_CLASSES - 1)  # Of the classes but the first.
  of_class = np.searchsorted(edges, behind, side="right")
  cancels = np.bincount(of_class[is_cancel], minlength=_CLASSES)
  group = np.where(is_market, order.side, -1)
  group = np.where(is_cancel, 2 + order.side * _CLASSES + of_class, group)
  groups = [np.flatnonzero(group == g) for g in range(2 + 2 * _CLASSES)]
  every = [np.flatnonzero(is_market), np.flatnonzero(is_cancel)]
  groups = [
    found if len(found) else every[g >= 2] for g, found in enumerate(groups)
  ]
  both = 2 * seconds.sum()
  return Params(
    tokenizer=jax.tree.map(jnp.asarray, tokenizer),
    limit=jnp.float32(is_limit.sum() / both),
    market=jnp.float32(is_market.sum() / both),
    cancel=jnp.asarray(cancels / np.where(exposed > 0, exposed, np.inf)).astype(
      jnp.float32
    ),
    limits=jnp.asarray(
      np.stack([distance, order.volume], axis=1)[is_limit], jnp.int32
    ),
    symbols=jnp.asarray(symbols[np.concatenate(groups)]),
    starts=jnp.asarray(np.cumsum([0, *map(len, groups)]), jnp.int32),
  )


def next_order(params: Params, key: jax.Array, inputs, cache):
  """Draws the next order, as the simulator calls a model; keeps no memory."""
  process_key, row_key, time_key = jax.random.split(key, 3)
  token = inputs.token
  cancels = params.cancel[None] * token.depth.orders  # [2, C]
  arrivals = jnp.stack([params.limit, params.limit, params.market])
  rates = jnp.concatenate([arrivals, params.market[None], cancels.ravel()])
  ends = jnp.cumsum(rates)
  # Limit orders are processes 0 and 1, group g is process g + 2.
  process = (jax.random.uniform(process_key) * ends[-1] >= ends[:-1]).sum()
  seconds = jax.random.exponential(time_key) / ends[-1]
  interval = jnp.minimum(seconds, features.MAX_SECONDS) * _MICROSECONDS
  interval = interval.astype(jnp.int32)

  uniform = jax.random.uniform(row_key)
  row = _pick(uniform, 0, len(params.limits))
  side = jnp.minimum(process, 1).astype(jnp.int32)
  limit = _limit(params, token, side, *params.limits[row], interval)
  group = jnp.maximum(process - 2, 0)
  row = _pick(uniform, params.starts[group], params.starts[group + 1])
  other = params.symbols[jnp.minimum(row, len(params.symbols) - 1)]
  other = other.at[-1].set(bins.encode(params.tokenizer.interval, interval))
  return jnp.where(process < 2, limit, other).astype(jnp.int32), cache


def _pick(uniform, first, last):
  """Returns a row from `first` to before `last`."""
  row = first + (uniform * (last - first)).astype(jnp.int32)
  return jnp.clip(row, first, jnp.maximum(last - 1, first))


def _limit(params, token, side, distance, volume, interval):
  """Returns the symbols of a limit order."""
  sign = jnp.asarray(_SIGN)
  # Bids first in tokens; asks are above the mid, bids below it.
  away = token.distances[:: features.NUM_LEVELS][::-1]
  best = sign * away
  zero = jnp.int32(0)
  order = types.Order(
    kind=jnp.int32(types.OrderKind.LIMIT),
    side=side,
    price=best[1 - side] + sign[side] * distance,
    volume=volume,
    id=zero,
    owner=jnp.int32(types.NO_OWNER),
  )
  return alphabet_lib.ALPHABETS[params.tokenizer.alphabet].encode(
    params.tokenizer,
    order,
    place=types.Place(best=best, level=zero, younger=zero, resting=zero),
    mid=zero,
    interval=interval,
  )
