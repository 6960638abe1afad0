"""Program: the same training steps in several layouts on eight devices.

`python -m tests.support.processes.sharded_steps FOLDER`
"""

import dataclasses
import json
import pathlib
import sys

import chex
import jax

from mars_jax.train import checkpoint
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from tests.support.train import tiny_run

# With the paper's head, which is cut over "model" too; quick to compile.
MODEL = dataclasses.replace(
  tiny_run.MODEL, alphabet="mid", head="joint", has_book=False
)
NUM_STEPS = 5
LAYOUTS = {
  "one device": (1, sharding.ParallelConfig()),
  "8 x 1 zero2": (8, sharding.ParallelConfig(strategy="zero2")),
  "4 x 2 replicated": (8, sharding.ParallelConfig(model=2)),
  "4 x 2 fsdp": (
    8,
    sharding.ParallelConfig(strategy="fsdp", model=2, accumulation=2),
  ),
}
_OTHER = (4, sharding.ParallelConfig(strategy="zero2", model=2))


def _programs(num_devices, parallel):
  """Returns a mesh, and the programs of a run on it."""
  mesh = sharding.make_mesh(parallel, jax.devices()[:num_devices])
  return mesh, *trainer.programs(
    order_task.TASK, mesh, 0, MODEL, tiny_run.OPTIMIZER, parallel
  )


def _shard_shapes(tree):
  """Returns the shapes that one device holds of the blocks' kernels."""
  return {
    name: kernel["kernel"].addressable_shards[0].data.shape
    for name, kernel in tree["blocks"].items()
    if "kernel" in kernel
  }


def _moments(state):
  """Returns Adam's first moments."""
  return next(part.mu for part in state.optimizer if hasattr(part, "mu"))


def main(folder):
  """Takes the steps in every layout, and restores the last in another."""
  out, data = {}, tiny_run.dataset()
  _, init, _, _ = _programs(*LAYOUTS["one device"])
  begin = jax.device_get(init())
  for name, layout in LAYOUTS.items():
    mesh, _, shapes, step = _programs(*layout)
    state = jax.tree.map(
      lambda x, shape: jax.device_put(x, shape.sharding), begin, shapes
    )
    state, losses = tiny_run.steps(
      data, mesh, state, step, NUM_STEPS, model=MODEL
    )
    out[name] = {
      "losses": losses,
      "params": _shard_shapes(state.params),
      "moments": _shard_shapes(_moments(state)),
    }
  _restore_elsewhere(folder / "checkpoints", state, data)
  (folder / "out.json").write_text(json.dumps(out))


def _restore_elsewhere(folder, state, data):
  """Saves a state and restores it in the other layout; checks that it is one.

  The change of `parallel` is no change of the run, whose checkpoints are good.
  """
  _, _, shapes, _ = _programs(*_OTHER)
  model = dataclasses.asdict(MODEL)
  for parallel in ("a", "b"):
    with checkpoint.Checkpointer(
      folder,
      max_to_keep=1,
      configs={"model": model, "parallel": {"strategy": parallel}},
      tokenizers=order_task.TASK.bins(data, config=MODEL),
    ) as checkpointer:
      if parallel == "a":
        checkpointer.save(NUM_STEPS, state, {"next": 80})
      else:
        restored, position = checkpointer.restore(shapes)
  chex.assert_trees_all_equal(jax.device_get(restored), jax.device_get(state))
  assert position == {"next": 80}
  for leaf, shape in zip(
    jax.tree.leaves(restored), jax.tree.leaves(shapes), strict=True
  ):
    assert leaf.sharding == shape.sharding
  assert len(restored.params["norm"]["scale"].devices()) == 4


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
