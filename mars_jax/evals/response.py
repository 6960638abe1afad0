"""Statistics of the response to an order: the mid, and the flow's sides.

Two futures of each window differ in one order, a buy in one and a sell in the
other. Half their difference is the response, signed by the order: whatever the
market would have done without it cancels. Orders of one window depend on each
other, so errors and tests take whole windows.
"""

import dataclasses

import jax
import numpy as np

from mars_jax import types
from mars_jax.utils import stats

_SHUFFLES = 1999
KINDS = ("trades", "new", "cancels")


@dataclasses.dataclass(frozen=True)
class Reaction:
  """The response of a generator to an injected order.

  Attributes:
    lags: orders after the injected one, from 0 on.
    volume: mean lots of the injected orders.
    mid: ticks at each lag, the mean of the rise after a buy and the fall after
      a sell.
    error: its standard error over windows.
    buy, sell: ticks at each lag, the mean change of the mid against the futures
      without an order.
    remains: share of the response at lag 0 that is left at the end.
    remains_interval: 95 %, by bootstrap over windows.
    shifts: {kind: at each lag but 0}, how much larger the share of the orders
      up to there is that are of the injected order's side, of trades, new
      orders that rest, and cancels (of resting orders of that side).
    p_values: {kind: at each lag but 0}, of no such shift, two-sided, by
      permutation of buy and sell by window.
  """

  lags: list[int]
  volume: float
  mid: list[float]
  error: list[float]
  buy: list[float]
  sell: list[float]
  remains: float
  remains_interval: tuple[float, float]
  shifts: dict[str, list[float]]
  p_values: dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Future:
  """The orders and mids of S futures, `[S, E]`.

  Attributes:
    mid: `[S, E + 1]` ticks, from the start (or the injected order) on.
    is_event: whether there was an order: no longer after the end of the day.
    order: leaves `[S, E]`.
    traded: lots that each took.
  """

  mid: np.ndarray
  is_event: np.ndarray
  order: types.Order
  traded: np.ndarray


def lags(horizon: int) -> list[int]:
  """Returns the lags to report: dense at first, then every 100."""
  first = (0, 1, 2, 5, 10, 20, 50)
  found = [lag for lag in (*first, *range(100, horizon, 100)) if lag < horizon]
  return [*found, horizon]


def reaction(
  without: Future,
  buy: Future,
  sell: Future,
  *,
  volume: float,
  horizon: int,
  seed: int = 0,
) -> Reaction:
  """Compares futures with a buy, a sell and no order.

  Args:
    without, buy, sell: of the same S windows, and at least `horizon` orders;
      their mids start before and after the injected orders.
    volume: mean lots of these.
    horizon: the last lag.
    seed: of the permutations and resamples.
  """
  at = lags(horizon)
  mids = [future.mid[:, at].astype(np.float64) for future in (buy, sell)]
  response = (mids[0] - mids[1]) / 2  # [S, lags]
  base = without.mid[:, at]
  mean = response.mean(axis=0)
  error = np.full(len(at), np.nan)
  if len(response) > 1:
    error = response.std(axis=0, ddof=1) / np.sqrt(len(response))

  def left(rows):
    start, end = rows.mean(axis=0)
    return end / start if start else np.nan

  ends = response[:, [0, -1]]
  shifts, p_values = {}, {}
  for kind in KINDS:
    tests = [
      shift(_counts(buy, kind, lag), _counts(sell, kind, lag), seed=seed)
      for lag in at[1:]
    ]
    shifts[kind], p_values[kind] = map(list, zip(*tests, strict=True))
  return Reaction(
    lags=at,
    volume=volume,
    mid=mean.tolist(),
    error=error.tolist(),
    buy=(mids[0] - base).mean(axis=0).tolist(),
    sell=(mids[1] - base).mean(axis=0).tolist(),
    remains=float(left(ends)),
    remains_interval=stats.bootstrap_interval(ends, left, seed=seed),
    shifts=shifts,
    p_values=p_values,
  )


def shift(
  buy: np.ndarray, sell: np.ndarray, *, seed: int = 0
) -> tuple[float, float]:
  """Tests for more orders of the injected order's side.

  Shares are of the orders of all windows together, so that windows without an
  order of a kind do no harm.

  Args:
    buy: `[S, 2]` orders of the buying side, and of both, after a buy.
    sell: `[S, 2]` the same after a sell.
    seed: of the permutations.

  Returns:
    How much larger the share of the same side is than without the order, and
    the two-sided p-value; NaN where there are no orders.
  """
  pair = np.stack([buy, sell]).astype(np.float64)  # [2, S, 2]
  if not pair.sum(axis=1)[:, 1].all():
    return float("nan"), float("nan")
  rng = np.random.default_rng(seed)
  swapped = rng.integers(0, 2, (_SHUFFLES, pair.shape[1])).astype(np.float64)
  swapped[0] = 0  # As it is.
  change = pair[1] - pair[0]
  after_buy = pair[0].sum(axis=0) + swapped @ change  # [shuffles, 2]
  after_sell = pair[1].sum(axis=0) - swapped @ change
  share = [
    of_side / np.maximum(total, 1)
    for of_side, total in (after_buy.T, after_sell.T)
  ]
  found = (share[0] - share[1]) / 2
  is_as_large = np.abs(found) >= abs(found[0]) - 1e-12
  return float(found[0]), float(is_as_large.mean())


def _counts(future: Future, kind: str, end: int) -> np.ndarray:
  """Counts the orders of a kind, `[S, 2]`."""
  order = jax.tree.map(lambda leaf: leaf[:, :end], future.order)
  trades = future.traded[:, :end] > 0
  is_cancel = order.kind == types.OrderKind.CANCEL
  is_kind = {
    "trades": trades,
    "new": (order.kind == types.OrderKind.LIMIT) & ~trades,
    "cancels": is_cancel & (order.volume > 0),
  }[kind] & future.is_event[:, :end]
  is_buy = is_kind & (order.side == types.Side.BID)
  return np.stack([is_buy.sum(axis=1), is_kind.sum(axis=1)], axis=1)
