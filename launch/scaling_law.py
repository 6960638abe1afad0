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

import json
import math
import os
import pathlib
import sys

import common
from absl import flags
from ml_collections import config_flags

from mars_jax.apps.report import scaling_plot
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import order_task
from mars_jax.train import scaling
from mars_jax.train import scaling_sweep
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


def main() -> None:
  """Trains, fits and shows; the top of this file says what."""
  if not _DRY_RUN.value:
    common.outputs(f"{_OUT.value}/", ("scaling.json",))
    if _PLOT.value:
      common.outputs(_PLOT.value, ("",))
  config = _CONFIG.value
  config.data.path = _DATA.value
  dataset = dataset_lib.from_folder(_DATA.value, config.data.market)
  num_orders = dataset.num_orders("train")
  print(f"{dataset.name}: {num_orders:,} orders to train on")
  runs, num_left_out = scaling_sweep.runs(config)
  if num_left_out:
    print(
      f"{num_left_out} of {len(runs) + num_left_out} runs are left out: they"
      " take more than config.sweep.max_flops"
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
    laws, left_out = scaling_sweep.laws(results, num_samples=_RESAMPLES.value)
  for title, reason in left_out.items():
    print(f"{title}: left out: {reason}")
  _print_laws(laws)
  text = json.dumps({"laws": laws, "runs": results}, indent=2)
  (out / "scaling.json").write_text(text)
  if _PLOT.value:
    points = scaling_sweep.points(results)["ours"]
    scaling_plot.draw(points, _PLOT.value, title=dataset.name)
    print(f"{_PLOT.value} written")


def _print_plan(runs: list[scaling_sweep.Run], num_orders: int) -> None:
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


def _train(
  runs: list[scaling_sweep.Run], dataset, out, max_orders
) -> list[dict]:
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


def _print_runs(runs: list[scaling_sweep.Run], results: list[dict]) -> None:
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


if __name__ == "__main__":
  common.run(main)
