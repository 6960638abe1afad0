r"""Trains an order model on one day of one market.

Replays the day through the clearing house, fits the bins on its first part,
trains on that part and scores the rest, beside two baselines that count orders
and pairs of orders. Killed and started again, it goes on where it was.

  python launch/train.py --config=configs/demo.py --workdir=out/demo
  python launch/train.py --config=configs/demo.py --workdir=out/goog \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip
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
from mars_jax.data import readers
from mars_jax.tokens import vocab
from mars_jax.train import baselines
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import trainer

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The run, e.g. configs/demo.py, or configs/demo.py:tiny."
)
_DATA = flags.DEFINE_string(
  "data",
  None,
  "Orders to train on, in place of config.data.path: 'bitstamp-sample', a"
  " Bitstamp capture, or LOBSTER files (zip, folder or message file).",
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
  dataset = _prepare(configs["data"])
  params = _train(dataset, workdir, configs)
  nats = trainer.validation_nats(params, dataset, config=configs["model"])
  scores = {
    "unigram": _baseline(baselines.unigram_nats, dataset, 0),
    "bigram": _baseline(baselines.bigram_nats, dataset, 1),
    "model": float(nats.sum(axis=1).mean()),
  }
  by_field = dict(zip(vocab.FIELDS, nats.mean(axis=0).tolist(), strict=True))
  card = {
    "data": dataset.name,
    "trained_on": f"the first {dataset.num_train} orders",
    "scored_on": f"the {len(nats)} orders after these",
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


def _prepare(config: dataset_lib.DataConfig) -> dataset_lib.Dataset:
  """Reads, replays and tokenizes, with a progress bar."""
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


def _baseline(score_fn, dataset: dataset_lib.Dataset, num_before: int) -> float:
  """Returns the mean nats of a baseline over the validation part."""
  index, num_train = dataset.tokens.index, dataset.num_train
  rest = index[num_train - num_before :]
  return float(score_fn(index[:num_train], rest).mean())


def _report(scores: dict[str, float], by_field: dict[str, float]) -> None:
  """Prints the validation loss beside the baselines."""
  rows = [(name, f"{nats:.3f}") for name, nats in scores.items()]
  rows += [(f"  {name}", f"{nats:.3f}") for name, nats in by_field.items()]
  common.print_table("validation", ("", "nats per order"), rows)


if __name__ == "__main__":
  common.run(main)
