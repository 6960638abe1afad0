r"""Trains an order model: on one device, one machine, or a cluster of them.

The data is a folder that launch/prepare_data.py has written, with its splits
and bins, of one market or several; it may hold more than memory does. Or it is
one day of orders, which is replayed through the matching engine here, into
memory: its first part is for training, the rest for validation.

  python launch/train.py --config=configs/demo.py --workdir=out/demo
  python launch/train.py --config=configs/demo.py --workdir=out/goog \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip
  python launch/train.py --config=configs/order_model.py:10m \
      --workdir=out/10m --data=out/data
  python launch/train.py --config=configs/demo.py --workdir=out/wide \
      --config.model.dim=128 --config.optimizer.num_steps=1000

All devices of the machine share the work, as the config's section `parallel`
says. What a run would take, also on machines that are not here:

  python launch/train.py --config=configs/order_model.py:1b --dry_run \
      --devices=64 --device_kind="NVIDIA H100"

On a cluster every process runs the same command with --distributed. Cloud TPUs,
SLURM and MPI tell JAX who is who; elsewhere --coordinator, --num_processes and
--process_id do. launch/submit.py writes such jobs.

Killed and started again, on as many devices or others, a run goes on where it
was. SIGTERM makes it save first and exit with status 75, by which a scheduler
tells that it should be started again.

Writes to the workdir: checkpoints/, metrics.csv (a row a validation) and
model.npz, which launch/forecast.py takes as --model. There the model is scored
beside three baselines: random flow at the rates of each kind of order, given
the book (zero intelligence), and the counts of orders and of pairs of orders.
"""

import contextlib
import os
import pathlib
import sys
import time

import common
import jax
from absl import flags
from ml_collections import config_flags

from mars_jax import apps
from mars_jax.apps import training
from mars_jax.train import cost
from mars_jax.train import task
from mars_jax.train import trainer

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The run, e.g. configs/demo.py, or configs/demo.py:tiny."
)
_DATA = flags.DEFINE_string(
  "data",
  None,
  "Orders to train on, in place of config.data.path: a folder that"
  " prepare_data.py has written, 'bitstamp-sample', or the files of one day.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder for checkpoints, metrics and the model; of a cluster, one that all"
  " machines share.",
)
_BASELINES = flags.DEFINE_bool(
  "baselines",
  True,
  "Score the baselines too; they hold all orders of a market in memory.",
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Print what the run would take, and end."
)
_DEVICES = flags.DEFINE_integer(
  "devices", None, "Of --dry_run: how many; by default those here.", 1
)
_DEVICE_KIND = flags.DEFINE_string(
  "device_kind", None, "Of --dry_run: 'NVIDIA H100', say; by default as here."
)
_UTILISATION = flags.DEFINE_float(
  "utilisation", 0.4, "Of --dry_run: share of the peak FLOPs.", 0.0, 1.0
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "This is one of several processes of the run."
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "Of --distributed: address and port of process 0; told by the cluster if not"
  " given, as the next two.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "Of --distributed: how many there are.", 1
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "Of --distributed: the number of this one, from 0.", 0
)
flags.mark_flag_as_required("config")
flags.register_multi_flags_validator(
  ["workdir", "dry_run"],
  lambda values: values["workdir"] or values["dry_run"],
  "Flag --workdir must have a value.",
)


def main() -> None:
  """Trains, scores and saves; the top of this file says what."""
  if _DISTRIBUTED.value:
    # Before anything that makes JAX look for devices.
    jax.distributed.initialize(
      coordinator_address=_COORDINATOR.value,
      num_processes=_NUM_PROCESSES.value,
      process_id=_PROCESS_ID.value,
    )
  configs = training.make_configs(_DATA.value, config=_CONFIG.value)
  with contextlib.ExitStack() as stack:
    if jax.process_index():  # Only the first process prints.
      nowhere = stack.enter_context(open(os.devnull, "w"))
      stack.enter_context(contextlib.redirect_stdout(nowhere))
    if _DRY_RUN.value:
      _print_plan(configs)
    else:
      _run(pathlib.Path(_WORKDIR.value))


def _print_plan(configs) -> None:
  """Prints what the run would take."""
  plan = cost.make(
    **{name: configs[name] for name in cost.CONFIGS},
    num_devices=_DEVICES.value or jax.device_count(),
    device_kind=_DEVICE_KIND.value or jax.devices()[0].device_kind,
    utilisation=_UTILISATION.value,
  )
  common.print_table("plan", ("", ""), plan.rows())


def _run(workdir: pathlib.Path) -> None:
  """Trains, and prints the scores."""
  began = time.time()
  try:
    model = apps.train(
      _DATA.value, workdir, config=_CONFIG.value, baselines=_BASELINES.value
    )
  except trainer.Preempted as stop:
    print(f"{stop}; start again to go on")
    sys.exit(os.EX_TEMPFAIL)
  if model is not None:
    _report(model.card)
    path = task.save_path(workdir)
    print(f"{path} written, {time.time() - began:.0f} s in all")


def _report(card) -> None:
  """Prints the model's loss beside the baselines'.

  And by split, market and field.
  """
  rows = [
    (market, name, f"{nats:.3f}")
    for market, scores in card["validation_raw_nats_per_order"].items()
    for name, nats in scores.items()
  ]
  common.print_table("validation", ("", "", "raw nats per order"), rows)
  scores = {
    f"{split} {market}": fields
    for split, by_market in card["model_by_market"].items()
    for market, fields in by_market.items()
  }
  names = tuple(card["validation_nats_by_field"])
  rows = [
    ("orders", *(f"{fields['orders']:,}" for fields in scores.values())),
    (
      "nats",
      *(f"{sum(f[name] for name in names):.3f}" for f in scores.values()),
    ),
    *((name, *(f"{f[name]:.3f}" for f in scores.values())) for name in names),
  ]
  common.print_table("the model", ("", *scores), rows)


if __name__ == "__main__":
  common.run(main)
