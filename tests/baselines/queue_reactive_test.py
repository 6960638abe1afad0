"""Past orders, drawn by the state of the book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import sim
from mars_jax import types
from mars_jax.baselines import queue_reactive
from tests.support.train import random_params

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _tokens(imbalance, spread):
  """Tokens of books with a share of volume on the bid, and a spread."""
  count = len(imbalance)
  tokens = random_params.tokens(count)
  volume = np.zeros((count, 2, types.DEPTH_CLASSES), np.int32)
  volume[:, types.Side.BID, 0] = np.round(1000 * np.array(imbalance))
  volume[:, types.Side.ASK, 0] = 1000 - volume[:, types.Side.BID, 0]
  distances = np.zeros_like(tokens.distances)
  distances[:, 0] = spread
  symbols = np.repeat(np.arange(count, dtype=np.int32)[:, None], 7, axis=1)
  return tokens.replace(
    symbols=symbols,
    distances=distances,
    depth=types.Depth(volume, np.ones_like(volume)),
  )


def test_an_order_is_one_that_met_a_book_in_the_same_state():
  tokens = _tokens(imbalance=[0.1, 0.9] * 50, spread=[1] * 50 + [20] * 50)
  params = queue_reactive.fit(tokens)
  draw = jax.jit(jax.vmap(queue_reactive.next_order, (None, 0, None, None)))
  keys = jax.random.split(jax.random.key(0), 200)
  for row in (0, 1, 60, 61):
    token = jax.tree.map(lambda leaf, row=row: jnp.asarray(leaf[row]), tokens)
    inputs = sim.FlowInput(token, jnp.bool_(True), None)
    drawn = np.unique(np.asarray(draw(params, keys, inputs, ())[0])[:, 0])
    # Those that follow a book of the same imbalance and spread.
    wanted = range(row % 2 + 1 + (50 if row > 49 else 0), 100, 2)
    wanted = [x for x in wanted if (x - 1 > 49) == (row > 49)]
    assert set(drawn) <= set(wanted)
    assert len(drawn) > 15


def test_a_state_that_never_came_has_all_orders():
  params = queue_reactive.fit(_tokens([0.1] * 20, [1] * 20))
  sizes = np.diff(params.starts)
  assert sizes.min() == sizes.max() == 19
