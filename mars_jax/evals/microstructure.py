"""Statistics that LOB-Bench lacks: order kinds, drift, memory.

All of it is of messages, real and generated alike, by blocks along the horizon.
"""

import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.evals import messages as messages_lib

_SIGN_LAGS = 10


@dataclasses.dataclass(frozen=True)
class Block:
  """Means over the messages of one block of all sequences.

  Attributes:
    spread: ticks.
    touch_volume: lots at the best prices, mean of both sides.
    volume: lots on the levels of the book, mean of both sides.
    volatility: root mean square of the mid's change a message, ticks.
    trades: share of the orders that trade.
    improves, joins: share of the new orders that rest that are better than the
      best price of their side, or at it.
    cancels: share of the orders that are cancels.
    cancels_at_best: share of the cancels that are at the best price.
  """

  spread: float
  touch_volume: float
  volume: float
  volatility: float
  trades: float
  improves: float
  joins: float
  cancels: float
  cancels_at_best: float


def blocks(sequences: messages_lib.Sequences, size: int) -> list[Block]:
  """Returns the means of each block of `size` messages.

  As many blocks as the shortest sequence has whole ones; the first message of a
  sequence has no book before it, and is left out of the kinds.
  """
  count = min(map(len, sequences)) // size
  kinds = [_kinds(m) for m in sequences]
  found = []
  for b in range(count):
    rows = slice(b * size, (b + 1) * size)
    found.append(_block([m[rows] for m in sequences], [k[rows] for k in kinds]))
  return found


_TRADE, _IMPROVE, _JOIN, _BEHIND, _AT_BEST, _AWAY, _NONE = range(7)


def _kinds(m: messages_lib.Messages) -> np.ndarray:
  """Returns what each message is, of the kinds above, `[M]`.

  Further executions of one order, and the rest of it, are `_NONE`.
  """
  rows = np.arange(len(m))
  best = np.roll(m.book.price[:, :, 0], 1, axis=0)[rows, m.side]
  sign = np.where(m.side == types.Side.ASK, 1, -1)
  behind = sign * (m.price - best)
  new = np.select([behind < 0, behind == 0], [_IMPROVE, _JOIN], _BEHIND)
  cancel = np.where(behind <= 0, _AT_BEST, _AWAY)
  kind = np.select(
    [m.kind == messages_lib.EXECUTE, m.kind == messages_lib.NEW],
    [_TRADE, new],
    cancel,
  )
  after_trade = np.roll(m.kind, 1) == messages_lib.EXECUTE
  is_same = after_trade & (np.diff(m.time, prepend=-1) == 0)
  is_more = is_same & (np.roll(m.side, 1) == m.side)
  is_more &= m.kind == messages_lib.EXECUTE
  is_rest = is_same & (np.roll(m.side, 1) != m.side)
  is_rest &= m.kind == messages_lib.NEW
  kind = np.where(is_more | is_rest, _NONE, kind)
  kind[0] = _NONE
  return kind


def _block(parts, kinds) -> Block:
  """Returns the means of one block."""
  counts = np.bincount(np.concatenate(kinds), minlength=_NONE + 1)
  orders = counts[:_NONE].sum()
  new = counts[[_IMPROVE, _JOIN, _BEHIND]].sum()
  cancels = counts[[_AT_BEST, _AWAY]].sum()
  two_sided = [(m.book.volume[:, :, 0] > 0).all(axis=1) for m in parts]
  spread = np.concatenate(
    [
      messages_lib.spread(m)[rows]
      for m, rows in zip(parts, two_sided, strict=True)
    ]
  )
  moves = np.concatenate(
    [
      np.diff(messages_lib.mid(m))[rows[1:] & rows[:-1]]
      for m, rows in zip(parts, two_sided, strict=True)
    ]
  )
  volume = np.concatenate([m.book.volume for m in parts])
  return Block(
    spread=float(spread.mean()),
    touch_volume=float(volume[:, :, 0].mean()),
    volume=float(volume.sum(axis=2).mean()),
    volatility=float(np.sqrt((moves**2).mean())),
    trades=float(counts[_TRADE] / orders),
    improves=float(counts[_IMPROVE] / max(new, 1)),
    joins=float(counts[_JOIN] / max(new, 1)),
    cancels=float(cancels / orders),
    cancels_at_best=float(counts[_AT_BEST] / max(cancels, 1)),
  )


def drift(sequences: messages_lib.Sequences) -> tuple[float, float]:
  """Returns the mean change of the mid, and its error.

  Of the sequences whose book keeps both sides.
  """
  changes = [
    messages_lib.mid(m)[-1] - messages_lib.mid(m)[0]
    for m in sequences
    if m.is_two_sided and len(m)
  ]
  if len(changes) < 2:
    return float("nan"), float("nan")
  deviation = np.std(changes, ddof=1) / np.sqrt(len(changes))
  return float(np.mean(changes)), float(deviation)


def sign_memory(sequences: messages_lib.Sequences) -> np.ndarray:
  """Returns the autocorrelation of trade signs, lags 1 to 10.

  A trade is an order that trades; it is a purchase if it takes from asks.
  """
  products = [[] for _ in range(_SIGN_LAGS)]
  signs = []
  for m in sequences:
    is_trade = _kinds(m) == _TRADE
    sign = np.where(m.side[is_trade] == types.Side.ASK, 1.0, -1.0)
    signs.append(sign)
    for lag in range(1, min(_SIGN_LAGS, len(sign) - 1) + 1):
      products[lag - 1].append(sign[lag:] * sign[:-lag])
  mean = np.concatenate(signs).mean() if signs else 0.0
  return np.array(
    [
      np.concatenate(found).mean() - mean**2 if found else np.nan
      for found in products
    ]
  )


def num_crossed(sequences: messages_lib.Sequences) -> int:
  """Returns how many messages leave a crossed book."""
  total = 0
  for m in sequences:
    has_both = (m.book.volume[:, :, 0] > 0).all(axis=1)
    total += int((has_both & (messages_lib.spread(m) <= 0)).sum())
  return total
