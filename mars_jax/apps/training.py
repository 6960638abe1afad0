"""Training of the order model in one call."""

import collections.abc
import contextlib
import copy
import datetime
import pathlib
import time
from typing import Any

import jax

from mars_jax import demo
from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import manifest
from mars_jax.feeds import registry
from mars_jax.train import cost
from mars_jax.train import order_task
from mars_jax.train import progress as metrics_lib
from mars_jax.train import run as run_lib
from mars_jax.train import task as task_lib
from mars_jax.train import trainer
from mars_jax.utils import files
from mars_jax.utils import progress as progress_lib

_SECONDS_PER_LINE = 60  # Without a terminal, as in a job's log.


def train(
  data: str | None = None,
  workdir: pathlib.Path | str = "out/train",
  *,
  config: collections.abc.Mapping[str, Any] | None = None,
  num_steps: int | None = None,
  baselines: bool = True,
  progress: bool = True,
) -> lmm.Model | None:
  """Trains an order model on one or more days.

  A run that was stopped goes on from its last checkpoint. The model is also
  written to `model.npz` in `workdir`, which `forecast` and `simulate` take.

  Args:
    data: a sample's name, the files of one day in any format of `feeds`, or a
      folder written by `launch/prepare_data.py`; by default that of the config.
    workdir: folder for checkpoints, metrics and the model.
    config: sections as in `configs/*.py`; by default those of the demo model.
    num_steps: in place of the config's, with a warm-up of at most a tenth.
    baselines: whether to score the baselines too; they hold all orders of a
      market in memory.
    progress: whether to show a progress bar and print validations.

  Returns:
    The model, its scores and settings in the card; None in all processes but
    the first of a distributed run.

  Raises:
    OSError: if `workdir` cannot be written, or the data cannot be read.
    ValueError, TypeError: if a setting is invalid, or of another run than the
      one in `workdir`.
    FloatingPointError, trainer.Preempted: as of `trainer.train`.
  """
  configs = make_configs(data, config=config, num_steps=num_steps)
  workdir = pathlib.Path(workdir)
  files.check_writable(task_lib.save_path(workdir))
  dataset = open_dataset(configs["data"], progress=progress)
  if progress:
    print(
      f"  train {dataset.num_orders('train'):,} orders, of which"
      f" {dataset.orders_in_no_window(configs['batch']):,} in no window, valid"
      f" {dataset.num_orders('valid'):,}"
    )
  with _live(configs, visible=progress) as on_progress:
    return run_lib.run(
      dataset,
      workdir,
      configs,
      baselines=baselines,
      on_progress=on_progress,
    )


def make_configs(
  data: str | None = None,
  *,
  config: collections.abc.Mapping[str, Any] | None = None,
  num_steps: int | None = None,
) -> dict[str, Any]:
  """Returns the configs of a run, as `trainer.train` takes them.

  Args:
    data, config, num_steps: as of `train`.

  Raises:
    TypeError, ValueError: if a key is unknown or missing, or a value invalid.
  """
  if config is None:
    config = lmm.load(demo.MODEL).card["config"]
  names = trainer.config_types(order_task.TASK)
  sections = {name: copy.deepcopy(dict(config[name])) for name in names}
  if data is not None:
    sections["data"]["path"] = data
  if num_steps is not None:
    optimizer = sections["optimizer"]
    warmup = min(optimizer["warmup_steps"], num_steps // 10)
    optimizer |= {"num_steps": num_steps, "warmup_steps": warmup}
  return trainer.make_configs(order_task.TASK, sections)


def open_dataset(
  config: dataset_lib.DataConfig, *, progress: bool = True
) -> dataset_lib.Dataset:
  """Opens a prepared data set, or replays one day.

  Args:
    config: place of the orders, and replay and split of a day.
    progress: whether to print what the data is, and show a replay's progress.

  Raises:
    OSError, ValueError, events.DataError: as of `feeds.read`,
      `dataset.from_folder` and `dataset.from_day`.
  """

  def note(text: str) -> None:
    if progress:
      print(text)

  folder = pathlib.Path(config.path).expanduser()
  if (folder / manifest.MANIFEST).exists():
    dataset = dataset_lib.from_folder(folder, config.market)
    note(dataset.name)
    return dataset
  stream = registry.read(config.path)
  note(f"{stream.name}: {len(stream):,} events")
  note("  " + ", ".join(f"{k} {v:,}" for k, v in stream.counts.items()))
  with progress_lib.replay_bar(len(stream), visible=progress) as on_progress:
    dataset = dataset_lib.from_day(
      stream, config=config, on_progress=on_progress
    )
  if dataset.num_dropped:
    note(
      f"note: {dataset.num_dropped:,} orders found the replayed book full;"
      " raise book_capacity"
    )
  return dataset


@contextlib.contextmanager
def _live(configs, *, visible: bool):
  """Shows a bar and prints validations; yields its `on_progress`."""
  num_steps = configs["optimizer"].num_steps
  flops = order_task.TASK.flops_per_token(configs["model"], configs["batch"])
  peak = cost.peak_flops(jax.devices()[0]) * jax.device_count()
  console = progress_lib.CONSOLE
  with progress_lib.bar("train", num_steps, visible=visible) as show:
    last = printed = time.time()

    def on_progress(done: metrics_lib.Progress) -> None:
      nonlocal last, printed
      now = time.time()
      speed, last = done.orders / (now - last), now
      text = (
        f"{done.train_nats:.3f} nats/order, {speed:,.0f} orders/s,"
        f" {speed * flops / peak:.1%} of peak"
      )
      show(done.step, text)
      if not console.is_terminal and now > printed + _SECONDS_PER_LINE:
        left = (num_steps - done.step) * done.orders / speed
        left = datetime.timedelta(seconds=round(left))
        print(f"step {done.step}: {text}, {left} left", flush=True)
        printed = now
      if done.valid_nats is not None:
        console.print(
          f"step {done.step}: train {done.train_nats:.3f} nats/order,"
          f" validation {done.valid_nats.sum():.3f}"
        )

    yield on_progress if visible else lambda done: None
