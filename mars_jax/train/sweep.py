"""One run of a sweep: trained once, its result remembered.

A sweep is a folder with NAME.json for each run that is done, and NAME/ for one
that is not, whose checkpoints let it go on where it was. Killed and started
again, a sweep trains what is missing.
"""

import collections.abc
import json
import pathlib
import shutil
import time
from typing import Any

import jax
import numpy as np

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import checkpoint
from mars_jax.train import progress as progress_lib
from mars_jax.train import task as task_lib
from mars_jax.train import trainer
from mars_jax.utils import files

_NUM_UNTIMED = 2  # Steps: the first is compiled, the second fills the pipeline.


def run(
  task: task_lib.Task,
  name: str,
  configs: collections.abc.Mapping[str, Any],
  dataset: dataset_lib.Dataset,
  folder: pathlib.Path | str,
  *,
  max_orders: int | None = None,
  on_progress: collections.abc.Callable[
    [progress_lib.Progress], None
  ] = lambda progress: None,
) -> dict[str, Any]:
  """Trains and scores a model, or returns the stored result.

  For one process. `parallel` may differ from that of the stored run, since it
  is no part of what is computed.

  Args:
    task: the model.
    name: of the run, fit for the name of a file.
    configs: the configs of `trainer.train`, by its names of them.
    dataset: the orders.
    folder: of the sweep; made if need be.
    max_orders: of each market at most about so many are scored at the end; None
      for all. `train.eval_orders` is for the validations on the way.
    on_progress: as of `trainer.train`; not called if the run is done.

  Returns:
    Fit for JSON, as in NAME.json:
      settings: the configs, `max_orders` and the source of the data.
      params: parameters, all of which are used.
      params_without_tables: those not in the embedding.
      tokens: orders predicted in training.
      epochs: these over the orders there are to train on.
      flops: of all training steps, `task.flops_per_token` each token.
      valid, test: {"orders", "nats", and each of `task.parts`}: number of
        orders scored, and means over them, whatever their market; test is None
        where there is no such split.
      markets: {split: {market: the same}}.
      tokens_per_second: of training, without the first steps and validations;
        None if there are no others.
      seconds: that this call took.
      resumed: whether an earlier one had begun; `seconds` is then not of all.
      device: what it ran on, "2 x cpu" say.

  Raises:
    ValueError: if NAME.json is of other configs or data, or as of
      `trainer.train`.
    Whatever else `trainer.train` raises, `trainer.Preempted` among it.
  """
  folder = pathlib.Path(folder)
  path, workdir = folder / f"{name}.json", folder / name
  settings = {
    **trainer.describe(configs, dataset),
    "max_orders": max_orders,
  }
  if path.exists():
    result = json.loads(path.read_text())
    _check_same(path, result["settings"], settings)
  else:
    folder.mkdir(parents=True, exist_ok=True)
    result = {
      "settings": settings,
      **_train(task, configs, dataset, workdir, max_orders, on_progress),
    }
    with files.replacing(path) as partial:
      partial.write_text(json.dumps(result, indent=2))
  shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
  return result


def _train(task, configs, dataset, workdir, max_orders, on_progress):
  """Returns the result of a run, less its settings."""
  is_resumed, began, seconds = workdir.exists(), time.perf_counter(), []
  trained = trainer.train(
    task,
    dataset,
    workdir,
    **configs,
    on_progress=_timed(on_progress, seconds),
  )
  params = trained.params
  is_same = max_orders == (configs["train"].eval_orders or None)
  nats = task_lib.held_out(
    task,
    params,
    dataset,
    config=configs["model"],
    max_orders=max_orders,
    valid=trained.valid if is_same else None,
  )
  parts = task.parts(configs["model"])
  batch, num_steps = configs["batch"], configs["optimizer"].num_steps
  tokens_per_step = task.tokens_per_step(batch)
  tokens = tokens_per_step * num_steps
  timed = seconds[_NUM_UNTIMED:]
  num_params = lmm.num_params(params)
  num_tables = lmm.num_params(params.get("embed", ()))
  return {
    "params": num_params,
    "params_without_tables": num_params - num_tables,
    "tokens": tokens,
    "epochs": tokens / dataset.num_orders("train"),
    "flops": tokens * task.flops_per_token(configs["model"], batch),
    "valid": _pooled(parts, nats["valid"]),
    "test": _pooled(parts, nats.get("test")),
    "markets": {
      split: {market: _scores(parts, rows) for market, rows in found.items()}
      for split, found in nats.items()
    },
    "tokens_per_second": (
      tokens_per_step * len(timed) / sum(timed) if timed else None
    ),
    "seconds": time.perf_counter() - began,
    "resumed": is_resumed,
    "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
  }


def _timed(on_progress, seconds):
  """Returns an `on_progress` that records seconds per step.

  Those of steps with a validation are left out.
  """
  last = time.perf_counter()

  def tell(progress):
    nonlocal last
    now = time.perf_counter()
    if progress.valid_nats is None:
      seconds.append(now - last)
    last = now
    on_progress(progress)

  return tell


def _pooled(parts, nats: task_lib.Nats | None) -> dict[str, float] | None:
  """Returns the scores over all markets, None without orders."""
  return _scores(parts, np.concatenate(list(nats.values()))) if nats else None


def _scores(parts, nats: np.ndarray) -> dict[str, float]:
  """Returns the number of orders and the mean nats.

  In all, and by part.
  """
  fields = nats.mean(axis=0, dtype=np.float64)
  return {
    "orders": len(nats),
    "nats": float(fields.sum()),
    **dict(zip(parts, fields.tolist(), strict=True)),
  }


def _check_same(path, old, new) -> None:
  """Raises, naming what differs, unless settings are the same."""
  if different := checkpoint.differences(old, json.loads(json.dumps(new))):
    raise ValueError(
      f"{path} is of a run with other settings: {different}; set them back or"
      " choose a new folder"
    )
