"""N-gram baselines: counts of single orders and of pairs.

Both are smoothed after Witten and Bell (1991): with n observations of t
distinct orders, the share t / (n + t) goes to a coarser model. The unigram's
coarser model takes the four fields as independent given the kind; the bigram's
is the unigram. So neither has a parameter to tune, and every order has a
probability.
"""

import numpy as np

from mars_jax.tokens import vocab


def unigram_nats(train: np.ndarray, test: np.ndarray) -> np.ndarray:
  """Scores orders by how frequent they were.

  Args:
    train: int32 `[n]`, the order indices to count.
    test: int32 `[m]`, the order indices to score.

  Returns:
    float64 `[m]`, nats: minus the log-probability of each.
  """
  return -np.log(_unigram(train)[test])


def bigram_nats(train: np.ndarray, test: np.ndarray) -> np.ndarray:
  """Scores orders by how often each followed its predecessor.

  Args:
    train: int32 `[n]`, successive order indices to count.
    test: int32 `[m]`, successive order indices; the first is not scored.

  Returns:
    float64 `[m - 1]`, nats.
  """
  pair = train[:-1].astype(np.int64) * vocab.NUM_ORDERS + train[1:]
  pairs, pair_counts = np.unique(pair, return_counts=True)
  before = pairs // vocab.NUM_ORDERS
  seen = np.bincount(before, pair_counts, vocab.NUM_ORDERS)
  distinct = np.bincount(before, minlength=vocab.NUM_ORDERS)

  wanted = test[:-1].astype(np.int64) * vocab.NUM_ORDERS + test[1:]
  place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
  count = np.where(pairs[place] == wanted, pair_counts[place], 0)
  n, t = seen[test[:-1]], distinct[test[:-1]]
  coarse = _unigram(train)[test[1:]]
  has_seen = n > 0
  total = np.where(has_seen, n + t, 1)
  return -np.log(np.where(has_seen, (count + t * coarse) / total, coarse))


def _unigram(train: np.ndarray) -> np.ndarray:
  """Returns the probability of every order, float64 `[NUM_ORDERS]`."""
  counts = np.bincount(train, minlength=vocab.NUM_ORDERS).astype(np.float64)
  joint = counts.reshape(vocab.FIELD_SIZES)
  kind = _add_one(joint.sum(axis=(1, 2, 3)))
  price = _add_one(joint.sum(axis=(2, 3)))
  volume = _add_one(joint.sum(axis=(1, 3)))
  interval = _add_one(joint.sum(axis=(1, 2)))
  coarse = np.einsum("k,kp,kv,ki->kpvi", kind, price, volume, interval)
  n, t = counts.sum(), np.count_nonzero(counts)
  return (counts + t * coarse.reshape(-1)) / (n + t)


def _add_one(counts: np.ndarray) -> np.ndarray:
  """Returns probabilities over the last axis, add-one smoothed."""
  return (counts + 1) / (counts + 1).sum(axis=-1, keepdims=True)
