"""The model that ships with the package is what its card says."""

import dataclasses
import runpy

import chex
import jax
import numpy as np
import pytest

from mars_jax import demo
from mars_jax import lmm
from mars_jax.apps import futures as futures_lib
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import start as start_lib
from mars_jax.data import dataset
from mars_jax.feeds import registry
from mars_jax.train import order_task
from mars_jax.train import trainer
from mars_jax.train import validation
from tests.support import paths


@pytest.fixture(scope="module")
def model():
  return lmm.load(demo.MODEL)


@pytest.fixture(scope="module")
def config():
  return runpy.run_path(paths.ROOT / "configs" / "demo.py")["get_config"]()


@pytest.fixture(scope="module")
def stream(bitstamp_sample):
  return registry.read(bitstamp_sample)


def test_it_is_small_and_of_the_config(model, config):
  assert demo.MODEL.stat().st_size < 8e6
  assert model.config == lmm.LmmConfig(**config.model)
  made, carded = (
    trainer.make_configs(order_task.TASK, sections)
    for sections in (config.to_dict(), model.card["config"])
  )
  assert carded == made
  assert model.card["parameters"] == lmm.num_params(model.params)


@pytest.mark.slow
def test_it_scores_the_held_out_orders_as_its_card_says(model, config, stream):
  data = dataset.from_day(stream, config=dataset.DataConfig(**config.data))
  own = data.tokenizers[model.config.alphabet]
  chex.assert_trees_all_equal(own, model.tokenizers)
  assert data.num_dropped == 0
  (nats,) = validation.model_nats(
    model.params, data, config=model.config
  ).values()
  rest = validation.within_nats(data, alphabet=model.config.alphabet)
  scores = model.card["validation_raw_nats_per_order"]["Bitstamp"]
  np.testing.assert_allclose(
    (nats.sum(axis=1) + rest["Bitstamp"]).mean(), scores["model"], atol=1e-3
  )
  found = validation.count_nats(data, "Bitstamp")
  rest = validation.within_nats(data, alphabet="mid")["Bitstamp"]
  for name, score in found.items():
    np.testing.assert_allclose(
      (score + rest).mean(), scores[name], err_msg=name
    )
  assert len(found) == 2
  assert scores["model"] < min(scores[name] for name in found) - 0.5
  text = (demo.MODEL.parent / "card.md").read_text()
  for score in scores.values():
    assert f"{score:.3f}" in text


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.slow
def test_a_future_alone_is_the_same_among_others(model, stream):
  time = int(stream.time[20_000])
  now = start_lib.load_start(stream[:20_200], time, model)

  def simulate(num_trajectories):
    futures = futures_lib.simulate(
      now.flow,
      jax.random.key(3),
      now.initial,
      config=now.sim_config(),
      num_trajectories=num_trajectories,
      horizon=horizon_lib.Horizon(orders=100),
    )
    return dataclasses.asdict(futures)

  alone, again, among = simulate(1), simulate(1), simulate(4)
  chex.assert_trees_all_equal(alone, again)
  for name in ("time", "mid", "kind", "side", "price", "volume", "traded"):
    np.testing.assert_array_equal(alone[name][0], among[name][0], err_msg=name)
  assert len(np.unique(among["price"], axis=0)) == 4
