"""Jobs of a training run for SLURM and Kubernetes.

A run that was preempted exits with `EX_TEMPFAIL` after saving; both schedulers
then start it again.
"""

import dataclasses
import json
import os
import pathlib
import shlex

_CONTAINER = "train"
_GRACE = 120  # Seconds from SIGTERM to SIGKILL: to finish a step and save.
_MAX_CRASHES = 6
_MEMORY_FRACTION = "0.92"  # Of a GPU's memory, for JAX; by default it is 0.75.
_PORT = 8476  # Of process 0, for JAX.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """A job of one training run.

  Attributes:
    name: lower-case letters, digits and hyphens.
    workdir: folder of the run, an absolute path that all nodes share.
    nodes: machines.
    devices_per_node: GPUs or TPU chips of each.
    cpus: CPU cores of each.
    time: SLURM: limit until the job is queued again, "24:00:00".
    sbatch: SLURM: more options of sbatch.
    setup: SLURM: a shell command before the run.
    image: Kubernetes: the container image.
    claim: Kubernetes: the PersistentVolumeClaim of workdir and data.
    mount: Kubernetes: its folder in the container.
    resource: Kubernetes: the name of the devices, "nvidia.com/gpu" or
      "google.com/tpu".
    node_selector: Kubernetes: labels of the nodes, "KEY=VALUE".
  """

  name: str
  workdir: str
  nodes: int
  devices_per_node: int
  cpus: int
  time: str
  sbatch: tuple[str, ...]
  setup: str
  image: str | None
  claim: str | None
  mount: str
  resource: str
  node_selector: tuple[str, ...]


def slurm(job: Job, command: str, folder: pathlib.Path) -> str:
  """Returns the batch script of SLURM.

  Args:
    job: the job.
    command: of each process.
    folder: of the repository, on all nodes.
  """
  options = [
    f"--job-name={job.name}",
    f"--nodes={job.nodes}",
    "--ntasks-per-node=1",
    f"--gpus-per-node={job.devices_per_node}",
    f"--cpus-per-task={job.cpus}",
    f"--time={job.time}",
    f"--signal=TERM@{_GRACE}",
    "--requeue",
    "--open-mode=append",
    f"--output={job.workdir}/slurm-%j.out",
    *job.sbatch,
  ]
  devices = ",".join(map(str, range(job.devices_per_node)))
  return "\n".join(
    [
      "#!/bin/bash",
      *(f"#SBATCH {option}" for option in options),
      f"cd {shlex.quote(str(folder))} || exit",
      *([job.setup] if job.setup else []),
      "# JAX gives a process under SLURM one GPU; here it has all of a node.",
      f"export JAX_LOCAL_DEVICE_IDS={devices}",
      f"export XLA_PYTHON_CLIENT_MEM_FRACTION={_MEMORY_FRACTION}",
      "# The others may also save after the first one has.",
      f"srun --kill-on-bad-exit=0 --cpus-per-task={job.cpus} {command}",
      "status=$?",
      f"if [ $status -eq {os.EX_TEMPFAIL} ]; then  # Saved, not done.",
      '  scontrol requeue "$SLURM_JOB_ID"',
      "fi",
      "exit $status",
      "",
    ]
  )


def kubernetes(job: Job, command: str) -> str:
  """Returns the manifest of Kubernetes, a Service and a Job.

  As JSON.

  Args:
    job: the job.
    command: of each process.

  Raises:
    ValueError: if there is no image or claim.
  """
  for field in ("image", "claim"):
    if not getattr(job, field):
      raise ValueError(f"--to=kubernetes needs --{field}")
  name = job.name
  service = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": name},
    "spec": {
      "clusterIP": "None",
      "publishNotReadyAddresses": True,  # Pods look for each other at once.
      "selector": {"job-name": name},
    },
  }
  ignored = [
    {
      "onExitCodes": {
        "containerName": _CONTAINER,
        "operator": "In",
        "values": [os.EX_TEMPFAIL],
      }
    },
    {"onPodConditions": [{"type": "DisruptionTarget"}]},
  ]
  spec = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": name},
    "spec": {
      "completionMode": "Indexed",
      "completions": job.nodes,
      "parallelism": job.nodes,
      # All pods fail where one does.
      "backoffLimit": _MAX_CRASHES * job.nodes,
      # A pod that was preempted gets a successor, however often.
      "podFailurePolicy": {
        "rules": [{"action": "Ignore", **rule} for rule in ignored]
      },
      "template": {"spec": _pod(job, command)},
    },
  }
  items = {"apiVersion": "v1", "kind": "List", "items": [service, spec]}
  return json.dumps(items, indent=2)


def _pod(job: Job, command: str) -> dict:
  """Returns the specification of a pod, one a node."""
  name, is_gpu = job.name, job.resource == "nvidia.com/gpu"
  if is_gpu:  # TPUs tell JAX who is who.
    command += (
      f" --coordinator={name}-0.{name}:{_PORT}"
      f" --num_processes={job.nodes} --process_id=$JOB_COMPLETION_INDEX"
    )
  volumes = {
    "shared": {"persistentVolumeClaim": {"claimName": job.claim}},
    "memory": {"emptyDir": {"medium": "Memory"}},  # For NCCL.
  }
  mounts = {"shared": job.mount, "memory": "/dev/shm"}
  memory = {"XLA_PYTHON_CLIENT_MEM_FRACTION": _MEMORY_FRACTION}
  return {
    "subdomain": name,
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": _GRACE,
    "nodeSelector": dict(s.split("=", 1) for s in job.node_selector),
    "containers": [
      {
        "name": _CONTAINER,
        "image": job.image,
        # exec, so that SIGTERM reaches Python and not the shell.
        "command": ["/bin/sh", "-c", f"exec {command}"],
        "env": [{"name": key, "value": value} for key, value in memory.items()],
        "resources": {
          "requests": {"cpu": str(job.cpus)},
          "limits": {job.resource: str(job.devices_per_node)},
        },
        "volumeMounts": [
          {"name": key, "mountPath": path} for key, path in mounts.items()
        ],
      }
    ],
    "volumes": [{"name": key, **volume} for key, volume in volumes.items()],
  }
