r"""Submits a training run to a cluster: SLURM, or Kubernetes (GKE).

Prints the job's file, and the plan of the run on the error output, and hands
the file to the cluster; with --dry_run, which only prints, see it first. Every
node runs one process of launch/train.py, which has all GPUs of the node, or all
TPU chips.

  python launch/submit.py --to=slurm --dry_run --nodes=4 --devices_per_node=8 \
      --device_kind="NVIDIA H100" --config=configs/order_model.py:1b \
      --workdir=/shared/out/1b --data=/shared/data \
      --setup="source .venv/bin/activate" --sbatch="--partition=gpu"
  python launch/submit.py --to=kubernetes --dry_run --nodes=2 \
      --device_kind="NVIDIA H100" --config=configs/order_model.py:1b \
      --workdir=/data/out/1b --data=/data/days --claim=shared \
      --image=REGISTRY/mars_jax:latest \
      --node_selector="cloud.google.com/gke-accelerator=nvidia-h100-80gb"

For TPUs on GKE, add --resource=google.com/tpu --devices_per_node=4, and select
nodes by the labels cloud.google.com/gke-tpu-accelerator=tpu-v5-lite-podslice,
say, and cloud.google.com/gke-tpu-topology=2x4, with a comma between them.

--config.KEY=VALUE overrides keys of the config, as of launch/train.py, whose
other flags come last, after --. The baselines are left out, for which all nodes
would wait: `... -- --baselines` if they are quick.

A run that is preempted, or near the end of its time, saves and exits with
status 75; the job then goes back to the queue (SLURM) or gets new pods
(Kubernetes), and goes on where it was, until it is done. The workdir and the
data must be on storage that all nodes share.

SLURM: the script runs in the folder of this repository. Kubernetes: the image
has this repository as its working folder, with all that it needs installed;
--claim, a PersistentVolumeClaim that many nodes may write, is mounted at
--mount. Pods find each other by a headless Service. The manifest is JSON, which
kubectl reads as it does YAML.
"""

import contextlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import common
from absl import flags
from ml_collections import config_flags

from mars_jax.train import cluster
from mars_jax.train import cost as plan_lib
from mars_jax.train import order_task
from mars_jax.train import trainer

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The run, e.g. configs/order_model.py:10m."
)
_TO = flags.DEFINE_enum("to", None, ["slurm", "kubernetes"], "What cluster.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run, an absolute path that all nodes share."
)
_DATA = flags.DEFINE_string(
  "data", None, "Folder of the data set, in place of config.data.path."
)
_NODES = flags.DEFINE_integer("nodes", 1, "Machines.", 1)
_DEVICES_PER_NODE = flags.DEFINE_integer(
  "devices_per_node", 8, "GPUs, or TPU chips, of each.", 1
)
_DEVICE_KIND = flags.DEFINE_string(
  "device_kind", None, "'NVIDIA H100', say, for the plan."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print, and submit nothing.")
_NAME = flags.DEFINE_string(
  "name", "mars", "Of the job: lower-case letters, digits and hyphens."
)
_CPUS = flags.DEFINE_integer("cpus", 32, "CPU cores on each node.", 1)
_TIME = flags.DEFINE_string(
  "time", "24:00:00", "SLURM: limit until the job is queued again."
)
_SBATCH = flags.DEFINE_multi_string(
  "sbatch", [], "SLURM: an option of sbatch, --partition=gpu say; repeatable."
)
_SETUP = flags.DEFINE_string(
  "setup", "", "SLURM: a shell command before the run, to load modules say."
)
_IMAGE = flags.DEFINE_string("image", None, "Kubernetes: the container image.")
_CLAIM = flags.DEFINE_string(
  "claim", None, "Kubernetes: the PersistentVolumeClaim of workdir and data."
)
_MOUNT = flags.DEFINE_string("mount", "/data", "Kubernetes: where that is.")
_RESOURCE = flags.DEFINE_enum(
  "resource",
  "nvidia.com/gpu",
  ["nvidia.com/gpu", "google.com/tpu"],
  "Kubernetes: what devices are called.",
)
_NODE_SELECTOR = flags.DEFINE_list(
  "node_selector", [], "Kubernetes: labels of the nodes, KEY=VALUE,..."
)
flags.mark_flags_as_required(["config", "to", "workdir", "device_kind"])
flags.register_validator(
  "workdir", os.path.isabs, "must be an absolute path that all nodes share"
)

_ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(*arguments: str) -> None:
  """Prints and submits; the top of this file says what."""
  plan = _plan(_CONFIG.value)
  command = _command(arguments)
  job = _job()
  if _TO.value == "slurm":
    text, submit = cluster.slurm(job, command, _ROOT), ("sbatch",)
  else:
    text = cluster.kubernetes(job, command)
    submit = ("kubectl", "apply", "-f")
  print(text, flush=True)
  with contextlib.redirect_stdout(sys.stderr):  # The output is the file.
    common.print_table("plan", ("", ""), plan.rows())
  if _DRY_RUN.value:
    return
  if not shutil.which(submit[0]):
    raise FileNotFoundError(
      f"{submit[0]} is not installed here; submit where it is, or hand it what"
      " --dry_run prints"
    )
  if _TO.value == "slurm":  # It would not make the folder of its log.
    pathlib.Path(_WORKDIR.value).mkdir(parents=True, exist_ok=True)
  with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    file.write(text)
    file.flush()
    if subprocess.run([*submit, file.name]).returncode:
      raise OSError(f"{submit[0]} did not take the job")


def _job() -> cluster.Job:
  """Returns the job that the flags describe."""
  return cluster.Job(
    name=_NAME.value,
    workdir=_WORKDIR.value,
    nodes=_NODES.value,
    devices_per_node=_DEVICES_PER_NODE.value,
    cpus=_CPUS.value,
    time=_TIME.value,
    sbatch=tuple(_SBATCH.value),
    setup=_SETUP.value,
    image=_IMAGE.value,
    claim=_CLAIM.value,
    mount=_MOUNT.value,
    resource=_RESOURCE.value,
    node_selector=tuple(_NODE_SELECTOR.value),
  )


def _plan(config) -> plan_lib.CostEstimate:
  """Checks the config as launch/train.py will, and plans the run."""
  configs = trainer.make_configs(order_task.TASK, config)
  return plan_lib.make(
    **{name: configs[name] for name in plan_lib.CONFIGS},
    num_devices=_NODES.value * _DEVICES_PER_NODE.value,
    device_kind=_DEVICE_KIND.value,
  )


def _command(arguments) -> str:
  """Returns the command of each process.

  It runs in the repository's folder.
  """
  flag = flags.FLAGS["config"]
  path = os.path.relpath(config_flags.get_config_filename(flag), _ROOT)
  overrides = config_flags.get_override_values(flag)
  return shlex.join(
    [
      *("python", "launch/train.py", "--distributed", "--nobaselines"),
      f"--config={path}",
      f"--workdir={_WORKDIR.value}",
      *([f"--data={_DATA.value}"] if _DATA.value else []),
      *(f"--config.{name}={value}" for name, value in overrides.items()),
      *arguments,
    ]
  )


if __name__ == "__main__":
  common.run(main, takes_arguments=True)
