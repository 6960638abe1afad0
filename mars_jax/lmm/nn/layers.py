"""The Linen modules of the transformer: its norm and one block.

No module holds state: randomness and the cache are arguments. All work on one
sequence or on one token, `[..., D]`; batch with `jax.vmap`. The transformer is
LLaMA's (MarS, section 3 and appendix B.2): RMSNorm before each sublayer, rotary
positions, SwiGLU, no biases.

Dimensions: T tokens, S slots of a ring buffer, D embedding, H query heads, G
key/value heads, R = H / G, K head dimension, F mlp.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from mars_jax.lmm.nn import attention
from mars_jax.lmm.nn import config as config_lib

_NORM_EPSILON = 1e-6

# The fields of an order have most of the variance at first, 0.2 in all.
TABLE_INIT = nn.initializers.normal(0.2)


def norm() -> nn.RMSNorm:
  """The RMSNorm of sublayers' inputs and the last output."""
  return nn.RMSNorm(epsilon=_NORM_EPSILON)


def constrain_to_devices(x: jax.Array) -> jax.Array:
  """Constrains activations to be sharded over the batch axis.

  Where `jax.vmap(spmd_axis_name=...)` batches this within `jax.set_mesh`; else
  nothing happens. Without it XLA cuts activations as it finds parameters cut,
  and every device has the whole batch.

  Args:
    x: of one window, any shape.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return lax.with_sharding_constraint(
    x, jax.sharding.PartitionSpec(*[None] * x.ndim)
  )


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
  """Zeroes elements with probability `rate`, scales the others; any shape."""
  keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
  return jnp.where(keep, x / (1.0 - rate), 0.0)


def lookup(
  table: jax.Array, ids: jax.Array, sizes: tuple[int, ...]
) -> jax.Array:
  """Sums one row of each stacked table by one product.

  On a CPU the gradient of a gather is a scatter, row by row, and dominates the
  training of a small model; that of a product with one-hots is a product.

  Args:
    table: `[sum(sizes), D]`
    ids: `[..., N]` int32; a row outside [0, sizes[n]) counts as zeros.
    sizes: rows of each of the N tables.

  Returns:
    `[..., D]`
  """
  hots = [
    jax.nn.one_hot(ids[..., n], size, dtype=table.dtype)
    for n, size in enumerate(sizes)
  ]
  return jnp.concatenate(hots, axis=-1) @ table


@struct.dataclass
class LayerCache:
  """Rotated keys and values of one layer, by key/value head.

  XLA on a CPU then writes a token in place; from arrays with an axis of layers,
  or of heads, it copies all of the cache at every step.
  """

  keys: tuple[jax.Array, ...]  # G x [K, S], a ring buffer
  values: tuple[jax.Array, ...]  # G x [S, K]
  # Those of the tokens that trajectories share, or None.
  prefix_keys: tuple[jax.Array, ...] | None = None  # G x [K, S]
  prefix_values: tuple[jax.Array, ...] | None = None  # G x [S, K]


@struct.dataclass
class DecodePosition:
  """The position of one token among those it attends to."""

  position: jax.Array  # [] int32, tokens before it
  newest: jax.Array  # [] int32, tokens in the ring buffer before it, ever
  length: jax.Array  # [] int32, slots of the ring buffer to attend to
  is_new: jax.Array  # [] bool, whether it enters the ring buffer
  prefix_age: jax.Array  # [S] int32, tokens since each of the prefix, or < 0
  sees_prefix: jax.Array  # [] bool, whether any trajectory sees the prefix


def _write(
  old: jax.Array, new: jax.Array, at: DecodePosition, *, axis: int
) -> jax.Array:
  """Writes a token to its ring-buffer slot along `axis`."""
  slot = at.newest % old.shape[axis]
  kept = lax.dynamic_slice_in_dim(old, slot, 1, axis)
  new = jnp.where(at.is_new, new, kept)
  return lax.dynamic_update_slice_in_dim(old, new, slot, axis)


class Block(nn.Module):
  """One pre-norm transformer block: windowed attention, then SwiGLU."""

  config: config_lib.TransformerConfig
  window: int

  def setup(self):
    c = self.config
    # 2 * num_layers sublayers add to the stream: keep its variance near 1.
    out_init = nn.initializers.variance_scaling(
      0.5 / c.num_layers, "fan_in", "truncated_normal"
    )
    # For each key/value head its R queries, then its key, then its value.
    heads = (c.num_kv_heads, c.num_heads // c.num_kv_heads + 2, c.head_dim)
    self.attention_norm = norm()
    self.qkv = nn.DenseGeneral(heads, use_bias=False)
    if c.qk_norm:
      self.q_norm, self.k_norm = norm(), norm()
    self.attention_out = nn.DenseGeneral(
      c.dim, axis=(-2, -1), use_bias=False, kernel_init=out_init
    )
    self.mlp_norm = norm()
    self.gate_up = nn.DenseGeneral((2, c.mlp_dim), use_bias=False)
    self.down = nn.Dense(c.dim, use_bias=False, kernel_init=out_init)

  def __call__(
    self, x: jax.Array, key: jax.Array | None = None
  ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Transforms a sequence from position 0.

    Args:
      x: `[T, D]`
      key: typed PRNG key, consumed; None turns dropout off.

    Returns:
      `[T, D]`, and the rotated keys and the values, both `[T, G, K]`.
    """
    q, k, v = self._project(x, jnp.arange(x.shape[0]))
    attend = functools.partial(attention.attend_band, window=self.window)
    # The weights are computed again for the gradient: that costs no time here,
    # and keeping them would take most of the memory of training.
    attended = jax.checkpoint(attend)(q, k, v)
    return self._mix(x, attended, key), (k, v)

  def decode(
    self, x: jax.Array, layer: LayerCache, at: DecodePosition
  ) -> tuple[jax.Array, LayerCache]:
    """Transforms one token and writes it to the cache.

    The token replaces the oldest one.

    Args:
      x: `[D]`
      layer: keys and values of the tokens before.
      at: where the token stands.

    Returns:
      `[D]`, and the keys and values with this token.
    """
    c = self.config
    q, k, v = self._project(x, at.position)
    queries = jnp.split(q * c.head_dim**-0.5, c.num_kv_heads)
    keys = tuple(
      _write(old, new[:, None], at, axis=1)
      for old, new in zip(layer.keys, k, strict=True)
    )
    values = tuple(
      _write(old, new[None], at, axis=0)
      for old, new in zip(layer.values, v, strict=True)
    )
    attended = [
      attention.attend_cache(
        queries[g],
        keys[g],
        values[g],
        self._attend_prefix(queries[g], layer, g, at),
        newest=at.newest,
        length=at.length,
      )
      for g in range(c.num_kv_heads)
    ]
    layer = layer.replace(keys=keys, values=values)
    return self._mix(x, jnp.concatenate(attended)), layer

  def _attend_prefix(self, queries, layer, group, at):
    """Attends to the shared prefix, if there is one."""
    nothing = attention.no_sums(*queries.shape)
    if layer.prefix_keys is None:
      return nothing
    return lax.cond(
      at.sees_prefix,
      functools.partial(attention.attend_prefix, window=self.window),
      lambda *_: nothing,
      queries,
      layer.prefix_keys[group],
      layer.prefix_values[group],
      at.prefix_age,
    )

  def _project(self, x, position):
    """Queries `[..., H, K]`, keys and values `[..., G, K]`; `x` `[..., D]`."""
    c = self.config
    qkv = self.qkv(self.attention_norm(x))
    q, k, v = qkv[..., :-2, :], qkv[..., -2, :], qkv[..., -1, :]
    q = q.reshape(*x.shape[:-1], c.num_heads, c.head_dim)
    if c.qk_norm:
      q, k = self.q_norm(q), self.k_norm(k)
    q = attention.rotate(q, position, base=c.rope_base)
    return q, attention.rotate(k, position, base=c.rope_base), v

  def _mix(self, x, attended, key=None):
    """Adds attention and SwiGLU to the residual stream.

    `attended` is `[..., H, K]`, `x` is `[..., D]`.
    """
    rate = self.config.dropout if key is not None else 0.0
    attended = self.attention_out(attended)
    if rate:
      key, mlp_key = jax.random.split(key)
      attended = dropout(key, attended, rate)
    x = x + attended
    out = self.mlp(x)
    return x + (dropout(mlp_key, out, rate) if rate else out)

  def mlp(self, x: jax.Array) -> jax.Array:
    """Returns what the SwiGLU adds to `x` `[..., D]`."""
    gate_up = self.gate_up(self.mlp_norm(x))
    return self.down(jax.nn.silu(gate_up[..., 0, :]) * gate_up[..., 1, :])
