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
from mars_jax.tokens import vocab
from mars_jax.train import checkpoint
from mars_jax.train import cost
from mars_jax.train import progress as progress_lib
from mars_jax.train import trainer
from mars_jax.train import validation
from mars_jax.utils import files

_NUM_UNTIMED = 2  # Steps: the first is compiled, the second fills the pipeline.


def run(
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
  """Trains and scores a model, or returns what came out before.

  For one process. `parallel` may differ from that of the stored run, since it
  is no part of what is computed.

  Args:
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
      flops: of all training steps, `cost.flops_per_token` each token.
      valid, test: {"orders", "nats", "kind", "price", "volume", "interval"}:
        how many orders were scored, and means over them, whatever their market;
        test is None where there is no such split.
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
      **_train(configs, dataset, workdir, max_orders, on_progress),
    }
    with files.replacing(path) as partial:
      partial.write_text(json.dumps(result, indent=2))
  shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
  return result


def _train(configs, dataset, workdir, max_orders, on_progress):
  """Returns the result of a run, less its settings."""
  is_resumed, began, seconds = workdir.exists(), time.perf_counter(), []
  params = trainer.train(
    dataset, workdir, **configs, on_progress=_timed(on_progress, seconds)
  )
  nats = validation.held_out_nats(
    params, dataset, config=configs["model"], max_orders=max_orders
  )
  batch, num_steps = configs["batch"], configs["optimizer"].num_steps
  length = batch.window_length - 1  # The last order is not an input.
  tokens_per_step = batch.batch_size * length
  tokens = tokens_per_step * num_steps
  timed = seconds[_NUM_UNTIMED:]
  num_params = lmm.num_params(params)
  return {
    "params": num_params,
    "params_without_tables": num_params - lmm.num_params(params["embed"]),
    "tokens": tokens,
    "epochs": tokens / dataset.num_orders("train"),
    "flops": tokens * cost.flops_per_token(configs["model"], length),
    "valid": _pooled(nats["valid"]),
    "test": _pooled(nats.get("test")),
    "markets": {
      split: {market: _scores(rows) for market, rows in found.items()}
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
  """Returns an `on_progress` that appends the seconds of steps to a list.

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


def _pooled(nats: dict[str, np.ndarray] | None) -> dict[str, float] | None:
  """Returns the scores of the orders of all markets, None of no order."""
  return _scores(np.concatenate(list(nats.values()))) if nats else None


def _scores(nats: np.ndarray) -> dict[str, float]:
  """Returns how many orders there are, and their means in all and by field."""
  fields = nats.mean(axis=0, dtype=np.float64)
  return {
    "orders": len(nats),
    "nats": float(fields.sum()),
    **dict(zip(vocab.FIELDS, fields.tolist(), strict=True)),
  }


def _check_same(path, old, new) -> None:
  """Raises, naming what differs, unless settings are the same."""
  if different := checkpoint.differences(old, json.loads(json.dumps(new))):
    raise ValueError(
      f"{path} is of a run with other settings: {different}; set them back or"
      " choose a new folder"
    )
