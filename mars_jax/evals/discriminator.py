"""A network that separates generated messages from real ones.

After LOB-Bench's adversarial measurement (arXiv:2502.09172, section 4.5): of
each message the change of the mid, its price from the mid and its signed size,
100 messages at a time, through two convolutions and one attention. Its AUC on
sequences that it has not seen is 0.5 where it cannot, 1 where it always can.
With shuffled labels it is what chance gives.
"""

import flax.linen as nn
import jax
import numpy as np
import optax

from mars_jax.evals import messages as messages_lib

MIN_PAIRS = 8  # Of real and generated sequences.
LENGTH = 100  # Messages that are looked at at once.
_WIDTHS = (32, 64)
_HEADS = 8
_BATCH = 128
_LEARNING_RATE = 1e-3
_DROPOUT = 0.5


class _Network(nn.Module):
  """Logits of "real", from `[B, LENGTH, 3]`."""

  @nn.compact
  def __call__(self, x, is_training):
    for width in _WIDTHS:
      x = nn.relu(nn.Conv(width, (3,))(x))
      x = nn.max_pool(x, (2,), strides=(2,))
    x = nn.MultiHeadDotProductAttention(_HEADS)(x, x)
    x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
    x = nn.Dropout(_DROPOUT, deterministic=not is_training)(x)
    return nn.Dense(1)(x)[:, 0]


def inputs(m: messages_lib.Messages) -> np.ndarray:
  """Returns what is looked at, float32 `[windows, LENGTH, 3]`.

  Numbers are signed logarithms, so that no unit matters much.
  """
  mid = messages_lib.mid(m)
  change = np.diff(mid, prepend=mid[:1])
  size = np.where(m.kind == messages_lib.NEW, m.size, -m.size)
  x = np.stack([change, m.price - mid, size], axis=1)
  x = np.sign(x) * np.log1p(np.abs(x))
  count = len(x) // LENGTH
  return x[: count * LENGTH].reshape(count, LENGTH, 3).astype(np.float32)


def auc(
  real: messages_lib.Sequences,
  generated: messages_lib.Sequences,
  *,
  seeds: int = 3,
  shuffles: bool = False,
  epochs: int = 60,
) -> np.ndarray:
  """Returns the AUC on held-out sequences, of each seed.

  Half of the sequences train it, a quarter chooses the epoch, a quarter is
  scored; a real sequence and what was generated in its place are never apart.

  Args:
    real, generated: of the same starts, in the same order; 8 or more.
    seeds: of the parameters and the division, each a number.
    shuffles: whether the labels of the pairs are drawn by chance: the null.
    epochs: of the training.
  """
  if len(real) != len(generated) or len(real) < MIN_PAIRS:
    raise ValueError(
      f"{len(real)} real and {len(generated)} generated sequences: as many of"
      f" both are needed, and {MIN_PAIRS} or more"
    )
  sides = [[inputs(m) for m in side] for side in (real, generated)]
  return np.array(
    [
      _one_seed(*sides, seed=seed, shuffles=shuffles, epochs=epochs)
      for seed in range(seeds)
    ]
  )


def _one_seed(real, generated, *, seed, shuffles, epochs) -> float:
  rng = np.random.default_rng(seed)
  pairs = list(zip(real, generated, strict=True))
  if shuffles:
    pairs = [p if rng.random() < 0.5 else p[::-1] for p in pairs]
  order = rng.permutation(len(pairs))
  half, quarter = len(order) // 2, 3 * len(order) // 4
  parts = [order[:half], order[half:quarter], order[quarter:]]
  data = []
  for rows in parts:
    x = np.concatenate([pairs[i][side] for side in (0, 1) for i in rows])
    num_real = sum(len(pairs[i][0]) for i in rows)
    data.append((x, (np.arange(len(x)) < num_real).astype(np.float32)))
  mean, scale = data[0][0].mean((0, 1)), data[0][0].std((0, 1)) + 1e-9
  data = [((x - mean) / scale, y) for x, y in data]
  key = jax.random.key(seed)
  params = _Network().init(key, data[0][0][:1], False)
  state = (params, _optimizer().init(params))
  best = (-1.0, 0.5)
  for epoch in range(epochs):
    rows = rng.permutation(len(data[0][0]))
    rows = np.resize(rows, -(-len(rows) // _BATCH) * _BATCH)
    keys = jax.random.fold_in(key, epoch)
    state = _epoch(state, *(x[rows] for x in data[0]), keys)
    valid, test = (_rank_auc(_scores(state[0], x), y) for x, y in data[1:])
    if valid > best[0]:
      best = (valid, test)
  return best[1]


def _optimizer():
  return optax.adam(_LEARNING_RATE)


@jax.jit
def _epoch(state, x, y, key):
  """Goes through all batches once."""

  def step(state, batch):
    params, moments = state
    x, y, key = batch

    def loss(params):
      logits = _Network().apply(params, x, True, rngs={"dropout": key})
      return optax.sigmoid_binary_cross_entropy(logits, y).mean()

    gradients = jax.grad(loss)(params)
    updates, moments = _optimizer().update(gradients, moments)
    return (optax.apply_updates(params, updates), moments), None

  count = len(x) // _BATCH
  x, y = x.reshape(count, _BATCH, *x.shape[1:]), y.reshape(count, _BATCH)
  return jax.lax.scan(step, state, (x, y, jax.random.split(key, count)))[0]


@jax.jit
def _scores(params, x):
  return _Network().apply(params, x, False)


def _rank_auc(scores, labels) -> float:
  """Returns the area under the ROC curve, by ranks."""
  scores = np.asarray(scores)
  _, inverse, counts = np.unique(
    scores, return_inverse=True, return_counts=True
  )
  last = np.cumsum(counts)
  rank = (last - (counts - 1) / 2)[inverse]
  positive = labels > 0
  num, rest = positive.sum(), (~positive).sum()
  if not num or not rest:
    return 0.5
  return float((rank[positive].sum() - num * (num + 1) / 2) / (num * rest))
