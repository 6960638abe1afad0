"""Tests of replays: a tiny day, and its cuts."""

import dataclasses

import jax
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.replay import engine

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


def make_stream(rows, num_setup=0):
  """A stream of (kind, side, price, volume, id) rows."""
  kind, side, price, volume, order_id = np.array(rows, np.int32).T
  count = np.arange(len(rows))
  return events.EventStream(
    market="Test",
    instrument="XYZ",
    day="2020-01-02",
    time=count * 1_000,
    kind=kind,
    side=side,
    price=price,
    volume=volume,
    order_id=order_id,
    is_market_event=count >= num_setup,
    tick_size=0.01,
    lot_size=1.0,
    counts={},
  )


TINY = make_stream(
  [
    (LIMIT, ASK, 104, 5, 0),
    (LIMIT, BID, 100, 5, 1),
    (LIMIT, ASK, 103, 2, 2),  # Mid 102 -> 101: rounded down.
    (LIMIT, BID, 104, 4, 3),  # Takes 2 and 2; mid 101 -> 102.
    (CANCEL, BID, 100, 5, 1),  # No bid is left: the best ask is the mid.
    (LIMIT, BID, 104, 3, 4),  # No order is left: the mid stays.
  ],
  num_setup=2,
)


@pytest.fixture
def small_chunks(monkeypatch):
  monkeypatch.setattr(engine, "CHUNK", 16)


def run(stream, book=None, **kwargs):
  """Replays with three levels."""
  book = lob.init(8) if book is None else book
  return replay.replay(stream, book, num_levels=3, **kwargs)


def assert_same(have, want):
  """Equal records, or books."""
  if isinstance(have, records_lib.Records):
    have, want = vars(have), vars(want)
  jax.tree.map(np.testing.assert_array_equal, have, want)


def test_tiny_day_worked_out_by_hand(small_chunks):
  records, book = run(TINY)
  assert len(records) == 4
  assert records.time.tolist() == [2_000, 3_000, 4_000, 5_000]
  assert records.order.price.tolist() == [103, 104, 100, 104]
  assert records.order.kind.tolist() == [LIMIT, LIMIT, CANCEL, LIMIT]
  assert records.mid_before.tolist() == [102, 101, 102, 104]
  assert records.mid_after.tolist() == [101, 102, 104, 104]
  assert records.traded.tolist() == [0, 4, 0, 3]
  assert records.snapshot.price[:, ASK].tolist() == [
    [103, 104, 0],
    [104, 0, 0],
    [104, 0, 0],
    [0, 0, 0],
  ]
  assert records.snapshot.volume[:, ASK].tolist() == [
    [2, 5, 0],
    [3, 0, 0],
    [3, 0, 0],
    [0, 0, 0],
  ]
  assert records.snapshot.price[:, BID, 0].tolist() == [100, 100, 0, 0]
  assert records.snapshot.volume[:, BID, 0].tolist() == [5, 5, 0, 0]
  assert not np.asarray(book.volume).any()
  assert book.dropped == book.unknown == 0


def test_records_can_be_cut(small_chunks):
  records, _ = run(TINY)
  assert records[1:3].traded.tolist() == [4, 0]
  assert records[1:3].snapshot.volume.shape == (2, 2, 3)
  assert records[records.traded > 0].time.tolist() == [3_000, 5_000]


def random_stream(num_events):
  """Rests, trades and cancels; both sides never run empty."""
  rng = np.random.default_rng(0)
  rows = [(LIMIT, ASK, 130, 10**6, 0), (LIMIT, BID, 70, 10**6, 1)]
  for order_id in range(2, num_events):
    kind = CANCEL if order_id > 8 and rng.random() < 0.3 else LIMIT
    named = rng.integers(2, order_id) if kind == CANCEL else order_id
    price, volume = rng.integers(95, 106), rng.integers(1, 9)
    rows.append((kind, rng.integers(2), price, volume, named))
  return make_stream(rows, num_setup=5)


@pytest.mark.parametrize("num_events", [32, 50])
def test_stream_longer_than_a_chunk_is_as_one_chunk(monkeypatch, num_events):
  stream = random_stream(num_events)
  monkeypatch.setattr(engine, "CHUNK", 64)
  want = run(stream)
  monkeypatch.setattr(engine, "CHUNK", 16)
  done = []
  have = run(stream, on_progress=done.append)
  assert_same(have[0], want[0])
  assert_same(have[1], want[1])
  assert sum(done) == num_events
  assert len(done) == -(-num_events // 16)


def test_stream_can_be_replayed_in_pieces(small_chunks):
  stream = random_stream(40)
  want, want_book = run(stream)
  first, book = run(stream[:21])
  kept = jax.tree.map(np.array, book)
  second, have_book = run(stream[21:], book)
  assert_same(book, kept)  # What is given stays usable.
  assert_same(first, want[: len(first)])
  assert_same(second, want[len(first) :])
  assert_same(have_book, want_book)


def test_orders_that_a_side_has_no_room_for_are_counted(small_chunks):
  _, book = run(TINY[:3], lob.init(1))
  assert book.dropped == 1


def test_volumes_beyond_int32_are_an_error(small_chunks):
  big = 2**30
  rows = [(LIMIT, ASK, 100, big, 0), (LIMIT, ASK, 100, big, 1)]
  with pytest.raises(ValueError, match="could hold 2147483648 lots"):
    run(make_stream(rows))
  run(make_stream([rows[0], (LIMIT, BID, 99, big, 1)]))
  run(make_stream([rows[0], (CANCEL, ASK, 100, big, 0), rows[1]]))


def test_volumes_of_the_book_before_the_stream_count_as_well(small_chunks):
  big = 2**30
  _, book = run(make_stream([(LIMIT, ASK, 100, big, 0)]))
  with pytest.raises(ValueError, match="could hold 2147483648 lots"):
    run(make_stream([(LIMIT, ASK, 100, big, 1)]), book)
  run(make_stream([(LIMIT, BID, 99, big, 1)]), book)


def test_numbers_of_another_type_than_the_book_s_are_an_error():
  wide = dataclasses.replace(TINY, volume=TINY.volume.astype(np.int64))
  with pytest.raises(ValueError, match="XYZ 2020-01-02: numbers are int64"):
    run(wide)


def test_stream_without_events_is_an_error():
  with pytest.raises(ValueError, match="Test XYZ 2020-01-02: no events"):
    run(TINY[:0])


def test_replay_ends_where_a_slice_of_the_stream_ends(small_chunks):
  records, _ = run(TINY[:3])
  want, _ = run(TINY)
  assert_same(records, want[:1])
