"""Validation: every order once, given those before it on its day."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.baselines import ngrams
from mars_jax.baselines import zero_intelligence
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import vocab
from mars_jax.train import validation
from tests.support.train import day_records
from tests.support.train import random_params

# One layer sees a window and no more, so that all before an order says the same
# of it as a window does.
MODEL = lmm.LmmConfig(
  dim=8, num_layers=1, num_heads=2, head_dim=4, mlp_dim=16, window=8
)
# Of each day the number of orders and, if any, the bounds of its valid part: a
# whole day; one that begins within the window and is shorter than what is
# scored at once; the end of a day; its start; an order that nothing is before;
# nothing at all.
DAYS = [
  (600, (0, 600)),
  (40, (3, 40)),
  (700, (150, 700)),
  (300, (0, 256)),
  (50, (0, 1)),
  (10, (0, 0)),
  (400, None),
]

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def records():
  return [day_records.make(size, seed=i) for i, (size, _) in enumerate(DAYS)]


@pytest.fixture(scope="module")
def dataset(records, tmp_path_factory):
  """Days in memory, and one that is a file."""
  days = [store.MemoryDay(day) for day in records]
  path = tmp_path_factory.mktemp("validation") / "day"
  store.write(path, records[2], block_size=64)
  days[2] = store.DayFile(path)
  return dataset_lib.Dataset(
    name="",
    source={},
    parts={
      "train": [
        windows_lib.Part(days[2], "A", 0, 150),
        windows_lib.Part(days[6], "A", 0, 400),
        windows_lib.Part(days[0], "A", 0, 0),
      ],
      "valid": [
        windows_lib.Part(day, "A", *bounds)
        for day, (_, bounds) in zip(days, DAYS, strict=True)
        if bounds
      ],
    },
    tokenizers={
      alphabet: {"A": encoding.fit(records[6], alphabet)}
      for alphabet in alphabet_lib.ALPHABETS
    },
  )


@pytest.fixture(scope="module")
def params():
  return random_params.params(MODEL)


@functools.cache
def _step_fn():
  """Scores an order given the token before it and the cache."""

  @jax.jit
  def step(params, token, cache, index):
    hidden, cache = lmm.apply(params, token, cache, config=MODEL)
    return -lmm.log_prob(params, hidden, index, config=MODEL), cache

  return step


def _day_nats(params, tokens):
  """Scores of all orders of a day but the first, `[T - 1, 4]`, one by one."""
  cache, nats = lmm.cache.init(config=MODEL), []
  for t in range(len(tokens.time) - 1):
    token = jax.tree.map(lambda leaf, t=t: leaf[t], tokens)
    score, cache = _step_fn()(params, token, cache, tokens.symbols[t + 1])
    nats.append(score)
  return np.array(jax.device_get(nats))


@pytest.fixture(scope="module")
def day_tokens(dataset, records):
  return [
    encoding.encode(dataset.tokenizers["touch"]["A"], day) for day in records
  ]


@pytest.fixture(scope="module")
def wanted(params, day_tokens):
  """The scores of each valid part, by a plain loop over each day."""
  return [
    _day_nats(params, tokens)[max(bounds[0], 1) - 1 : bounds[1] - 1]
    for tokens, (_, bounds) in zip(day_tokens, DAYS, strict=True)
    if bounds and bounds[1] > 1
  ]


def test_scores_every_order_once_as_a_loop_over_each_day_does(
  dataset, params, wanted
):
  nats = validation.model_nats(params, dataset, config=MODEL)["A"]
  assert nats.shape == (599 + 37 + 550 + 255, len(MODEL.fields))
  np.testing.assert_allclose(nats, np.concatenate(wanted), atol=1e-4)


def test_one_program_scores_windows_of_all_lengths(
  dataset, params, monkeypatch
):
  score = chex.assert_max_traces(validation._score.__wrapped__, n=1)
  jitted = jax.jit(score, static_argnames="config")
  monkeypatch.setattr(validation, "_score", jitted)
  validation.model_nats(params, dataset, config=MODEL)["A"]


def test_more_batches_than_one_are_as_one(dataset, params, monkeypatch):
  expected = validation.model_nats(params, dataset, config=MODEL)["A"]
  monkeypatch.setattr(validation, "_BATCH", 3)
  actual = validation.model_nats(params, dataset, config=MODEL)["A"]
  np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("start", [1, 7, 8, 9, 343, 344, 345, 599])
def test_a_part_may_begin_anywhere_in_its_day(dataset, params, wanted, start):
  part = dataclasses.replace(dataset.parts["valid"][0], start=start)
  moved = dataclasses.replace(dataset, parts={**dataset.parts, "valid": [part]})
  nats = validation.model_nats(params, moved, config=MODEL)["A"]
  np.testing.assert_allclose(nats, wanted[0][start - 1 :], atol=1e-4)


@pytest.mark.parametrize("chunk", [8192, 37])
def test_baselines_score_the_same_orders(dataset, records, chunk, monkeypatch):
  monkeypatch.setattr(validation, "_CHUNK", chunk)
  found = validation.count_nats(dataset, "A")
  bins = dataset.tokenizers["mid"]["A"]
  index = [vocab.pack(encoding.symbols(bins, day)) for day in records]
  train = np.concatenate([index[2][:150], index[6]])
  unigram, bigram = [], []
  for day, (_, bounds) in zip(index, DAYS, strict=True):
    if bounds:
      seen = day[max(bounds[0] - 1, 0) : bounds[1]]
      unigram += ngrams.unigram_nats(train, seen[1:]).tolist()
      bigram += ngrams.bigram_nats(train, seen).tolist()
  assert len(unigram) == len(bigram) == 599 + 37 + 550 + 255
  np.testing.assert_allclose(found["unigram"], unigram)
  np.testing.assert_allclose(found["bigram"], bigram)
  flow = validation.zero_intelligence_nats(dataset, "A")
  assert flow.shape == (len(unigram), 4)


def test_zero_intelligence_is_the_best_model_of_its_own_flow():
  stream = zero_intelligence.stream(seed=0, num_orders=4_000)
  config = dataset_lib.DataConfig(
    path="", train_fraction=0.7, book_capacity=256
  )
  dataset = dataset_lib.from_day(stream, config=config)
  (market,) = dataset.markets
  nats = validation.zero_intelligence_nats(dataset, market).sum(axis=1).mean()
  counts = validation.count_nats(dataset, market)
  assert nats < min(found.mean() for found in counts.values())
