"""The interface of a model to the trainer.

The trainer, checkpoints and sweeps know a model by its `Task` alone: a second
model is a file beside `order_task`, which has the task of the order model.

Dimensions: B rows of a batch, V orders scored, F parts of a score.
"""

import collections.abc
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from mars_jax.data import dataset as dataset_lib

Params = Any  # A nested dict of float32 arrays.
Config = Any  # A frozen dataclass.
Tree = Any
Nats = dict[str, np.ndarray]  # {market: float32 [V, F]}.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """A model to train: its configs, its data, its loss and its score.

  All functions but `save` are pure. `config` is always the model's.

  Attributes:
    model_type: dataclass of the section `model` of a config file.
    batch_type: dataclass of the section `batch`, with `batch_size`.
    parts: `(config) -> tuple`, names of the F parts that a score is the sum of.
    init: `(key, *, config) -> params`.
    inputs: `(dataset, *, config) -> tree`, the arrays that the loss needs
      besides the batch, such as bins; every device holds them.
    bins: `(dataset, *, config) -> tree`, what a checkpoint keeps of the data:
      named arrays, {market: {field: {leaf: array}}}.
    batches: `(dataset, *, batch, seed) -> iterator` of endless batches, trees
      of arrays `[B, ...]`, with `get_state` and `set_state` for checkpoints.
    loss: `(params, inputs, batch, key, *, config) -> []`, float32 nats per
      prediction; `key` is of the dropout.
    validate: `(params, dataset, *, config, split, max_orders) -> nats`, the
      score of held-out orders, float32 `[V, F]` of each market.
    tokens_per_step: `(batch) -> int`, predictions of a step over all devices.
    flops_per_token: `(config, batch) -> float`, of training.
    save: `(path, params, *, config, dataset, card)`, writes the trained model
      to a file that describes itself.
  """

  model_type: type
  batch_type: type
  parts: collections.abc.Callable[[Config], tuple[str, ...]]
  init: collections.abc.Callable[..., Params]
  inputs: collections.abc.Callable[..., Tree]
  bins: collections.abc.Callable[..., Tree]
  batches: collections.abc.Callable[..., collections.abc.Iterator[Tree]]
  loss: collections.abc.Callable[..., jax.Array]
  validate: collections.abc.Callable[..., Nats]
  tokens_per_step: collections.abc.Callable[[Config], int]
  flops_per_token: collections.abc.Callable[[Config, Config], float]
  save: collections.abc.Callable[..., None]


def held_out(
  task: Task,
  params: Params,
  dataset: dataset_lib.Dataset,
  *,
  config: Config,
  max_orders: int | None = None,
  valid: Nats | None = None,
) -> dict[str, Nats]:
  """Scores the splits that no parameter was fitted to.

  Args:
    task: the model.
    params: its parameters.
    dataset: the orders.
    config: the model's.
    max_orders: limit of the orders scored, for each market; None for all.
    valid: the score of the split "valid", where it is known.

  Returns:
    {split: {market: nats}} of the splits that have orders to score.
  """
  nats = {"valid": valid} if valid else {}
  for split in ("valid", "test"):
    if split not in nats and split in dataset.parts:
      nats[split] = task.validate(
        params, dataset, config=config, split=split, max_orders=max_orders
      )
  return {split: by_market for split, by_market in nats.items() if by_market}


def mean(nats: Nats) -> np.ndarray:
  """Returns the float64 `[F]` mean over all markets' orders."""
  return np.concatenate(list(nats.values())).mean(axis=0, dtype=np.float64)


def save_path(workdir: pathlib.Path | str) -> pathlib.Path:
  """Returns the path of a run's trained model."""
  return pathlib.Path(workdir) / "model.npz"
