"""Program: one of two processes that train under `jax.distributed`.

`python -m tests.support.processes.two_processes PROCESS PORT FOLDER`
"""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

import chex
import jax
import pytest

from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.train import tiny_run

NUM_STEPS = 20
CONFIGS = {
  "model": dataclasses.replace(tiny_run.MODEL, has_book=False),
  "optimizer": dataclasses.replace(tiny_run.OPTIMIZER, num_steps=NUM_STEPS),
  "train": dataclasses.replace(
    tiny_run.TRAIN, eval_every=10, checkpoint_every=20
  ),
}
# A process has two devices, so that a copy of the model is on both.
_PARALLEL = sharding.ParallelConfig(model=2, strategy="fsdp")


def main(process, port, folder):
  """Trains twice, the second time with an interruption."""
  jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
  with pytest.raises(ValueError, match="model = 4 spans processes"):
    sharding.make_mesh(sharding.ParallelConfig(model=4))
  data = tiny_run.dataset()

  def run(name, **options):
    return tiny_run.run(
      data, folder / name, parallel=_PARALLEL, **CONFIGS, **options
    )

  params, reports = run("whole")

  def interrupt(progress):
    time.sleep(0.1)  # For the notice to get round.
    if process == 1 and progress.step == 2:
      os.kill(os.getpid(), signal.SIGTERM)

  with pytest.raises(trainer.Preempted) as raised:
    run("interrupted", on_progress=interrupt)
  saved = order_task.load(folder / "interrupted" / "checkpoints")
  resumed, _ = run("interrupted")
  chex.assert_trees_all_close(
    sharding.gather(resumed), sharding.gather(params), rtol=1e-6
  )
  out = {
    "stopped": raised.value.step,
    "saved": saved.card["step"],
    "losses": [report.train_nats for report in reports],
    "orders": reports[0].orders,
    "valid": reports[-1].valid_nats.tolist(),
  }
  (folder / f"{process}.json").write_text(json.dumps(out))
  jax.distributed.shutdown()


if __name__ == "__main__":
  main(int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]))
