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
from mars_jax.tokens import vocab
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
  scores = _baselines(dataset) if baselines else {}
  card = {
    **_card(dataset, configs["batch"], nats, scores),
    "parameters": lmm.num_params(params),
    "date": datetime.date.today().isoformat(),
    "config": {
      name: dataclasses.asdict(section) for name, section in configs.items()
    },
  }
  path = task_lib.save_path(workdir)
  task.save(path, params, config=config, dataset=dataset, card=card)
  return lmm.Model(params, config, dataset.tokenizers, card)


def _baselines(dataset: dataset_lib.Dataset) -> dict[str, dict[str, float]]:
  """Scores the baselines in each market with validation orders."""
  scores = {}
  for market in dataset.markets:
    if any(p.stop > 1 for p in dataset.market_parts("valid", market)):
      random_flow = validation.zero_intelligence_nats(dataset, market)
      scores[market] = {
        "zero intelligence": float(random_flow.sum(axis=1).mean()),
        **validation.count_nats(dataset, market),
      }
  return scores


def _card(dataset, batch, nats, baselines) -> dict[str, Any]:
  """Returns a model's data and scores, for its file.

  Means over several markets weigh each by its orders that the model has scored.
  """
  valid = nats["valid"]
  weights = [len(valid[market]) for market in baselines]
  scores = {
    name: float(
      np.average([b[name] for b in baselines.values()], None, weights)
    )
    for name in next(iter(baselines.values()), ())
  }
  by_field = task_lib.mean(valid)
  scores["model"] = float(by_field.sum())
  return {
    "data": dataset.name,
    "source": dataset.source,
    "splits": {
      split: {"orders": dataset.num_orders(split), "days": len(parts)}
      for split, parts in dataset.parts.items()
    },
    "orders_in_no_window": dataset.orders_in_no_window(batch),
    "orders_scored": sum(map(len, valid.values())),
    "validation_nats_per_order": scores,
    "validation_nats_by_field": _by_field(by_field),
    "baselines_by_market": baselines,
    "model_by_market": {
      split: {
        market: {
          "orders": len(rows),
          **_by_field(rows.mean(axis=0, dtype=np.float64)),
        }
        for market, rows in by_market.items()
      }
      for split, by_market in nats.items()
    },
  }


def _by_field(nats: np.ndarray) -> dict[str, float]:
  """Names the nats of the fields, `[4]`."""
  return dict(zip(vocab.FIELDS, nats.tolist(), strict=True))
