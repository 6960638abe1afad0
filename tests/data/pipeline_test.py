"""Tests of windows of orders, and of their batches."""

import collections
import dataclasses
import functools
import pickle

import jax
import numpy as np
import pytest

from mars_jax import types
from mars_jax.data import pipeline
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import time_of_day
from tests.support.train import day_records

MARKETS = ("A", "B")
LENGTH = 8
LEAVES = [
  *("kind", "side", "price", "volume", "interval", "open_mid"),
  *("mid_before", "mid_after", "level_price", "level_volume", "time"),
  *("best", "level", "younger", "resting", "depth_volume", "depth_orders"),
]


@pytest.fixture(scope="module")
def records():
  """Records of three days; every order has its own volume."""
  days, first = [], 0
  for seed, num_orders in enumerate((70, 50, 45)):
    day = day_records.make(num_orders, seed=seed)
    volume = np.arange(first, first + num_orders, dtype=np.int32)
    days.append(
      dataclasses.replace(day, order=day.order.replace(volume=volume))
    )
    first += num_orders
  return days


@pytest.fixture(scope="module")
def days(records, tmp_path_factory):
  folder = tmp_path_factory.mktemp("days")
  for number, day in enumerate(records):
    store.write(folder / f"{number}.day", day, block_size=16)
  return [store.DayFile(folder / f"{number}.day") for number in range(3)]


@pytest.fixture(scope="module")
def parts(days):
  """A whole day, a part, and a short day.

  Their orders have the volumes 0 to 69, 75 to 111 and 120 to 124.
  """
  return [
    windows_lib.Part(days[0], "A", 0, 70),
    windows_lib.Part(days[1], "A", 5, 42),
    windows_lib.Part(days[2], "A", 0, 5),
  ]


def volumes(windows):
  """The volumes of all items, which tell the orders apart."""
  return [windows[index]["volume"].tolist() for index in range(len(windows))]


def test_windows_hold_successive_orders_of_one_part(parts):
  windows = windows_lib.Windows(parts, LENGTH, 5)
  starts = [*range(0, 63, 5), *range(75, 105, 5)]
  assert volumes(windows) == [list(range(s, s + LENGTH)) for s in starts]
  assert windows[0].keys() == {"market", *LEAVES}
  for index in range(len(windows)):
    for name, leaf in windows[index].items():
      assert leaf.dtype == np.int32
      levels = (2, 6) if name.startswith("level_") else ()
      levels = (2, 8) if name.startswith("depth") else levels
      levels = (2,) if name == "best" else levels
      assert leaf.shape == (() if name == "market" else (LENGTH, *levels))


@pytest.mark.parametrize("stride", [1, 3, 5, 8, 11])
def test_orders_in_no_window_are_counted(parts, stride):
  windows = windows_lib.Windows(parts, LENGTH, stride)
  seen = set(np.ravel(volumes(windows)).tolist())
  assert windows.num_left_out == 70 + 37 + 5 - len(seen)


def test_an_item_that_is_not_there_is_an_error(parts):
  windows = windows_lib.Windows(parts, LENGTH, 5)
  for index in (-1, len(windows)):
    with pytest.raises(IndexError):
      windows[index]


def test_no_parts_have_no_windows():
  assert len(windows_lib.Windows([], LENGTH, 1, pack=True)) == 0


@pytest.mark.parametrize("stride", [1, 5, 8])
def test_packing_loses_no_order(parts, stride):
  packed = windows_lib.Windows(parts, LENGTH, stride, pack=True)
  plain = windows_lib.Windows(parts, LENGTH, stride)
  assert packed.num_left_out == 0
  assert volumes(packed)[: len(plain)] == volumes(plain)
  left_out = set(range(70)) | set(range(75, 112)) | set(range(120, 125))
  left_out -= set(np.ravel(volumes(plain)).tolist())
  found = []
  for index in range(len(packed)):
    item = packed[index]
    segment, volume = item["segment"], item["volume"]
    if index < len(plain):
      assert (segment == 0).all()
      continue
    is_used = segment >= 0
    assert is_used[: is_used.sum()].all()  # What is not is at the end.
    assert (item["kind"][~is_used] == types.OrderKind.NONE).all()
    assert (np.diff(segment[is_used]) >= 0).all()
    for number in range(segment.max() + 1):
      assert (np.diff(volume[segment == number]) == 1).all()
    found += volume[is_used].tolist()
  assert sorted(found) == sorted(left_out)


def test_packing_puts_spans_together():
  # By hand: 7 alone, 5 with 3, 4 with 2 and 2, where the least room is left.
  rows = windows_lib._packed([4, 2, 7, 0, 5, 3, 2], 8)
  assert rows == [[2], [4, 5], [0, 1, 6]]


def test_packing_wastes_little_and_overfills_nothing():
  sizes = np.random.default_rng(0).integers(0, 65, 5_000).tolist()
  rows = windows_lib._packed(sizes, 64)
  used = [sum(sizes[span] for span in row) for row in rows]
  assert max(used) <= 64
  spans = sorted(span for row in rows for span in row)
  assert spans == [span for span, size in enumerate(sizes) if size]
  assert len(rows) <= 11 / 9 * -(-sum(sizes) // 64) + 1


@pytest.mark.parametrize(
  ("length", "stride", "pack", "message"),
  [
    (0, 1, False, "must be >= 1"),
    (8, 0, False, "must be >= 1"),
    (8, 9, True, "stride 9 <= length 8"),
  ],
)
def test_windows_that_cannot_be_are_an_error(length, stride, pack, message):
  with pytest.raises(ValueError, match=message):
    windows_lib.Windows([], length, stride, pack=pack)


def test_a_part_that_cannot_be_is_an_error(days):
  with pytest.raises(ValueError, match="orders 3 to 2 are no part"):
    windows_lib.Part(days[0], "A", 3, 2)


def test_a_day_with_too_few_levels_is_an_error(tmp_path):
  store.write(tmp_path / "day", day_records.make(20, num_levels=4))
  part = windows_lib.Part(store.DayFile(tmp_path / "day"), "A", 0, 20)
  with pytest.raises(ValueError, match="has 4 price levels .* 6 are needed"):
    windows_lib.Windows([part], LENGTH, 1)[0]


def test_a_day_in_memory_is_as_one_on_disk(records, days):
  for day, on_disk in zip(records, days, strict=True):
    in_memory = store.MemoryDay(day)
    assert len(in_memory) == len(on_disk)
    both = [
      windows_lib.Windows([windows_lib.Part(d, "A", 3, len(d))], LENGTH, 7)
      for d in (in_memory, on_disk)
    ]
    for index in range(len(both[0])):
      one, other = (windows[index] for windows in both)
      jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_day_in_memory_has_the_errors_of_one_on_disk():
  day = store.MemoryDay(day_records.make(20, num_levels=4))
  with pytest.raises(ValueError, match="memory has 4 price levels .* 6 are"):
    windows_lib.read(day, 0, 20)
  for start, stop in ((-1, 3), (5, 4), (0, 21)):
    with pytest.raises(IndexError, match="memory: orders"):
      day.read(start, stop)


def test_windows_can_be_pickled(parts):
  windows = windows_lib.Windows(parts, LENGTH, 5, pack=True)
  copy = pickle.loads(pickle.dumps(windows))
  assert volumes(copy) == volumes(windows)


@pytest.mark.parametrize("pack", [False, True])
def test_tokens_of_items_are_those_of_the_whole_day(records, days, pack):
  # Bins of each market; both have windows at the start and within a day.
  tokenizers = [encoding.fit(day) for day in records[:2]]
  wanted = [
    encoding.encode(tokenizer, day)
    for tokenizer, day in zip(tokenizers, records, strict=False)
  ]
  by_market = windows_lib.by_market(
    [
      windows_lib.Part(days[1], "B", 3, 50),
      windows_lib.Part(days[0], "A", 0, 70),
      windows_lib.Part(days[1], "B", 0, 3),
    ],
    MARKETS,
    LENGTH,
    4,
    pack=pack,
  )
  items = [w[i] for w in by_market.values() for i in range(len(w))]
  batch = jax.tree.map(lambda *leaves: np.stack(leaves), *items)
  found = jax.jit(pipeline.tokens)(tokenizers, batch)
  assert set(batch["market"].tolist()) == {0, 1}
  for row, item in enumerate(items):
    is_used = item["segment"] >= 0 if pack else slice(None)
    orders = item["volume"][is_used] - 70 * item["market"]
    want = jax.tree.map(lambda x, o=orders: x[o], wanted[item["market"]])
    have = jax.tree.map(lambda x, r=row, u=is_used: np.asarray(x[r])[u], found)
    for one, other in zip(
      jax.tree.leaves(have), jax.tree.leaves(want), strict=True
    ):
      np.testing.assert_array_equal(one, other, strict=True)


def test_intervals_are_those_of_the_tokens_however_long(tmp_path):
  most = 2_000 * types.NANOSECONDS
  nanoseconds = [0, 999, 1_000, 10**9 - 1, most - 1, most, 3 * most]
  orders = day_records.make(len(nanoseconds))
  orders = dataclasses.replace(orders, time=np.cumsum(nanoseconds))
  store.write(tmp_path / "day", orders)
  part = windows_lib.Part(store.DayFile(tmp_path / "day"), "A", 0, len(orders))
  (item,) = windows_lib.Windows([part], len(orders), 1)
  time = time_of_day.timestamps(orders.time)
  earlier, later = (
    jax.tree.map(lambda x, s=rows: x[s], time)
    for rows in (slice(None, -1), slice(1, None))
  )
  np.testing.assert_array_equal(
    item["interval"], [0, *features.interval(earlier, later)]
  )


def test_parts_are_put_by_market(days):
  parts = [
    windows_lib.Part(day, name, 0, 20)
    for day, name in zip(days, "BAB", strict=True)
  ]
  found = windows_lib.by_market(parts, ("B", "C", "A"), LENGTH, LENGTH)
  assert list(found) == ["A", "B"]
  assert [len(found[name]) for name in "AB"] == [2, 4]
  assert [int(found[name][0]["market"]) for name in "AB"] == [2, 0]
  with pytest.raises(ValueError, match=r"\['B'\] are none of A, C"):
    windows_lib.by_market(parts, ("A", "C"), LENGTH, LENGTH)


class Numbers:
  """A source of items that are just numbers."""

  def __init__(self, first, size):
    self._first, self._size = first, size

  def __len__(self):
    return self._size

  def __getitem__(self, index):
    return {"number": np.int32(self._first + index)}


SOURCES = {"A": Numbers(0, 13), "B": Numbers(100, 7)}
WEIGHTS = {"A": 1.0, "B": 3.0}


def make_batches(sources=SOURCES, *, batch_size=4, seed=0, **kwargs):
  return pipeline.batches(sources, batch_size=batch_size, seed=seed, **kwargs)


def numbers(batches, num_batches):
  return [next(batches)["number"].tolist() for _ in range(num_batches)]


def test_batches_stack_items(parts):
  sources = windows_lib.by_market(parts, MARKETS, LENGTH, 5)
  batch = next(make_batches(sources))
  assert batch["market"].shape == (4,)
  assert batch["kind"].shape == (4, LENGTH)
  assert batch["level_price"].shape == (4, LENGTH, 2, 6)
  assert (np.diff(batch["volume"], axis=1) == 1).all()


def test_every_epoch_has_every_item_once_in_a_new_order():
  batches = make_batches()
  epochs = [np.ravel(numbers(batches, 5)).tolist() for _ in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == [*range(13), *range(100, 107)]
  assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_weights_are_the_shares_of_the_markets():
  # 364 items: 91 of A, seven epochs, and 273 of B, 39 epochs.
  found = np.ravel(numbers(make_batches(weights=WEIGHTS), 91)).tolist()
  count = collections.Counter(found)
  assert {count[number] for number in range(13)} == {7}
  assert {count[number] for number in range(100, 107)} == {39}
  # At any moment, not only at the end.
  num_first = np.cumsum(np.array(found) < 100)
  assert abs(num_first - np.arange(1, 365) / 4).max() <= 1


def test_a_seed_gives_the_same_batches_and_another_one_others():
  for weights in (None, WEIGHTS):
    make = functools.partial(make_batches, weights=weights)
    assert numbers(make(), 8) == numbers(make(), 8)
    assert numbers(make(), 8) != numbers(make(seed=1), 8)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_batches_do_not_depend_on_the_order_of_sources_or_on_threads(weights):
  want = numbers(make_batches(weights=weights), 8)
  backward = dict(reversed(SOURCES.items()))
  for num_threads in (0, 1, 5):
    batches = make_batches(backward, weights=weights, num_threads=num_threads)
    assert numbers(batches, 8) == want


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_state_returns_to_the_batch_that_would_have_come_next(weights):
  batches = make_batches(weights=weights)
  numbers(batches, 7)  # Into the second epoch.
  state = batches.get_state()
  want = numbers(batches, 6)
  batches.set_state(state)
  assert numbers(batches, 6) == want
  again = make_batches(weights=weights)
  again.set_state(state)
  assert numbers(again, 6) == want


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_a_state_of_one_process_goes_on_with_several(
  monkeypatch, weights, num_processes
):
  batches = make_batches(weights=weights)
  numbers(batches, 3)
  state = batches.get_state()
  want = numbers(batches, 7)
  monkeypatch.setattr(jax, "process_count", lambda: num_processes)
  shares, states = [], []
  for process in range(num_processes):
    monkeypatch.setattr(jax, "process_index", lambda i=process: i)
    share = make_batches(weights=weights)
    share.set_state(state)
    shares.append(numbers(share, 7))
    states.append(share.get_state())
  assert all(len(b) == 4 // num_processes for share in shares for b in share)
  for batch, *rows in zip(want, *shares, strict=True):
    assert sorted(batch) == sorted(np.ravel(rows).tolist())
  assert states == [batches.get_state()] * num_processes


@pytest.mark.parametrize(
  ("sources", "weights", "message"),
  [
    ({}, None, "no market"),
    ({"A": Numbers(0, 0)}, None, "'A' has no window"),
    (SOURCES, {"A": 1.0}, "of each of \\['A', 'B'\\]"),
    (SOURCES, {"A": 1.0, "B": 0.0}, "are not positive"),
  ],
)
def test_sources_and_weights_that_cannot_be_are_an_error(
  sources, weights, message
):
  with pytest.raises(ValueError, match=message):
    make_batches(sources, weights=weights)
