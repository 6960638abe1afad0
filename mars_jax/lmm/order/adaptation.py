"""Adaptation of an order model to the latest orders.

A model of one day knows that day's mix of orders: of another hour, with twice
as many trades, it sees the difference in its window, follows it in part, and
forgets it as its own orders fill the window. So the logits of each symbol get a
bias that is fitted to the last orders before a start, as in the dynamic
evaluation of language models (Krause et al. 2018, arXiv:1709.07432), of the
last layer alone. A Gaussian prior keeps it near zero where these orders are
few. Both sides get the same bias: what is learned is a mix, not a direction.

Dimensions: T orders, D embedding, F fields, K kinds (symbols of the first
field), V symbols of all fields.
"""

import jax
import jax.numpy as jnp
import optax

from mars_jax.lmm.nn import cache as cache_lib
from mars_jax.lmm.nn import transformer
from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import heads
from mars_jax.lmm.order import model
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import features

_NUM_STEPS, _RATE = 100, 0.1


def read(
  params: transformer.Params,
  tokens: features.TokenFeatures,
  *,
  config: config_lib.LmmConfig,
) -> tuple[cache_lib.KvCache, jax.Array | None]:
  """Reads the orders before a start.

  Args:
    params: of the order model.
    tokens: leaves `[T]`, T >= 2.
    config: of the order model; static.

  Returns:
    The cache after them, and the bias fitted to them if `config.adaptation` is
    not 0: the `context` of `sampling.next_order`.
  """
  hidden, cache = model.apply(params, tokens, config=config)
  if not config.adaptation:
    return cache, None
  return cache, fit(params, hidden[:-1], tokens.symbols[1:], config=config)


def fit(
  params: transformer.Params,
  hidden: jax.Array,
  symbols: jax.Array,
  *,
  config: config_lib.LmmConfig,
) -> jax.Array:
  """Fits a bias of each symbol to orders just seen.

  The maximum of their log-probability and the log of the prior.

  Args:
    params: of the order model.
    hidden: `[T, D]`, of the orders before them.
    symbols: `[T, F]` int32, the orders.
    config: of the order model; its `adaptation` is the width of the prior;
      static.

  Returns:
    `[K, V]` float32, by kind, to give to `log_prob` and `sample`.
  """
  sizes = config.field_sizes
  logits = model.logits(params, hidden, symbols, config=config)

  def loss(bias):
    total = 0.5 * (bias**2).sum() / config.adaptation**2
    for f, size in enumerate(sizes):
      x = logits[f] + heads.bias_of(bias, symbols[:, :f], sizes)
      hot = jax.nn.one_hot(symbols[:, f], size)
      total -= (hot * jax.nn.log_softmax(x)).sum()
    return total / len(symbols)

  optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _NUM_STEPS))
  mirror = _mirror(config)

  def step(carry, _):
    bias, state = carry
    updates, state = optimizer.update(mirror(jax.grad(loss)(bias)), state)
    return (optax.apply_updates(bias, updates), state), None

  bias = jnp.zeros((sizes[0], sum(sizes)))
  carry = (bias, optimizer.init(bias))
  (bias, _), _ = jax.lax.scan(step, carry, length=_NUM_STEPS)
  return bias


def _mirror(config):
  """Returns the mean over sides of a gradient `[K, V]`."""
  count = config.field_sizes[0]
  orders = jnp.zeros((count, len(config.fields)), jnp.int32)
  orders = orders.at[:, 0].set(jnp.arange(count))
  swapped = alphabet_lib.ALPHABETS[config.alphabet].mirror(orders)[:, 0]

  def apply(gradient):
    other = gradient[swapped].at[0, :count].set(gradient[0, swapped])
    return (gradient + other) / 2

  return apply
