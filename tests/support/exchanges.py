"""Plays streams of messages on the matching engine."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lob
from mars_jax import types
from mars_jax.lob import auction
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import session
from tests.support.oracles import python_exchange

ASK, BID = types.Side.ASK, types.Side.BID
LENGTH = 32  # Of all streams, padded, so that each rule compiles once.
CAPACITY = 6
_PADDING = python_exchange.Message(types.OrderKind.NONE, ASK, 0, 0, 0)


def put_orders(messages, dtype=np.int32) -> types.Order:
  """Returns messages as orders, leaves `[T]`."""
  kind, side, price, volume, id_, owner = np.array(messages, np.int64).T
  return types.Order(
    kind=kind.astype(np.int32),
    side=side.astype(np.int32),
    price=price.astype(dtype),
    volume=volume.astype(dtype),
    id=id_.astype(np.int32),
    owner=owner.astype(np.int32),
  )


def pad(messages, seconds):
  """Pads a stream and its times to `LENGTH` with `NONE`."""
  more = LENGTH - len(messages)
  last = seconds[-1] if len(seconds) else 0
  return [*messages, *[_PADDING] * more], [*seconds, *[last] * more]


def ends_auction(rules: rules_lib.Rules, seconds) -> np.ndarray:
  """Returns `[T]` bool: a call auction ends before the message."""
  oracle = python_exchange.PythonExchange(rules, 1, 0)
  phases = [oracle.phase(time) for time in seconds]
  ends = [False] * len(phases)
  for i in range(1, len(phases)):
    was_auction = phases[i - 1] in python_exchange.AUCTIONS
    ends[i] = was_auction and phases[i] not in python_exchange.AUCTIONS
  return np.array(ends)


@functools.partial(jax.jit, static_argnames=("rules", "has_auctions"))
def scan(exchange, orders, seconds, ends, *, rules, has_auctions):
  """Returns the exchange, report and auction of each message."""

  def body(exchange, x):
    order, time, ends_here = x
    outcome = None
    if has_auctions:
      after, outcome = session.uncross(exchange, rules=rules)
      exchange, outcome = jax.tree.map(
        lambda new, old: jnp.where(ends_here, new, old),
        (after, outcome),
        (exchange, jax.tree.map(jnp.zeros_like, outcome)),
      )
    exchange, report = session.step(exchange, order, time, rules=rules)
    return exchange, (exchange, report, outcome)

  return jax.lax.scan(body, exchange, (orders, seconds, ends))[1]


@dataclasses.dataclass(frozen=True)
class Played:
  """The results of a stream.

  `i` numbers its messages, from the end if < 0.
  """

  exchanges: session.Exchange  # leaves [LENGTH, ...], after each message
  reports: types.ExecutionReport  # leaves [LENGTH, ...]
  auctions: auction.Auction | None  # leaves [LENGTH, ...], before each message
  length: int  # without padding

  @property
  def reasons(self) -> list[int]:
    """`types.Reason` of each message."""
    return self.reports.reason[: self.length].tolist()

  @property
  def counts(self) -> dict[int, int]:
    """The number of messages by reason, if not 0."""
    counts = self.exchanges.book.counts[-1].tolist()
    return {reason: number for reason, number in enumerate(counts) if number}

  def fills(self, i: int = -1):
    """Returns the fills of a message: (price, volume, id)."""
    return _table(self.reports.fills, i % self.length, "price volume id")

  def auction_fills(self, side: int, i: int = -1):
    """Returns a side's fills in the auction before a message."""
    listed = self.auctions.fills
    i = i % self.length, side
    return _table(listed, i, "price volume id")

  def rows(self, side: int, i: int = -1, fields: str = "price volume id"):
    """Returns a side's orders after a message, by priority."""
    return _table(self.exchanges.book, (i % self.length, side), fields)

  def numbers(self, i: int = -1) -> tuple[int, int, int]:
    """Returns the lots traded, rested and cancelled by a message."""
    report = self.reports
    fields = (report.traded, report.rested, report.cancelled)
    return tuple(int(x[i % self.length]) for x in fields)


def _table(columns, i, fields):
  used = columns.volume[i] > 0
  lists = (getattr(columns, name)[i][used].tolist() for name in fields.split())
  return list(zip(*lists, strict=True))


def play(
  rules: rules_lib.Rules,
  messages,
  seconds=None,
  *,
  capacity: int = CAPACITY,
  reference: int = 100,
  dtype=np.int32,
) -> Played:
  """Plays a stream, by default all in second 0.

  Where a call auction ends between two messages, it is uncrossed there.
  """
  length = len(messages)
  seconds = [0] * length if seconds is None else seconds
  messages, seconds = pad(messages, seconds)
  phases = {phase for _, phase in rules.schedule}
  promotion = "strict" if dtype == np.int32 else "standard"
  with jax.numpy_dtype_promotion(promotion):
    results = scan(
      session.init(lob.init(capacity, dtype=dtype), reference=reference),
      put_orders(messages, dtype),
      np.array(seconds, np.int32),
      ends_auction(rules, seconds),
      rules=rules,
      has_auctions=bool(phases & python_exchange.AUCTIONS),
    )
  return Played(*jax.device_get(results), length)
