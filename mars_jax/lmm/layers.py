"""The Linen modules of the order model: what goes in, a block, what comes out.

No module holds state: randomness and the cache are arguments. All work on one
sequence or on one token, `[..., D]`; batch with `jax.vmap`. The transformer is
LLaMA's (MarS, section 3 and appendix B.2): RMSNorm before each sublayer, rotary
positions, SwiGLU, no biases.

Dimensions: T tokens, W window, D embedding, H query heads, G key/value heads,
K head dimension, F mlp.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mars_jax.lmm import attention
from mars_jax.lmm import config as config_lib
from mars_jax.tokens import features as features_lib
from mars_jax.tokens import vocab

_NORM_EPSILON = 1e-6
_NUM_LEVELS = 2 * features_lib.NUM_LEVELS
_NUM_VOLUME_BINS = vocab.NUM_VOLUMES + 1  # 0 is an empty level.
_NUM_DISTANCES = 64  # Rows of the table of distances; see `_distance_row`.
_SECONDS_PER_DAY = 86_400.0

# Parts summed by `Embed`: each starts with a variance of one part.
_NUM_PARTS = len(vocab.FIELD_SIZES) + 2 * _NUM_LEVELS + 3
_EMBED_INIT = nn.initializers.normal(_NUM_PARTS**-0.5)


def norm() -> nn.RMSNorm:
  """The normalisation of every sublayer's input and of the last output."""
  return nn.RMSNorm(epsilon=_NORM_EPSILON)


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
  """Zeroes elements with probability `rate`, scales the others; any shape."""
  keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
  return jnp.where(keep, x / (1.0 - rate), 0.0)


def lookup(
  table: jax.Array, ids: jax.Array, sizes: tuple[int, ...]
) -> jax.Array:
  """Sums one row of each of several tables, stacked, by a matrix product.

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


def _fourier(x: jax.Array, num_harmonics: int) -> jax.Array:
  """Sines and cosines of 1 to n turns: `[...]` -> `[..., 2 n]`."""
  harmonics = np.arange(1, num_harmonics + 1, dtype=np.float32)
  lead = (1,) * x.ndim
  angle = x[..., None] * (2 * np.pi * harmonics).reshape(*lead, num_harmonics)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class Embed(nn.Module):
  """Sums the embeddings of an order and of the market around it.

  As MarS, appendix B.2.1: the order, the volumes of the book and the change of
  the mid since the open. The order is the sum of four field tables, not a table
  of 49,152 rows (so does the released code); each of the ten levels has its own
  table of volume bins. Added: the distances of the levels from the mid and the
  mid's move since the previous token (tables), and the time of day (as in the
  released code, not in the paper).

  The mid's change and the time are embedded smoothly, by a projection of a few
  smooth functions, and not by a table of thousands of rows: a value that no
  training day has shown would find an untrained row, whereas here it lands near
  its neighbours. asinh is linear near the open's price and logarithmic far from
  it: a day that runs twice as far as any before moves it by ln 2, no more.
  """

  config: config_lib.LmmConfig

  @nn.compact
  def __call__(self, features: features_lib.TokenFeatures) -> jax.Array:
    """Embeds tokens: leaves `[...]`, volumes `[..., 10]`, to `[..., D]`."""
    dim, reach = self.config.dim, self.config.mid_move_range
    levels = (_NUM_LEVELS, _NUM_VOLUME_BINS, dim)
    rows = sum(vocab.FIELD_SIZES)
    field_table = self.param("fields", _EMBED_INIT, (rows, dim))
    level_table = self.param("levels", _EMBED_INIT, levels)
    distance_shape = (_NUM_LEVELS, _NUM_DISTANCES, dim)
    distance_table = self.param("distances", _EMBED_INIT, distance_shape)
    move_table = self.param("mid_move", _EMBED_INIT, (2 * reach + 1, dim))

    move = jnp.clip(features.mid_move, -reach, reach) + reach
    smooth = jnp.concatenate(
      [_mid_change_basis(features.mid_change), _time_basis(features.time)],
      axis=-1,
    )
    project = nn.Dense(dim, use_bias=False, name="smooth")
    levels_hot = jax.nn.one_hot(features.volumes, _NUM_VOLUME_BINS)
    distances_hot = jax.nn.one_hot(
      _distance_row(features.distances), _NUM_DISTANCES
    )
    return (
      lookup(field_table, vocab.unpack(features.index), vocab.FIELD_SIZES)
      + jnp.einsum("...lv,lvd->...d", levels_hot, level_table)
      + jnp.einsum("...lv,lvd->...d", distances_hot, distance_table)
      + lookup(move_table, move[..., None], (2 * reach + 1,))
      + project(smooth) * (2 / _NUM_PARTS) ** 0.5
    )


def _distance_row(distance: jax.Array) -> jax.Array:
  """Rows of ticks >= 0: one a tick at first, then eight to a doubling.

  Distances of 2,000 ticks and more share the last row.
  """
  row = 8 * jnp.log2(1 + distance.astype(jnp.float32) / 8)
  return jnp.minimum(row.astype(jnp.int32), _NUM_DISTANCES - 1)


def _mid_change_basis(mid_change: jax.Array) -> jax.Array:
  """Smooth functions of the ticks since the open, `[...]` -> `[..., 9]`."""
  x = jnp.arcsinh(mid_change.astype(jnp.float32) / 10.0) / 8.0
  # |x| < 1/2 for 270 ticks, < 1 for 15,000: half a turn of the first harmonic.
  return jnp.concatenate([x[..., None], _fourier(x / 2.0, 4)], axis=-1)


def _time_basis(time: jax.Array) -> jax.Array:
  """Smooth, periodic functions of seconds of the day, `[...]` -> `[..., 8]`."""
  return _fourier(time.astype(jnp.float32) / _SECONDS_PER_DAY, 4)


class Block(nn.Module):
  """One pre-norm transformer block: windowed attention, then SwiGLU."""

  config: config_lib.LmmConfig

  def setup(self):
    c = self.config
    # 2 * num_layers sublayers add to the stream: keep its variance near 1.
    out_init = nn.initializers.variance_scaling(
      0.5 / c.num_layers, "fan_in", "truncated_normal"
    )
    heads = c.num_heads + 2 * c.num_kv_heads
    self.attention_norm = norm()
    self.qkv = nn.DenseGeneral((heads, c.head_dim), use_bias=False)
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
    attend = functools.partial(attention.attend_band, window=self.config.window)
    # The weights are computed again for the gradient: that costs no time here,
    # and keeping them would take most of the memory of training.
    attended = jax.checkpoint(attend)(q, k, v)
    return self._mix(x, attended, key), (k, v)

  def decode(
    self,
    x: jax.Array,
    keys: tuple[jax.Array, ...],
    values: tuple[jax.Array, ...],
    position: jax.Array,
  ) -> tuple[jax.Array, tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Transforms one token, which takes the oldest token's place in the cache.

    Args:
      x: `[D]`
      keys: G arrays `[K, W]`, rotated.
      values: G arrays `[W, K]`.
      position: [] int32, tokens before this one.

    Returns:
      `[D]`, and the keys and values with this token.
    """
    q, k, v = self._project(x, position)
    slot = position % self.config.window
    write = lax.dynamic_update_slice
    keys = tuple(
      write(old, new[:, None], (0, slot))
      for old, new in zip(keys, k, strict=True)
    )
    values = tuple(
      write(old, new[None], (slot, 0))
      for old, new in zip(values, v, strict=True)
    )
    groups = jnp.split(q, self.config.num_kv_heads)
    attended = [
      attention.attend_cache(*group, position)
      for group in zip(groups, keys, values, strict=True)
    ]
    return self._mix(x, jnp.concatenate(attended)), keys, values

  def _project(self, x, position):
    """Queries `[..., H, K]`, keys and values `[..., G, K]`; `x` `[..., D]`."""
    c = self.config
    qkv = self.qkv(self.attention_norm(x))
    rotated = c.num_heads + c.num_kv_heads
    qk = attention.rotate(qkv[..., :rotated, :], position, base=c.rope_base)
    q, k = qk[..., : c.num_heads, :], qk[..., c.num_heads :, :]
    return q, k, qkv[..., rotated:, :]

  def _mix(self, x, attended, key=None):
    """Adds the attention `[..., H, K]`, then the SwiGLU, to `x` `[..., D]`."""
    rate = self.config.dropout if key is not None else 0.0
    attended = self.attention_out(attended)
    if rate:
      key, mlp_key = jax.random.split(key)
      attended = dropout(key, attended, rate)
    x = x + attended
    gate_up = self.gate_up(self.mlp_norm(x))
    out = self.down(jax.nn.silu(gate_up[..., 0, :]) * gate_up[..., 1, :])
    return x + (dropout(mlp_key, out, rate) if rate else out)


class Head(nn.Module):
  """The next order: its kind, then price, volume and interval, each in turn.

  Logits of field f are `W_f silu(V_f hidden + sum of e < f of table_fe[e])`, so
  the four distributions multiply to a proper one over all 49,152 orders at the
  price of 83 logits, not 49,152. The tables enter after `V_f`, which loses
  nothing (a field has its own) and makes the four `V` one matrix product.
  """

  config: config_lib.LmmConfig

  def setup(self):
    dim, sizes = self.config.dim, vocab.FIELD_SIZES
    small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
    self.inner = nn.DenseGeneral((len(sizes), dim), use_bias=False)
    self.given = [
      self.param(f"given_{f}", _EMBED_INIT, (sum(sizes[:f]), dim))
      for f in range(1, len(sizes))
    ]
    self.out = [
      nn.Dense(size, use_bias=False, kernel_init=small) for size in sizes
    ]

  def __call__(
    self, hidden: jax.Array, fields: jax.Array
  ) -> tuple[jax.Array, ...]:
    """Float32 logits of each field of the next order, given those before it.

    Args:
      hidden: `[..., D]`
      fields: `[..., 4]` int32, the order that follows; the last is not used.

    Returns:
      A tuple of `[..., 3]`, `[..., 32]`, `[..., 32]` and `[..., 16]`.
    """
    inner = self.inner(hidden)
    return tuple(
      self._logits(inner, fields[..., :f])
      for f in range(len(vocab.FIELD_SIZES))
    )

  def sample(self, hidden: jax.Array, uniforms: jax.Array) -> jax.Array:
    """Draws an order by inverse CDF, field by field.

    Args:
      hidden: `[D]`
      uniforms: `[4]` in [0, 1), one a field.

    Returns:
      `[4]` int32, the fields.
    """
    inner = self.inner(hidden)
    fields = jnp.zeros((0,), jnp.int32)
    for f in range(len(vocab.FIELD_SIZES)):
      logits = self._logits(inner, fields)
      cdf = jnp.cumsum(jnp.exp(logits - logits.max()))
      chosen = jnp.sum(cdf <= uniforms[f] * cdf[-1]).astype(jnp.int32)
      fields = jnp.concatenate([fields, chosen[None]])
    return fields

  def _logits(self, inner, earlier):
    """Logits of the field after `earlier` `[..., f]`; `inner` `[..., 4, D]`."""
    f = earlier.shape[-1]
    x = inner[..., f, :]
    if f:
      x = x + lookup(self.given[f - 1], earlier, vocab.FIELD_SIZES[:f])
    return self.out[f](jax.nn.silu(x)).astype(jnp.float32)
