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
import datetime
import os
import pathlib
import sys
import time

import common
import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.tokens import vocab
from mars_jax.train import cost as plan_lib
from mars_jax.train import progress
from mars_jax.train import sharding
from mars_jax.train import trainer
from mars_jax.train import validation
from mars_jax.utils import progress as progress_lib

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

_SECONDS_PER_LINE = 60  # Where nothing live can be shown, as in a job's log.


def main() -> None:
  """Trains, scores and saves; the top of this file says what."""
  if _DISTRIBUTED.value:
    # Before anything that makes JAX look for devices.
    jax.distributed.initialize(
      coordinator_address=_COORDINATOR.value,
      num_processes=_NUM_PROCESSES.value,
      process_id=_PROCESS_ID.value,
    )
  config = _CONFIG.value
  if _DATA.value:
    config.data.path = _DATA.value
  configs = trainer.make_configs(config)
  with contextlib.ExitStack() as stack:
    if jax.process_index():  # The first process tells for all.
      nowhere = stack.enter_context(open(os.devnull, "w"))
      stack.enter_context(contextlib.redirect_stdout(nowhere))
    if _DRY_RUN.value:
      _print_plan(configs)
    else:
      _run(pathlib.Path(_WORKDIR.value), configs, config.to_dict())


def _print_plan(configs) -> None:
  """Prints what the run would take."""
  plan = plan_lib.make(
    **{name: configs[name] for name in plan_lib.CONFIGS},
    num_devices=_DEVICES.value or jax.device_count(),
    device_kind=_DEVICE_KIND.value or jax.devices()[0].device_kind,
    utilisation=_UTILISATION.value,
  )
  common.print_table("plan", ("", ""), plan.rows())


def _run(workdir: pathlib.Path, configs, as_dict) -> None:
  """Trains, scores and saves."""
  began = time.time()
  dataset = common.load(configs["data"])
  print(
    f"  train {dataset.num_orders('train'):,} orders, of which"
    f" {dataset.orders_in_no_window(configs['batch']):,} in no window, valid"
    f" {dataset.num_orders('valid'):,}"
  )
  try:
    params = _train(dataset, workdir, configs)
  except trainer.Preempted as stop:
    print(f"{stop}; start again to go on")
    sys.exit(os.EX_TEMPFAIL)
  nats = validation.held_out_nats(
    params,
    dataset,
    config=configs["model"],
    max_orders=configs["train"].eval_orders or None,
  )
  params = sharding.gather(params)
  if jax.process_index():
    return
  scores = _baselines(dataset) if _BASELINES.value else {}
  card = _card(dataset, configs, nats, scores)
  card |= {
    "parameters": lmm.num_params(params),
    "date": datetime.date.today().isoformat(),
    "config": as_dict,
  }
  model = lmm.Model(params, configs["model"], dataset.tokenizers, card)
  lmm.save(workdir / "model.npz", model)
  _report(card)
  print(f"{workdir / 'model.npz'} written, {time.time() - began:.0f} s in all")


def _train(dataset, workdir: pathlib.Path, configs) -> lmm.Params:
  """Trains with a live line, and a printed line for each validation."""
  num_steps = configs["optimizer"].num_steps
  length = configs["batch"].window_length - 1
  # A window has an order more than it has tokens.
  flops = plan_lib.flops_per_token(configs["model"], length)
  flops *= length / (length + 1)
  peak = plan_lib.peak_flops(jax.devices()[0]) * jax.device_count()
  with progress_lib.bar("train", num_steps) as show:
    last = printed = time.time()

    def on_progress(done: progress.Progress) -> None:
      nonlocal last, printed
      now = time.time()
      speed, last = done.orders / (now - last), now
      text = (
        f"{done.train_nats:.3f} nats/order, {speed:,.0f} orders/s,"
        f" {speed * flops / peak:.1%} of peak"
      )
      show(done.step, text)
      if not common.CONSOLE.is_terminal and now > printed + _SECONDS_PER_LINE:
        left = (num_steps - done.step) * done.orders / speed
        left = datetime.timedelta(seconds=round(left))
        print(f"step {done.step}: {text}, {left} left", flush=True)
        printed = now
      if done.valid_nats is not None:
        common.CONSOLE.print(
          f"step {done.step}: train {done.train_nats:.3f} nats/order,"
          f" validation {done.valid_nats.sum():.3f}"
        )

    return trainer.train(dataset, workdir, **configs, on_progress=on_progress)


def _baselines(dataset: dataset_lib.Dataset) -> dict[str, dict[str, float]]:
  """Returns the nats of each baseline in each market that is validated on."""
  scores = {}
  for market in dataset.markets:
    if any(p.stop > 1 for p in dataset.market_parts("valid", market)):
      random_flow = validation.zero_intelligence_nats(dataset, market)
      scores[market] = {
        "zero intelligence": float(random_flow.sum(axis=1).mean()),
        **validation.count_nats(dataset, market),
      }
  return scores


def _card(dataset, configs, nats, baselines):
  """Returns what the model's file tells of the data and the scores.

  Means over several markets weigh each by its orders that the model has scored.
  """
  valid = nats["valid"]
  weights = [len(valid[market]) for market in baselines]
  scores = {
    name: float(
      np.average([b[name] for b in baselines.values()], None, weights)
    )
    for name in next(iter(baselines.values()), ())
  }
  by_field = validation.mean_nats(valid)
  scores["model"] = float(by_field.sum())
  return {
    "data": dataset.name,
    "source": dataset.source,
    "splits": {
      split: {"orders": dataset.num_orders(split), "days": len(parts)}
      for split, parts in dataset.parts.items()
    },
    "orders_in_no_window": dataset.orders_in_no_window(configs["batch"]),
    "orders_scored": sum(map(len, valid.values())),
    "validation_nats_per_order": scores,
    "validation_nats_by_field": _by_field(by_field),
    "baselines_by_market": baselines,
    "model_by_market": {
      split: {
        market: {
          "orders": len(rows),
          **_by_field(rows.mean(axis=0, dtype=np.float64)),
        }
        for market, rows in by_market.items()
      }
      for split, by_market in nats.items()
    },
  }


def _by_field(nats) -> dict[str, float]:
  """Names the nats of the fields, `[4]`."""
  return dict(zip(vocab.FIELDS, nats.tolist(), strict=True))


def _report(card) -> None:
  """Prints the loss beside the baselines, and by split, market and field."""
  rows = [
    (name, f"{nats:.3f}")
    for name, nats in card["validation_nats_per_order"].items()
  ]
  common.print_table("validation", ("", "nats per order"), rows)
  rows = [
    (
      f"{split} {market}",
      f"{fields['orders']:,}",
      f"{sum(fields[name] for name in vocab.FIELDS):.3f}",
      *(f"{fields[name]:.3f}" for name in vocab.FIELDS),
    )
    for split, by_market in card["model_by_market"].items()
    for market, fields in by_market.items()
  ]
  header = ("", "orders", "nats", *vocab.FIELDS)
  common.print_table("the model", header, rows)


if __name__ == "__main__":
  common.run(main)
