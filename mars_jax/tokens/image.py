"""A minute of orders as an image (paper App. C.3).

Pixel `[c, h, w]` is how many orders of kind c the minute has whose volume falls
into slot h and whose price, against the mid at the beginning of the minute,
falls into slot w: the paper's C, H, W. The channels are the kinds of
`tokens.vocab`: ask, bid, cancel. A pixel holds at most 100; what exceeds that
is cut and counted.

Choices where the paper is silent: the slots are quantile bins, the volume's
those of the order model; the mid at the beginning of a minute is that of the
book which its first order met; a minute without an order has no image, so that
breaks of the session have none either.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mars_jax.tokens import bins as bins_lib
from mars_jax.tokens import vocab

SHAPE = (vocab.NUM_KINDS, vocab.NUM_VOLUMES, vocab.NUM_PRICES)
MAX_COUNT = 100  # Of one pixel.
MINUTE = 60_000_000_000  # In nanoseconds.


@struct.dataclass
class ImageBins:
  """The slots of an image."""

  price: bins_lib.Bins  # 32 bins of ticks from the mid as the minute begins
  volume: bins_lib.Bins  # 32 bins of lots


def price_offsets(
  time: np.ndarray, price: np.ndarray, mid_before: np.ndarray
) -> np.ndarray:
  """Returns distances of orders from the mid of their minute.

  That is the mid as their minute begins.

  Args:
    time: int64 `[T]` nanoseconds since midnight, of one day's orders, of which
      no minute is cut at its beginning.
    price: integers `[T]` ticks.
    mid_before: integers `[T]` ticks, of the book that each order met.

  Returns:
    Integers `[T]` ticks: what `ImageBins.price` is fitted to.
  """
  _, first, place = np.unique(
    time // MINUTE, return_index=True, return_inverse=True
  )
  return price - mid_before[first][place]


def minute_images(
  time: np.ndarray,
  kind: np.ndarray,
  price: np.ndarray,
  volume: np.ndarray,
  mid_before: np.ndarray,
  *,
  bins: ImageBins,
) -> tuple[np.ndarray, np.ndarray, int]:
  """Returns the images of all minutes with an order.

  Args:
    time: int64 `[T]` nanoseconds since midnight, in order, of one day. A minute
      begins at its first nanosecond, which is not of the minute before.
    kind: integers `[T]`, `vocab.KIND_ASK` and so on.
    price: integers `[T]` ticks.
    volume: integers `[T]` lots.
    mid_before: integers `[T]` ticks, of the book that each order met.
    bins: the slots.

  Returns:
    The minutes, int32 `[M]` since midnight, ascending; their images, uint8
    `[M, 3, 32, 32]` in [0, 100]; and how many orders are not in them since
    their pixel is full.

  Raises:
    ValueError: if a kind is none of `vocab`.
  """
  minute, place = np.unique(time // MINUTE, return_inverse=True)
  price_slot = np.searchsorted(
    bins.price.edges, price_offsets(time, price, mid_before)
  )
  volume_slot = np.searchsorted(bins.volume.edges, volume)
  pixel = np.ravel_multi_index((kind, volume_slot, price_slot), SHAPE)
  size = np.prod(SHAPE)
  counts = np.bincount(place * size + pixel, minlength=len(minute) * size)
  images = np.minimum(counts, MAX_COUNT).astype(np.uint8)
  num_cut = len(time) - int(images.sum())
  return minute.astype(np.int32), images.reshape(-1, *SHAPE), num_cut


def encode(
  bins: ImageBins,
  kind: jax.Array,
  price_offset: jax.Array,
  volume: jax.Array,
  mask: jax.Array,
) -> jax.Array:
  """Returns counts of one minute, int32 `[3, 32, 32]`, uncut.

  Args:
    bins: the slots.
    kind: int32 `[T]`, `vocab.KIND_ASK` and so on.
    price_offset: int32 `[T]` ticks from the mid as the minute begins.
    volume: int32 `[T]` lots.
    mask: bool `[T]`, which orders are of the minute.
  """
  volume_slot = bins_lib.encode(bins.volume, volume)
  price_slot = bins_lib.encode(bins.price, price_offset)
  empty = jnp.zeros(SHAPE, jnp.int32)
  return empty.at[kind, volume_slot, price_slot].add(mask.astype(jnp.int32))
