"""Saves and restores the state of a simulation.

Without pickle.

An `.npz` archive: each array under its path ("market/exchange/book/price"),
keys of random numbers as their data, and one JSON text with the version of this
layout, the type of each array, and what the caller has to say.

A state does not tell what it means. To go on as if nothing had been between, it
takes the same model, bins, config and agents; `load` checks what can be told by
the names, shapes and types of the arrays.
"""

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax.sim import state as state_lib
from mars_jax.utils import files

VERSION = 2
_ABOUT = "about"  # The name of the JSON text.
_NUM_SHOWN = 3  # Differences that an error lists.


def save(
  path: pathlib.Path | str,
  state: state_lib.SimState,
  about: dict[str, Any] | None = None,
) -> None:
  """Writes a state, whole or not at all.

  Args:
    path: of the file, by custom `.npz`.
    state: of one market or of many, as `init` or `chunks` gives it.
    about: what `load` is to give back, fit for JSON.
  """
  path = pathlib.Path(path)
  leaves = _named(state)
  text = json.dumps(
    {
      "version": VERSION,
      "types": {name: str(leaf.dtype) for name, leaf in leaves.items()},
      "generators": {
        name: str(jax.random.key_impl(leaf))
        for name, leaf in leaves.items()
        if _is_key(leaf)
      },
      "about": about or {},
    }
  )
  arrays = {
    name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    for name, leaf in leaves.items()
  }
  with files.replacing(path) as partial, open(partial, "wb") as file:
    np.savez_compressed(file, **arrays, **{_ABOUT: text})


def load(
  path: pathlib.Path | str, like: state_lib.SimState
) -> tuple[state_lib.SimState, dict[str, Any]]:
  """Reads a state.

  Args:
    path: of the file.
    like: a state of the same model, config and number of trajectories: its
      structure, shapes and types count, so that `jax.eval_shape` will do.

  Returns:
    The state, and what `save` was told about it.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is no saved state, of another version, or not like `like`.
  """
  arrays, text = _read(path)
  wanted = _named(like)
  # Numpy has no name for some types, such as bfloat16, and gives their bytes.
  found = {
    name: jax.random.wrap_key_data(arrays[name], impl=text["generators"][name])
    if name in text["generators"]
    else arrays[name].view(jnp.dtype(kind))
    for name, kind in text["types"].items()
  }
  _check(path, found, wanted)
  leaves = [jnp.asarray(found[name]) for name in wanted]
  state = jax.tree.unflatten(jax.tree.structure(like), leaves)
  return state, text["about"]


def _read(path):
  """Returns the arrays of a file and its JSON text."""
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    text = json.loads(str(arrays.pop(_ABOUT)))
    version = text["version"]
  except FileNotFoundError:
    raise
  except Exception as error:
    raise ValueError(f"{path}: not a saved simulation ({error})") from error
  if version != VERSION:
    raise ValueError(
      f"{path}: a saved simulation of version {version}, not {VERSION}"
    )
  return arrays, text


def _check(path, found, wanted):
  """Raises unless names, shapes and types are those wanted."""

  def words(leaves, name):
    if name not in leaves:
      return "absent"
    return f"{leaves[name].dtype} {list(leaves[name].shape)}"

  differences = [
    f"{name} is {words(found, name)}, not {words(wanted, name)}"
    for name in sorted(found.keys() | wanted.keys())
    if words(found, name) != words(wanted, name)
  ]
  if not differences:
    return
  more = len(differences) - _NUM_SHOWN
  raise ValueError(
    f"{path}: the saved simulation is of another model, config or number of"
    f" trajectories: {'; '.join(differences[:_NUM_SHOWN])}"
    + (f"; and {more} more" if more > 0 else "")
  )


def _named(state):
  """Returns the leaves of a state by their paths."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in leaves
  }


def _is_key(leaf):
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
