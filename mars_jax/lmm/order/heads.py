"""The heads of the order model: distributions of the next order.

A head scores an order and draws one. Both heads give a proper distribution over
all orders of the alphabet, and both split it the same way: each field given
those before it. So the nats per order of two heads of one alphabet compare.

Dimensions: D embedding, F fields of the alphabet.
"""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from mars_jax.lmm.nn import layers
from mars_jax.tokens import vocab

_TINY = 1e-38  # Above which float32 keeps its precision.

# Near-uniform predictions at first.
_SMALL_INIT = nn.initializers.variance_scaling(
  0.01, "fan_in", "truncated_normal"
)


class FactoredHead(nn.Module):
  """The next order, field after field of the alphabet.

  Logits of field f are `W_f silu(V_f hidden + sum of e < f of table_fe[e])`, so
  the distributions multiply to a proper one over all orders, at the price of 83
  logits, not 49,152, for those of the paper. The tables enter after `V_f`,
  which loses nothing (a field has its own) and makes all `V` one matrix
  product.
  """

  dim: int
  sizes: tuple[int, ...]  # Symbols of each field.

  def setup(self):
    dim, sizes = self.dim, self.sizes
    self.inner = nn.DenseGeneral((len(sizes), dim), use_bias=False)
    self.given = [
      self.param(f"given_{f}", layers.TABLE_INIT, (sum(sizes[:f]), dim))
      for f in range(1, len(sizes))
    ]
    self.out = [
      nn.Dense(size, use_bias=False, kernel_init=_SMALL_INIT) for size in sizes
    ]

  def log_prob(
    self, hidden: jax.Array, fields: jax.Array, bias: jax.Array | None = None
  ) -> jax.Array:
    """Scores orders: `[..., D]`, int32 `[..., F]` to float32 `[..., F]`.

    `bias` `[K, V]` is added to the logits of the V symbols of all fields, the
    row of the order's first field, which has K.
    """
    parts = []
    for f, x in enumerate(self.logits(hidden, fields, bias)):
      hot = jax.nn.one_hot(fields[..., f], x.shape[-1], dtype=x.dtype)
      parts.append(jnp.sum(hot * jax.nn.log_softmax(x), axis=-1))
    return jnp.stack(parts, axis=-1)

  def logits(
    self, hidden: jax.Array, fields: jax.Array, bias: jax.Array | None = None
  ) -> list[jax.Array]:
    """Returns the logits of each field: of `[..., D]`, `[..., F]`."""
    inner = self.inner(hidden)
    return [
      self._logits(inner, fields[..., :f], bias) for f in range(len(self.sizes))
    ]

  def sample(
    self, hidden: jax.Array, uniforms: jax.Array, bias: jax.Array | None = None
  ) -> jax.Array:
    """Draws the fields, by a uniform each: `[D]`, `[F]` to int32 `[F]`."""
    inner = self.inner(hidden)
    fields = jnp.zeros((0,), jnp.int32)
    for uniform in uniforms:
      chosen = _draw(_weights(self._logits(inner, fields, bias)), uniform)
      fields = jnp.append(fields, chosen)
    return fields

  def _logits(self, inner, earlier, bias):
    """Logits of the field after `earlier` `[..., f]`; `inner` `[..., F, D]`."""
    f = earlier.shape[-1]
    x = inner[..., f, :]
    if f:
      table = self.given[f - 1]
      x = x + layers.lookup(table, earlier, self.sizes[:f])
    logits = self.out[f](jax.nn.silu(x)).astype(jnp.float32)
    if bias is None:
      return logits
    return logits + bias_of(bias, earlier, self.sizes)


def bias_of(
  bias: jax.Array, earlier: jax.Array, sizes: tuple[int, ...]
) -> jax.Array:
  """Returns the bias of the field after `earlier` `[..., f]`.

  `bias` is `[K, V]`; the first field has that of row 0.
  """
  f = earlier.shape[-1]
  first = sum(sizes[:f])
  lead = earlier.shape[:-1]
  kind = earlier[..., 0] if f else jnp.zeros(lead, jnp.int32)
  return bias[kind, first : first + sizes[f]]


class JointHead(nn.Module):
  """One softmax over all orders, the paper's."""

  dim: int
  sizes: tuple[int, ...]  # Symbols of each field.

  def setup(self):
    shape = (math.prod(self.sizes), self.dim)
    init = nn.initializers.variance_scaling(
      0.01, "fan_in", "truncated_normal", in_axis=1, out_axis=0
    )
    self.kernel = self.param("kernel", init, shape)

  def log_prob(self, hidden: jax.Array, fields: jax.Array) -> jax.Array:
    """Scores orders: `[..., D]`, int32 `[..., 4]` to float32 `[..., 4]`.

    Its logits take 192 KiB a token: give it few at once.
    """
    levels = self._levels(hidden)
    index = vocab.pack(fields)
    # The gradient of the sum of the parts is that of the whole, which is
    # cheaper: the parts are numbers to report.
    row = self.kernel[index].astype(jnp.float32)
    total = jnp.sum(hidden.astype(jnp.float32) * row, axis=-1) - levels[0]
    sums = [jax.lax.stop_gradient(level) for level in levels]
    scores = [sums[0]]
    for f in range(len(self.sizes) - 1):
      scores.append(_pick(sums[f + 1], fields[..., : f + 1]))
    parts = [b - a for a, b in itertools.pairwise(scores)]
    known = sum(parts)
    return jnp.stack([*parts, total - known], axis=-1)

  def sample(self, hidden: jax.Array, uniforms: jax.Array) -> jax.Array:
    """Draws the four fields, by a uniform each: `[D]`, `[4]` to int32 `[4]`.

    Kind and price at a time, the weights of volumes are summed over intervals:
    the logits of all orders are never in memory at once, and of those drawn the
    16 intervals are computed again.
    """
    kinds, prices, volumes, intervals = self.sizes
    rows = self.kernel.reshape(kinds * prices, volumes, intervals, -1)

    def logits(kernel):
      return jnp.matmul(kernel, hidden, preferred_element_type=jnp.float32)

    def add(_, kernel):
      x = logits(kernel)
      most = x.max()
      return None, (most, jnp.exp(x - most).sum(axis=-1))

    _, (most, weights) = jax.lax.scan(add, None, rows)
    weights *= jnp.exp(most - most.max())[:, None]
    by_price = weights.sum(axis=-1).reshape(kinds, prices)
    kind = _draw(by_price.sum(axis=-1), uniforms[0])
    price = _draw(by_price[kind], uniforms[1])
    row = kind * prices + price
    volume = _draw(weights[row], uniforms[2])
    interval = _draw(_weights(logits(rows[row, volume])), uniforms[3])
    return jnp.stack([kind, price, volume, interval])

  def _levels(self, hidden):
    """Log-sum-exps of logits over the fields not yet known.

    Returns:
      Float32 `[...]`, `[..., 3]`, `[..., 3, 32]`, `[..., 3, 32, 32]`, and the
      logits `[..., 3, 32, 32, 16]`: the logits of a field given those before it
      are the elements of its level at these. Sums that are `exp(-87)` of the
      greatest term and less are taken for that.
    """
    logits = jnp.einsum(
      "...d,vd->...v", hidden, self.kernel, preferred_element_type=jnp.float32
    )
    most = jax.lax.stop_gradient(logits.max(axis=-1))
    shape = (*hidden.shape[:-1], *self.sizes)
    sums = jnp.exp(logits - most[..., None]).reshape(shape)
    levels = [logits.reshape(shape)]
    for f in reversed(range(len(self.sizes))):
      sums = sums.sum(axis=-1)
      known = most.reshape(*most.shape, *(1,) * f)
      levels.insert(0, known + jnp.log(jnp.maximum(sums, _TINY)))
    return levels


def _pick(level, fields):
  """Selects elements by fields.

  From `[..., n_1, .., n_f, ...]` at the fields `[..., f]`.
  """
  lead, count = fields.ndim - 1, fields.shape[-1]
  sizes, rest = level.shape[lead : lead + count], level.shape[lead + count :]
  row = jnp.zeros(fields.shape[:-1], jnp.int32)
  for f, size in enumerate(sizes):
    row = row * size + fields[..., f]
  shape = (*level.shape[:lead], math.prod(sizes), math.prod(rest))
  rows = level.reshape(shape)
  picked = jnp.take_along_axis(rows, row[..., None, None], axis=-2)
  return picked.reshape(*level.shape[:lead], *rest)


def _weights(logits):
  """Returns probabilities of `[n]` logits, times a number."""
  return jnp.exp(logits - logits.max())


def _draw(weights, uniform):
  """Draws by inverse CDF: `[n]` weights and a uniform to an int32."""
  cdf = jnp.cumsum(weights)
  return jnp.sum(cdf <= uniform * cdf[-1]).astype(jnp.int32)


HEADS = {"factored": FactoredHead, "joint": JointHead}
"""The heads by name, `LmmConfig.head`; methods `log_prob` and `sample`."""
