r"""Measures the value of each choice in the order model.

Prints one table.

Trains the variants of configs/ablation.py, one after another, on the same
tokens, and prints for each its nats per order on the validation and test parts,
its parameters, arithmetic and speeds. Raw nats count what the bins leave over
too: by them runs of different alphabets compare. Which days and instruments the
parts are of, preparing the data decides; that file has the commands.

  python launch/ablation.py --data=out/ablation --out=out/ablation-runs
  python launch/ablation.py --data=out/ablation --out=out/ablation-runs \
      --runs=levels,order_only

A run that is done is kept, as RUN.json in --out, and is not trained again.
Killed and started again, it goes on. Two of them can share --out if their
--runs differ. --quick measures no speed of decoding.
"""

import json
import pathlib
import runpy
import time

import common
import numpy as np
from absl import flags
from benchmarks import lmm as lmm_benchmark

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import order_task
from mars_jax.train import sweep
from mars_jax.train import trainer
from mars_jax.train import validation
from mars_jax.utils import progress as progress_lib

_CONFIGS = runpy.run_path(
  str(pathlib.Path(__file__).parent.parent / "configs" / "ablation.py")
)
_DATA = flags.DEFINE_string(
  "data", None, "The data set, of launch/prepare_data.py."
)
_OUT = flags.DEFINE_string("out", None, "Folder of the results.")
_RUNS = flags.DEFINE_list(
  "runs",
  [name for name in _CONFIGS["VARIANTS"] if name not in ("", "tiny")],
  "Which variants of configs/ablation.py.",
)
_QUICK = flags.DEFINE_bool("quick", False, "Do not time decoding.")
_BATCH = 64  # Trajectories that decode in step.
flags.mark_flags_as_required(["data", "out"])


def main() -> None:
  """Trains what is missing and prints the table."""
  out = pathlib.Path(_OUT.value)
  common.outputs(f"{out}/", [f"{name}.json" for name in _RUNS.value])
  dataset = dataset_lib.from_folder(_DATA.value)
  rows, rest = [], {}
  for name in _RUNS.value:
    configs = _configs(name)
    result = _train(name, configs, dataset, out)
    rate = _decode_rate(out / name, configs["model"])
    alphabet = configs["model"].alphabet
    if alphabet not in rest:
      rest[alphabet] = _rest(dataset, alphabet)
    rows.append(_row(name, result, rate, rest[alphabet]))
  header = (
    "run",
    "valid, raw nats",
    "valid",
    "test, raw nats",
    "test",
    "parameters",
    "MFLOP/token",
    "tokens/s",
    "decode orders/s",
  )
  common.print_table("nats per order", header, rows)


def _configs(name: str) -> dict:
  """Returns the configs of a variant, as `trainer.train` takes them."""
  config = _CONFIGS["get_config"](name)
  config.data.path = _DATA.value
  return trainer.make_configs(order_task.TASK, config)


def _train(name, configs, dataset, out) -> dict:
  """Trains one run with a bar, unless it is done."""
  num_steps, began = configs["optimizer"].num_steps, time.time()
  with progress_lib.bar(name, num_steps) as show:

    def on_progress(done) -> None:
      rate = done.step / (time.time() - began)
      show(done.step, f"{done.train_nats:.3f} nats/order, {rate:.2f} steps/s")

    return sweep.run(
      order_task.TASK, name, configs, dataset, out, on_progress=on_progress
    )


def _decode_rate(path: pathlib.Path, config: lmm.LmmConfig) -> float | None:
  """Returns orders decoded a second, as timed now or before."""
  if _QUICK.value:
    return None
  path = path.with_name(f"{path.name}.decode.json")
  if not path.exists():
    rate = lmm_benchmark.decode_rate(config, batch=_BATCH)
    path.write_text(json.dumps(rate))
  return json.loads(path.read_text())


def _rest(dataset, alphabet) -> dict[str, float]:
  """Returns the mean nats that bins leave over, by split."""
  found = {}
  for split in ("valid", "test"):
    by_market = validation.within_nats(dataset, alphabet=alphabet, split=split)
    if by_market:
      found[split] = float(np.concatenate([*by_market.values()]).mean())
  return found


def _row(name, result, decode_rate, rest) -> list[str]:
  """Returns the cells of a run."""
  cells = []
  for split in ("valid", "test"):
    nats = result[split] and result[split]["nats"]
    cells += [f"{nats + rest[split]:.3f}", f"{nats:.3f}"] if nats else ["", ""]
  return [
    name,
    *cells,
    f"{result['params']:,}",
    f"{result['flops'] / result['tokens'] / 1e6:.1f}",
    f"{result['tokens_per_second']:,.0f}",
    f"{decode_rate:,.0f}" if decode_rate else "",
  ]


if __name__ == "__main__":
  common.run(main)
