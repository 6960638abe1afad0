"""Rates of zero-intelligence flow, measured on real days.

`calibrate` gives the `zero_intelligence.Rates` of a replayed day, and `nats`
scores real orders by that model: a learned model has to beat it.
"""

import jax
import numpy as np
from flax import struct

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.baselines import zero_intelligence
from mars_jax.tokens import bins
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.tokens import vocab

FLOOR = 1e-3  # Least share of what `nats` scores that may be anything.


def calibrate(
  *days: records_lib.Records, max_distance: int
) -> zero_intelligence.Rates:
  """Measures the rates of replayed days: those of maximum likelihood.

  A rate is a count of orders by the time, or the time of all resting orders,
  exposed to it, on both sides together. An order that trades at once is a
  market order, whatever its kind. The book that an order meets is the snapshot
  after the one before it, so the first order of each day is not counted.

  A snapshot does not tell how many orders rest at a price. As in the paper, its
  volume is counted in mean limit orders, which is exact where all volumes are
  equal. Beyond the last level shown nothing is exposed to `cancel`, and cancels
  there are `unseen`: give the replay many levels. At distances where nothing
  was seen to rest, `cancel` is that of all distances together.

  Args:
    *days: records in a row of each day, at least one.
    max_distance: ticks, D. Limit orders and unseen cancels at none of the
      distances 1 to D are counted in `other`.

  Returns:
    The rates, as numpy arrays.

  Raises:
    ValueError: if there is no limit order within that distance, or no time
      passes.
  """
  seen = _observe(days)
  seconds, process = seen.seconds.sum(), seen.process
  is_near = (seen.distance >= 1) & (seen.distance <= max_distance)
  is_cancel = process == zero_intelligence.CANCEL
  is_limit = (process == zero_intelligence.LIMIT) & is_near
  is_shown = is_cancel & seen.is_shown
  is_unseen = is_cancel & ~seen.is_shown & is_near
  if seconds == 0 or not is_limit.any():
    raise ValueError(f"no limit orders in {seconds} s: no rates to measure")

  def count(distance, weights=None):
    row = np.clip(distance, 1, max_distance) - 1
    return np.bincount(row.ravel(), weights, max_distance)

  volume = _volumes(seen)
  orders = seen.resting / volume[zero_intelligence.LIMIT].mean()
  exposure = orders * seen.seconds[:, None, None]
  exposed = count(seen.level_distance, exposure.ravel())
  limits, cancels, unseen = (
    count(seen.distance[rows]) for rows in (is_limit, is_shown, is_unseen)
  )
  mean = cancels.sum() / exposed.sum() if exposed.any() else 0
  cancel = np.full(max_distance, mean)
  np.divide(cancels, exposed, out=cancel, where=exposed > 0)
  markets = (process == zero_intelligence.MARKET).sum()
  others = len(process) - limits.sum() - cancels.sum() - unseen.sum() - markets
  return zero_intelligence.Rates(
    limit=np.float32(limits / (2 * seconds)),
    market=np.float32(markets / (2 * seconds)),
    cancel=np.float32(cancel),
    volume=volume,
    unseen=np.float32(unseen / (2 * seconds)),
    other=np.float32(others / seconds),
  )


def nats(
  rates: zero_intelligence.Rates,
  tokenizer: features.Tokenizer,
  records: records_lib.Records,
  *,
  clock: int = 1,
) -> np.ndarray:
  """Scores orders by the zero-intelligence model's likelihood.

  Given the book that the order meets, as far as the snapshot before it shows
  it, a kind and price bin has its share of all rates, the volume is drawn from
  those of the process, and the interval is exponential with the sum of all
  rates. A market order has the best price of the other side. So all
  `vocab.NUM_ORDERS` orders have probabilities that add up to 1.

  What the model calls impossible has a floor: `rates.other`, or the share
  `FLOOR` of all orders where that is more, is spread evenly over kinds and
  price bins, and the share `FLOOR` evenly over the bins of volumes and of
  intervals.

  Args:
    rates: as `calibrate` gives them.
    tokenizer: the bins of the alphabet.
    records: successive orders; the first is not scored.
    clock: microseconds of a tick of the clock by which the feed is stamped.

  Returns:
    float64 `[T - 1, 4]`, nats of kind, price, volume and interval, each given
    those before it.
  """
  rates = jax.device_get(rates)
  symbols = encoding.symbols(tokenizer, records)[1:]
  kind, price, volume, interval = symbols.T
  low, high = bins.bounds(tokenizer.price, price)
  mid = records.mid_before[1:].astype(np.int64)
  total, of_kind, waits, trades = _shares(
    rates, _observe([records]), kind, low + mid, high + mid
  )
  volumes = np.asarray(bins.encode(tokenizer.volume, rates.volume))
  is_bin = volumes[..., None] == np.arange(vocab.NUM_VOLUMES)
  drawn = _floored(is_bin.mean(axis=1))
  is_cancel = kind == vocab.KIND_CANCEL
  passive = np.where(
    is_cancel, zero_intelligence.CANCEL, zero_intelligence.LIMIT
  )
  both = waits * drawn[passive, volume]
  both += trades * drawn[zero_intelligence.MARKET, volume]
  lasts = _floored(_interval_chances(tokenizer.interval, total, clock))
  chances = [
    of_kind / total,
    (waits + trades) / of_kind,
    both / (waits + trades),
    np.take_along_axis(lasts, interval[:, None], axis=1)[:, 0],
  ]
  return -np.log(np.stack(chances, axis=1))


def _shares(rates, seen, kind, low, high):
  """Returns the rates of orders by kind and price, `[T]`.

  Args:
    rates: of the model.
    seen: the books.
    kind: `[T]`, of `tokens.vocab`.
    low, high: `[T]` ticks, the price bin.

  Returns:
    The rates of all orders, of those of the kind, of those of kind and price
    bin that do not trade, and of those that do.
  """
  ask, bid = seen.best.T
  reach = [(low - bid, high - bid), (ask - high, ask - low)]  # By side, ticks.

  def within(rate):
    """Returns the rates within reach of both sides, `[2, T]`."""
    reached = np.concatenate([[0], np.cumsum(rate, dtype=np.float64)])
    ends = [np.clip((near - 1, far), 0, len(rate)) for near, far in reach]
    return np.stack([reached[far] - reached[near] for near, far in ends])

  row = np.clip(seen.level_distance, 1, len(rates.cancel)) - 1
  orders = seen.resting / rates.volume[zero_intelligence.LIMIT].mean()
  cancels = rates.cancel[row] * orders
  first, last = low[:, None, None], high[:, None, None]
  is_in = (first <= seen.price) & (seen.price <= last)
  is_cancel = kind == vocab.KIND_CANCEL
  side = np.where(is_cancel, 0, kind)
  meets = np.where(side == types.Side.ASK, bid, ask)

  arrives = rates.limit.sum(dtype=np.float64) + rates.market
  leaves = cancels.sum(axis=(1, 2)) + 2 * rates.unseen.sum(dtype=np.float64)
  other = np.maximum(rates.other, FLOOR * (2 * arrives + leaves))
  waits = np.where(
    is_cancel,
    (cancels * is_in).sum(axis=(1, 2)) + within(rates.unseen).sum(axis=0),
    np.take_along_axis(within(rates.limit), side[None], axis=0)[0],
  )
  trades = np.where((low <= meets) & (meets <= high), rates.market, 0)
  return (
    2 * arrives + leaves + other,
    np.where(is_cancel, leaves, arrives) + other / vocab.NUM_KINDS,
    waits + other / (vocab.NUM_KINDS * vocab.NUM_PRICES),
    np.where(is_cancel, 0, trades),
  )


def _interval_chances(interval_bins, rate, clock):
  """Returns the probability of each interval bin, at rates `[T]`.

  Orders that come as a Poisson process and are stamped by the tick of a clock
  that they fall in: of x orders a tick, the next one is k or more ticks later
  with the probability (1 - exp(-x)) / x * exp(-(k - 1) x).
  """
  per_tick = rate[:, None] * clock * 1e-6
  ticks = np.asarray(interval_bins.edges, np.int64) // clock
  beyond = -np.expm1(-per_tick) / per_tick * np.exp(-per_tick * ticks)
  beyond = np.pad(beyond, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
  return beyond[:, :-1] - beyond[:, 1:]


def _floored(chances):
  """Spreads the share `FLOOR` evenly over the last axis."""
  return (1 - FLOOR) * chances + FLOOR / chances.shape[-1]


@struct.dataclass
class _Observed:
  """Orders but the first, `[T - 1]`, with their books.

  Attributes:
    process: `zero_intelligence.LIMIT`, `MARKET` or `CANCEL`.
    volume: lots.
    seconds: since the order before.
    distance: ticks from the best price of the other side.
    is_shown: whether its side has a level at its price.
    best: `[T - 1, 2]` ticks, by `types.Side`; where a side is empty its last.
    price: `[T - 1, 2, L]` ticks.
    resting: `[T - 1, 2, L]` lots.
    level_distance: `[T - 1, 2, L]` ticks from the best price of the other side.
  """

  process: np.ndarray
  volume: np.ndarray
  seconds: np.ndarray
  distance: np.ndarray
  is_shown: np.ndarray
  best: np.ndarray
  price: np.ndarray
  resting: np.ndarray
  level_distance: np.ndarray


def _observe(days):
  """Returns what the model is measured and scored by."""
  seen = [_observe_day(records) for records in days]
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *seen)


def _observe_day(records):
  kinds, order = types.OrderKind, records.order
  takes = np.isin(order.kind, (kinds.MARKET, kinds.IOC, kinds.FOK))
  process = np.where(
    takes | (records.traded > 0),
    zero_intelligence.MARKET,
    zero_intelligence.LIMIT,
  )
  process[order.kind == kinds.CANCEL] = zero_intelligence.CANCEL
  process, side, sent = process[1:], order.side[1:], order.price[1:]
  price, resting = (
    x[:-1] for x in (records.snapshot.price, records.snapshot.volume)
  )
  best = _last_seen(price[..., 0], resting[..., 0] > 0, records.mid_before[0])
  opposite = best[:, ::-1]
  rows = np.arange(len(sent))
  ticks = sent - opposite[rows, side]
  is_named = (resting > 0) & (price == sent[:, None, None])
  return _Observed(
    process=process,
    volume=order.volume[1:],
    seconds=np.diff(records.time) / types.NANOSECONDS,
    distance=np.where(side == types.Side.ASK, ticks, -ticks),
    is_shown=is_named[rows, side].any(axis=1),
    best=best,
    price=price,
    resting=resting,
    level_distance=np.abs(price - opposite[..., None]),
  )


def _last_seen(price, is_there, fallback):
  """Returns prices `[T, 2]`, gaps filled by the last one."""
  row = np.where(is_there, np.arange(len(price))[:, None], -1)
  row = np.maximum.accumulate(row, axis=0)
  seen = np.take_along_axis(price, np.maximum(row, 0), axis=0)
  return np.where(row < 0, fallback, seen)


def _volumes(seen):
  """Returns `Rates.volume`.

  A process without orders gets the volumes of all orders.
  """
  if seen.volume.max() > np.iinfo(np.int32).max:
    raise ValueError(f"a volume of {seen.volume.max()} lots exceeds int32")
  found = [seen.volume[seen.process == row] for row in range(3)]
  found = [volume if len(volume) else seen.volume for volume in found]
  quantiles = [
    np.quantile(volume, zero_intelligence.QUANTILES, method="inverted_cdf")
    for volume in found
  ]
  return np.stack(quantiles).astype(np.int32)
