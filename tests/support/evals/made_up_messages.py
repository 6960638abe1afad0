"""Messages of a made-up market, for tests of scores."""

import numpy as np

from mars_jax import lob
from mars_jax import types
from mars_jax.evals import messages as messages_lib
from mars_jax.lob import venues

_START = 34_200 * types.NANOSECONDS
ASK, BID = types.Side.ASK, types.Side.BID


def make(seed, count=300, *, num_levels=10, cross=0.05):
  """Messages of random orders round a mid of 10,000 ticks.

  Args:
    seed: the same seed gives the same messages.
    count: of messages.
    num_levels: of the book.
    cross: share of the orders that trade.
  """
  rng = np.random.default_rng(seed)
  found = messages_lib.Collector(
    lob.init(4), venues.CONTINUOUS, num_levels=num_levels
  )
  time, number, resting = _START, 0, []
  while len(found) < count + 60:
    time += int(rng.exponential(40_000_000)) * (rng.random() < 0.95)
    number += 1
    side = int(rng.integers(2))
    sign = 1 if side == ASK else -1
    away = int(rng.geometric(0.2))
    if number > 60 and rng.random() < cross:
      away = -3
    if number > 60 and rng.random() < 0.45:
      order = (types.OrderKind.CANCEL, 0, 0, 2**30, int(rng.choice(resting)))
    else:
      volume = 100 * int(rng.geometric(0.4))
      price = 10_000 + sign * away
      order = (types.OrderKind.LIMIT, side, price, volume, number)
      resting.append(number)
    found.add(time, order)
  return found.messages()[60 : count + 60]
