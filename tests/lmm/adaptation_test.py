"""Biases of the order model, fitted to the orders before a start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.lmm.order import adaptation
from mars_jax.tokens import touch
from tests.support.train import random_params

pytestmark = pytest.mark.usefixtures("quick_compilation")

_CONFIG = lmm.LmmConfig(
  dim=16,
  num_layers=1,
  num_heads=2,
  head_dim=4,
  mlp_dim=24,
  window=8,
  adaptation=3.0,
)
_NUM = 400


@pytest.fixture(scope="module")
def params():
  return random_params.params(_CONFIG)


@pytest.fixture(scope="module")
def seen():
  """Hidden states, and orders of which nine of ten improve or are cancels."""
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(_NUM, _CONFIG.dim)).astype(np.float32)
  symbols = rng.integers(0, _CONFIG.field_sizes, (_NUM, 7)).astype(np.int32)
  is_new = symbols[:, touch.KIND] < 2
  improves = is_new & (rng.random(_NUM) < 0.9)
  symbols[improves, touch.TOUCH] = touch.IMPROVES
  return hidden, symbols


@pytest.fixture(scope="module")
def bias(params, seen):
  return jax.jit(adaptation.fit, static_argnames="config")(
    params, *seen, config=_CONFIG
  )


def _mirrored(symbols):
  return np.asarray(touch.mirror(jnp.asarray(symbols)))


def test_the_bias_raises_the_probability_of_what_was_seen(params, seen, bias):
  hidden, symbols = seen

  def nats(*bias):
    found = lmm.log_prob(params, hidden, symbols, *bias, config=_CONFIG)
    return -np.asarray(found).mean(axis=0)

  assert nats(bias)[touch.TOUCH] < nats()[touch.TOUCH] - 0.2
  assert (nats(bias) <= nats() + 1e-3).all()


def test_new_orders_and_cancels_have_biases_of_their_own(bias):
  first = sum(_CONFIG.field_sizes[: touch.TOUCH])
  of_touch = np.asarray(bias)[:, first : first + touch.NUM_TOUCHES]
  lead = of_touch - of_touch.max(axis=1, keepdims=True)
  assert (lead[:2, touch.IMPROVES] == 0).all()
  assert lead[:2, touch.JOINS].max() < -1
  assert np.abs(lead[2:]).max() < 1


def test_orders_drawn_with_it_are_as_frequent_as_those_seen(params, seen, bias):
  hidden, symbols = seen

  def draw(key, hidden):
    return lmm.sample(params, key, hidden, bias, config=_CONFIG)

  keys = jax.random.split(jax.random.key(0), _NUM)
  drawn = np.asarray(jax.jit(jax.vmap(draw))(keys, hidden))
  for orders in (symbols, _mirrored(symbols)):
    is_new = orders[:, touch.KIND] < 2
    want = (orders[is_new, touch.TOUCH] == touch.IMPROVES).mean()
    is_new = drawn[:, touch.KIND] < 2
    got = (drawn[is_new, touch.TOUCH] == touch.IMPROVES).mean()
    assert got == pytest.approx(want, abs=0.1)


def test_it_has_no_side(params, seen, bias):
  count = touch.NUM_KINDS
  np.testing.assert_allclose(bias[0, count:], bias[1, count:], atol=1e-4)
  np.testing.assert_allclose(bias[2, count:], bias[3, count:], atol=1e-4)
  np.testing.assert_allclose(bias[0, 0], bias[0, 1], atol=1e-4)
  np.testing.assert_allclose(bias[0, 2], bias[0, 3], atol=1e-4)


def test_a_narrow_prior_leaves_the_model_as_it_is(params, seen):
  config = dataclasses.replace(_CONFIG, adaptation=1e-3)
  bias = jax.jit(adaptation.fit, static_argnames="config")(
    params, *seen, config=config
  )
  assert np.abs(bias).max() < 0.01


def test_without_adaptation_there_is_no_bias(params):
  tokens = random_params.tokens(12)
  read = jax.jit(lmm.read, static_argnames="config")
  cache, bias = read(params, tokens, config=_CONFIG)
  same, none = read(
    params, tokens, config=dataclasses.replace(_CONFIG, adaptation=0.0)
  )
  assert bias.shape == (4, sum(_CONFIG.field_sizes)) and none is None
  np.testing.assert_array_equal(cache.keys[0][0], same.keys[0][0])


def test_an_alphabet_without_sides_is_an_error():
  with pytest.raises(ValueError, match="adaptation needs alphabet"):
    dataclasses.replace(_CONFIG, alphabet="mid")
