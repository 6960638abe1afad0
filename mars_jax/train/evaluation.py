"""Scores of a model on any data set, with intervals.

The bins of the model encode the orders, not those of the data. A score is the
mean nats per order, by field, in all, and raw: with what the bins leave over,
by which alphabets compare. Beside each is half the width of its 95 % interval,
from means over blocks of successive orders (`stats.mean_interval`).
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import checkpoint
from mars_jax.train import order_task
from mars_jax.train import validation
from mars_jax.utils import stats


def load_model(path: pathlib.Path | str, step: str | None = None) -> lmm.Model:
  """Reads a model from a run's folder or a file.

  Args:
    path: a workdir of a run, or a `model.npz`.
    step: of a workdir: "best" (of the lowest validation loss, the default),
      "last", or the number of a step.

  Raises:
    FileNotFoundError: if there is no such file or folder.
    ValueError: if there is no such step, or the file is no model.
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    if step:
      raise ValueError(f"step {step} is of a workdir, not of {path}")
    return lmm.load(path)
  if step == "last":
    return order_task.load(path / "checkpoints")
  if step in (None, checkpoint.BEST):
    return order_task.load(path / "checkpoints", checkpoint.BEST)
  if not step.isdecimal():
    raise ValueError(f"step {step} is none of best, last, or a number")
  return order_task.load(path / "checkpoints", int(step))


def with_bins_of(
  model: lmm.Model, dataset: dataset_lib.Dataset, market_bins: str | None
) -> tuple[dataset_lib.Dataset, list[str]]:
  """Returns the data set with the model's bins.

  And notes for the user.

  Args:
    model: the lender of the bins.
    dataset: the orders.
    market_bins: market of the model whose bins serve markets that it does not
      know; a model of one market lends its own.

  Raises:
    ValueError: if the model has no bins for a market, or for `market_bins`.
  """
  if market_bins and market_bins not in model.tokenizers:
    raise ValueError(
      f"market_bins = {market_bins} is none of the model's markets:"
      f" {', '.join(model.tokenizers)}"
    )
  tokenizers, notes = {}, []
  for market in dataset.markets:
    is_known = market in model.tokenizers
    lender = market if is_known or not market_bins else market_bins
    try:
      tokenizers[market] = model.tokenizer(lender)
    except ValueError as error:
      raise ValueError(f"{error}; --market_bins names one to use") from error
    if not is_known:
      lender = market_bins or next(iter(model.tokenizers))
      notes.append(
        f"note: the model has no bins for {market}; those for {lender} are used"
      )
  own = {model.config.alphabet: tokenizers}
  return dataclasses.replace(
    dataset, tokenizers={**dataset.tokenizers, **own}
  ), notes


def evaluate(
  model: lmm.Model,
  dataset: dataset_lib.Dataset,
  *,
  split: str = "valid",
  max_orders: int | None = None,
  block: int = 512,
  baselines: bool = False,
) -> tuple[dict[str, Any], list[str]]:
  """Scores a model on held-out orders of a data set.

  Args:
    model: the model.
    dataset: the orders, with the model's bins (`with_bins_of`).
    split: "valid" or "test".
    max_orders: limit of the orders that the model scores, for each market, in
      stretches that are spread evenly; None for all.
    block: orders of a block, whose means give the intervals.
    baselines: whether to score the baselines too, on all orders of the split;
      they hold all orders of a market in memory.

  Returns:
    {"model": {market: score}, "baselines": {market: {name: score}}}, and notes
    for the user. A score is {"orders", and (mean, half width) for each field of
    the model's alphabet, "all" and "raw"}; that over several markets is "all
    markets". A market without orders to train on has no "raw". Baselines have
    "raw" only, for they are of the paper's alphabet.

  Raises:
    ValueError: if the split has no order to score.
  """
  parts = dataset.parts.get(split, ())
  if not any(part.stop > max(part.start, 1) for part in parts):
    raise ValueError(
      f"{dataset.name} has no order to score in the split {split!r}"
    )
  nats = validation.model_nats(
    model.params,
    dataset,
    config=model.config,
    split=split,
    max_orders=max_orders,
  )
  rest = validation.within_nats(
    dataset,
    alphabet=model.config.alphabet,
    split=split,
    max_orders=max_orders,
  )
  scores = {
    market: _score(model.config.fields, rows, rest.get(market), block)
    for market, rows in nats.items()
  }
  if len(scores) > 1:
    scores["all markets"] = _over_all(list(scores.values()))
  found, notes = {}, []
  if baselines:
    found, notes = _baselines(dataset, nats, split, block)
  return {"model": scores, "baselines": found}, notes


def _score(
  fields: tuple[str, ...],
  nats: np.ndarray,
  rest: np.ndarray | None,
  block: int,
) -> dict[str, Any]:
  """Returns (mean, half width) by field, in all and raw.

  Of nats `[V, F]`, and what the bins leave over `[V]`, if it is known.
  """
  total = nats.sum(axis=1)
  columns = {**dict(zip(fields, nats.T, strict=True)), "all": total}
  if rest is not None:
    columns["raw"] = total + rest
  means = {name: stats.mean_interval(x, block) for name, x in columns.items()}
  return {"orders": len(nats), **means}


def _over_all(by_market: list[dict[str, Any]]) -> dict[str, Any]:
  """Returns the scores over the orders of all markets."""
  sizes = [scores["orders"] for scores in by_market]
  names = set.intersection(*map(set, by_market)) - {"orders"}
  return {
    "orders": sum(sizes),
    **{
      name: stats.pooled([scores[name] for scores in by_market], sizes)
      for name in by_market[0]
      if name in names
    },
  }


def _baselines(dataset, markets, split, block):
  """Returns the raw scores of the baselines, and notes."""
  found, notes = {}, []
  rest = validation.within_nats(dataset, alphabet="mid", split=split)
  for market in markets:
    if market not in rest:
      notes.append(f"note: {market} has no orders to fit baselines to")
      continue
    nats = validation.count_nats(dataset, market, split)
    try:
      random_flow = validation.zero_intelligence_nats(dataset, market, split)
      nats["zero intelligence"] = random_flow.sum(axis=1)
    except ValueError as error:  # No rates: no limit orders, for instance.
      notes.append(f"note: {market}, zero intelligence: {error}")
    found[market] = {
      name: {"raw": stats.mean_interval(x + rest[market], block)}
      for name, x in nats.items()
    }
  return found, notes
