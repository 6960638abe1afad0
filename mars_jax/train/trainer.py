"""Trains an order model: the step and the loop, on one device or on many.

A run is a function of its configs and data: killed and started again, it goes
on from its newest checkpoint to the same losses. Other devices, or another
split of the work over them, change the rounding and no more.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import pathlib
import signal
import threading
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.experimental import multihost_utils

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import features
from mars_jax.train import checkpoint
from mars_jax.train import loss as loss_lib
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import progress
from mars_jax.train import sharding
from mars_jax.train import validation
from mars_jax.utils import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """How the loop runs.

  Attributes:
    seed: of the initial parameters, the shuffle and the dropout.
    eval_every: steps between validations; there is one at the end as well.
    checkpoint_every: steps between checkpoints; if it is a multiple of
      `eval_every`, the validation loss of each is known.
    max_to_keep: checkpoints kept, besides that of the lowest validation loss.
    eval_orders: of each market that are scored in a validation; 0 for all.
    max_skipped: steps in a row with gradients that are not finite, each of
      which is skipped, that end the run.
    tensorboard: whether to write scalars for TensorBoard too.
  """

  seed: int
  eval_every: int
  checkpoint_every: int
  max_to_keep: int
  eval_orders: int = 0
  max_skipped: int = 10
  tensorboard: bool = False

  def __post_init__(self):
    checks.at_least(
      1,
      eval_every=self.eval_every,
      checkpoint_every=self.checkpoint_every,
      max_to_keep=self.max_to_keep,
      max_skipped=self.max_skipped,
    )
    checks.at_least(0, eval_orders=self.eval_orders)


# The sections of configs/*.py, and what each one makes.
CONFIG_TYPES = {
  "model": lmm.LmmConfig,
  "data": dataset_lib.DataConfig,
  "batch": pipeline.BatchConfig,
  "optimizer": optimizer_lib.OptimizerConfig,
  "train": TrainConfig,
  "parallel": sharding.ParallelConfig,
}


def make_configs(
  sections: collections.abc.Mapping[str, collections.abc.Mapping[str, Any]],
) -> dict[str, Any]:
  """Returns the configs of `train`, by its names of them.

  Args:
    sections: as a config file has them; others than `CONFIG_TYPES` names are
      not looked at.

  Raises:
    TypeError, ValueError: if a key is unknown or missing, or a value is none.
  """
  return {name: made(**sections[name]) for name, made in CONFIG_TYPES.items()}


def describe(
  configs: collections.abc.Mapping[str, Any], dataset: dataset_lib.Dataset
) -> dict[str, Any]:
  """Returns what a run is a function of, fit for JSON."""
  sections = {name: dataclasses.asdict(c) for name, c in configs.items()}
  return {**sections, "source": dataset.source}


class Preempted(Exception):
  """The run was asked to stop, and has: all is saved.

  Attributes:
    step: steps done.
  """

  def __init__(self, step: int):
    super().__init__(f"preempted after step {step}, which is saved")
    self.step = step


@struct.dataclass
class TrainState:
  """All that a step changes."""

  step: jax.Array  # [] int32, steps done
  params: lmm.Params
  optimizer: optax.OptState
  num_skipped: jax.Array  # [] int32, of these steps, with gradients not finite
  num_skipped_last: jax.Array  # [] int32, in a row, up to the last one


def init_state(
  seed: int, config: lmm.LmmConfig, optimizer: optimizer_lib.OptimizerConfig
) -> TrainState:
  """Returns the state before the first step."""
  params = lmm.init(jax.random.key(seed), config=config)
  opt_state = optimizer_lib.make_optimizer(optimizer).init(params)
  zero = jnp.int32(0)
  return TrainState(zero, params, opt_state, zero, zero)


def train_step(
  state: TrainState,
  tokenizers: collections.abc.Sequence[features.Tokenizer],
  batch: windows_lib.Item,
  *,
  seed: int,
  config: lmm.LmmConfig,
  optimizer: optimizer_lib.OptimizerConfig,
  parallel: sharding.ParallelConfig,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Takes one step; the dropout's keys are a function of seed and step.

  Where the loss or a gradient is not finite, the step is counted, and nothing
  else changes.

  Args:
    state: before the step.
    tokenizers: of the markets of the batch, by their numbers.
    batch: of items of `windows_lib.Windows`, leaves `[B, ...]`.
    seed: of the run; static.
    config: of the model; static.
    optimizer: static.
    parallel: how gradients lie and how many micro-batches there are; static.

  Returns:
    The state after it, and scalars by their names in `progress.Progress`, with
    the loss of before it.
  """
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  loss, grads = _mean_gradients(
    state.params, tokenizers, batch, key, config=config, parallel=parallel
  )
  grad_norm = optax.tree.norm(grads)
  is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
  updates, opt_state = optimizer_lib.make_optimizer(optimizer).update(
    grads, state.optimizer, state.params
  )
  params = optax.apply_updates(state.params, updates)

  def keep(new, old):
    return jax.tree.map(lambda x, y: jnp.where(is_finite, x, y), new, old)

  rate = optimizer_lib.make_schedule(optimizer)(state.step - state.num_skipped)
  state = TrainState(
    step=state.step + 1,
    params=keep(params, state.params),
    optimizer=keep(opt_state, state.optimizer),
    num_skipped=state.num_skipped + jnp.where(is_finite, 0, 1),
    num_skipped_last=jnp.where(is_finite, 0, state.num_skipped_last + 1),
  )
  return state, {
    "train_nats": loss,
    "learning_rate": rate,
    "grad_norm": grad_norm,
    "num_skipped": state.num_skipped,
    "num_skipped_last": state.num_skipped_last,
  }


def _mean_gradients(params, tokenizers, batch, key, *, config, parallel):
  """Returns the loss and its gradients, means over the micro-batches."""

  def add(total, step):
    key, micro_batch = step
    tokens = pipeline.tokens(tokenizers, micro_batch)
    loss, grads = jax.value_and_grad(loss_lib.mean_nats)(
      params, sharding.constrain_batch(tokens), key, config=config
    )
    grads = sharding.constrain_gradients(grads, parallel)
    return jax.tree.map(jnp.add, total, (loss, grads)), None

  count = parallel.accumulation
  zeros = jax.tree.map(jnp.zeros_like, params)
  zeros = sharding.constrain_gradients(zeros, parallel)
  steps = jax.random.split(key, count), sharding.micro_batches(batch, count)
  total, _ = jax.lax.scan(add, (jnp.float32(0), zeros), steps)
  return jax.tree.map(lambda leaf: leaf / count, total)


@functools.cache  # So that a run that goes on in a process compiles no more.
def programs(
  mesh: jax.sharding.Mesh,
  seed: int,
  model: lmm.LmmConfig,
  optimizer: optimizer_lib.OptimizerConfig,
  parallel: sharding.ParallelConfig,
) -> tuple[Any, Any, Any]:
  """Returns what makes a state and what steps it, for a mesh.

  Args:
    mesh: of all devices.
    seed: of the run.
    model, optimizer, parallel: the configs of the run.

  Returns:
    `init()`, which makes the state where it lies from then on; that state as
    shapes; and `step(state, tokenizers, batch)`, which donates its state.
  """
  init = functools.partial(init_state, seed, model, optimizer)
  shapes = jax.eval_shape(init)
  shardings = sharding.state_shardings(shapes, mesh, parallel)
  shapes = jax.tree.map(
    lambda leaf, where: leaf.update(sharding=where), shapes, shardings
  )
  step = functools.partial(
    train_step, seed=seed, config=model, optimizer=optimizer, parallel=parallel
  )
  return (
    jax.jit(init, out_shardings=shardings),
    shapes,
    jax.jit(step, donate_argnums=0, out_shardings=(shardings, None)),
  )


def train(
  dataset: dataset_lib.Dataset,
  workdir: pathlib.Path,
  *,
  model: lmm.LmmConfig,
  data: dataset_lib.DataConfig,
  batch: pipeline.BatchConfig,
  optimizer: optimizer_lib.OptimizerConfig,
  train: TrainConfig,
  parallel: sharding.ParallelConfig,
  on_progress: collections.abc.Callable[[progress.Progress], None],
) -> lmm.Params:
  """Trains to the last step, from the newest checkpoint if there is one.

  Uses all devices of all processes, each of which must call it. A step is sent
  to the devices before the numbers of the one before it are read.

  Args:
    dataset: the orders.
    workdir: takes checkpoints, `progress.csv` and TensorBoard's files; the same
      folder in all processes.
    model, data, batch, optimizer, train, parallel: the configs of the run.
    on_progress: called for every step, in every process.

  Returns:
    The parameters after the last step, where `parallel` puts them.

  Raises:
    FloatingPointError: after `train.max_skipped` steps in a row with gradients
      that are not finite; the checkpoints stay.
    Preempted: after SIGTERM to one of the processes; the step is saved.
    ValueError: if no training part is as long as a window, the devices do not
      divide the model or the batch, or the workdir holds a run with other
      configs or data.
  """
  mesh = sharding.make_mesh(parallel)
  sharding.check(parallel, mesh, model, batch.batch_size)
  batches = pipeline.batches(
    dataset.train_windows(batch), batch_size=batch.batch_size, seed=train.seed
  )
  tokenizers = sharding.replicate(dataset.tokenizer_list(model.inputs), mesh)
  init, shapes, step_fn = programs(mesh, train.seed, model, optimizer, parallel)
  validate = functools.partial(
    validation.model_nats,
    dataset=dataset,
    config=model,
    max_orders=train.eval_orders or None,
  )
  configs = {"model": model, "data": data, "batch": batch}
  configs |= {"optimizer": optimizer, "train": train, "parallel": parallel}
  checkpointer = checkpoint.Checkpointer(
    workdir / "checkpoints",
    max_to_keep=train.max_to_keep,
    configs=describe(configs, dataset),
    tokenizers=dataset.tokenizers,
  )
  with jax.set_mesh(mesh), checkpointer, _preemption() as is_preempted:
    state, position = checkpointer.restore(shapes) or (init(), None)
    if position:
      batches.set_state(position)
    done = int(state.step)
    writer = progress.Writer(workdir, step=done, tensorboard=train.tensorboard)
    with writer:
      report = progress.StepBuffer(
        (writer.write, on_progress), train.max_skipped
      )
      for step in range(done + 1, optimizer.num_steps + 1):
        windows = sharding.put_batch(next(batches), mesh)
        state, scalars = step_fn(state, tokenizers, windows)
        report.flush()  # Of the step before, while this one is under way.
        is_last = step == optimizer.num_steps
        is_stopped = is_preempted(step) and not is_last
        nats = None
        if step % train.eval_every == 0 or is_last:
          nats = validate(state.params)
        report.put(step, windows["kind"].size, scalars, nats)
        if step % train.checkpoint_every == 0 or is_last or is_stopped:
          report.flush()  # Or a kill after the save would lose it.
          valid = nats and validation.mean_nats(nats).sum()
          checkpointer.save(step, state, batches.get_state(), valid)
        if is_stopped:
          checkpointer.wait()
          raise Preempted(step)
  return state.params


@contextlib.contextmanager
def _preemption():
  """Yields what tells, given the steps done, whether to save and stop.

  In a run under `jax.distributed` that is JAX's own notice, by which all
  processes stop after the same step; else a handler of SIGTERM, for the time
  being, if this is the thread that can have one.
  """
  if jax.distributed.is_initialized():
    yield multihost_utils.reached_preemption_sync_point
  elif threading.current_thread() is not threading.main_thread():
    yield lambda step: False
  else:
    notice = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: notice.set())
    try:
      yield lambda step: notice.is_set()
    finally:
      signal.signal(signal.SIGTERM, before)
