"""The training of the order model."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.lmm import model_file
from mars_jax.tokens import features
from mars_jax.train import checkpoint
from mars_jax.train import cost
from mars_jax.train import loss
from mars_jax.train import sharding
from mars_jax.train import task
from mars_jax.train import validation


def _parts(config: lmm.LmmConfig) -> tuple[str, ...]:
  """Returns the names of the fields of an order."""
  return config.fields


def _inputs(dataset: dataset_lib.Dataset, *, config: lmm.LmmConfig):
  """Returns the bins of all markets, by market number."""
  return dataset.tokenizer_list(config.alphabet, config.scheme)


def _bins(
  dataset: dataset_lib.Dataset, *, config: lmm.LmmConfig
) -> dict[str, Any]:
  """Returns the bins of each market, {market: {field: {leaf: array}}}."""
  by_market = dataset.tokenizers[config.alphabet]
  return {name: features.bins_of(found) for name, found in by_market.items()}


def _batches(
  dataset: dataset_lib.Dataset, *, batch: pipeline.BatchConfig, seed: int
):
  """Returns shuffled batches of training windows, leaves `[B, ...]`."""
  return pipeline.batches(
    dataset.train_windows(batch), batch_size=batch.batch_size, seed=seed
  )


def _loss(params, tokenizers, batch, key, *, config) -> jax.Array:
  """Returns the mean nats per order, float32 `[]`."""
  tokens = pipeline.tokens(tokenizers, batch)
  if config.mirror:
    key, coin_key = jax.random.split(key)
    tokens = _mirrored(tokens, coin_key, config.alphabet)
  tokens = sharding.constrain_batch(tokens)
  return loss.mean_nats(params, tokens, key, config=config)


def _mirrored(tokens, key, alphabet):
  """Returns windows `[B, T]`, every second one mirrored, by chance."""
  coins = jax.random.bernoulli(key, shape=tokens.time.shape[:1])

  def pick(swapped, same):
    return jnp.where(coins.reshape(-1, *(1,) * (same.ndim - 1)), swapped, same)

  return jax.tree.map(pick, features.mirror(tokens, alphabet), tokens)


def _tokens_per_step(batch: pipeline.BatchConfig) -> int:
  """Returns the orders predicted in a step: all but the first of a window."""
  return batch.batch_size * (batch.window_length - 1)


def _flops_per_token(
  config: lmm.LmmConfig, batch: pipeline.BatchConfig
) -> float:
  """Returns `cost.flops_per_token` of a training window."""
  return cost.flops_per_token(config, batch.window_length - 1)


def _save(
  path: pathlib.Path,
  params: lmm.Params,
  *,
  config: lmm.LmmConfig,
  dataset: dataset_lib.Dataset,
  card: dict[str, Any],
) -> None:
  """Writes a model file with the data set's bins."""
  tokenizers = dataset.tokenizers[config.alphabet]
  lmm.save(path, lmm.Model(params, config, tokenizers, card))


TASK = task.Task(
  model_type=lmm.LmmConfig,
  batch_type=pipeline.BatchConfig,
  parts=_parts,
  init=lmm.init,
  inputs=_inputs,
  batches=_batches,
  loss=_loss,
  bins=_bins,
  validate=validation.model_nats,
  tokens_per_step=_tokens_per_step,
  flops_per_token=_flops_per_token,
  save=_save,
)
"""The order model; a score has a part for each field of an order."""


def load(
  folder: pathlib.Path | str, step: int | str | None = None
) -> lmm.Model:
  """Returns the order model of a checkpoint.

  Args:
    folder: of the checkpoints, "checkpoints" in a run's folder.
    step: number of a step; "best" for the lowest validation loss, None for the
      last.

  Returns:
    The model, on one device; its card is as of `checkpoint.load`.

  Raises:
    FileNotFoundError, ValueError: as of `checkpoint.load`.
  """
  found = checkpoint.load(TASK, folder, step)
  tokenizers = {
    market: model_file.load_tokenizer(fields, found.config)
    for market, fields in found.tokenizers.items()
  }
  return lmm.Model(found.params, found.config, tokenizers, found.card)
