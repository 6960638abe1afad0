"""Small markets that tests of simulations start from."""

import jax.numpy as jnp
import numpy as np

from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.lob import session
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab

ASK, BID = types.Side.ASK, types.Side.BID
QUOTES = ((BID, 999, 10), (BID, 998, 20), (ASK, 1001, 10), (ASK, 1003, 5))


def tokenizer(interval: int) -> features.Tokenizer:
  """Prices within 15 ticks, volumes 1 to 32, intervals 0 to 15 of the given.

  Args:
    interval: microseconds.
  """
  return features.Tokenizer(
    price=bins.fit(np.arange(-15, 17), vocab.NUM_PRICES),
    volume=bins.fit(np.arange(1, 33), vocab.NUM_VOLUMES),
    interval=bins.fit(np.arange(16) * interval, vocab.NUM_INTERVALS),
    level_volume=bins.fit(np.arange(1, 33), vocab.NUM_VOLUMES),
    alphabet="mid",
  )


def start(
  quotes=QUOTES, *, seconds=100, nanoseconds=0, capacity=64, lot=1
) -> sim.Start:
  """Returns a market with resting (side, price, round lots), ids from 0."""
  sides, prices, volumes = np.array(quotes, np.int32).reshape(-1, 3).T
  ids = np.arange(len(sides), dtype=np.int32)
  none = np.full_like(ids, types.NO_OWNER)
  rests = types.Order(none, sides, prices, volumes * lot, ids, none)
  book = lob.from_orders(rests, capacity)
  zero, ten = jnp.int32(0), jnp.zeros(10, jnp.int32)
  classes = jnp.zeros((2, types.DEPTH_CLASSES), jnp.int32)
  market = sim.MarketState(
    clock=types.Timestamp(jnp.int32(seconds), jnp.int32(nanoseconds)),
    exchange=session.init(book, reference=1000),
    mid=lob.mid(book, fallback=jnp.int32(1000)),
    open_mid=jnp.int32(1000),
    next_id=jnp.int32(len(ids)),
    traded=zero,
  )
  return sim.Start(
    market=market,
    token=features.TokenFeatures(
      symbols=jnp.zeros(len(vocab.FIELDS), jnp.int32),
      volumes=ten,
      distances=ten,
      depth=types.Depth(classes, classes),
      mid_change=zero,
      mid_move=zero,
      time=zero,
      price_offset=zero,
      order_volume=zero,
      interval=zero,
    ),
    cache=zero,
  )
