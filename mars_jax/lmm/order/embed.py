"""The embedding of an order and the market around it.

Both embeddings are sums (MarS, appendix B.2.1): of the order, of the volumes of
the book, of the change of the mid since the open, and more. The order is the
sum of a table for each field, not a table of all orders; so does the released
code.

Dimensions: D embedding.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mars_jax.lmm.nn import layers
from mars_jax.lmm.order import config as config_lib
from mars_jax.tokens import features as features_lib
from mars_jax.tokens import vocab

_NUM_TICKS = 8  # From the mid to the best of a side, told apart; or more.
_SECONDS_PER_DAY = 86_400.0
_NUM_SPREADS = 32  # Spreads told apart, in ticks; or more.

_SMALL_INIT = nn.initializers.variance_scaling(0.1, "fan_in", "normal")
# So that the four fields, the change and the time have a variance of 1.
_TICKS_INIT = nn.initializers.normal(0.4)
_LAYER_NORM_EPSILON = 1e-5  # PyTorch's.


def make(config: config_lib.LmmConfig) -> nn.Module:
  """Returns the embedding of `config.inputs`."""
  if config.inputs == "ticks":
    return TicksEmbed(config)
  return LevelsEmbed(config)


class LevelsEmbed(nn.Module):
  """Sums the embeddings of order, book after it, and time.

  The order is a row of the table of each of its fields and, unless the config
  says otherwise, a projection of the numbers that these are bins of. The book
  goes through a small network: of the ten levels the volume bins, as numbers,
  and their distances from the mid; of the best of each side the distance in
  ticks; and the mid's move since the previous token. With the inputs "depth" it
  reads the spread, and of what rests by distance the volumes and the numbers of
  orders, too. The time of day is projected (in the released code it has a
  table; in the paper it is absent).

  A table for each level, of volumes and of distances, is what the paper
  suggests, and was tried: the twenty rows of the book drown those of the order,
  and few rows are seen often. The mid's change since the open is left out: it
  drifts, so that a later time or another instrument shows values that training
  has not, and it made both worse. README.md has the numbers.
  """

  config: config_lib.LmmConfig

  @nn.compact
  def __call__(self, features: features_lib.TokenFeatures) -> jax.Array:
    """Embeds tokens: leaves `[...]`, volumes `[..., 10]`, to `[..., D]`."""
    dim = self.config.dim
    sizes = self.config.field_sizes
    fields = self.param("fields", layers.TABLE_INIT, (sum(sizes), dim))
    x = layers.lookup(fields, features.symbols, sizes)
    smooth = [_time_basis(features.time)] if self.config.has_time else []
    if self.config.has_values:
      smooth.append(_value_basis(features))
    if smooth:
      basis = jnp.concatenate(smooth, axis=-1).astype(x.dtype)
      dense = nn.Dense(dim, False, kernel_init=_SMALL_INIT, name="smooth")
      x = x + dense(basis)
    if self.config.has_book:
      book = _book_basis(features)
      if self.config.inputs == "depth":
        book = jnp.concatenate([book, _depth_basis(features)], axis=-1)
      book = book.astype(x.dtype)
      book = jax.nn.silu(nn.Dense(2 * dim, name="book_in")(book))
      x = x + nn.Dense(dim, False, kernel_init=_SMALL_INIT, name="book_out")(
        book
      )
    return x


class TicksEmbed(nn.Module):
  """The embedding of the released code, which its weights fit.

  Tables for the fields, for the mid's change in basis points and for the time
  in steps of five seconds, and a normalised projection of the volumes at the
  ten ticks round the mid, read as numbers.
  """

  config: config_lib.LmmConfig

  @nn.compact
  def __call__(self, features: features_lib.TokenFeatures) -> jax.Array:
    """Embeds tokens: leaves `[...]`, volumes `[..., 10]`, to `[..., D]`."""
    dim, num_times = self.config.dim, self.config.num_times
    sizes = self.config.field_sizes
    fields = self.param("fields", _TICKS_INIT, (sum(sizes), dim))
    times = self.param("time", _TICKS_INIT, (num_times, dim))
    row = _seconds_open(features.time, self.config.session)
    x = layers.lookup(fields, features.symbols, sizes)
    x = x + times[row // config_lib.SECONDS_PER_ROW]
    if self.config.has_book:
      most = features_lib.MAX_BASIS_POINTS
      changes = self.param("mid_change", _TICKS_INIT, (2 * most + 1, dim))
      slots = nn.Dense(dim, name="book")(features.volumes.astype(x.dtype))
      normed = nn.LayerNorm(_LAYER_NORM_EPSILON, name="book_norm")(slots)
      x = x + changes[features.mid_change + most] + normed
    if self.config.has_values:
      basis = _value_basis(features).astype(x.dtype)
      x = x + nn.Dense(dim, use_bias=False, name="smooth")(basis)
    return x


def _seconds_open(time: jax.Array, session) -> jax.Array:
  """Returns the seconds of trading until a time, `[...]` int32."""
  return sum(
    jnp.clip(time, start, stop) - jnp.int32(start) for start, stop in session
  )


def _fourier(x: jax.Array, num_harmonics: int) -> jax.Array:
  """Sines and cosines of 1 to n turns: `[...]` -> `[..., 2 n]`."""
  harmonics = np.arange(1, num_harmonics + 1, dtype=np.float32)
  lead = (1,) * x.ndim
  angle = x[..., None] * (2 * np.pi * harmonics).reshape(*lead, num_harmonics)
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def _book_basis(features: features_lib.TokenFeatures) -> jax.Array:
  """Basis functions of the book levels and the mid's move.

  From `[...]` to `[..., 48]`.
  """
  used = (features.volumes > 0).astype(jnp.float32)
  volumes = features.volumes.astype(jnp.float32) / vocab.NUM_VOLUMES
  distances = jnp.log1p(features.distances.astype(jnp.float32)) / 4.0
  best = features.distances[..., :: features_lib.NUM_LEVELS]  # Of each side.
  ticks = jax.nn.one_hot(jnp.minimum(best, _NUM_TICKS - 1), _NUM_TICKS)
  ticks = ticks.reshape(*best.shape[:-1], -1)
  move = jnp.arcsinh(features.mid_move.astype(jnp.float32)) / 2.0
  moves = jnp.stack([move, jnp.sign(move)], axis=-1)
  return jnp.concatenate([volumes, used, distances, ticks, moves], axis=-1)


def _depth_basis(features: features_lib.TokenFeatures) -> jax.Array:
  """Basis functions of the spread and the depth.

  From `[...]` to `[..., 178]`.
  """
  best = features.distances[..., :: features_lib.NUM_LEVELS]
  spread = best.sum(axis=-1)
  ticks = jax.nn.one_hot(jnp.minimum(spread, _NUM_SPREADS - 1), _NUM_SPREADS)
  log_spread = jnp.log1p(spread.astype(jnp.float32)) / 22.0
  distances = jnp.log1p(features.distances.astype(jnp.float32)) / 11.0
  smooth = jnp.concatenate(
    [
      _fourier(log_spread, 8),
      _fourier(distances[..., :: features_lib.NUM_LEVELS], 4).reshape(
        *spread.shape, -1
      ),
    ],
    axis=-1,
  )
  # The volumes at the best prices as well, each bin told apart.
  touch = features.volumes[..., :: features_lib.NUM_LEVELS]
  touch = jax.nn.one_hot(touch, vocab.NUM_VOLUMES + 1)
  touch = touch.reshape(*spread.shape, -1)
  volume = jnp.log1p(features.depth.volume.astype(jnp.float32)) / 4.0
  orders = jnp.log1p(features.depth.orders.astype(jnp.float32)) / 2.0
  depth = jnp.concatenate([volume, orders], axis=-1)
  depth = depth.reshape(*spread.shape, -1)
  return jnp.concatenate([ticks, touch, smooth, depth], axis=-1)


def _time_basis(time: jax.Array) -> jax.Array:
  """Smooth periodic functions of the time of day.

  From seconds `[...]` to `[..., 8]`.
  """
  return _fourier(time.astype(jnp.float32) / _SECONDS_PER_DAY, 4)


def _value_basis(features: features_lib.TokenFeatures) -> jax.Array:
  """Smooth functions of price, volume and interval.

  From `[...]` to `[..., 51]`.

  All are logarithmic in the end, over the whole of int32: a turn of the first
  harmonic is half of it, and the last tells values apart that differ by 30 %.
  """
  offset = jnp.arcsinh(features.price_offset.astype(jnp.float32))
  volume = jnp.log1p(features.order_volume.astype(jnp.float32))
  interval = jnp.log1p(features.interval.astype(jnp.float32))
  x = jnp.stack([offset, volume, interval], axis=-1) / 22.0  # ln 2**31 = 21.5
  smooth = jnp.concatenate([x[..., None], _fourier(x / 2.0, 8)], axis=-1)
  return smooth.reshape(*x.shape[:-1], -1)
