"""Rotary positions and sliding-window attention, as pure functions.

One sequence or one token at a time; batch with `jax.vmap`. Softmaxes and angles
are float32 whatever the inputs are. A token attends to itself and to the
`window - 1` before it.

Dimensions: T tokens, W window, H query heads, G key/value heads (H = G * R),
K head dimension, C tokens of a chunk, S keys that a chunk can see.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_MASKED = -1e30  # Finite, so that a masked row can never become NaN.

# Queries of one chunk in `attend_band`. Scores cost T * (window + C), so small
# chunks waste little, but too small ones make poor matrix products.
CHUNK = 64


def rotate(x: jax.Array, position: jax.Array, *, base: float) -> jax.Array:
  """Rotates pairs of elements by angles proportional to the position (RoPE).

  Element `i` is paired with `i + K / 2` and turns by `base ** (-2 i / K)`
  radians a token (Su et al., arXiv:2104.09864; the layout is LLaMA's).

  The product of position and frequency in float32 would lose the angle as the
  position grows: 0.06 rad are lost after a million tokens. So the angle is kept
  as a fraction of a turn in 32-bit fixed point, where the product wraps round
  exactly: the rotation between two tokens depends on their distance only,
  however far the window has slid.

  Args:
    x: `[..., H, K]` queries or keys.
    position: `[...]` int32, tokens before this one.
    base: see `LmmConfig.rope_base`.

  Returns:
    `[..., H, K]`, rotated.
  """
  half = x.shape[-1] // 2
  frequency = base ** (-np.arange(half) / half)
  turn = np.round(frequency / (2 * np.pi) * 2.0**32).astype(np.uint32)
  lead = (1,) * position.ndim
  phase = position.astype(jnp.uint32)[..., None] * turn.reshape(*lead, half)
  turns = lax.bitcast_convert_type(phase, jnp.int32).astype(jnp.float32)
  angle = turns[..., None, :] * (2 * np.pi / 2.0**32)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  a, b = x[..., :half], x[..., half:]
  rotated = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return rotated.astype(x.dtype)


def attend_band(
  queries: jax.Array, keys: jax.Array, values: jax.Array, *, window: int
) -> jax.Array:
  """Causal attention within a sliding window over one whole sequence.

  The sequence is cut into chunks of C queries, and each chunk sees its own keys
  and those of the chunks that the window reaches, so time and memory grow as
  `T * (window + C)` and not as `T ** 2`.

  Args:
    queries: `[T, H, K]`, rotated.
    keys: `[T, G, K]`, rotated.
    values: `[T, G, K]`.
    window: W, >= 1.

  Returns:
    `[T, H, K]`; row `t` depends on tokens `t - window + 1` to `t` only.
  """
  length, num_heads, head_dim = queries.shape
  num_groups = keys.shape[1]
  size = min(CHUNK, length)
  count = -(-length // size)
  back = min(-(-(window - 1) // size), count - 1)

  def chunk(x):  # [T, ...] -> [count, C, ...], zeros at the end
    pad = [(0, count * size - length)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, pad).reshape(count, size, *x.shape[1:])

  def seen(x):  # [T, G, K] -> [count, S, G, K], zeros before the first token
    x = jnp.pad(chunk(x), [(back, 0), (0, 0), (0, 0), (0, 0)])
    return jnp.concatenate([x[i : i + count] for i in range(back + 1)], axis=1)

  q = chunk(queries).reshape(count, size, num_groups, -1, head_dim)
  scores = jnp.einsum(
    "ncgrk,nsgk->ngrcs", q, seen(keys), preferred_element_type=jnp.float32
  )
  scores = scores * head_dim**-0.5
  mask = _band_mask(count, size, back, window)[:, None, None]
  weights = jax.nn.softmax(jnp.where(mask, scores, _MASKED), axis=-1)
  weights = weights.astype(values.dtype)
  mixed = jnp.einsum("ngrcs,nsgk->ncgrk", weights, seen(values))
  return mixed.reshape(count * size, num_heads, head_dim)[:length]


def _band_mask(count: int, size: int, back: int, window: int) -> jax.Array:
  """Which keys each query of each chunk attends to, `[count, C, S]` bool."""
  shape = (count, size, (back + 1) * size)
  chunk = lax.broadcasted_iota(jnp.int32, shape, 0)
  query = lax.broadcasted_iota(jnp.int32, shape, 1) + back * size
  key = lax.broadcasted_iota(jnp.int32, shape, 2)
  real = key >= (back - chunk) * size  # Not the zeros before the first token.
  return real & (key <= query) & (key > query - window)


def attend_cache(
  queries: jax.Array, keys: jax.Array, values: jax.Array, position: jax.Array
) -> jax.Array:
  """Attention of one token, for one key/value head, to its ring buffer.

  Args:
    queries: `[R, K]`, rotated.
    keys: `[K, W]`, rotated, this token's among them; in this layout the scores
      are a plain matrix product.
    values: `[W, K]`
    position: [] int32, tokens before this one; slots above it are still empty.

  Returns:
    `[R, K]`
  """
  scores = jnp.matmul(
    queries * queries.shape[-1] ** -0.5,
    keys,
    preferred_element_type=jnp.float32,
  )
  filled = (jnp.arange(keys.shape[-1]) <= position)[None]
  weights = jax.nn.softmax(jnp.where(filled, scores, _MASKED))
  return weights.astype(values.dtype) @ values
