"""The training loss: nats per order, and its share of each field."""

import functools

import jax
import jax.numpy as jnp

from mars_jax import lmm
from mars_jax.tokens import features as features_lib


def nats(
  params: lmm.Params,
  tokens: features_lib.TokenFeatures,
  *,
  config: lmm.LmmConfig,
  key: jax.Array | None = None,
) -> jax.Array:
  """Scores every order of a batch but the first of each window.

  Args:
    params: of the order model.
    tokens: windows of successive orders, leaves `[B, T]`.
    config: of the order model.
    key: typed PRNG key of the dropout, consumed; None for none.

  Returns:
    float32 `[B, T - 1, 4]`, minus the log-probability of each field of order
    t + 1 given the orders up to t and its own earlier fields. The sum over
    the fields is the cross-entropy over the 49,152 orders.
  """
  inputs = jax.tree.map(lambda leaf: leaf[:, :-1], tokens)
  apply = functools.partial(lmm.apply, config=config)
  if key is None:
    hidden, _ = jax.vmap(apply, in_axes=(None, 0))(params, inputs)
  else:
    keys = jax.random.split(key, tokens.index.shape[0])
    hidden, _ = jax.vmap(lambda inputs, key: apply(params, inputs, key=key))(
      inputs, keys
    )
  return -lmm.log_prob(params, hidden, tokens.index[:, 1:], config=config)


def mean_nats(
  params: lmm.Params,
  tokens: features_lib.TokenFeatures,
  key: jax.Array,
  *,
  config: lmm.LmmConfig,
) -> jax.Array:
  """Returns the float32 `[]` mean nats per order, with dropout."""
  fields = nats(params, tokens, config=config, key=key)
  return jnp.mean(fields.sum(axis=-1))
