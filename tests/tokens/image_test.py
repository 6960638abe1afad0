"""Tests of order images: an example, and three ways."""

import jax
import numpy as np
import pytest

from mars_jax.tokens import bins
from mars_jax.tokens import image
from mars_jax.tokens import vocab

ASK, BID, CANCEL = vocab.KIND_ASK, vocab.KIND_BID, vocab.KIND_CANCEL
SECOND = 1_000_000_000
TEN = 600 * 60 * SECOND  # Ten o'clock.


def make_bins(edges):
  """Bins that are given by their edges and never decoded."""
  edges = np.asarray(edges, np.int32)
  return bins.Bins(
    edges=edges,
    samples=np.zeros((len(edges) + 1, bins.NUM_SAMPLES), np.int32),
  )


# Slots that can be told by eye: ticks + 16; 1 to 10 shares are slot 1 and 11 to
# 50 slot 2, as on the slides, and slot 0 has none.
BINS = image.ImageBins(
  price=make_bins(np.arange(31) - 16),
  volume=make_bins([0, 10, 50, *range(100, 2900, 100)]),
)


@pytest.fixture(autouse=True)
def strict_dtypes():
  with jax.numpy_dtype_promotion("strict"):
    yield


def put(*columns):
  """Numbers as int32 arrays."""
  return [np.asarray(column, np.int32) for column in columns]


def day(rows):
  """(time, kind, price, volume, mid before) as arrays."""
  time, *rest = zip(*rows, strict=True)
  return np.array(time, np.int64), *put(*rest)


def nonzero(images):
  """{index: count} of the pixels that are not 0."""
  return {
    tuple(index): int(images[tuple(index)])
    for index in np.argwhere(images).tolist()
  }


def random_day(seed, size=3_000):
  """Ten minutes at a moving mid, with a break."""
  rng = np.random.default_rng(seed)
  time = np.sort(rng.integers(TEN, TEN + 600 * SECOND, size))
  time[size // 2 :] += 300 * SECOND
  kind = rng.integers(0, 3, size)
  mid = 1000 + np.cumsum(rng.integers(-1, 2, size))
  price = mid + rng.integers(-20, 21, size)
  volume = np.round(rng.lognormal(4, 2, size)).astype(int) + 1
  return time, *put(kind, price, volume, mid)


def loop(time, kind, price, volume, mid_before):
  """{minute: {(kind, volume slot, price slot): orders}}, one by one."""
  mids, images = {}, {}
  for t, k, p, v, mid in zip(
    *(x.tolist() for x in (time, kind, price, volume, mid_before)), strict=True
  ):
    minute = t // (60 * SECOND)
    mid = mids.setdefault(minute, mid)
    price_slot = sum(edge < p - mid for edge in BINS.price.edges)
    volume_slot = sum(edge < v for edge in BINS.volume.edges)
    pixels = images.setdefault(minute, {})
    pixel = (k, volume_slot, price_slot)
    pixels[pixel] = pixels.get(pixel, 0) + 1
  return images


def test_example_of_the_slides():
  orders = [
    (BID, 1, 5),
    (BID, 1, 5),
    (BID, -2, 20),
    (ASK, 2, 10),
    (ASK, 2, 10),
    (ASK, 2, 50),
    (CANCEL, 1, 5),
    (CANCEL, -2, 20),
  ]
  want = {
    (BID, 1, 16 + 1): 2,
    (BID, 2, 16 - 2): 1,
    (ASK, 1, 16 + 2): 2,
    (ASK, 2, 16 + 2): 1,
    (CANCEL, 1, 16 + 1): 1,
    (CANCEL, 2, 16 - 2): 1,
  }
  columns = day([(TEN, kind, 700 + p, v, 700) for kind, p, v in orders])
  minute, images, num_cut = image.minute_images(*columns, bins=BINS)
  assert minute.tolist() == [600]
  assert images.shape == (1, 3, 32, 32)
  assert images.dtype == np.uint8
  assert num_cut == 0
  assert nonzero(images[0]) == want

  kind, offset, volume = put(*zip(*orders, strict=True))
  one = image.encode(BINS, kind, offset, volume, np.ones(8, bool))
  assert one.dtype == np.int32
  assert nonzero(np.asarray(one)) == want


def test_a_minute_begins_at_its_first_nanosecond():
  minute_1 = TEN + 60 * SECOND
  columns = day(
    [
      (TEN, ASK, 700, 1, 700),
      (minute_1 - 1, BID, 700, 1, 700),
      (minute_1, CANCEL, 700, 1, 700),
    ]
  )
  minute, images, _ = image.minute_images(*columns, bins=BINS)
  assert minute.tolist() == [600, 601]
  assert nonzero(images[0]) == {(ASK, 1, 16): 1, (BID, 1, 16): 1}
  assert nonzero(images[1]) == {(CANCEL, 1, 16): 1}


def test_prices_are_against_the_mid_that_the_minute_s_first_order_met():
  minute_1 = TEN + 60 * SECOND
  columns = day(
    [
      (TEN + 5, BID, 698, 1, 700),
      (TEN + 9, BID, 698, 1, 705),
      (minute_1 + 7, BID, 698, 1, 697),
      (minute_1 + 8, BID, 698, 1, 690),
    ]
  )
  _, images, _ = image.minute_images(*columns, bins=BINS)
  assert nonzero(images[0]) == {(BID, 1, 16 - 2): 2}
  assert nonzero(images[1]) == {(BID, 1, 16 + 1): 2}
  time, _, price, _, mid = columns
  offsets = image.price_offsets(time, price, mid)
  assert offsets.tolist() == [-2, -2, 1, 1]


def test_only_minutes_with_an_order_have_an_image():
  time = TEN + np.array([0, 1, 90, 91]) * 60 * SECOND
  columns = day([(t, ASK, 700, 1, 700) for t in time])
  minute, images, _ = image.minute_images(*columns, bins=BINS)
  assert minute.tolist() == [600, 601, 690, 691]
  assert minute.dtype == np.int32
  assert images.sum(axis=(1, 2, 3)).tolist() == [1] * 4


def test_a_day_without_orders_has_no_images():
  nothing = np.zeros(0, np.int32)
  minute, images, num_cut = image.minute_images(
    nothing.astype(np.int64), *[nothing] * 4, bins=BINS
  )
  assert minute.shape == (0,)
  assert images.shape == (0, 3, 32, 32)
  assert num_cut == 0


def test_orders_beyond_a_hundred_are_cut_and_counted():
  rows = [(TEN, ASK, 703, 4, 700)] * 359 + [(TEN, BID, 703, 4, 700)] * 100
  minute, images, num_cut = image.minute_images(*day(rows), bins=BINS)
  assert minute.tolist() == [600]
  assert nonzero(images[0]) == {(ASK, 1, 19): 100, (BID, 1, 19): 100}
  assert num_cut == 259


@pytest.mark.parametrize("kind", [-1, 3])
def test_a_kind_that_does_not_exist_is_an_error(kind):
  with pytest.raises(ValueError):
    image.minute_images(*day([(TEN, kind, 700, 1, 700)]), bins=BINS)


@pytest.mark.parametrize("seed", range(3))
def test_images_of_random_orders_are_those_counted_one_by_one(seed):
  columns = random_day(seed)
  minute, images, num_cut = image.minute_images(*columns, bins=BINS)
  want = loop(*columns)
  assert minute.tolist() == sorted(want)
  assert len(minute) < minute[-1] - minute[0]  # There is a break.
  assert num_cut == 0
  assert images.sum() == len(columns[0])
  for m, found in zip(minute.tolist(), images, strict=True):
    assert nonzero(found) == want[m]


def test_the_image_of_masked_orders_is_that_of_their_minute():
  time, kind, price, volume, mid = random_day(3)
  minute, images, _ = image.minute_images(
    time, kind, price, volume, mid, bins=BINS
  )
  offsets = image.price_offsets(time, price, mid)
  is_of = time // (60 * SECOND) == minute[:, None]
  encode = jax.jit(jax.vmap(image.encode, in_axes=(None, None, None, None, 0)))
  found = encode(BINS, kind, offsets, volume, is_of)
  np.testing.assert_array_equal(found, images)


def test_no_order_is_lost_where_pixels_are_full():
  columns = random_day(4, size=20_000)
  few = image.ImageBins(
    price=bins.fit(np.arange(3), 32), volume=bins.fit(np.arange(2), 32)
  )
  minute, images, num_cut = image.minute_images(*columns, bins=few)
  assert images.max() == 100
  assert num_cut > 0
  assert images.sum() + num_cut == 20_000
  time, kind, price, volume, mid = columns
  offsets = image.price_offsets(time, price, mid)
  is_first = time // (60 * SECOND) == minute[0]
  whole = image.encode(few, kind, offsets, volume, is_first)
  assert whole.sum() == is_first.sum()
  np.testing.assert_array_equal(np.minimum(whole, 100), images[0])
