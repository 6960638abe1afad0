"""Tests of the n-grams: by hand, and sums of probabilities."""

import numpy as np
import pytest

from mars_jax.baselines import ngrams
from mars_jax.tokens import vocab

A = 0  # Ask, and the first bin of all else.
B = 16_384  # Bid, the same.
ALL = np.arange(vocab.NUM_ORDERS)
# What independent fields give after A, A, B, with one count added to each: two
# of three are asks, and both asks, as the one bid, have the first of the bins.
COARSE_A = 3 / 6 * 3 / 34 * 3 / 34 * 3 / 18
COARSE_B = 2 / 6 * 2 / 33 * 2 / 33 * 2 / 17
# Three observations of two orders, so that 2 / 5 go to the coarser model.
UNIGRAM_A = (2 + 2 * COARSE_A) / 5
UNIGRAM_B = (1 + 2 * COARSE_B) / 5


def orders(*index):
  return np.array(index, np.int32)


def test_unigram_worked_out_by_hand():
  have = ngrams.unigram_nats(orders(A, A, B), orders(B, A))
  np.testing.assert_allclose(have, -np.log([UNIGRAM_B, UNIGRAM_A]))
  assert have.dtype == np.float64


def test_bigram_worked_out_by_hand():
  # A was followed by A and by B once each; B by nothing.
  have = ngrams.bigram_nats(orders(A, A, B), orders(A, A, B, A))
  want = [(1 + 2 * UNIGRAM_A) / 4, (1 + 2 * UNIGRAM_B) / 4, UNIGRAM_A]
  np.testing.assert_allclose(have, -np.log(want))


def test_order_never_seen_has_what_its_fields_deserve():
  bid_of_16_lots = vocab.NUM_INTERVALS * 15 + B
  nats = ngrams.unigram_nats(orders(A, A, B), orders(bid_of_16_lots))
  coarse = 2 / 6 * 2 / 33 * 1 / 33 * 2 / 17
  np.testing.assert_allclose(nats, -np.log(2 * coarse / 5))


@pytest.fixture(scope="module")
def train():
  rng = np.random.default_rng(0)
  frequent = rng.integers(0, vocab.NUM_ORDERS, 50)
  return rng.choice(frequent, 3_000).astype(np.int32)


def test_unigram_probabilities_of_all_orders_sum_to_1(train):
  nats = ngrams.unigram_nats(train, ALL)
  np.testing.assert_allclose(np.exp(-nats).sum(), 1)
  assert np.isfinite(nats).all()


@pytest.mark.parametrize("is_seen", [True, False])
def test_bigram_probabilities_after_an_order_sum_to_1(train, is_seen):
  before = train[5] if is_seen else np.setdiff1d(ALL, train)[7]
  pairs = np.stack([np.full_like(ALL, before), ALL], axis=1).ravel()
  nats = ngrams.bigram_nats(train, pairs)[::2]
  np.testing.assert_allclose(np.exp(-nats).sum(), 1)
  assert np.isfinite(nats).all()


def test_bigram_predicts_a_repeated_pattern_better_than_unigram():
  pattern = np.tile(orders(5, 900, 40_000, 17), 100)
  unigram = ngrams.unigram_nats(pattern, pattern)
  bigram = ngrams.bigram_nats(pattern, pattern)
  assert len(bigram) == len(pattern) - 1
  np.testing.assert_allclose(unigram.mean(), np.log(4), rtol=0.01)
  assert bigram.max() < 0.05


def test_bigram_is_no_better_than_unigram_where_orders_are_independent(train):
  rng = np.random.default_rng(1)
  test = rng.choice(np.unique(train), 3_000)
  gain = (
    ngrams.unigram_nats(train, test)[1:].mean()
    - ngrams.bigram_nats(train, test).mean()
  )
  assert -0.5 < gain < 0
