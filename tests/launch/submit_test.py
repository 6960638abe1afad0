"""Jobs for clusters, as the schedulers read them; no cluster is needed."""

import json
import os
import pathlib
import stat
import sys

import pytest

from tests.support.processes import scripts

_RUN = (
  "--device_kind=NVIDIA H100",
  "--config=configs/order_model.py:1b,tiny",
  "--config.batch.batch_size=4096",
  "--config.data.market=SSE",
)
_JOB = os.getpid()  # JAX makes a port of it, which must be free.
_KUBERNETES = (
  *("--to=kubernetes", "--dry_run", "--nodes=4", *_RUN),
  *("--workdir=/data/my run", "--image=mars:1", "--claim=shared"),
)


def _write_script(path, text):
  path.write_text(text)
  path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
  """A folder of programs that stand for those of the clusters, on one machine.

  sbatch runs the script, srun its task, as task 0 of 1, scontrol notes what it
  was called with in the file "requeued", and kubectl prints that.
  """
  folder = tmp_path_factory.mktemp("cluster")
  _write_script(
    folder / "sbatch", f'#!/bin/bash\nexport SLURM_JOB_ID={_JOB}\nbash "$1"\n'
  )
  _write_script(
    folder / "srun",
    "#!/bin/bash\n"
    "export SLURM_STEP_NODELIST=localhost SLURM_NTASKS=1 SLURM_PROCID=0"
    " SLURM_LOCALID=0 SLURM_STEP_NUM_NODES=1\n"
    'while [[ "$1" == --* ]]; do shift; done\n'
    '"$@"\n',
  )
  _write_script(
    folder / "scontrol", f'#!/bin/bash\necho "$@" >> {folder}/requeued\n'
  )
  _write_script(folder / "kubectl", '#!/bin/bash\necho "kubectl $1 $2"\n')
  return folder


@pytest.fixture(scope="module")
def results(cluster, tmp_path_factory):
  """What each command of these tests ended as."""
  python = pathlib.Path(sys.executable).parent
  workdir = tmp_path_factory.mktemp("run")
  sbatch = (
    *("submit", "--to=slurm", *_RUN, f"--workdir={workdir / 'a run'}"),
    *("--devices_per_node=2", "--data=/shared/days"),
  )
  fails = f"--setup=python() {{ return {os.EX_TEMPFAIL}; }}; export -f python"
  commands = {
    "slurm": [*sbatch, "--dry_run", "--nodes=4", "--sbatch=--partition=gpu"],
    "slurm runs": [*sbatch, "--", "--dry_run"],
    "slurm, preempted": [*sbatch, fails],
    "gpu": ["submit", *_KUBERNETES],
    "tpu": [
      *("submit", *_KUBERNETES, "--resource=google.com/tpu"),
      "--node_selector=a.b/c=d,e.f/g=2x4",
    ],
    "no image": ["submit", *_KUBERNETES, "--image="],
    "relative": ["submit", *_KUBERNETES, "--workdir=out"],
    "devices": ["submit", *_KUBERNETES, "--nodes=3"],
    "kubectl": ["submit", *_KUBERNETES, "--nodry_run"],
  }
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PATH", f"{cluster}:{python}:{os.environ['PATH']}")
    found = scripts.run_all(commands.values())
    patch.setenv("PATH", str(workdir))
    nothing = scripts.run(*commands["kubectl"])
  return {**dict(zip(commands, found, strict=True)), "no kubectl": nothing}


def test_a_batch_script_asks_for_the_machines_and_runs_a_process_on_each(
  results,
):
  result = results["slurm"]
  assert result.returncode == 0, result.stderr
  lines = result.stdout.splitlines()
  assert lines[0] == "#!/bin/bash"
  for option in (
    "--nodes=4",
    "--ntasks-per-node=1",
    "--gpus-per-node=2",
    "--signal=TERM@120",
    "--requeue",
    "--partition=gpu",
  ):
    assert f"#SBATCH {option}" in lines
  assert "export JAX_LOCAL_DEVICE_IDS=0,1" in lines
  (srun,) = (line for line in lines if line.startswith("srun "))
  assert "python launch/train.py --distributed" in srun
  assert "--config=configs/order_model.py:1b,tiny" in srun
  assert "--config.batch.batch_size=4096 --config.data.market=SSE" in srun
  assert "--data=/shared/days" in srun
  assert "8 data x 1 model, NVIDIA H100" in result.stderr


def test_what_a_batch_script_runs_is_a_process_of_a_distributed_run(results):
  result = results["slurm runs"]
  assert result.returncode == 0, result.stderr
  # The plan of launch/train.py, for the device here, after that of the job.
  assert "1 data x 1 model, cpu" in result.stdout


def test_a_run_that_is_preempted_goes_back_to_the_queue(results, cluster):
  assert results["slurm, preempted"].returncode == 1
  assert "sbatch did not take the job" in results["slurm, preempted"].stderr
  assert (cluster / "requeued").read_text() == f"requeue {_JOB}\n"


def _manifest(result):
  assert result.returncode == 0, result.stderr
  service, job = json.loads(result.stdout)["items"]
  (container,) = job["spec"]["template"]["spec"]["containers"]
  return service, job["spec"], container


def test_pods_find_the_first_one_by_the_service(results):
  service, job, container = _manifest(results["gpu"])
  name = service["metadata"]["name"]
  assert service["spec"]["clusterIP"] == "None"
  assert service["spec"]["selector"] == {"job-name": name}
  assert job["completionMode"] == "Indexed"
  assert job["completions"] == job["parallelism"] == 4
  assert job["template"]["spec"]["subdomain"] == name
  shell, flag, command = container["command"]
  assert (shell, flag) == ("/bin/sh", "-c")
  assert command.startswith("exec python launch/train.py --distributed ")
  assert f"--coordinator={name}-0.{name}:" in command
  assert "--num_processes=4 --process_id=$JOB_COMPLETION_INDEX" in command
  assert "'--workdir=/data/my run'" in command
  assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}


def test_a_pod_that_is_preempted_is_no_failure(results):
  _, job, container = _manifest(results["gpu"])
  status, disrupted = job["podFailurePolicy"]["rules"]
  assert status["action"] == disrupted["action"] == "Ignore"
  assert status["onExitCodes"]["values"] == [os.EX_TEMPFAIL] == [75]
  assert status["onExitCodes"]["containerName"] == container["name"]
  assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_every_mount_is_of_a_volume(results):
  _, job, container = _manifest(results["gpu"])
  pod = job["template"]["spec"]
  mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
  assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
  assert mounts["shared"] == "/data"


def test_the_manifest_is_handed_to_kubectl(results):
  assert results["kubectl"].returncode == 0, results["kubectl"].stderr
  assert results["kubectl"].stdout.endswith("kubectl apply -f\n")


def test_tpus_tell_jax_themselves_who_is_who(results):
  _, job, container = _manifest(results["tpu"])
  assert "--coordinator" not in container["command"][2]
  assert container["resources"]["limits"] == {"google.com/tpu": "8"}
  selector = job["template"]["spec"]["nodeSelector"]
  assert selector == {"a.b/c": "d", "e.f/g": "2x4"}


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("no image", "--to=kubernetes needs --image"),
    ("relative", "must be an absolute path"),
    ("devices", "batch.batch_size = 4096 must be a multiple of 48"),
    ("no kubectl", "kubectl is not installed here"),
  ],
)
def test_what_cannot_be_submitted_is_one_line_that_says_why(
  results, name, message
):
  assert results[name].returncode == 1
  last = results[name].stderr.splitlines()[-1]
  assert last.startswith("error: ") and message in last
