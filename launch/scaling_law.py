r"""Fits the order model's scaling law in size and data.

Trains a model of each size with each budget of orders, fits

  L(N, D) = E + A N^-alpha + B D^-beta

to their validation losses (N parameters, D orders seen; mars_jax/train/scaling
says how), and prints the exponents, with 95 % intervals from resampled runs,
beside those of the paper's eight models by the same estimator. Data and markets
differ, and so do levels; what can be compared is how steep the laws are.

  python launch/scaling_law.py --config=configs/scaling.py --data=out/data \
      --out=out/scaling --plot=out/scaling.png
  python launch/scaling_law.py --config=configs/scaling.py --data=out/data \
      --dry_run
  python launch/scaling_law.py --config=configs/scaling.py:gpu --data=out/data \
      --out=out/gpu --config.sweep.budgets="(1_000_000, 4_000_000)"

--data is a folder that launch/prepare_data.py has written. Killed and started
again, it trains what is missing: --out holds a JSON file of each run, and
scaling.json with all that was found. A law that the runs are too few to tell is
left out.
"""

import collections.abc
import dataclasses
import json
import math
import os
import pathlib
import sys

import common
import jax
import matplotlib
import matplotlib.axes
import matplotlib.figure
import numpy as np
from absl import flags
from ml_collections import config_flags

from mars_jax.data import dataset as dataset_lib
from mars_jax.train import cost as plan_lib
from mars_jax.train import order_task
from mars_jax.train import scaling
from mars_jax.train import sweep
from mars_jax.train import trainer
from mars_jax.utils import progress as progress_lib

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Sizes and budgets: configs/scaling.py, or with :gpu, :tiny."
)
_DATA = flags.DEFINE_string("data", None, "A folder of prepared data.")
_OUT = flags.DEFINE_string("out", None, "Folder for the results.")
_PLOT = flags.DEFINE_string("plot", None, "A picture to draw, say law.png.")
_RESAMPLES = flags.DEFINE_integer(
  "resamples", 200, "How many resamples of the runs give an interval.", 1
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Print the runs and what they would take, and end."
)
flags.mark_flags_as_required(["config", "data"])
flags.register_multi_flags_validator(
  ["out", "dry_run"],
  lambda values: values["out"] or values["dry_run"],
  "Flag --out must have a value.",
)


@dataclasses.dataclass(frozen=True)
class _Run:
  """A run of the sweep.

  Attributes:
    name: of its files.
    size: the name of its size.
    configs: as `trainer.train` takes them.
    plan: of the run, on one device.
    seconds: that it is estimated to take.
  """

  name: str
  size: str
  configs: dict
  plan: plan_lib.CostEstimate
  seconds: float


def main() -> None:
  """Trains, fits and shows; the top of this file says what."""
  config = _CONFIG.value
  config.data.path = _DATA.value
  dataset = dataset_lib.from_folder(_DATA.value, config.data.market)
  num_orders = dataset.num_orders("train")
  print(f"{dataset.name}: {num_orders:,} orders to train on")
  runs = [
    _make_run(config, size, budget)
    for size in config.sweep.sizes
    for budget in config.sweep.budgets
  ]
  num_all = len(runs)
  runs = [run for run in runs if run.plan.flops <= config.sweep.max_flops]
  runs.sort(key=lambda run: run.seconds)
  if len(runs) < num_all:
    print(
      f"{num_all - len(runs)} of {num_all} runs are left out: they take more"
      " than config.sweep.max_flops"
    )
  if _DRY_RUN.value:
    _print_plan(runs, num_orders)
    return
  out = pathlib.Path(_OUT.value)
  try:
    results = _train(runs, dataset, out, config.sweep.max_orders or None)
  except trainer.Preempted as stop:
    print(f"{stop}; start again to go on")
    sys.exit(os.EX_TEMPFAIL)
  _print_runs(runs, results)
  with common.CONSOLE.status("fitting laws to resamples of the runs"):
    laws = _laws(results)
  _print_laws(laws)
  text = json.dumps({"laws": laws, "runs": results}, indent=2)
  (out / "scaling.json").write_text(text)
  if _PLOT.value:
    _draw(results, pathlib.Path(_PLOT.value), dataset.name)
    print(f"{_PLOT.value} written")


def _make_run(config, size: str, budget: int) -> _Run:
  """Returns a run: the config with a size, and what the budget makes of it."""
  sections = config.to_dict()
  model = {**sections["model"], **config.sweep.sizes[size]}
  length = config.batch.window_length - 1  # The last order is not an input.
  num_steps = max(round(budget / (config.batch.batch_size * length)), 2)
  width = model["dim"] / config.model.dim
  optimizer = {
    **config.optimizer,
    "num_steps": num_steps,
    "warmup_steps": math.ceil(num_steps * config.sweep.warmup_share),
    "learning_rate": config.optimizer.learning_rate
    * width**config.sweep.learning_rate_power,
  }
  configs = trainer.make_configs(
    order_task.TASK, {**sections, "model": model, "optimizer": optimizer}
  )
  plan = plan_lib.make(
    **{name: configs[name] for name in plan_lib.CONFIGS},
    num_devices=jax.device_count(),
    device_kind=jax.devices()[0].device_kind,
    utilisation=config.sweep.utilisation,
  )
  seconds = plan.hours * 3600 + plan.tokens * config.sweep.seconds_per_token
  seconds += config.sweep.seconds_per_run
  return _Run(f"{size}-{budget}", size, configs, plan, seconds)


def _print_plan(runs: list[_Run], num_orders: int) -> None:
  """Prints what each run would take, and all of them."""
  rows = [
    (
      run.size,
      f"{run.plan.params:,}",
      f"{run.plan.tokens:,}",
      f"{run.plan.tokens / num_orders:.2f}",
      f"{run.plan.steps:,}",
      f"{run.configs['optimizer'].learning_rate:.2e}",
      f"{run.plan.flops:.2e}",
      f"{run.seconds / 60:.1f}",
    )
    for run in runs
  ]
  flops = sum(run.plan.flops for run in runs)
  minutes = sum(run.seconds for run in runs) / 60
  rows.append(("in all", *[""] * 5, f"{flops:.2e}", f"{minutes:.1f}"))
  header = ("", "N", "D", "epochs", "steps", "rate", "FLOPs", "minutes")
  common.print_table("runs", header, rows)


def _train(runs: list[_Run], dataset, out, max_orders) -> list[dict]:
  """Trains all runs under one progress bar."""
  results, done = [], 0.0
  total = sum(run.seconds for run in runs)
  with progress_lib.bar("sweep", total) as show:
    for run in runs:

      def on_progress(progress, run=run, done=done):
        share = progress.step / run.plan.steps
        show(
          done + share * run.seconds,
          f"{run.name}, step {progress.step} of {run.plan.steps}:"
          f" {progress.train_nats:.3f} nats/order",
        )

      result = sweep.run(
        order_task.TASK,
        run.name,
        run.configs,
        dataset,
        out,
        max_orders=max_orders,
        on_progress=on_progress,
      )
      results.append(result)
      done += run.seconds
      text = f"{run.name}: {result['valid']['nats']:.4f} nats/order"
      show(done, text)
      common.CONSOLE.print(text, highlight=False)
  return results


def _print_runs(runs: list[_Run], results: list[dict]) -> None:
  """Prints the runs, marking those that repeated orders."""
  rows = [
    (
      run.size,
      f"{result['params']:,}",
      f"{result['params_without_tables']:,}",
      f"{result['tokens']:,}",
      f"{result['epochs']:.2f}" + "*" * (result["epochs"] > 1),
      f"{result['valid']['nats']:.4f}",
      *(
        f"{scores['nats']:.3f}"
        for scores in result["markets"]["valid"].values()
      ),
      f"{result['tokens_per_second'] or math.nan:,.0f}",
      f"{result['seconds']:.0f}",
    )
    for run, result in zip(runs, results, strict=True)
  ]
  header = ("", "N", "less tables", "D", "epochs", "nats")
  header += (*results[0]["markets"]["valid"], "orders/s", "s")
  common.print_table("runs", header, rows)
  most = max(result["epochs"] for result in results)
  if most > 1:
    limit = scaling.MAX_EPOCHS
    print(
      "* Orders were seen again, which counts nearly as new ones up to"
      f" {limit} epochs"
      + (f"; {most:.1f} are too many" if most > limit else "")
    )


def _points(results: list[dict]) -> dict[str, np.ndarray]:
  """Returns N, D and loss by run, ours and MarS's.

  float64 `[n, 3]`.

  The paper's losses on the way are of one long run each; ours are all of runs
  whose learning rate had come down.
  """
  found = {}
  for who, n in (
    ("ours", "params"),
    ("ours, N less tables", "params_without_tables"),
  ):
    found[who] = [
      (run[n], run["tokens"], run["valid"]["nats"]) for run in results
    ]
  for who, n in (("MarS", "num_params"), ("MarS, N in use", "num_live")):
    found[who] = [
      (getattr(model, n), tokens, nats)
      for model in scaling.PAPER
      for tokens, nats in zip(scaling.PAPER_TOKENS, model.nats, strict=True)
      if not math.isnan(nats)
    ]
  return {who: np.array(points, float) for who, points in found.items()}


@dataclasses.dataclass(frozen=True)
class _Question:
  """A law to fit, to which runs, and its report.

  Attributes:
    title: the formula, and of which runs.
    columns: of `_points` that are its variables: 0 is N, 1 is D.
    held: the column of which only the largest value counts, None for all.
    values: {name: function of the law}.
  """

  title: str
  columns: tuple[int, ...]
  held: int | None
  values: dict[str, collections.abc.Callable[[scaling.Law], float]]


_POWER = {
  "ln c": lambda law: law.log_scales[0],
  "a": lambda law: law.exponents[0],
}
_QUESTIONS = (
  _Question(
    "E + A N^-alpha + B D^-beta, all runs",
    columns=(0, 1),
    held=None,
    values={
      "E": lambda law: law.floor,
      "ln A": lambda law: law.log_scales[0],
      "alpha": lambda law: law.exponents[0],
      "ln B": lambda law: law.log_scales[1],
      "beta": lambda law: law.exponents[1],
      # The N that is best for its FLOPs, if they go with N D, goes with their
      # power of this; from [1] of `scaling`.
      "beta / (alpha + beta)": lambda law: (
        law.exponents[1] / law.exponents.sum()
      ),
    },
  ),
  _Question("c N^-a, at the largest D", (0,), held=1, values=_POWER),
  _Question(
    "E + c N^-a, at the largest D",
    columns=(0,),
    held=1,
    values={"E": lambda law: law.floor, **_POWER},
  ),
  _Question("c D^-a, of the largest N", (1,), held=0, values=_POWER),
)


def _laws(results: list[dict]) -> dict[str, dict[str, dict]]:
  """Returns {title: {who: `_answer`}}; says what is left out, and why."""
  laws = {}
  for question in _QUESTIONS:
    try:
      laws[question.title] = {
        who: _answer(question, points)
        for who, points in _points(results).items()
      }
    except ValueError as error:
      print(f"{question.title}: left out: {error}")
  return laws


def _answer(question: _Question, points: np.ndarray) -> dict[str, dict]:
  """Returns each value with its interval, fit for JSON.

  Raises:
    ValueError: if the runs are too few to tell the law.
  """
  if question.held is not None:
    held = points[:, question.held]
    points = points[held == held.max()]
  x, loss = points[:, question.columns], points[:, 2]
  has_floor = "E" in question.values
  law = scaling.fit(x, loss, has_floor=has_floor)
  laws = scaling.bootstrap(
    x, loss, has_floor=has_floor, num_samples=_RESAMPLES.value
  )
  return {
    name: {
      "value": float(value(law)),
      "interval": scaling.interval(laws, value),
    }
    for name, value in question.values.items()
  }


def _print_laws(laws: dict[str, dict[str, dict]]) -> None:
  """Prints each law, ours beside the paper's."""
  for title, answers in laws.items():
    rows = [
      (name, *(_text(answer[name]) for answer in answers.values()))
      for name in next(iter(answers.values()))
    ]
    common.print_table(title, ("", *answers), rows)


def _text(estimate: dict) -> str:
  """Returns a value and its interval."""
  low, high = estimate["interval"]
  return f"{estimate['value']:.3g} ({low:.3g} to {high:.3g})"


def _draw(results: list[dict], path: pathlib.Path, title: str) -> None:
  """Draws the losses and the law over N and D.

  Args:
    results: of the runs.
    path: of the picture; its ending says of what kind, say .png.
    title: of the picture.
  """
  points = _points(results)["ours"]
  try:
    law = scaling.fit(points[:, :2], points[:, 2])
    (ln_a, ln_b), (alpha, beta) = law.log_scales, law.exponents
    title += (
      f": {law.floor:.2f} + e^{ln_a:.2f} N^-{alpha:.3g}"
      f" + e^{ln_b:.2f} D^-{beta:.3g}"
    )
  except ValueError:  # The runs do not tell it, as `_laws` has said.
    law = None
  figure = matplotlib.figure.Figure(figsize=(11, 4.5), dpi=150)
  left, right = figure.subplots(1, 2, sharey=True)
  _draw_panel(left, points, law, 0, "parameters", "{} orders seen")
  _draw_panel(right, points, law, 1, "orders seen", "{} parameters")
  left.set_ylabel("validation loss, nats an order")
  figure.suptitle(title, fontsize=9)
  figure.tight_layout()
  figure.savefig(path)


def _draw_panel(
  axes: matplotlib.axes.Axes,
  points: np.ndarray,
  law: scaling.Law | None,
  column: int,
  xlabel: str,
  label: str,
) -> None:
  """Draws loss and law over one column.

  A line for each value of the other.

  Args:
    axes: where.
    points: as of `_points`.
    law: of N and D, None if the runs do not tell it.
    column: 0 or 1.
    xlabel: of the axis.
    label: of a line, with a place for the value.
  """
  values = np.unique(points[:, 1 - column])
  colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(values)))
  x = np.geomspace(points[:, column].min(), points[:, column].max(), 100)
  for value, color in zip(values, colors, strict=True):
    rows = points[points[:, 1 - column] == value]
    line = np.full((len(x), 2), value)
    line[:, column] = x
    if law is not None:
      axes.plot(x, law(line), color=color, lw=1)
    axes.plot(
      rows[:, column],
      rows[:, 2],
      "o",
      color=color,
      label=label.format(f"{value:,.0f}"),
    )
  axes.set(xscale="log", xlabel=xlabel)
  axes.grid(alpha=0.3)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
  common.run(main)
