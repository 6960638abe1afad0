r"""Trains an order model on one market: prepared days, or one day as it is.

The data is a folder that launch/prepare_data.py has written, with its splits
and bins; it may hold more than memory does. Or it is one day of orders, which
is replayed through the clearing house here, into memory: its first part is for
training, the rest for validation. The model is scored beside three baselines:
random flow at the rates of each kind of order, given the book (zero
intelligence), and the counts of orders and of pairs of orders. Killed and
started again, it goes on where it was.

  python launch/train.py --config=configs/demo.py --workdir=out/demo
  python launch/train.py --config=configs/demo.py --workdir=out/goog \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip
  python launch/train.py --config=configs/demo.py --workdir=out/coinbase \
      --data=out/data --config.data.market=Coinbase
  python launch/train.py --config=configs/demo.py --workdir=out/wide \
      --config.model.dim=128 --config.optimizer.num_steps=1000

Writes to the workdir: checkpoints/, metrics.csv (a row a validation) and
model.npz, which launch/forecast.py takes as --model.
"""

import datetime
import pathlib
import time

import common
from absl import flags
from ml_collections import config_flags

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import manifest
from mars_jax.data import readers
from mars_jax.tokens import vocab
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import trainer
from mars_jax.train import validation

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The run, e.g. configs/demo.py, or configs/demo.py:tiny."
)
_DATA = flags.DEFINE_string(
  "data",
  None,
  "Orders to train on, in place of config.data.path: a folder that"
  " prepare_data.py has written, 'bitstamp-sample', or the files of one day.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder for checkpoints, metrics and the model."
)
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
  """Trains, scores and saves; the top of this file says what."""
  config = _CONFIG.value
  if _DATA.value:
    config.data.path = _DATA.value
  configs = {
    "data": dataset_lib.DataConfig(**config.data),
    "model": lmm.LmmConfig(**config.model),
    "optimizer": optimizer_lib.OptimizerConfig(**config.optimizer),
    "train": trainer.TrainConfig(**config.train),
  }
  workdir = pathlib.Path(_WORKDIR.value)
  began = time.time()
  dataset = _load(configs["data"])
  random_flow = validation.zero_intelligence_nats(dataset).sum(axis=1).mean()
  scores = {
    "zero intelligence": float(random_flow),
    **validation.count_nats(dataset),
  }
  params = _train(dataset, workdir, configs)
  nats = validation.model_nats(params, dataset, config=configs["model"])
  scores["model"] = float(nats.sum(axis=1).mean())
  by_field = dict(zip(vocab.FIELDS, nats.mean(axis=0).tolist(), strict=True))
  card = {
    "data": dataset.name,
    "source": dataset.source,
    "splits": {
      split: {"orders": dataset.num_orders(split), "days": len(parts)}
      for split, parts in dataset.parts.items()
    },
    "orders_in_no_window": dataset.train_windows(configs["data"]).num_left_out,
    "orders_scored": len(nats),
    "validation_nats_per_order": scores,
    "validation_nats_by_field": by_field,
    "parameters": lmm.num_params(params),
    "date": datetime.date.today().isoformat(),
    "config": config.to_dict(),
  }
  model = lmm.Model(params, configs["model"], dataset.tokenizer, card)
  lmm.save(workdir / "model.npz", model)
  _report(scores, by_field)
  print(f"{workdir / 'model.npz'} written, {time.time() - began:.0f} s in all")


def _load(config: dataset_lib.DataConfig) -> dataset_lib.Dataset:
  """Opens what is prepared, or reads and replays a day; says what there is."""
  folder = pathlib.Path(config.path).expanduser()
  if (folder / manifest.MANIFEST).exists():
    dataset = dataset_lib.load(folder, config.market)
    print(dataset.name)
  else:
    dataset = _prepare(config)
  num_left_out = dataset.train_windows(config).num_left_out
  print(
    f"  train {dataset.num_orders('train'):,} orders, of which"
    f" {num_left_out:,} in no window, valid {dataset.num_orders('valid'):,}"
  )
  return dataset


def _prepare(config: dataset_lib.DataConfig) -> dataset_lib.Dataset:
  """Reads and replays a day, with a progress bar."""
  stream = readers.read(config.path)
  print(f"{stream.name}: {len(stream):,} events")
  print("  " + ", ".join(f"{k} {v:,}" for k, v in stream.counts.items()))
  with common.replay_bar(stream) as on_progress:
    dataset = dataset_lib.prepare(
      stream, config=config, on_progress=on_progress
    )
  if dataset.num_dropped:
    print(
      f"{dataset.num_dropped:,} orders found the replayed book full; raise"
      " config.data.book_capacity"
    )
  return dataset


def _train(dataset, workdir: pathlib.Path, configs) -> lmm.Params:
  """Trains with a live line, and a printed line for each validation."""
  num_steps = configs["optimizer"].num_steps
  with common.progress_bar("train", num_steps) as show:
    last = time.time()

    def on_progress(done: trainer.Progress) -> None:
      nonlocal last
      now = time.time()
      speed, last = done.orders / (now - last), now
      loss = f"{done.train_nats:.3f} nats/order"
      show(done.step, f"{loss}, {speed:,.0f} orders/s")
      if done.valid_nats is not None:
        common.CONSOLE.print(
          f"step {done.step}: train {loss}, validation"
          f" {done.valid_nats.sum():.3f}"
        )

    return trainer.train(dataset, workdir, **configs, on_progress=on_progress)


def _report(scores: dict[str, float], by_field: dict[str, float]) -> None:
  """Prints the validation loss beside the baselines."""
  rows = [(name, f"{nats:.3f}") for name, nats in scores.items()]
  rows += [(f"  {name}", f"{nats:.3f}") for name, nats in by_field.items()]
  common.print_table("validation", ("", "nats per order"), rows)


if __name__ == "__main__":
  common.run(main)
