"""The market state shared by starts, simulations and agents."""

import jax
from flax import struct

from mars_jax import types
from mars_jax.lob import session


@struct.dataclass
class MarketState:
  """A market between two events, whoever trades in it."""

  clock: types.Timestamp  # [] the time of the last event
  exchange: session.Exchange  # leaves of the book [2, N]
  mid: jax.Array  # [] int32, ticks, of the book
  open_mid: jax.Array  # [] int32, ticks, at the start of the day
  next_id: jax.Array  # [] int32, of the next order that may rest
  traded: jax.Array  # [] int32, lots since the start; wraps round at 2**31
