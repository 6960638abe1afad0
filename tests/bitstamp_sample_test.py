"""Tests of the Bitstamp reader with the whole sample."""

import jax
import numpy as np
import pytest
from oracles import plain_book

from mars_jax import lob
from mars_jax import types
from mars_jax.data import replay

pytest.importorskip("polars")

from mars_jax.data import bitstamp

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


@pytest.fixture(scope="module")
def sample(bitstamp_sample):
  return bitstamp.read(bitstamp_sample)


def test_counts_of_the_sample(sample):
  assert sample.counts == {
    "rows": 314_057,
    "start_orders": 5_690,
    "limit_orders": 49_448,
    "cancels": 49_105,
    "aggressive_orders": 170,
    "executions": 284,
    "refused": 100_929,
    "ghosts": 2,
    "unseen_deletes": 13,
    "far_orders": 820,
    "closing_deletes": 6_518,
  }
  assert len(sample) == 5_690 + 49_448 + 49_105
  assert sample.is_flow.sum() == 49_448 + 49_105
  assert (sample.volume > 0).all()
  assert (np.diff(sample.time) >= 0).all()
  new_ids = sample.order_id[sample.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()


NUM_FILLS = 32  # More than any order of the sample has.


def _step(carry, order):
  """Matches an order; gives its first fills, and whether that is all of them.

  Also counts the books in which the best bid is not below the best ask.
  """
  book, num_crossed = carry
  book, fills = lob.step(book, order)
  both = (book.volume[:, 0] > 0).all()
  is_crossed = both & (book.price[BID, 0] >= book.price[ASK, 0])
  first = jax.tree.map(lambda leaf: leaf[:NUM_FILLS], fills)
  cut = fills.volume[NUM_FILLS:].sum()
  return (book, num_crossed + is_crossed), (first, cut)


def test_replay_of_the_sample_gives_the_exchange_s_own_trades(
  sample, bitstamp_sample
):
  trades = bitstamp.read_checked(bitstamp_sample)[1].trades
  orders = replay.orders_of(sample, slice(None))
  run = jax.jit(lambda carry, orders: jax.lax.scan(_step, carry, orders))
  carry = lob.init(4096), np.int32(0)
  (book, num_crossed), (fills, cut) = jax.device_get(run(carry, orders))
  assert book.dropped == book.unknown == num_crossed == 0
  assert not cut.any()

  event, place = np.nonzero(fills.volume)
  taker, maker = orders.id[event], fills.id[event, place]
  is_buy = orders.side[event] == BID
  assert event.tolist() == trades.event.tolist()
  assert trades.bid_id.tolist() == np.where(is_buy, taker, maker).tolist()
  assert trades.ask_id.tolist() == np.where(is_buy, maker, taker).tolist()
  assert trades.price.tolist() == fills.price[event, place].tolist()
  assert trades.volume.tolist() == fills.volume[event, place].tolist()
  assert not trades.is_auction.any()
  assert len(event) == 284
  assert len(np.unique(event)) == 170
  assert fills.volume.sum() == 15_029_842


def test_cancels_of_the_sample_take_what_the_book_holds(
  sample, bitstamp_sample
):
  left = bitstamp.read_checked(bitstamp_sample)[1].left
  book = plain_book.Book()
  for event, row in enumerate(plain_book.rows(sample)):
    kind, _, _, volume, _ = row
    assert (left[event] >= 0) == (kind == CANCEL)
    if kind == CANCEL:
      assert book.held(*row) - volume == left[event]
    book.apply(*row)
