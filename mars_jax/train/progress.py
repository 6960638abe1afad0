"""Records of a training run: a table and TensorBoard files."""

import collections.abc
import csv
import dataclasses
import pathlib
import time

import jax
import numpy as np

from mars_jax.train import task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
  """Metrics of one step, reported while the next one runs.

  Attributes:
    step: steps done, in this run and before.
    train_nats: mean loss of the batch, nats per order.
    orders: predicted in the step, over all devices.
    learning_rate: of the step.
    grad_norm: of the gradients, before they are clipped.
    num_skipped: steps skipped up to this one, as gradients were not finite.
    valid: float64 `[F]` of each market, the mean by part of its validation
      orders, or None where this step had no validation.
    valid_nats: float64 `[F]`, the same of all orders, or None.
  """

  step: int
  train_nats: float
  orders: int
  learning_rate: float
  grad_norm: float
  num_skipped: int
  valid: dict[str, np.ndarray] | None = None
  valid_nats: np.ndarray | None = None


class StepBuffer:
  """Holds one step's metrics until `flush`.

  Reading them waits for the device.
  """

  def __init__(
    self,
    to: collections.abc.Sequence[collections.abc.Callable[[Progress], None]],
    max_skipped: int,
  ):
    """Sets the receivers; `TrainConfig` has `max_skipped`."""
    self._to, self._max_skipped = to, max_skipped
    self._last = None

  def put(
    self,
    step: int,
    orders: int,
    scalars: dict[str, jax.Array],
    nats: dict[str, np.ndarray] | None,
  ) -> None:
    """Takes the metrics of a step.

    Args:
      step: steps done.
      orders: predicted in the step.
      scalars: as of `trainer.train_step`.
      nats: as of `Task.validate`, or None.
    """
    self._last = step, orders, scalars, nats

  def flush(self) -> None:
    """Reports the last step put, if not reported yet.

    Raises:
      FloatingPointError: if it is the last of too many that were skipped.
    """
    if self._last is None:
      return
    step, orders, scalars, nats = self._last
    self._last = None
    scalars = {k: v.item() for k, v in jax.device_get(scalars).items()}
    num_skipped_last = scalars.pop("num_skipped_last")
    progress = Progress(step=step, orders=orders, **scalars)
    if nats is not None:
      progress = dataclasses.replace(
        progress,
        valid={
          market: rows.mean(axis=0, dtype=np.float64)
          for market, rows in nats.items()
        },
        valid_nats=task.mean(nats),
      )
    for tell in self._to:
      tell(progress)
    if num_skipped_last >= self._max_skipped:
      raise FloatingPointError(
        f"{num_skipped_last} steps in a row up to step {step} had gradients"
        f" that are not finite, and a loss of {progress.train_nats}; lower"
        " optimizer.learning_rate or optimizer.max_grad_norm and start from the"
        " last checkpoint"
      )


class Writer:
  """Writes `metrics.csv`, a row a validation, and TensorBoard files.

  TensorBoard's only if asked. A run that goes on from a step repeats the later
  ones, so their records are removed first. In a run of several processes only
  the first one writes.
  Close it, or use `with`.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    parts: tuple[str, ...],
    *,
    step: int,
    tensorboard: bool,
  ):
    """Opens the files.

    Args:
      workdir: of the run; TensorBoard's files are in its folder "tensorboard".
      parts: names of the parts of a score, `Task.parts`.
      step: from which the run goes on, or 0.
      tensorboard: whether to write scalars of every step for it.

    Raises:
      ImportError: if tensorboardX is needed and not installed.
    """
    self._path, self._parts = workdir / "metrics.csv", parts
    self._is_first = jax.process_index() == 0
    self._board = None
    self._time = time.perf_counter()
    if self._is_first:
      _cut(self._path, step)
      if tensorboard:
        self._board = _open_board(workdir / "tensorboard", step)

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *_) -> None:
    if self._board:
      self._board.close()

  def write(self, progress: Progress) -> None:
    """Writes what there is of a step."""
    seconds = time.perf_counter() - self._time
    self._time += seconds
    if not self._is_first:
      return
    if progress.valid is not None:
      _append(self._path, progress, self._parts)
    if self._board:
      scalars = _scalars(progress, self._parts) | {
        "train/orders_per_s": progress.orders / seconds
      }
      for name, value in scalars.items():
        self._board.add_scalar(name, value, progress.step)


def _open_board(folder: pathlib.Path, step: int):
  """Returns TensorBoard's writer, hiding its records of later steps."""
  try:
    import tensorboardX
  except ImportError as error:
    raise ImportError(
      "train.tensorboard needs tensorboardX: pip install 'mars-jax[log]'"
    ) from error
  return tensorboardX.SummaryWriter(str(folder), purge_step=step + 1)


def _scalars(progress: Progress, parts) -> dict[str, float]:
  """Returns TensorBoard's names of what there is of a step."""
  scalars = {
    "train/nats": progress.train_nats,
    "train/learning_rate": progress.learning_rate,
    "train/grad_norm": progress.grad_norm,
    "train/skipped": progress.num_skipped,
  }
  if progress.valid is not None:
    scalars["valid/nats"] = progress.valid_nats.sum()
    for name, nats in {"all": progress.valid_nats, **progress.valid}.items():
      for part, value in zip(parts, nats, strict=True):
        scalars[f"valid_{part}/{name}"] = value
  return scalars


def _cut(path: pathlib.Path, step: int) -> None:
  """Removes the rows after a step: the run takes these steps again."""
  if not path.exists():
    return
  header, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
  rows = [row for row in rows if row.endswith(b"\n")]  # Not cut by a kill.
  kept = [row for row in rows if int(row.split(b",")[1]) <= step]
  path.write_bytes(b"".join([header, *kept]) if kept else b"")


def _append(path: pathlib.Path, progress: Progress, parts) -> None:
  """Adds a row, and the header to a new file."""
  nats = progress.valid_nats
  row = {
    "train": progress.train_nats,
    "valid": nats.sum(),
    **{f"valid_{part}": x for part, x in zip(parts, nats, strict=True)},
    "learning_rate": progress.learning_rate,
    "grad_norm": progress.grad_norm,
    "skipped": progress.num_skipped,
    **{f"valid of {name}": x.sum() for name, x in progress.valid.items()},
  }
  is_new = not path.exists() or not path.stat().st_size
  with open(path, "a", newline="") as file:
    writer = csv.writer(file)
    if is_new:
      writer.writerow(["unix_time", "step", *row])
    writer.writerow(
      [f"{time.time():.0f}", progress.step]
      + [f"{value:.8g}" for value in row.values()]
    )
