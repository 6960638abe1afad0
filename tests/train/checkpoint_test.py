"""Checkpoints give back what was saved, and keep the last and the best."""

import chex
import jax
import jax.numpy as jnp
import pytest
from flax import struct

from mars_jax.train import checkpoint


@struct.dataclass
class _State:
  """What `Checkpointer` takes for a training state."""

  params: dict[str, jax.Array]
  step: jax.Array


def _state(step):
  return _State({"w": jnp.arange(6.0).reshape(2, 3) + step}, jnp.int32(step))


def _checkpointer(folder, dataset, *, configs=None, max_to_keep=2):
  return checkpoint.Checkpointer(
    folder,
    max_to_keep=max_to_keep,
    configs=configs or {"a": {"b": 1, "c": (1, 2)}},
    tokenizers=dataset.tokenizers,
  )


def _steps(folder):
  return {int(path.name) for path in folder.iterdir() if path.name.isdigit()}


def test_they_give_back_all_that_was_saved(dataset, tmp_path):
  shapes = jax.eval_shape(lambda: _state(0))
  with _checkpointer(tmp_path, dataset) as checkpointer:
    assert checkpointer.restore(shapes) is None
    for step in (3, 6):
      checkpointer.save(step, _state(step), {"position": step})
  with _checkpointer(tmp_path, dataset) as checkpointer:
    restored, data = checkpointer.restore(shapes)
    chex.assert_trees_all_equal(restored, _state(6))
    assert data == {"position": 6}
  other = {"a": {"b": 2, "c": (1, 2)}}
  with _checkpointer(tmp_path, dataset, configs=other) as checkpointer:
    with pytest.raises(ValueError, match="a.b was 1, is 2"):
      checkpointer.restore(shapes)


def test_the_last_and_the_best_are_kept(dataset, tmp_path):
  losses = {1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: 4.0}
  with _checkpointer(tmp_path, dataset) as checkpointer:
    for step, loss_ in losses.items():
      checkpointer.save(step, _state(step), {}, loss_)
  assert _steps(tmp_path) == {2, 4, 5}
  # After a restart the best is known still, until there is a better one.
  with _checkpointer(tmp_path, dataset) as checkpointer:
    checkpointer.save(6, _state(6), {}, 2.0)
    checkpointer.wait()
    assert _steps(tmp_path) == {2, 5, 6}
    checkpointer.save(7, _state(7), {}, 0.5)
  assert _steps(tmp_path) == {6, 7}
