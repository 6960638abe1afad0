"""Trains a model: the step and the loop, on one device or many.

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

from mars_jax.data import dataset as dataset_lib
from mars_jax.train import checkpoint
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import progress
from mars_jax.train import sharding
from mars_jax.train import task as task_lib
from mars_jax.utils import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """Settings of the training loop.

  Attributes:
    seed: of the initial parameters, the shuffle and the dropout.
    eval_every: steps between validations; there is also one at the end.
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


def config_types(task: task_lib.Task) -> dict[str, type]:
  """Returns the dataclass of each section of a config file."""
  return {
    "model": task.model_type,
    "data": dataset_lib.DataConfig,
    "batch": task.batch_type,
    "optimizer": optimizer_lib.OptimizerConfig,
    "train": TrainConfig,
    "parallel": sharding.ParallelConfig,
  }


def make_configs(
  task: task_lib.Task,
  sections: collections.abc.Mapping[str, collections.abc.Mapping[str, Any]],
) -> dict[str, Any]:
  """Returns a run's configs, by their names in `train`.

  Args:
    task: the model.
    sections: of a config file; those that `config_types` does not name are
      ignored.

  Raises:
    TypeError, ValueError: if a key is unknown or missing, or a value invalid.
  """
  types = config_types(task)
  return {name: made(**sections[name]) for name, made in types.items()}


def describe(
  configs: collections.abc.Mapping[str, Any], dataset: dataset_lib.Dataset
) -> dict[str, Any]:
  """Returns the configs and data source, fit for JSON."""
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
  params: task_lib.Params
  optimizer: optax.OptState
  num_skipped: jax.Array  # [] int32, of these steps, with gradients not finite
  num_skipped_last: jax.Array  # [] int32, in a row, up to the last one


@dataclasses.dataclass(frozen=True)
class Trained:
  """Result of a run.

  Attributes:
    params: after the last step, sharded as `parallel` says.
    valid: the last validation, as `Task.validate` returns it; None if the run
      was done before, and took no step.
  """

  params: task_lib.Params
  valid: task_lib.Nats | None


def init_state(
  task: task_lib.Task,
  seed: int,
  config: task_lib.Config,
  optimizer: optimizer_lib.OptimizerConfig,
) -> TrainState:
  """Returns the state before the first step."""
  params = task.init(jax.random.key(seed), config=config)
  opt_state = optimizer_lib.make_optimizer(optimizer).init(params)
  zero = jnp.int32(0)
  return TrainState(zero, params, opt_state, zero, zero)


def train_step(
  task: task_lib.Task,
  state: TrainState,
  inputs: task_lib.Tree,
  batch: task_lib.Tree,
  *,
  seed: int,
  config: task_lib.Config,
  optimizer: optimizer_lib.OptimizerConfig,
  parallel: sharding.ParallelConfig,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Takes one step; the dropout's keys are a function of seed and step.

  Where the loss or a gradient is not finite, the step is counted, and nothing
  else changes.

  Args:
    task: the model; static.
    state: before the step.
    inputs: of `task.inputs`.
    batch: of `task.batches`, leaves `[B, ...]`.
    seed: of the run; static.
    config: of the model; static.
    optimizer: static.
    parallel: layout of gradients and number of micro-batches; static.

  Returns:
    The state after it, and scalars by their names in `progress.Progress`; the
    loss is that before the step.
  """
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  loss, grads = _mean_gradients(
    functools.partial(task.loss, config=config),
    state.params,
    inputs,
    batch,
    key,
    parallel,
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


def _mean_gradients(loss_fn, params, inputs, batch, key, parallel):
  """Returns the loss and its gradients, means over the micro-batches."""

  def add(total, step):
    key, micro_batch = step
    loss, grads = jax.value_and_grad(loss_fn)(params, inputs, micro_batch, key)
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
  task: task_lib.Task,
  mesh: jax.sharding.Mesh,
  seed: int,
  model: task_lib.Config,
  optimizer: optimizer_lib.OptimizerConfig,
  parallel: sharding.ParallelConfig,
) -> tuple[Any, Any, Any]:
  """Returns the compiled programs of a run: initial state and step.

  Args:
    task: the model.
    mesh: of all devices.
    seed: of the run.
    model, optimizer, parallel: the configs of the run.

  Returns:
    `init()`, whose state is sharded as it stays; that state as shapes; and
    `step(state, inputs, batch)`, which donates its state.
  """
  init = functools.partial(init_state, task, seed, model, optimizer)
  shapes = jax.eval_shape(init)
  shardings = sharding.state_shardings(shapes, mesh, parallel)
  shapes = jax.tree.map(
    lambda leaf, where: leaf.update(sharding=where), shapes, shardings
  )
  step = functools.partial(
    train_step,
    task,
    seed=seed,
    config=model,
    optimizer=optimizer,
    parallel=parallel,
  )
  return (
    jax.jit(init, out_shardings=shardings),
    shapes,
    jax.jit(step, donate_argnums=0, out_shardings=(shardings, None)),
  )


def train(
  task: task_lib.Task,
  dataset: dataset_lib.Dataset,
  workdir: pathlib.Path,
  *,
  model: task_lib.Config,
  data: dataset_lib.DataConfig,
  batch: task_lib.Config,
  optimizer: optimizer_lib.OptimizerConfig,
  train: TrainConfig,
  parallel: sharding.ParallelConfig,
  on_progress: collections.abc.Callable[[progress.Progress], None],
) -> Trained:
  """Trains to the last step, resuming from the newest checkpoint.

  Uses all devices of all processes, each of which must call it. A step is sent
  to the devices before the numbers of the one before it are read.

  Args:
    task: the model.
    dataset: the orders.
    workdir: takes checkpoints, `metrics.csv` and TensorBoard's files; the same
      folder in all processes.
    model, data, batch, optimizer, train, parallel: the configs of the run.
    on_progress: called for every step, in every process.

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
  batches = task.batches(dataset, batch=batch, seed=train.seed)
  inputs = sharding.replicate(task.inputs(dataset, config=model), mesh)
  init, shapes, step_fn = programs(
    task, mesh, train.seed, model, optimizer, parallel
  )
  validate = functools.partial(
    task.validate,
    dataset=dataset,
    config=model,
    split="valid",
    max_orders=train.eval_orders or None,
  )
  configs = {"model": model, "data": data, "batch": batch}
  configs |= {"optimizer": optimizer, "train": train, "parallel": parallel}
  checkpointer = checkpoint.Checkpointer(
    workdir / "checkpoints",
    max_to_keep=train.max_to_keep,
    configs=describe(configs, dataset),
    tokenizers=task.bins(dataset, config=model),
  )
  num_tokens, nats = task.tokens_per_step(batch), None
  with jax.set_mesh(mesh), checkpointer, _preemption() as is_preempted:
    state, position = checkpointer.restore(shapes) or (init(), None)
    if position:
      batches.set_state(position)
    done = int(state.step)
    writer = progress.Writer(
      workdir, task.parts(model), step=done, tensorboard=train.tensorboard
    )
    with writer:
      report = progress.StepBuffer(
        (writer.write, on_progress), train.max_skipped
      )
      for step in range(done + 1, optimizer.num_steps + 1):
        rows = sharding.put_batch(next(batches), mesh)
        state, scalars = step_fn(state, inputs, rows)
        report.flush()  # Of the step before, while this one is under way.
        is_last = step == optimizer.num_steps
        is_stopped = is_preempted(step) and not is_last
        is_scored = step % train.eval_every == 0 or is_last
        nats = validate(state.params) if is_scored else None
        report.put(step, num_tokens, scalars, nats)
        if step % train.checkpoint_every == 0 or is_last or is_stopped:
          report.flush()  # Or a kill after the save would lose it.
          valid = nats and task_lib.mean(nats).sum()
          checkpointer.save(step, state, batches.get_state(), valid)
        if is_stopped:
          checkpointer.wait()
          raise Preempted(step)
  return Trained(state.params, nats)


@contextlib.contextmanager
def _preemption():
  """Yields a function that says whether to save and stop.

  It takes the number of steps done.

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
