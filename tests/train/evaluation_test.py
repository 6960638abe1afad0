"""Scores with intervals: those of `validation`, and as sure as they say."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import pytest

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.feeds import registry
from mars_jax.tokens import features
from mars_jax.train import checkpoint
from mars_jax.train import order_task
from mars_jax.train import task
from mars_jax.train import trainer
from mars_jax.train import validation
from mars_jax.utils import stats
from tests.support.data import prepared_data
from tests.support.processes import scripts
from tests.support.train import random_params
from tests.support.train import tiny_run

_BLOCK = 8
_NAMES = (*tiny_run.MODEL.fields, "all")
_MARKETS = ("BME", "Bitstamp")

pytestmark = pytest.mark.usefixtures("quick_compilation")


def _params():
  return random_params.params(tiny_run.MODEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Prepared days of two markets, models with other bins, and a run's workdir.

  The run has the parameters of the models after step 1, the better one, and
  zeros after step 2.
  """
  folder = tmp_path_factory.mktemp("evaluate")
  prepared_data.make(folder, num_days=2, num_orders=400, bme=True)
  one, two = _bins()
  for name, tokenizers in {
    "known": {"BME": one, "Bitstamp": two},
    "other": {"A": one, "B": two},
    "one": {"A": one},
  }.items():
    model = lmm.Model(_params(), tiny_run.MODEL, tokenizers, {})
    lmm.save(folder / f"{name}.npz", model)
  shapes = jax.eval_shape(
    lambda: trainer.init_state(
      order_task.TASK, 0, tiny_run.MODEL, tiny_run.OPTIMIZER
    )
  )
  state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  with checkpoint.Checkpointer(
    folder / "run" / "checkpoints",
    max_to_keep=2,
    configs={"model": dataclasses.asdict(tiny_run.MODEL)},
    tokenizers={
      name: features.bins_of(bins) for name, bins in (("A", one), ("B", two))
    },
  ) as checkpointer:
    for step, factor in ((1, 1), (2, 0)):
      params = jax.tree.map(lambda x, f=factor: f * jnp.asarray(x), _params())
      state = state.replace(params=params, step=jnp.int32(step))
      checkpointer.save(step, state, {}, valid_nats=float(step))
  return folder


_RIGHT = {
  "two markets": "--checkpoint={0}/known.npz --baselines",
  "the best": (
    "--checkpoint={0}/run --market=Bitstamp --market_bins=B --split=test"
    " --max_orders=256"
  ),
  "one day": (
    "--checkpoint={0}/one.npz --data={0}/day0.csv --train_fraction=0.9"
    " --book_capacity=256"
  ),
}
_WRONG = {
  "--checkpoint={0}/other.npz": (
    "the model has bins for A, B, not for 'BME'; --market_bins names one"
  ),
}


@pytest.fixture(scope="module")
def found(folder):
  """How each command ended."""
  common = f"--data={folder}/prepared --block={_BLOCK} --json "
  texts = {**_RIGHT, **{text: text for text in _WRONG}}
  results = scripts.run_all(
    [
      ("evaluate_loss", *(common + text.format(folder)).split())
      for text in texts.values()
    ]
  )
  return dict(zip(texts, results, strict=True))


def _json(result):
  """What the last line says."""
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout.splitlines()[-1])


def _nats(folder, market, bins, **kwargs):
  """The nats that `validation` finds, in a market, with some bins."""
  data = dataset_lib.from_folder(folder / "prepared", market)
  own = {tiny_run.MODEL.alphabet: {market: bins}}
  data = dataclasses.replace(data, tokenizers={**data.tokenizers, **own})
  nats = validation.model_nats(_params(), data, config=tiny_run.MODEL, **kwargs)
  return data, nats[market]


def _assert_equal(scores, nats):
  """Checks the scores of a market."""
  assert scores["orders"] == len(nats)
  columns = [*nats.T, nats.sum(axis=1)]
  for name, column in zip(_NAMES, columns, strict=True):
    mean, half = stats.mean_interval(column, _BLOCK)
    half = None if math.isnan(half) else pytest.approx(half, rel=1e-3)
    assert scores[name] == [pytest.approx(mean, rel=1e-4), half], name


@pytest.mark.slow
def test_scores_are_those_of_validation_with_the_bins_of_the_model(
  folder, found
):
  results = _json(found["two markets"])
  assert results["model"].keys() == {"BME", "Bitstamp", "all markets"}
  nats = {}
  for market, bins in zip(_MARKETS, _bins(), strict=True):
    data, nats[market] = _nats(folder, market, bins)
    _assert_equal(results["model"][market], nats[market])
    baselines = results["baselines"][market]
    random_flow = validation.zero_intelligence_nats(data, market)
    found_mean = baselines["zero intelligence"]["raw"][0]
    assert found_mean > random_flow.sum(axis=1).mean()
    rest = validation.within_nats(data, alphabet="mid")[market]
    for name, found_nats in validation.count_nats(data, market).items():
      mean, half = stats.mean_interval(found_nats + rest, _BLOCK)
      half = None if math.isnan(half) else pytest.approx(half)
      assert baselines[name]["raw"] == [pytest.approx(mean), half]
  over_all = results["model"]["all markets"]
  assert over_all["orders"] == sum(map(len, nats.values()))
  mean = task.mean(nats).sum()
  assert over_all["all"][0] == pytest.approx(mean, rel=1e-4)


@pytest.mark.slow
def test_the_best_checkpoint_is_scored_on_the_test_split(folder, found):
  results = _json(found["the best"])
  assert results["step"] == 1
  _, nats = _nats(folder, "Bitstamp", _bins()[1], split="test", max_orders=256)
  _assert_equal(results["model"]["Bitstamp"], nats)
  note = "no bins for Bitstamp; those for B are used"
  assert note in found["the best"].stdout


@pytest.mark.slow
def test_one_day_is_split_as_for_training(folder, found):
  results = _json(found["one day"])
  config = dataclasses.replace(
    tiny_run.DATA, path=f"{folder}/day0.csv", train_fraction=0.9
  )
  data = dataset_lib.from_day(registry.read(config.path), config=config)
  scores = results["model"]["Bitstamp"]
  assert scores["orders"] == data.num_orders("valid")


@pytest.mark.parametrize("text", _WRONG)
@pytest.mark.slow
def test_what_a_user_can_mend_is_one_line(text, found):
  assert found[text].returncode == 1
  assert found[text].stderr.startswith(f"error: {_WRONG[text]}")
  assert len(found[text].stderr.splitlines()) == 1


def _bins():
  by_market = tiny_run.dataset().tokenizers[tiny_run.MODEL.alphabet]
  return list(by_market.values())
