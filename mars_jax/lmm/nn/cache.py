"""Key/value caches: keys and values of the last W tokens.

A ring buffer of each layer and key/value head. Keys are stored rotated at their
absolute position: attention depends on differences of positions only, so the
window slides without touching them.

Trajectories that decode in step (`jax.vmap` with `AXES`) write the same slot of
their ring buffers, so that the update is a slice. Trajectories with one history
need not each hold it: `share` makes it a prefix that all of them read at once,
and starts a ring buffer for what each appends. A trajectory that sits some
steps out (`is_new` of `transformer.apply_token`) keeps its tokens and falls
behind in its ring buffer; before it goes on, `align` brings the newest tokens
of all trajectories to the same slot again.

Dimensions: B trajectories, T tokens, W window, S >= W slots, G key/value heads,
K head dimension.
"""

import jax
import jax.numpy as jnp
from flax import struct

from mars_jax.lmm.nn import attention
from mars_jax.lmm.nn import config as config_lib
from mars_jax.lmm.nn import layers as layers_lib
from mars_jax.utils import axes


@struct.dataclass
class KvCache:
  """The tokens that one trajectory attends to."""

  keys: tuple[tuple[jax.Array, ...], ...]  # layers x G x [K, S]
  values: tuple[tuple[jax.Array, ...], ...]  # layers x G x [S, K]
  # Of the tokens that trajectories share, alike, or None.
  prefix_keys: tuple[tuple[jax.Array, ...], ...] | None
  prefix_values: tuple[tuple[jax.Array, ...], ...] | None
  position: jax.Array  # [] int32, tokens seen, < 2 ** 31
  prefix_length: jax.Array  # [] int32, of these before the ring buffer
  num_skipped: jax.Array  # [] int32, steps sat out since the last `align`
  num_steps: jax.Array  # [] int32, decode steps, the same for all trajectories
  # [] int32, tokens in the shortest ring buffer of the batch.
  min_length: jax.Array


AXES = axes.of(
  KvCache,
  0,
  prefix_keys=None,
  prefix_values=None,
  prefix_length=None,
  num_steps=None,
  min_length=None,
)
"""The axes of the caches of trajectories of one history, for `jax.vmap`."""


def init(*, config: config_lib.TransformerConfig) -> KvCache:
  """An empty cache: decoding from it equals `apply` on the whole sequence."""
  dtype = config.compute_dtype
  shapes = [
    (config.head_dim, attention.num_slots(window)) for window in config.windows
  ]
  groups = config.num_kv_heads
  zero = jnp.zeros((), jnp.int32)
  return KvCache(
    keys=tuple((jnp.zeros(shape, dtype),) * groups for shape in shapes),
    values=tuple((jnp.zeros(shape[::-1], dtype),) * groups for shape in shapes),
    prefix_keys=None,
    prefix_values=None,
    position=zero,
    prefix_length=zero,
    num_skipped=zero,
    num_steps=zero,
    min_length=zero,
  )


def of_sequence(
  keys: list[jax.Array],
  values: list[jax.Array],
  *,
  config: config_lib.TransformerConfig,
) -> KvCache:
  """Returns the cache of a sequence, to decode from T.

  Args:
    keys, values: `[T, G, K]` of each layer, keys rotated.
    config: the transformer.
  """
  length = jnp.asarray(len(keys[0]), jnp.int32)
  slots = [attention.num_slots(window) for window in config.windows]
  keys, values = (map(_ring, kind, slots) for kind in (keys, values))
  zero = jnp.zeros((), jnp.int32)
  return KvCache(
    keys=tuple(tuple(head.T for head in layer) for layer in keys),
    values=tuple(tuple(layer) for layer in values),
    prefix_keys=None,
    prefix_values=None,
    position=length,
    prefix_length=zero,
    num_skipped=zero,
    num_steps=length,
    min_length=length,
  )


def _ring(x: jax.Array, slots: int) -> jax.Array:
  """Puts the last S tokens into slots t % S.

  Args:
    x: `[T, G, K]`
    slots: S.

  Returns:
    `[G, S, K]`, zeros in the slots that are not used yet.
  """
  length = len(x)
  if length < slots:
    x = jnp.pad(x, [(0, slots - length), (0, 0), (0, 0)])
  else:
    x = jnp.roll(x[-slots:], length % slots, axis=0)
  return x.transpose(1, 0, 2)


def share(cache: KvCache) -> KvCache:
  """Makes a cache's tokens a shared prefix, with empty buffers.

  Batched with `AXES`, trajectories then have one prefix, and decode the same.

  Args:
    cache: without a prefix.

  Raises:
    ValueError: if it has a prefix already.
  """
  if cache.prefix_keys is not None:
    raise ValueError("the cache has a prefix already; share it once")
  zero = jnp.zeros((), jnp.int32)
  return cache.replace(
    keys=jax.tree.map(jnp.zeros_like, cache.keys),
    values=jax.tree.map(jnp.zeros_like, cache.values),
    prefix_keys=cache.keys,
    prefix_values=cache.values,
    prefix_length=cache.position,
    num_steps=zero,
    min_length=zero,
  )


def align(cache: KvCache) -> KvCache:
  """Aligns trajectories that sat steps out with the others.

  Args:
    cache: of one trajectory, or batched along leading axes of `num_skipped`.
  """

  def roll(x: jax.Array, axis: int) -> jax.Array:
    slots = x.shape[axis]
    slot = jnp.arange(slots).reshape(*(1,) * cache.num_skipped.ndim, slots)
    index = (slot - cache.num_skipped[..., None]) % slots
    return jnp.take_along_axis(x, jnp.expand_dims(index, -3 - axis), axis)

  def roll_all(keys, values):
    keys = jax.tree.map(lambda x: roll(x, -1), keys)
    return keys, jax.tree.map(lambda x: roll(x, -2), values)

  keys, values = jax.lax.cond(
    (cache.num_skipped > 0).any(),
    roll_all,
    lambda *same: same,
    cache.keys,
    cache.values,
  )
  own = cache.position - _lead(cache.prefix_length, cache.position)
  return cache.replace(
    keys=keys,
    values=values,
    num_skipped=jnp.zeros_like(cache.num_skipped),
    min_length=own.min().astype(jnp.int32),
  )


def _lead(x: jax.Array, like: jax.Array) -> jax.Array:
  """Adds trailing axes of size 1 to match `like`."""
  return x.reshape(*x.shape, *(1,) * (like.ndim - x.ndim))


def place(
  cache: KvCache, is_new: jax.Array, *, window: int
) -> layers_lib.DecodePosition:
  """Returns where the next token of a trajectory stands.

  Args:
    cache: of the tokens before it.
    is_new: bool `[]`, whether it enters the cache.
    window: W, of a layer.
  """
  slots = attention.num_slots(window)
  last = cache.prefix_length - 1
  token = last - (last - jnp.arange(slots)) % slots  # In each slot, or < 0.
  return layers_lib.DecodePosition(
    position=cache.position,
    newest=cache.num_steps,
    length=jnp.minimum(cache.position - cache.prefix_length + 1, window),
    is_new=is_new,
    prefix_age=jnp.where(token >= 0, cache.position - token, -1),
    sees_prefix=cache.min_length < window,
  )


def layers(cache: KvCache) -> list[layers_lib.LayerCache]:
  """Returns the cache of each layer."""
  names = ("keys", "values", "prefix_keys", "prefix_values")
  nothing = (None,) * len(cache.keys)
  columns = [getattr(cache, name) or nothing for name in names]
  return [layers_lib.LayerCache(*row) for row in zip(*columns, strict=True)]


def advance(
  cache: KvCache,
  layers: list[layers_lib.LayerCache],
  is_new: jax.Array,
) -> KvCache:
  """Returns the cache after a token, which `layers` have."""
  return cache.replace(
    keys=tuple(layer.keys for layer in layers),
    values=tuple(layer.values for layer in layers),
    position=cache.position + is_new,
    num_skipped=cache.num_skipped + ~is_new,
    num_steps=cache.num_steps + 1,
    min_length=cache.min_length + 1,
  )
