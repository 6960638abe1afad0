"""A queue-reactive order flow: past orders, drawn by the state of the book.

The model of Huang, Lehalle and Rosenbaum (2015) in its simplest form that
learns: orders come at rates that depend on the book alone, here on the
imbalance of the volumes at the best prices and on the spread (landscape of such
models: Noble, Rosenbaum and Souilmi, arXiv:2603.24137). Instead of a table of
rates for each kind of order, the next order is one of the training part's,
whole, that met a book in the same state: its kind, price, volume and interval
have the frequencies seen there.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax.tokens import features

NUM_IMBALANCES, NUM_SPREADS = 5, 6
NUM_STATES = NUM_IMBALANCES * NUM_SPREADS


@struct.dataclass
class Params:
  """Past orders, sorted by the state of their book."""

  symbols: jax.Array  # [T, F] int32
  starts: jax.Array  # [NUM_STATES + 1] int32, where each state begins
  spreads: jax.Array  # [NUM_SPREADS - 1] int32, edges, ticks


def fit(tokens: features.TokenFeatures) -> Params:
  """Sorts the orders of one day's tokens, numpy leaves `[T]`.

  A state in which no order came has all of them.
  """
  spread = np.asarray(_spread(tokens))
  quantiles = np.arange(1, NUM_SPREADS) / NUM_SPREADS
  spreads = np.quantile(spread, quantiles, method="lower").astype(np.int32)
  before = jax.tree.map(lambda leaf: leaf[:-1], tokens)
  state = np.asarray(_state(before, spreads))
  symbols = np.asarray(tokens.symbols[1:])
  groups = [symbols[state == s] for s in range(NUM_STATES)]
  groups = [group if len(group) else symbols for group in groups]
  return Params(
    symbols=jnp.asarray(np.concatenate(groups)),
    starts=jnp.asarray(np.cumsum([0, *map(len, groups)]), jnp.int32),
    spreads=jnp.asarray(spreads),
  )


def next_order(params: Params, key: jax.Array, inputs, cache):
  """Draws the next order, as the simulator calls a model; keeps no memory."""
  state = _state(inputs.token, params.spreads)
  first, last = params.starts[state], params.starts[state + 1]
  row = jax.random.randint(key, (), first, last)
  return params.symbols[row], cache


def _spread(token: features.TokenFeatures) -> jax.Array:
  """Returns the spread of tokens, int32 `[...]` ticks."""
  return token.distances[..., :: features.NUM_LEVELS].sum(axis=-1)


def _state(token: features.TokenFeatures, spreads: jax.Array) -> jax.Array:
  """Returns the state of the book of tokens, int32 `[...]`."""
  bid, ask = (token.depth.volume[..., side, 0] for side in (1, 0))
  share = bid / jnp.maximum(bid + ask, 1)
  imbalance = jnp.minimum((share * NUM_IMBALANCES).astype(jnp.int32), 4)
  spread = jnp.searchsorted(
    spreads, _spread(token), side="left", method="compare_all"
  )
  return imbalance * NUM_SPREADS + spread
