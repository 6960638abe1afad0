"""The training loss: nats per order, and its share of each field."""

import functools

import jax
import jax.numpy as jnp

from mars_jax import lmm
from mars_jax.tokens import features as features_lib
from mars_jax.train import sharding

JOINT_CHUNK = 2  # Tokens of each window whose 49,152 logits are held at once.


def nats(
  params: lmm.Params,
  tokens: features_lib.TokenFeatures,
  *,
  config: lmm.LmmConfig,
  key: jax.Array | None = None,
) -> jax.Array:
  """Scores all orders but the first of each window.

  Args:
    params: of the order model.
    tokens: windows of successive orders, leaves `[B, T]`.
    config: of the order model.
    key: typed PRNG key of the dropout, consumed; None for none.

  Returns:
    float32 `[B, T - 1, F]`, minus the log-probability of each field of order
    t + 1 given the orders up to t and its own earlier fields. The sum over
    the fields is the cross-entropy over all orders.
  """
  inputs = jax.tree.map(lambda leaf: leaf[:, :-1], tokens)
  apply = functools.partial(lmm.apply, config=config)
  batched = functools.partial(jax.vmap, spmd_axis_name=sharding.DATA)
  if key is None:
    hidden, _ = batched(apply, in_axes=(None, 0))(params, inputs)
  else:
    keys = jax.random.split(key, tokens.time.shape[0])
    hidden, _ = batched(lambda inputs, key: apply(params, inputs, key=key))(
      inputs, keys
    )
  hidden = sharding.constrain_batch(hidden)
  return -_log_prob(params, hidden, tokens.symbols[:, 1:], config)


def _log_prob(params, hidden, symbols, config):
  """`lmm.log_prob`; of a joint head, whose logits are large, in chunks."""
  if config.head != "joint":
    return lmm.log_prob(params, hidden, symbols, config=config)

  @jax.checkpoint
  def score(step):
    return lmm.log_prob(params, *step, config=config)

  steps = (jnp.moveaxis(hidden, 1, 0), jnp.moveaxis(symbols, 1, 0))
  scores = jax.lax.map(score, steps, batch_size=JOINT_CHUNK)
  return jnp.moveaxis(scores, 0, 1)


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
