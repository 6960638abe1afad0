"""One training run of the order model: from a data set to a model file."""

import collections.abc
import dataclasses
import datetime
import pathlib
from typing import Any

import jax
import numpy as np

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import order_task
from mars_jax.train import progress
from mars_jax.train import sharding
from mars_jax.train import task as task_lib
from mars_jax.train import trainer
from mars_jax.train import validation


def run(
  dataset: dataset_lib.Dataset,
  workdir: pathlib.Path,
  configs: collections.abc.Mapping[str, Any],
  *,
  baselines: bool = True,
  on_progress: collections.abc.Callable[[progress.Progress], None],
) -> lmm.Model | None:
  """Trains, scores held-out orders and writes `model.npz`.

  Every process must call it; the first one writes.

  Args:
    dataset: the orders.
    workdir: of the run; one that was stopped goes on from its last checkpoint.
    configs: as of `trainer.make_configs`.
    baselines: whether to score the baselines too; they hold all orders of a
      market in memory.
    on_progress: called for every step.

  Returns:
    The model, with its scores in the card; None but in the first process.

  Raises:
    FloatingPointError, ValueError, trainer.Preempted: as of `trainer.train`.
  """
  task, config = order_task.TASK, configs["model"]
  trained = trainer.train(
    task, dataset, workdir, **configs, on_progress=on_progress
  )
  nats = task_lib.held_out(
    task,
    trained.params,
    dataset,
    config=config,
    max_orders=configs["train"].eval_orders or None,
    valid=trained.valid,
  )
  params = sharding.gather(trained.params)
  if jax.process_index():
    return None
  card = {
    **_card(dataset, configs["batch"], nats, config.fields),
    "validation_raw_nats_per_order": _raw_nats(
      dataset, nats["valid"], configs, baselines=baselines
    ),
    "parameters": lmm.num_params(params),
    "date": datetime.date.today().isoformat(),
    "config": {
      name: dataclasses.asdict(section) for name, section in configs.items()
    },
  }
  path = task_lib.save_path(workdir)
  task.save(path, params, config=config, dataset=dataset, card=card)
  return lmm.Model(params, config, dataset.tokenizers[config.alphabet], card)


def _raw_nats(dataset, nats, configs, *, baselines) -> dict[str, Any]:
  """Returns raw nats per order by market and model.

  The baselines are of the paper's alphabet, and score all orders.
  """
  alphabet = configs["model"].alphabet
  max_orders = configs["train"].eval_orders or None
  rest = validation.within_nats(
    dataset, alphabet=alphabet, max_orders=max_orders
  )
  scores = {
    market: {"model": float((nats[market].sum(axis=1) + left).mean())}
    for market, left in rest.items()
  }
  if not baselines:
    return scores
  for market, left in validation.within_nats(dataset, alphabet="mid").items():
    random_flow = validation.zero_intelligence_nats(dataset, market)
    found = {
      "zero intelligence": random_flow.sum(axis=1),
      **validation.count_nats(dataset, market),
    }
    for name, values in found.items():
      scores[market][name] = float((values + left).mean())
  return scores


def _card(dataset, batch, nats, fields) -> dict[str, Any]:
  """Returns a model's data and scores, for its file."""
  valid = nats["valid"]
  by_field = task_lib.mean(valid)
  return {
    "data": dataset.name,
    "source": dataset.source,
    "splits": {
      split: {"orders": dataset.num_orders(split), "days": len(parts)}
      for split, parts in dataset.parts.items()
    },
    "orders_in_no_window": dataset.orders_in_no_window(batch),
    "orders_scored": sum(map(len, valid.values())),
    "validation_nats_per_order": float(by_field.sum()),
    "validation_nats_by_field": _by_field(fields, by_field),
    "model_by_market": {
      split: {
        market: {
          "orders": len(rows),
          **_by_field(fields, rows.mean(axis=0, dtype=np.float64)),
        }
        for market, rows in by_market.items()
      }
      for split, by_market in nats.items()
    },
  }


def _by_field(fields: tuple[str, ...], nats: np.ndarray) -> dict[str, float]:
  """Names the nats of the fields, `[F]`."""
  return dict(zip(fields, nats.tolist(), strict=True))
