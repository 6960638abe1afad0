"""Tests of the Bitstamp reader with the whole sample."""

import numpy as np
import pytest

from mars_jax import types
from tests.support.oracles import plain_book

pytest.importorskip("polars")

from mars_jax.feeds.bitstamp import reader

LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL


@pytest.fixture(scope="module")
def sample(bitstamp_sample):
  return reader.read_checked(bitstamp_sample)[0]


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
    "clock_steps": 0,
    "late_rows": 0,
    "implied_orders": 0,
  }
  assert len(sample) == 5_690 + 49_448 + 49_105
  assert sample.is_market_event.sum() == 49_448 + 49_105
  assert (sample.volume > 0).all()
  assert (np.diff(sample.time) >= 0).all()
  new_ids = sample.order_id[sample.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()


def test_cancels_of_the_sample_take_what_the_book_holds(
  sample, bitstamp_sample
):
  left = reader.read_checked(bitstamp_sample)[1].remaining
  book = plain_book.Book()
  for event, row in enumerate(plain_book.rows(sample)):
    kind, _, _, volume, _ = row
    assert (left[event] >= 0) == (kind == CANCEL)
    if kind == CANCEL:
      assert book.held(*row) - volume == left[event]
    book.apply(*row)
