"""A tiny training run on two markets: its configs, its data and its steps."""

import csv
import dataclasses

import jax

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import encoding
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.train import day_records

MODEL = lmm.LmmConfig(
  dim=16,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=24,
  window=8,
)
WITH_DROPOUT = dataclasses.replace(MODEL, dropout=0.1)
DATA = dataset_lib.DataConfig(path="", train_fraction=0.75, book_capacity=256)
BATCH = pipeline.BatchConfig(window_length=17, window_stride=8, batch_size=16)
OPTIMIZER = optimizer_lib.OptimizerConfig(
  name="adamw",
  learning_rate=1e-2,
  num_steps=6,
  warmup_steps=2,
  weight_decay=0.1,
  beta2=0.98,
  max_grad_norm=1.0,
)
TRAIN = trainer.TrainConfig(
  seed=0, eval_every=2, checkpoint_every=3, max_to_keep=2, max_skipped=2
)
CONFIGS = {
  "model": MODEL,
  "data": DATA,
  "batch": BATCH,
  "optimizer": OPTIMIZER,
  "train": TRAIN,
  "parallel": sharding.ParallelConfig(),
}


class Killed(Exception):
  """Stands for the end of the process."""


def dataset() -> dataset_lib.Dataset:
  """Returns two markets, of a day each."""
  days = {"A": day_records.make(700), "B": day_records.make(300, seed=1)}
  parts = {"train": [], "valid": []}
  for market, records in days.items():
    day, size = store.MemoryDay(records), len(records)
    split = size * 3 // 4
    parts["train"].append(windows_lib.Part(day, market, 0, split))
    parts["valid"].append(windows_lib.Part(day, market, split, size))
  return dataset_lib.Dataset(
    name="two days",
    source={"days": 2},
    parts=parts,
    tokenizers={
      alphabet: {
        name: encoding.fit(day, alphabet) for name, day in days.items()
      }
      for alphabet in alphabet_lib.ALPHABETS
    },
  )


def batches(data):
  """Returns the batches of a run."""
  return pipeline.batches(
    data.train_windows(BATCH), batch_size=BATCH.batch_size, seed=TRAIN.seed
  )


def steps(data, mesh, state, step, num_steps, model=MODEL):
  """Takes the first steps of a run; returns the state and the losses."""
  losses, drawn = [], batches(data)
  tokenizers = data.tokenizer_list(model.alphabet, model.scheme)
  tokenizers = sharding.replicate(tokenizers, mesh)
  with jax.set_mesh(mesh):
    for _ in range(num_steps):
      batch = sharding.put_batch(next(drawn), mesh)
      state, scalars = step(state, tokenizers, batch)
      losses.append(float(scalars["train_nats"]))
  assert step._cache_size() == 1  # Nothing moves from step to step.
  return state, losses


def run(dataset_, workdir, /, on_progress=lambda progress: None, **configs):
  """Trains; returns the parameters and the reports of all steps."""
  reports = []

  def keep(progress):
    reports.append(progress)
    on_progress(progress)

  trained = trainer.train(
    order_task.TASK,
    dataset_,
    workdir,
    **{**CONFIGS, **configs},
    on_progress=keep,
  )
  return trained.params, reports


def kill_at(step):
  """Returns an `on_progress` that ends the run."""

  def on_progress(progress):
    if progress.step == step:
      raise Killed

  return on_progress


def metrics(workdir):
  """Returns the rows of metrics.csv, without the wall-clock time."""
  with open(workdir / "metrics.csv", newline="") as file:
    rows = list(csv.reader(file))
  assert rows[0][0] == "unix_time"
  return [row[1:] for row in rows]
