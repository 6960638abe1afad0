"""The loss is the mean of the scores; its gradients add up over a batch."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from mars_jax.data import pipeline
from mars_jax.train import loss
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.train import random_params
from tests.support.train import tiny_run

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def batch(dataset):
  return next(tiny_run.batches(dataset))


@pytest.fixture(scope="module")
def tokenizers(dataset):
  return dataset.tokenizer_list(tiny_run.MODEL.alphabet, tiny_run.MODEL.scheme)


@pytest.fixture(scope="module")
def params():
  return random_params.params(tiny_run.MODEL)


def test_loss_is_the_mean_of_the_scores_of_all_but_the_first(
  params, tokenizers, batch
):
  config = tiny_run.MODEL

  @jax.jit
  def both(params, batch):
    tokens = pipeline.tokens(tokenizers, batch)
    scores = loss.nats(params, tokens, config=config)
    key = jax.random.key(0)
    return scores, loss.mean_nats(params, tokens, key, config=config)

  scores, mean = both(params, batch)
  assert scores.shape == (16, 16, len(config.fields))
  np.testing.assert_allclose(mean, scores.sum(axis=-1).mean(), rtol=1e-5)


def test_gradients_are_the_same_in_micro_batches_and_with_remat(
  params, tokenizers, batch
):
  def gradients(accumulation=1, **changes):
    config = dataclasses.replace(tiny_run.MODEL, **changes)
    return jax.jit(
      lambda params: trainer._mean_gradients(
        functools.partial(order_task.TASK.loss, config=config),
        params,
        tokenizers,
        batch,
        jax.random.key(0),
        sharding.ParallelConfig(accumulation=accumulation),
      )
    )(params)

  chex.assert_trees_all_close(
    gradients(accumulation=4, remat=True), gradients(), rtol=1e-5, atol=1e-7
  )
