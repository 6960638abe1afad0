"""The 24 scores of LOB-Bench (arXiv:2502.09172), on arrays.

A score is a number of each message, or of some: 21 of them, and 3 given
another. The rules are those of github.com/peernagy/lob_bench at 276baf3, to the
last digit. `lob_bench` compares their distributions.
"""

import collections.abc
import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.evals import messages as messages_lib

_ZERO = 1e-9  # What the logarithm of 0 is taken of.
_OFI_WINDOW = 100  # Messages.
_MIN_PERIOD = (
  100_000  # Microseconds at an end below which a second is left out.
)
_MICROSECONDS = 1_000_000
_VOLUME_LEVELS = 10
ASK, BID = types.Side.ASK, types.Side.BID
Messages = messages_lib.Messages
ScoreFn = collections.abc.Callable[[Messages], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Score:
  """One score.

  Attributes:
    values: `(messages) -> [n]`, float64.
    is_discrete: whether each value is a bin of its own.
  """

  values: ScoreFn
  is_discrete: bool = False


@dataclasses.dataclass(frozen=True)
class Conditional:
  """A score given another one, of as many values.

  Attributes:
    score: what is compared.
    given: `(messages) -> [n]`, what it is given.
    thresholds: of the groups of `given`; by default every value is one if
      `is_discrete`, else the deciles are.
    is_discrete: see `thresholds`.
  """

  score: Score
  given: ScoreFn
  thresholds: np.ndarray | None = None
  is_discrete: bool = False


def _spread(m: Messages) -> np.ndarray:
  return messages_lib.spread(m).astype(np.float64)


def _touch_volume(side: int) -> ScoreFn:
  return lambda m: m.book.volume[:, side, 0].astype(np.float64)


def _total_volume(side: int) -> ScoreFn:
  def values(m):
    return m.book.volume[:, side, :_VOLUME_LEVELS].sum(axis=1).astype(float)

  return values


def _imbalance(m: Messages) -> np.ndarray:
  ask, bid = m.book.volume[:, ASK, 0], m.book.volume[:, BID, 0]
  with np.errstate(invalid="ignore"):  # Of a book without either side.
    return (bid - ask) / (bid + ask)


def _log_interval(m: Messages) -> np.ndarray:
  """Logarithm of milliseconds between messages."""
  gaps = np.diff(m.time) / types.NANOSECONDS * 1000
  return np.log(np.where(gaps == 0, _ZERO, gaps))


def _log_time_to_cancel(m: Messages) -> np.ndarray:
  """Logarithm of seconds until an order is first reduced."""
  rows = np.flatnonzero(m.kind != messages_lib.EXECUTE)
  ids = m.id[rows]
  is_new = np.isin(ids, ids[m.kind[rows] == messages_lib.NEW])
  rows, ids = rows[is_new], ids[is_new]
  order = np.argsort(ids, kind="stable")
  rows, ids = rows[order], ids[order]
  first = np.flatnonzero(np.diff(ids, prepend=-1) != 0)
  first = first[np.append(np.diff(first), len(ids) - first[-1:]) > 1]
  gaps = (m.time[rows[first + 1]] - m.time[rows[first]]) / types.NANOSECONDS
  return np.log(np.where(gaps == 0, _ZERO, gaps))


def _is_cancel(m: Messages) -> np.ndarray:
  return (m.kind == messages_lib.REDUCE) | (m.kind == messages_lib.DELETE)


def _is_new(m: Messages) -> np.ndarray:
  return m.kind == messages_lib.NEW


def _depth(is_it, side: int) -> ScoreFn:
  """Distance from the mid, on one side of it."""
  sign = 1 if side == ASK else -1

  def values(m):
    away = sign * (m.price - messages_lib.mid(m))[is_it(m)]
    return away[away > 0]

  return values


def _levels(is_it, side: int, *, before: bool) -> ScoreFn:
  """Price level of messages, from 1, after or before them."""

  def values(m):
    at = np.flatnonzero(is_it(m))
    at = at[at > 0] if before else at
    prices = m.book.price[at - 1 if before else at, side]
    return np.nonzero(prices == m.price[at, None])[1] + 1.0

  return values


def _volume_per_minute(m: Messages) -> np.ndarray:
  """Traded lots a minute, of each second with trades."""
  rows = m.kind == messages_lib.EXECUTE
  time, size = m.time[rows] // 1000, m.size[rows]  # Microseconds.
  if not len(time):
    return np.zeros(0)
  seconds, place = np.unique(time // _MICROSECONDS, return_inverse=True)
  total = np.bincount(place, size).astype(np.float64)
  begin, end = time[0] % _MICROSECONDS, time[-1] % _MICROSECONDS
  if len(seconds) == 1:
    if time[0] != time[-1]:
      period = end - begin
      total = total * (_MICROSECONDS / period) if period >= _MIN_PERIOD else []
    return np.asarray(total, np.float64) * 60
  first = slice(0, None)
  if begin < _MICROSECONDS - _MIN_PERIOD:
    first = slice(1, None)
  else:
    total[0] /= 1 - begin / _MICROSECONDS
  total = total[first]
  if end < _MIN_PERIOD:
    total = total[:-1]
  else:
    total[-1] *= _MICROSECONDS / end
  return total * 60


def _flow_imbalance(m: Messages) -> np.ndarray:
  """Order flow imbalance at the touch, over 100 messages."""
  price, volume = m.book.price[:, :, 0], m.book.volume[:, :, 0]
  ask, bid = np.diff(price, axis=0).T
  flow = (
    (bid >= 0) * volume[1:, BID]
    - (bid <= 0) * volume[:-1, BID]
    - (ask <= 0) * volume[1:, ASK]
    + (ask >= 0) * volume[:-1, ASK]
  )
  if len(flow) < _OFI_WINDOW:
    return np.zeros(0)
  total = np.concatenate([[0], np.cumsum(flow)])
  return (total[_OFI_WINDOW:] - total[:-_OFI_WINDOW]) / _OFI_WINDOW


def _flow_imbalance_before(sign: int) -> ScoreFn:
  """The same before a mid that rises, stays or falls."""

  def values(m):
    flow = _flow_imbalance(m)[:-1]
    move = np.sign(np.diff(messages_lib.mid(m)))[_OFI_WINDOW:]
    return flow[move == sign]

  return values


def _volatility(m: Messages) -> np.ndarray:
  """Standard deviation of returns over 0.1 s, repeated."""
  tenth = types.NANOSECONDS // 10
  slot = m.time // tenth
  last = np.append(np.flatnonzero(np.diff(slot)), len(slot) - 1)
  with np.errstate(invalid="ignore", divide="ignore"):
    log_mid = np.log(messages_lib.mid(m)[last])
  returns = np.diff(log_mid)[np.diff(slot[last]) == 1]
  deviation = returns.std(ddof=1) if len(returns) > 1 else 0.0
  return np.full(len(m), np.nan_to_num(deviation))


def _seconds(m: Messages) -> np.ndarray:
  return m.time / types.NANOSECONDS


SCORES = {
  "spread": Score(_spread, is_discrete=True),
  "orderbook_imbalance": Score(_imbalance),
  "log_inter_arrival_time": Score(_log_interval),
  "log_time_to_cancel": Score(_log_time_to_cancel),
  "ask_volume_touch": Score(_touch_volume(ASK)),
  "bid_volume_touch": Score(_touch_volume(BID)),
  "ask_volume": Score(_total_volume(ASK)),
  "bid_volume": Score(_total_volume(BID)),
  "limit_ask_order_depth": Score(_depth(_is_new, ASK)),
  "limit_bid_order_depth": Score(_depth(_is_new, BID)),
  "ask_cancellation_depth": Score(_depth(_is_cancel, ASK)),
  "bid_cancellation_depth": Score(_depth(_is_cancel, BID)),
  "limit_ask_order_levels": Score(
    _levels(_is_new, ASK, before=False), is_discrete=True
  ),
  "limit_bid_order_levels": Score(
    _levels(_is_new, BID, before=False), is_discrete=True
  ),
  "ask_cancellation_levels": Score(
    _levels(_is_cancel, ASK, before=True), is_discrete=True
  ),
  "bid_cancellation_levels": Score(
    _levels(_is_cancel, BID, before=True), is_discrete=True
  ),
  "vol_per_min": Score(_volume_per_minute),
  "ofi": Score(_flow_imbalance),
  "ofi_up": Score(_flow_imbalance_before(1)),
  "ofi_stay": Score(_flow_imbalance_before(0)),
  "ofi_down": Score(_flow_imbalance_before(-1)),
}
"""The 21 scores, by the benchmark's names."""

CONDITIONAL_SCORES = {
  "ask_volume | spread": Conditional(
    SCORES["ask_volume_touch"], _spread, is_discrete=True
  ),
  "spread | time": Conditional(
    Score(_spread), _seconds, thresholds=np.linspace(0, 86_400, 24)
  ),
  "spread | volatility": Conditional(SCORES["spread"], _volatility),
}
"""The 3 scores given another, by the benchmark's names."""
