"""Saved simulations."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import sim
from mars_jax.apps import simulation
from mars_jax.apps.report import bars
from mars_jax.sim import saving
from tests.support.sim import synthetic_start

pytestmark = pytest.mark.usefixtures("quick_compilation")
_CHUNK = 40


@pytest.fixture(scope="module")
def begin():
  """The state of two trajectories with an agent."""
  return _init(synthetic_start.CONFIG, 2)


def _init(config, num):
  return simulation.init(
    synthetic_start.market(), config=config, num_trajectories=num, seed=3
  )


def _like(config, num):
  return jax.eval_shape(functools.partial(_init, config, num))


def _run(state, num_chunks):
  """The last state, and what was kept of some chunks."""
  market, parts = synthetic_start.market(), []
  for last, kept in sim.run(
    market.flow,
    state,
    config=synthetic_start.CONFIG,
    chunk=_CHUNK,
    observe_fn=bars.observe,
  ):
    parts.append(kept)
    if len(parts) == num_chunks:
      return last, jax.tree.map(lambda *x: np.concatenate(x, axis=1), *parts)


def _data(state):
  """The leaves, keys as their data."""
  return [
    np.asarray(jax.random.key_data(x) if saving._is_key(x) else x)
    for x in jax.tree.leaves(state)
  ]


def test_a_loaded_state_goes_on_as_if_nothing_had_been(begin, tmp_path):
  last, straight = _run(begin, 2)
  half, first = _run(begin, 1)
  saving.save(tmp_path / "half.npz", half, {"note": [1, "two"]})
  del half
  like = _like(synthetic_start.CONFIG, 2)
  loaded, about = saving.load(tmp_path / "half.npz", like)
  assert about == {"note": [1, "two"]}
  end, second = _run(loaded, 1)
  chex.assert_trees_all_equal(
    straight,
    jax.tree.map(lambda *x: np.concatenate(x, axis=1), first, second),
  )
  chex.assert_trees_all_equal(_data(end), _data(last))
  assert straight.is_event.all() and straight.traded.any()


def test_types_that_numpy_has_not_and_other_keys_stay(begin, tmp_path):
  state = dataclasses.replace(
    begin,
    cache={"a": jnp.arange(3, dtype=jnp.bfloat16) / 3},
    key=jax.random.split(jax.random.key(5, impl="rbg"), 2),
  )
  saving.save(tmp_path / "x.npz", state)
  loaded, about = saving.load(tmp_path / "x.npz", jax.eval_shape(lambda: state))
  assert about == {}
  assert loaded.cache["a"].dtype == jnp.bfloat16
  assert loaded.key.dtype == state.key.dtype
  chex.assert_trees_all_equal(_data(loaded), _data(state))


def test_a_state_that_does_not_fit_is_refused(begin, tmp_path):
  path = tmp_path / "x.npz"
  saving.save(path, begin)
  with pytest.raises(ValueError, match=r"cash is int32 \[2, 2, 4\], not int32"):
    saving.load(path, _like(synthetic_start.CONFIG, 3))
  with pytest.raises(ValueError, match=r"agents/.* not absent; .* more$"):
    saving.load(path, _like(sim.SimConfig(), 2))


@pytest.mark.parametrize("how", ["text", "cut short", "another archive"])
def test_a_file_that_is_no_saved_state_is_refused(how, begin, tmp_path):
  path = tmp_path / "x.npz"
  saving.save(path, begin)
  if how == "text":
    path.write_text("state")
  elif how == "cut short":
    path.write_bytes(path.read_bytes()[:-200])
  else:
    np.savez(path, a=np.zeros(3))
  with pytest.raises(ValueError, match="not a saved simulation"):
    saving.load(path, begin)


def test_another_version_is_refused(begin, tmp_path, monkeypatch):
  monkeypatch.setattr(saving, "VERSION", saving.VERSION + 1)
  saving.save(tmp_path / "x.npz", begin)
  monkeypatch.undo()
  with pytest.raises(ValueError, match="of version 3, not 2"):
    saving.load(tmp_path / "x.npz", begin)


def test_a_save_that_fails_leaves_what_was_there(begin, tmp_path):
  path = tmp_path / "x.npz"
  saving.save(path, begin)
  before = path.read_bytes()
  with pytest.raises(TypeError):
    saving.save(path, begin, {"note": object()})
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]
