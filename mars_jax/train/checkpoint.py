"""Saves and restores training runs; the only module that knows Orbax.

A checkpoint describes itself: it holds the parameters, the rest of the training
state, the position in the data, the bins of every market, and every config. A
run resumes only with the configs that it began with, but on any devices: how it
is spread over them is no part of what it computes.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from mars_jax.train import task as task_lib

BEST = "best"
_BINS = "tokenizers"  # Of the arrays of the bins.
_METRIC = "valid_nats"
_NOT_COMPARED = "parallel"  # The section of `configs` that may differ.


class Checkpointer:
  """The checkpoints of one run, in one folder. Close it, or use `with`.

  Kept are the last few, and the one of the lowest validation loss among those
  saved at a step with a validation.
  """

  def __init__(
    self,
    folder: pathlib.Path | str,
    *,
    max_to_keep: int,
    configs: dict[str, Any],
    tokenizers: dict[str, Any],
  ):
    """Opens the folder, which is made if need be.

    Args:
      folder: of these checkpoints only.
      max_to_keep: how many of the last ones are kept.
      configs: of the run, by section, fit for JSON.
      tokenizers: the bins of each market, as of `Task.bins`.
    """
    self._manager = _manager(folder, max_to_keep=max_to_keep)
    self._configs = json.loads(json.dumps(configs))
    self._tokenizers = tokenizers

  def __enter__(self) -> "Checkpointer":
    return self

  def __exit__(self, *_) -> None:
    self._manager.close()

  def save(
    self,
    step: int,
    state: Any,
    data: dict[str, Any],
    valid_nats: float | None = None,
  ) -> None:
    """Saves in the background; a kill in between leaves the older one.

    Args:
      step: steps done; if it is saved already, nothing happens.
      state: the training state, a `flax.struct.dataclass` with `params`.
      data: the state of the batch iterator, fit for JSON.
      valid_nats: the validation loss of the parameters, if it is known.
    """
    metrics = None if valid_nats is None else {_METRIC: valid_nats}
    bins = {}
    if self._tokenizers:  # Orbax saves no empty tree.
      bins = {_BINS: ocp.args.StandardSave(self._tokenizers)}
    self._manager.save(
      step,
      metrics=metrics,
      args=ocp.args.Composite(
        params=ocp.args.StandardSave(state.params),
        state=ocp.args.StandardSave(state.replace(params=None)),
        data=ocp.args.JsonSave(data),
        configs=ocp.args.JsonSave(self._configs),
        **bins,
      ),
    )

  def wait(self) -> None:
    """Returns when all that was saved is on disk."""
    self._manager.wait_until_finished()

  def restore(self, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """Returns the newest state and data position, or None.

    Args:
      state: of `jax.ShapeDtypeStruct`, with the shardings that the result will
        have, whichever it was saved with.

    Raises:
      ValueError: if the checkpoint is of a run with other configs.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    # First, since the state of another model has other shapes.
    old = _restore(self._manager, step, configs=ocp.args.JsonRestore()).configs
    if different := differences(old, self._configs):
      raise ValueError(
        f"the checkpoint of step {step} is of a run with other settings:"
        f" {different}; set them back or choose a new --workdir"
      )
    restored = _restore(
      self._manager,
      step,
      params=ocp.args.StandardRestore(state.params),
      state=ocp.args.StandardRestore(state.replace(params=None)),
      data=ocp.args.JsonRestore(),
    )
    return restored.state.replace(params=restored.params), restored.data


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """One checkpoint, read without its run.

  Attributes:
    params: the parameters, on one device.
    config: of the model.
    tokenizers: {market: {field: {leaf: array}}}, the bins.
    card: step, validation loss (None if that step had no validation) and the
      configs of the run.
  """

  params: task_lib.Params
  config: task_lib.Config
  tokenizers: dict[str, Any]
  card: dict[str, Any]


def load(
  task: task_lib.Task,
  folder: pathlib.Path | str,
  step: int | str | None = None,
) -> Checkpoint:
  """Reads the model of a checkpoint; its run is not needed.

  Args:
    task: the model.
    folder: of the checkpoints, "checkpoints" in a run's folder.
    step: number of a step; "best" for the lowest validation loss, None for the
      last.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if it has no such checkpoint.
  """
  if not pathlib.Path(folder).is_dir():
    raise FileNotFoundError(f"{folder}: no folder of checkpoints")
  with _manager(folder, read_only=True) as manager:
    step = _find(manager, folder, step)
    configs = _restore(manager, step, configs=ocp.args.JsonRestore()).configs
    config = task.model_type(**configs["model"])
    has_bins = (pathlib.Path(folder) / str(step) / _BINS).exists()
    restored = _restore(
      manager,
      step,
      params=ocp.args.StandardRestore(_on_one_device(task, config)),
      **({_BINS: ocp.args.StandardRestore()} if has_bins else {}),
    )
    metrics = manager.metrics(step) or {}
  card = {
    "step": step,
    "validation_nats_per_order": metrics.get(_METRIC),
    "config": configs,
  }
  tokenizers = restored.get(_BINS, {})
  return Checkpoint(restored.params, config, tokenizers, card)


def _manager(folder, *, max_to_keep: int | None = None, read_only=False):
  """Returns Orbax's manager of a folder."""
  policies = (
    checkpoint_managers.LatestN(max_to_keep),
    checkpoint_managers.BestN(
      get_metric_fn=_metric,
      reverse=True,  # The last is the best.
      n=1,
      keep_checkpoints_without_metrics=False,
    ),
  )
  return ocp.CheckpointManager(
    pathlib.Path(folder).absolute(),
    options=ocp.CheckpointManagerOptions(
      preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
      best_fn=_metric,  # Without this no metric is written.
      best_mode="min",
      read_only=read_only,
      create=not read_only,
      cleanup_tmp_directories=not read_only,  # What a kill left half-written.
    ),
  )


def _metric(metrics: dict[str, float]) -> float:
  return metrics[_METRIC]


def _restore(manager, step: int, **items) -> Any:
  return manager.restore(step, args=ocp.args.Composite(**items))


def _find(manager, folder, step: int | str | None) -> int:
  """Returns the number of a checkpoint that there is."""
  steps = manager.all_steps()
  found = {None: manager.latest_step(), BEST: manager.best_step()}.get(
    step, step
  )
  if found not in steps:
    raise ValueError(
      f"{folder} has no checkpoint {step!r}; it has steps"
      f" {', '.join(map(str, sorted(steps))) or 'none'}"
    )
  return found


def _on_one_device(task: task_lib.Task, config: task_lib.Config) -> Any:
  """Returns the shapes of the parameters, on the first device."""
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
    jax.eval_shape(lambda: task.init(jax.random.key(0), config=config)),
  )


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
  """Lists the differences of two runs' configs.

  As "a.b was 1, is 2"; empty if there are none.

  Args:
    old, new: configs by section, as JSON has them. How the work is spread may
      differ.
  """
  return _differences(
    *(
      {k: v for k, v in configs.items() if k != _NOT_COMPARED}
      for configs in (old, new)
    )
  )


def _differences(old: dict, new: dict, prefix: str = "") -> str:
  """Names the leaves that differ."""
  parts = []
  for name in sorted(old.keys() | new.keys()):
    was, now = old.get(name), new.get(name)
    if isinstance(was, dict) and isinstance(now, dict):
      parts.append(_differences(was, now, f"{prefix}{name}."))
    elif was != now:
      parts.append(f"{prefix}{name} was {was}, is {now}")
  return ", ".join(filter(None, parts))
