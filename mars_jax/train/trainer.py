"""Trains an order model on one market: the step and the loop.

A run is a function of its configs and data: killed and started again, it goes
on from its newest checkpoint to the same losses.
"""

import collections.abc
import csv
import dataclasses
import functools
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.train import checkpoint
from mars_jax.train import loss as loss_lib
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import validation


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """How the loop runs.

  Attributes:
    seed: of the initial parameters, the shuffle and the dropout.
    eval_every: steps between validations; there is one at the end as well.
    checkpoint_every: steps between checkpoints.
    max_to_keep: checkpoints kept.
  """

  seed: int
  eval_every: int
  checkpoint_every: int
  max_to_keep: int

  def __post_init__(self):
    for name in ("eval_every", "checkpoint_every", "max_to_keep"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} = {getattr(self, name)} must be >= 1")


@struct.dataclass
class TrainState:
  """All that a step changes."""

  step: jax.Array  # [] int32, steps done
  params: lmm.Params
  optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class Progress:
  """What the loop reports after a step.

  Attributes:
    step: steps done, in this run and before.
    train_nats: mean loss of the batch, nats per order.
    orders: orders of the batch.
    valid_nats: float64 `[4]` mean by field over the validation part, or None
      where this step had no validation.
  """

  step: int
  train_nats: float
  orders: int
  valid_nats: np.ndarray | None


def train_step(
  state: TrainState,
  tokenizers: collections.abc.Sequence[features.Tokenizer],
  batch: pipeline.Item,
  *,
  seed: int,
  config: lmm.LmmConfig,
  optimizer: optax.GradientTransformation,
) -> tuple[TrainState, jax.Array]:
  """Takes one step; the dropout's key is a function of seed and step.

  Args:
    state: before the step.
    tokenizers: of the markets of the batch, by their numbers.
    batch: of items of `pipeline.Windows`, leaves `[B, ...]`.
    seed: of the run; static.
    config: of the model; static.
    optimizer: static.

  Returns:
    The state after it, and the float32 `[]` mean nats per order before it.
  """
  tokens = pipeline.tokens(tokenizers, batch)
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  loss, grads = jax.value_and_grad(loss_lib.mean_nats)(
    state.params, tokens, key, config=config
  )
  updates, opt_state = optimizer.update(grads, state.optimizer, state.params)
  params = optax.apply_updates(state.params, updates)
  return TrainState(state.step + 1, params, opt_state), loss


_jit_step = jax.jit(
  train_step,
  static_argnames=("seed", "config", "optimizer"),
  donate_argnums=0,
)


def train(
  dataset: dataset_lib.Dataset,
  workdir: pathlib.Path,
  *,
  model: lmm.LmmConfig,
  data: dataset_lib.DataConfig,
  optimizer: optimizer_lib.OptimizerConfig,
  train: TrainConfig,
  on_progress: collections.abc.Callable[[Progress], None],
) -> lmm.Params:
  """Trains to the last step, from the newest checkpoint if there is one.

  Args:
    dataset: the orders.
    workdir: takes the checkpoints, and `metrics.csv` with a row a validation.
    model, data, optimizer, train: the configs of the run.
    on_progress: called after every step.

  Returns:
    The parameters after the last step.

  Raises:
    FloatingPointError: if the loss is not finite; the checkpoints stay.
    ValueError: if no training part is as long as a window, or the workdir holds
      a run with other configs or data.
  """
  configs = {
    "model": dataclasses.asdict(model),
    "data": dataclasses.asdict(data),
    "optimizer": dataclasses.asdict(optimizer),
    "train": dataclasses.asdict(train),
    "source": dataset.source,
  }
  batches = pipeline.batches(
    {dataset.name: dataset.train_windows(data)},
    batch_size=data.batch_size,
    seed=train.seed,
  )
  transformation = optimizer_lib.make_optimizer(optimizer)
  state = _jit_init(train.seed, model, transformation)
  step_fn = functools.partial(
    _jit_step, seed=train.seed, config=model, optimizer=transformation
  )
  workdir.mkdir(parents=True, exist_ok=True)
  with checkpoint.Checkpointer(
    workdir / "checkpoints", max_to_keep=train.max_to_keep
  ) as checkpointer:
    if restored := checkpointer.restore(state, configs):
      state, data_state = restored
      batches.set_state(data_state)
    _cut_metrics(workdir / "metrics.csv", int(state.step))
    for step in range(int(state.step) + 1, optimizer.num_steps + 1):
      batch = next(batches)
      state, loss = step_fn(state, [dataset.tokenizer], batch)
      is_last = step == optimizer.num_steps
      progress = Progress(step, _finite(loss, step), batch["kind"].size, None)
      if step % train.eval_every == 0 or is_last:
        nats = validation.model_nats(state.params, dataset, config=model)
        progress = dataclasses.replace(
          progress, valid_nats=nats.mean(axis=0, dtype=np.float64)
        )
        _append_metrics(workdir / "metrics.csv", progress)
      if step % train.checkpoint_every == 0 or is_last:
        checkpointer.save(step, state, batches.get_state(), configs)
      on_progress(progress)
  return state.params


def init_state(
  seed: int,
  config: lmm.LmmConfig,
  optimizer: optax.GradientTransformation,
) -> TrainState:
  """Returns the state before the first step."""
  params = lmm.init(jax.random.key(seed), config=config)
  return TrainState(jnp.int32(0), params, optimizer.init(params))


_jit_init = jax.jit(init_state, static_argnums=(1, 2))


def _finite(loss: jax.Array, step: int) -> float:
  """Returns the loss as a number; raises if it is none."""
  value = float(loss)
  if not np.isfinite(value):
    raise FloatingPointError(
      f"the loss of step {step} is {value}; lower optimizer.learning_rate or"
      " optimizer.max_grad_norm and start from the last checkpoint"
    )
  return value


def _cut_metrics(path: pathlib.Path, step: int) -> None:
  """Removes the rows after a step: the run takes these steps again."""
  if not path.exists():
    return
  header, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
  rows = [row for row in rows if row.endswith(b"\n")]  # Not cut by a kill.
  kept = [row for row in rows if int(row.split(b",")[1]) <= step]
  path.write_bytes(b"".join([header, *kept]) if kept else b"")


def _append_metrics(path: pathlib.Path, progress: Progress) -> None:
  """Adds a row, and the header to a new file."""
  is_new = not path.exists() or not path.stat().st_size
  with open(path, "a", newline="") as file:
    writer = csv.writer(file)
    if is_new:
      names = [f"valid_{field}" for field in vocab.FIELDS]
      writer.writerow(["unix_time", "step", "train", "valid", *names])
    nats = progress.valid_nats
    values = [progress.train_nats, nats.sum(), *nats]
    row = [f"{time.time():.0f}", progress.step]
    writer.writerow(row + [f"{value:.6f}" for value in values])
