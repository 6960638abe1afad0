"""Random parameters and tokens, by NumPy, which has nothing to compile."""

import jax
import numpy as np

from mars_jax import lmm
from mars_jax import types
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import features
from mars_jax.tokens import vocab


def params(config, seed=0):
  """Parameters of a model, of a variance that leaves none without effect."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=config))
  return jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype) / 4, shapes
  )


def tokens(*shape, seed=0, alphabet=alphabet_lib.DEFAULT):
  """Tokens `[*shape]` of any orders in any books."""
  rng = np.random.default_rng(seed)

  def draw(low, high, *tail):
    return rng.integers(low, high, (*shape, *tail), np.int32)

  sizes = alphabet_lib.ALPHABETS[alphabet].sizes
  return features.TokenFeatures(
    symbols=draw(0, np.array(sizes), len(sizes)),
    volumes=draw(0, vocab.NUM_VOLUMES + 1, 2 * features.NUM_LEVELS),
    distances=draw(0, 3000, 2 * features.NUM_LEVELS),
    depth=types.Depth(
      draw(0, 9000, 2, types.DEPTH_CLASSES), draw(0, 90, 2, types.DEPTH_CLASSES)
    ),
    mid_change=draw(-300, 300),
    mid_move=draw(-12, 13),
    time=draw(9 * 3600, 16 * 3600),
    price_offset=draw(-40, 41),
    order_volume=draw(1, 1000),
    interval=draw(0, 10**7),
  )
