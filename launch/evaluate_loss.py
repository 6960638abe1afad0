r"""Scores an order model on held-out orders: nats per order, with intervals.

The model is a run of launch/train.py, by its workdir, or a model.npz. The data
is a folder that launch/prepare_data.py has written, or one day of orders, which
is replayed here; it need not be what the model was trained on.

  python launch/evaluate_loss.py --checkpoint=out/demo --data=bitstamp-sample
  python launch/evaluate_loss.py --checkpoint=out/10m --data=out/data \
      --split=test --baselines
  python launch/evaluate_loss.py --checkpoint=model.npz --data=out/data \
      --market=SZSE --max_orders=100000 --json

The bins of the model encode the orders, not those of the data: nats are of the
alphabet of the model's bins. They compare between data sets and with the
baselines here, which are counted over the same alphabet, but between models
only if these have the same bins. A market that a model of several markets has
no bins for needs --market_bins; a model of one market lends its own.

Beside each mean stands half the width of its 95 % interval. Successive orders
depend on each other, so that it is taken over the means of --block orders in a
row, of one market. Over all markets each counts by its orders.

The baselines, fitted to the training split of the data: random flow at the
rates of each kind of order, given the book (zero intelligence), and the counts
of orders and of pairs of orders. They score all orders of the split.
"""

import math

import common
from absl import flags

from mars_jax import lmm
from mars_jax.apps import training
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import evaluation

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A workdir of launch/train.py, or a model.npz."
)
_STEP = flags.DEFINE_string(
  "step",
  None,
  "Of a workdir: best (of the lowest validation loss, the default), last, or"
  " the number of a step.",
)
_DATA = flags.DEFINE_string(
  "data",
  None,
  "A folder that prepare_data.py has written, 'bitstamp-sample', or the files"
  " of one day.",
)
_SPLIT = flags.DEFINE_enum(
  "split", "valid", ["valid", "test"], "What is scored; one day has no test."
)
_MARKET = flags.DEFINE_string("market", "", "Which one; all by default.")
_MARKET_BINS = flags.DEFINE_string(
  "market_bins",
  None,
  "The market whose bins encode those markets that the model does not know.",
)
_MAX_ORDERS = flags.DEFINE_integer(
  "max_orders",
  None,
  "Of each market the model scores about so many, in stretches that are spread"
  " evenly; by default all.",
  1,
)
_BLOCK = flags.DEFINE_integer(
  "block", 512, "Orders of a batch, whose means the intervals are of.", 1
)
_BASELINES = flags.DEFINE_bool(
  "baselines",
  False,
  "Score the baselines too; they hold all orders of a market in memory.",
)
_TRAIN_FRACTION = flags.DEFINE_float(
  "train_fraction",
  None,
  "Of one day: the share of its time that is for training, and not scored; by"
  " default as the model was trained, or 2/3.",
  0.0,
  1.0,
)
_BOOK_CAPACITY = flags.DEFINE_integer(
  "book_capacity",
  4096,
  "Of one day: orders that a side of the replayed book can hold.",
  1,
)
_JSON = flags.DEFINE_bool(
  "json", False, "Print the results as one JSON object, on the last line."
)
flags.mark_flags_as_required(["checkpoint", "data"])


def main() -> None:
  """Scores and shows; the top of this file says what."""
  model = evaluation.load_model(_CHECKPOINT.value, _STEP.value)
  dataset = training.open_dataset(_data_config(model))
  dataset, notes = evaluation.with_bins_of(model, dataset, _MARKET_BINS.value)
  _print(notes)
  scores, notes = evaluation.evaluate(
    model,
    dataset,
    split=_SPLIT.value,
    max_orders=_MAX_ORDERS.value,
    block=_BLOCK.value,
    baselines=_BASELINES.value,
  )
  _print(notes)
  results = {
    "checkpoint": _CHECKPOINT.value,
    "step": model.card.get("step"),
    "data": dataset.name,
    "split": _SPLIT.value,
    "block": _BLOCK.value,
    **scores,
  }
  _report(results)
  if _JSON.value:
    print(common.to_json(results))


def _data_config(model: lmm.Model) -> dataset_lib.DataConfig:
  """Returns the config of the data to score."""
  share = _TRAIN_FRACTION.value
  if share is None:  # What is for training must be what was.
    trained = model.card.get("config", {}).get("data", {})
    share = trained.get("train_fraction", 2 / 3)
  return dataset_lib.DataConfig(
    path=_DATA.value,
    market=_MARKET.value,
    train_fraction=share,
    book_capacity=_BOOK_CAPACITY.value,
  )


def _print(notes: list[str]) -> None:
  """Prints lines."""
  for note in notes:
    common.CONSOLE.print(note)


def _report(results: dict) -> None:
  """Prints the scores, a table for each market."""
  for market, scores in results["model"].items():
    columns = {"model": scores, **results["baselines"].get(market, {})}
    common.print_table(
      f"{results['data']}, {results['split']}: nats per order, {market}"
      f" ({scores['orders']:,} orders)",
      ("", *columns),
      (
        (field, *(_text(column.get(field)) for column in columns.values()))
        for field in scores
        if field != "orders"
      ),
    )


def _text(mean_and_half: tuple[float, float] | None) -> str:
  """Returns "1.234 ± 0.005", or what there is of it."""
  if mean_and_half is None:
    return ""
  mean, half = mean_and_half
  return f"{mean:.3f}" if math.isnan(half) else f"{mean:.3f} ± {half:.3f}"


if __name__ == "__main__":
  common.run(main)
