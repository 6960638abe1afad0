"""Tests of files of orders: exact, or a clear error."""

import dataclasses
import hashlib
import pathlib
import pickle

import jax
import numpy as np
import pytest

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.data import store
from mars_jax.feeds import events
from tests.support.train import day_records

BLOCK = 16


@pytest.fixture
def path(tmp_path):
  return tmp_path / "XYZ.day"


def assert_same(have, want):
  """Equal records, of the same types."""
  have, want = jax.tree.leaves(vars(have)), jax.tree.leaves(vars(want))
  for one, other in zip(have, want, strict=True):
    np.testing.assert_array_equal(one, other, strict=True)


def with_order(records, **leaves):
  return dataclasses.replace(records, order=records.order.replace(**leaves))


@pytest.mark.parametrize("num_levels", [1, 5])
@pytest.mark.parametrize("num_orders", [0, 1, 15, 16, 17, 100])
def test_orders_come_back_as_they_were(path, num_orders, num_levels):
  records = day_records.make(num_orders, num_levels=num_levels)
  store.write(path, records, block_size=BLOCK)
  day = store.DayFile(path)
  assert (len(day), day.num_levels) == (num_orders, num_levels)
  assert_same(day.read(0, num_orders), records)
  np.testing.assert_array_equal(day.time, records.time)
  assert day.open_mid == (records.mid_before[0] if num_orders else 0)


def test_any_stretch_can_be_read(path):
  records = day_records.make(50)
  store.write(path, records, block_size=BLOCK)
  day = store.DayFile(path)
  for start in range(51):
    for stop in range(start, 51):
      assert_same(day.read(start, stop), records[start:stop])


def test_the_least_and_greatest_numbers_come_back(path):
  rng = np.random.default_rng(0)

  def extremes(leaf):
    limits = np.iinfo(leaf.dtype)
    return rng.choice(np.array([limits.min, -1, 0, limits.max]), leaf.shape)

  fields = vars(day_records.make(100))
  records = records_lib.Records(
    **{
      name: jax.tree.map(lambda x: extremes(x).astype(x.dtype), field)
      for name, field in fields.items()
    }
  )
  records = with_order(records, owner=np.full(100, types.NO_OWNER, np.int32))
  store.write(path, records, block_size=BLOCK)
  assert_same(store.DayFile(path).read(0, 100), records)


def test_int64_is_stored_where_int32_can_hold_it(path):
  records = day_records.make(20)
  wide = with_order(records, volume=records.order.volume.astype(np.int64))
  store.write(path, wide)
  assert_same(store.DayFile(path).read(0, 20), records)
  wide.order.volume[7] = 2**31
  with pytest.raises(ValueError, match="volume: .* to 2147483648 exceed int32"):
    store.write(path, wide)


def test_orders_with_an_owner_are_an_error(path):
  records = day_records.make(20)
  records.order.owner[3] = 0
  with pytest.raises(ValueError, match="owner"):
    store.write(path, records)
  assert not path.exists()


def test_the_same_orders_give_the_same_bytes(path):
  info = store.write(path, day_records.make(100), block_size=BLOCK)
  content = path.read_bytes()
  assert store.write(path, day_records.make(100), block_size=BLOCK) == info
  assert path.read_bytes() == content
  assert (info.num_orders, info.num_bytes) == (100, len(content))
  assert info.sha256 == hashlib.sha256(content).hexdigest()


def test_a_write_that_fails_leaves_the_file_before_it(path, monkeypatch):
  store.write(path, day_records.make(20))
  content = path.read_bytes()

  def fail(self, data):
    with open(self, "wb") as file:
      file.write(data[: len(data) // 2])
    raise OSError("no space left")

  monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
  with pytest.raises(OSError, match="no space left"):
    store.write(path, day_records.make(30))
  assert path.read_bytes() == content
  assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def content(path):
  """The bytes of a small file, three blocks."""
  store.write(path, day_records.make(40), block_size=BLOCK)
  return path.read_bytes()


def test_a_file_that_is_cut_off_is_an_error(path, content):
  for size in range(len(content)):
    path.write_bytes(content[:size])
    with pytest.raises(events.DataError, match="XYZ.day"):
      len(store.DayFile(path))


def test_a_changed_byte_is_an_error_unless_it_means_nothing(path, content):
  want, num_errors = day_records.make(40), 0
  for position in range(len(content)):
    changed = bytearray(content)
    changed[position] ^= 1 << position % 8
    path.write_bytes(changed)
    try:
      assert_same(store.DayFile(path).read(0, 40), want)
    except events.DataError:
      num_errors += 1
  assert num_errors > 0.99 * len(content)  # Few bits of a frame are unused.


def test_a_broken_block_does_not_keep_the_others_from_being_read(path, content):
  path.write_bytes(content[:-9] + bytes(9))
  day = store.DayFile(path)
  assert_same(day.read(0, 32), day_records.make(40)[:32])
  with pytest.raises(events.DataError, match="row 32: the block that begins"):
    day.read(31, 33)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda content: b"", "no day of mars_jax"),
    (lambda content: b"PK\3\4" + content, "no day of mars_jax"),
    (lambda content: content[:8] + b"\3" + content[9:], "version 3; .* 2"),
    (lambda content: content[:13] + b"\1" + content[14:], "a broken header"),
    (lambda content: content + b"\0", "bytes, not"),
  ],
)
def test_a_file_of_another_kind_is_an_error(path, content, change, message):
  path.write_bytes(change(content))
  with pytest.raises(events.DataError, match=message):
    len(store.DayFile(path))


def test_a_file_that_is_not_there_is_an_error(path):
  day = store.DayFile(path)  # Is not opened yet.
  with pytest.raises(FileNotFoundError):
    len(day)


@pytest.mark.parametrize("rows", [(-1, 3), (3, 2), (0, 41)])
def test_orders_that_a_day_does_not_have_are_an_error(path, content, rows):
  with pytest.raises(IndexError, match="of 40"):
    store.DayFile(path).read(*rows)


def test_a_day_can_be_pickled(path, content):
  day = store.DayFile(path)
  day.read(0, 1)
  copy = pickle.loads(pickle.dumps(day))
  assert_same(copy.read(5, 25), day.read(5, 25))
