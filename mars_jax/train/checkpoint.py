"""Saves and restores training runs; the only module that knows Orbax.

A checkpoint holds the training state, the position in the data, and every
config of the run. A run resumes only with the configs that it began with.
"""

import json
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp


class Checkpointer:
  """The checkpoints of one run, in one folder. Close it, or use `with`."""

  def __init__(self, folder: pathlib.Path | str, *, max_to_keep: int):
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(),
      options=ocp.CheckpointManagerOptions(max_to_keep=max_to_keep),
    )

  def __enter__(self) -> "Checkpointer":
    return self

  def __exit__(self, *_) -> None:
    self._manager.close()

  def save(
    self, step: int, state: Any, data: dict[str, Any], configs: dict[str, Any]
  ) -> None:
    """Saves in the background; a kill in between leaves the older one.

    Args:
      step: steps done.
      state: the training state, a tree of arrays.
      data: the state of the batch iterator, fit for JSON.
      configs: the configs of the run, fit for JSON.
    """
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        data=ocp.args.JsonSave(data),
        configs=ocp.args.JsonSave(configs),
      ),
    )

  def restore(
    self, state: Any, configs: dict[str, Any]
  ) -> tuple[Any, dict[str, Any]] | None:
    """Returns the newest state and data position, or None if there is none.

    Args:
      state: a tree of arrays like the one saved.
      configs: of this run.

    Raises:
      ValueError: if the checkpoint is of a run with other configs.
    """
    step = self._manager.latest_step()
    if step is None:
      return None
    # First, since the state of another model has other shapes.
    saved = self._manager.restore(
      step, args=ocp.args.Composite(configs=ocp.args.JsonRestore())
    )
    old, new = saved.configs, json.loads(json.dumps(configs))
    if old != new:
      raise ValueError(
        f"the checkpoint of step {step} is of a run with other settings:"
        f" {_differences(old, new)}; set them back or choose a new --workdir"
      )
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore(
          jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        ),
        data=ocp.args.JsonRestore(),
      ),
    )
    return restored.state, restored.data


def _differences(old: dict, new: dict, prefix: str = "") -> str:
  """Names the leaves that differ, as "a.b was 1, is 2"."""
  parts = []
  for name in sorted(old.keys() | new.keys()):
    was, now = old.get(name), new.get(name)
    if isinstance(was, dict) and isinstance(now, dict):
      parts.append(_differences(was, now, f"{prefix}{name}."))
    elif was != now:
      parts.append(f"{prefix}{name} was {was}, is {now}")
  return ", ".join(filter(None, parts))
