"""Rotary positions and sliding-window attention, as pure functions.

One sequence or one token at a time; batch with `jax.vmap`. Softmaxes and angles
are float32 whatever the inputs are. A token attends to itself and to the
`window - 1` before it.

Dimensions: T tokens, W window, H query heads, G key/value heads (H = G * R),
K head dimension, C tokens of a chunk, S keys that a chunk can see, or slots of
a ring buffer.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

_MASKED = -1e30  # Finite, so that a masked row can never become NaN.

# Queries of one chunk in `attend_band`. Scores cost T * (window + C), so small
# chunks waste little, but too small ones make poor matrix products.
CHUNK = 64

BLOCK = 64  # Slots that `attend_cache` takes at once.


@struct.dataclass
class SoftmaxState:
  """A partial softmax over some of the attended tokens.

  What it mixes is `mixed / weight`.
  """

  most: jax.Array  # [R] float32, the greatest score
  weight: jax.Array  # [R] float32, the sum of exp(score - most)
  mixed: jax.Array  # [R, K] float32, the sum of exp(score - most) value


def rotate(x: jax.Array, position: jax.Array, *, base: float) -> jax.Array:
  """Applies rotary position embedding (RoPE) to pairs of elements.

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
  """Returns the mask of attended keys, `[count, C, S]` bool."""
  shape = (count, size, (back + 1) * size)
  chunk = lax.broadcasted_iota(jnp.int32, shape, 0)
  query = lax.broadcasted_iota(jnp.int32, shape, 1) + back * size
  key = lax.broadcasted_iota(jnp.int32, shape, 2)
  real = key >= (back - chunk) * size  # Not the zeros before the first token.
  return real & (key <= query) & (key > query - window)


def attend_prefix(
  queries: jax.Array,
  keys: jax.Array,
  values: jax.Array,
  age: jax.Array,
  *,
  window: int,
) -> SoftmaxState:
  """Attends to the shared prefix of many trajectories.

  Under `jax.vmap` over the queries alone, that is one matrix product for all
  trajectories: the history is read once.

  Args:
    queries: `[R, K]`, rotated and scaled.
    keys: `[K, S]`, rotated.
    values: `[S, K]`
    age: `[S]` int32, how many tokens before this one each is; below 0 for a
      slot that is empty.
    window: W.
  """
  scores = jnp.matmul(queries, keys, preferred_element_type=jnp.float32)
  return _sums(scores, (age >= 0) & (age < window), values)


def attend_cache(
  queries: jax.Array,
  keys: jax.Array,
  values: jax.Array,
  before: SoftmaxState,
  *,
  newest: jax.Array,
  length: jax.Array,
) -> jax.Array:
  """Attends from one token to its ring buffer.

  For one key/value head.

  Block by block, and only of those blocks that are in use: the softmax is kept
  as sums, scaled by the greatest score so far.

  Args:
    queries: `[R, K]`, rotated and scaled.
    keys: `[K, S]`, rotated, this token's among them; in this layout the scores
      are a plain matrix product.
    values: `[S, K]`
    before: the sums over what else the token attends to, or `no_sums`.
    newest: [] int32, tokens that were written before this one: its slot is
      `newest % S`. One number for all trajectories, so that they loop together.
    length: [] int32, tokens to attend to, this one too, <= S.

  Returns:
    `[R, K]`
  """
  slots = keys.shape[-1]
  size = block_size(slots)

  def add(i: jax.Array, sums: SoftmaxState) -> SoftmaxState:
    start = i * size
    block = lax.dynamic_slice_in_dim(keys, start, size, axis=1)
    scores = jnp.matmul(queries, block, preferred_element_type=jnp.float32)
    age = (newest - start - jnp.arange(size)) % slots
    rows = lax.dynamic_slice_in_dim(values, start, size)
    return _add(sums, _sums(scores, age < length, rows))

  used = jnp.minimum(newest // size + 1, slots // size)
  sums = lax.fori_loop(0, used, add, before)
  return (sums.mixed / sums.weight[:, None]).astype(values.dtype)


def no_sums(num_queries: int, head_dim: int) -> SoftmaxState:
  """Returns the sums over nothing."""
  return SoftmaxState(
    most=jnp.full((num_queries,), _MASKED, jnp.float32),
    weight=jnp.zeros((num_queries,), jnp.float32),
    mixed=jnp.zeros((num_queries, head_dim), jnp.float32),
  )


def num_slots(window: int) -> int:
  """Returns the slots S of a ring buffer: the window in whole blocks."""
  size = min(BLOCK, window)
  return -(-window // size) * size


def block_size(slots: int) -> int:
  """Returns the block size for a ring buffer of S."""
  return min(BLOCK, slots)


def _sums(
  scores: jax.Array, is_seen: jax.Array, values: jax.Array
) -> SoftmaxState:
  """Sums over some slots: `[R, n]`, `[n]` bool and `[n, K]`."""
  scores = jnp.where(is_seen[None], scores, _MASKED)
  most = scores.max(axis=-1)
  weights = jnp.where(is_seen[None], jnp.exp(scores - most[:, None]), 0.0)
  mixed = jnp.matmul(
    weights.astype(values.dtype), values, preferred_element_type=jnp.float32
  )
  return SoftmaxState(most=most, weight=weights.sum(axis=-1), mixed=mixed)


def _add(a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
  """Sums over the slots of both."""
  most = jnp.maximum(a.most, b.most)
  scale_a, scale_b = jnp.exp(a.most - most), jnp.exp(b.most - most)
  return SoftmaxState(
    most=most,
    weight=a.weight * scale_a + b.weight * scale_b,
    mixed=a.mixed * scale_a[:, None] + b.mixed * scale_b[:, None],
  )
