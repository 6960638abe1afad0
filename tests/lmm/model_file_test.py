"""The file of a model: it comes back as it was, and no other file passes."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import types
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import touch
from mars_jax.tokens import vocab
from tests.support.train import random_params

CONFIG = lmm.LmmConfig(
  dim=8, num_layers=2, num_heads=2, head_dim=4, mlp_dim=16, window=8
)


@pytest.fixture(scope="module")
def model():
  values = np.random.default_rng(0).integers(-50, 50, 1000)
  tokenizer = features.Tokenizer(
    volume=bins.fit(values**2, touch.NUM_VOLUMES),
    interval=bins.fit(values**2, touch.NUM_INTERVALS),
    level_volume=bins.fit(values**2, vocab.NUM_VOLUMES),
  )
  card = {"data": "a market", "scores": {"model": 1.5}, "licence": None}
  return lmm.Model(random_params.params(CONFIG), CONFIG, {"A": tokenizer}, card)


@pytest.fixture(scope="module")
def arrays(model, tmp_path_factory):
  """What the file holds, by name."""
  path = tmp_path_factory.mktemp("model") / "model.npz"
  lmm.save(path, model)
  with np.load(path) as archive:
    return dict(archive)


def _assert_refused(path, message):
  with pytest.raises(ValueError, match=message) as raised:
    lmm.load(path)
  assert str(raised.value).startswith(f"{path}: ")


def test_a_model_comes_back_bit_for_bit(model, tmp_path):
  lmm.save(tmp_path / "model.npz", model)
  loaded = lmm.load(str(tmp_path / "model.npz"))
  assert loaded.config == model.config
  assert loaded.card == model.card
  chex.assert_trees_all_equal(loaded.params, model.params, strict=True)
  chex.assert_trees_all_equal(
    jax.tree.leaves(loaded.tokenizers), jax.tree.leaves(model.tokenizers)
  )
  chex.assert_trees_all_equal_structs(loaded.tokenizers, model.tokenizers)


def test_a_loaded_model_says_the_same(model, tmp_path):
  lmm.save(tmp_path / "model.npz", model)
  loaded = lmm.load(tmp_path / "model.npz")
  shapes = jax.eval_shape(_first_token, model.tokenizer("A"))
  tokens = jax.tree.map(
    lambda leaf: np.zeros((5, *leaf.shape), leaf.dtype), shapes
  )
  apply = jax.jit(lambda params: lmm.apply(params, tokens, config=CONFIG)[0])
  hidden = apply(model.params)
  assert hidden.shape == (5, CONFIG.dim)
  np.testing.assert_array_equal(hidden, apply(loaded.params))


def _first_token(tokenizer):
  """Some token."""
  zero = np.int32(0)
  levels = np.zeros((2, features.SNAPSHOT_LEVELS), np.int32)
  classes = np.zeros((2, types.DEPTH_CLASSES), np.int32)
  return features.encode(
    tokenizer,
    types.Order(*[zero] * 6),
    interval=zero,
    open_mid=zero,
    place=types.Place(np.zeros(2, np.int32), zero, zero, zero),
    mid_before=zero,
    mid_after=zero,
    snapshot=types.Snapshot(levels, levels),
    depth=types.Depth(classes, classes),
    time=zero,
  )


def test_saving_replaces_an_older_model(model, tmp_path):
  path = tmp_path / "model.npz"
  path.write_text("an older one")
  lmm.save(path, model)
  assert lmm.load(path).card == model.card
  assert list(tmp_path.iterdir()) == [path]


def test_a_failure_to_save_leaves_the_older_model_and_nothing_else(
  model, tmp_path
):
  path = tmp_path / "model.npz"
  lmm.save(path, model)
  before = path.read_bytes()
  broken = dataclasses.replace(model, card={"data": object()})
  with pytest.raises(TypeError, match="JSON"):
    lmm.save(path, broken)
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_an_error_that_names_it(tmp_path):
  with pytest.raises(FileNotFoundError, match="none.npz"):
    lmm.load(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"id,price\n1,2\n", b"PK\x03\x04"])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
  path = tmp_path / "model.npz"
  path.write_bytes(content)
  _assert_refused(path, "not a model of mars_jax")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_model_is_refused(model, share, tmp_path):
  path = tmp_path / "model.npz"
  lmm.save(path, model)
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * share)])
  _assert_refused(path, "not a model of mars_jax")


def test_an_archive_of_other_arrays_is_refused(tmp_path):
  path = tmp_path / "model.npz"
  np.savez(path, mid=np.arange(5))
  _assert_refused(path, "not a model of mars_jax")


@pytest.mark.parametrize("part", ["about", "params/", "tokenizers/A/volume/"])
def test_a_model_with_a_part_missing_is_refused(arrays, part, tmp_path):
  path = tmp_path / "model.npz"
  rest = {k: v for k, v in arrays.items() if not k.startswith(part)}
  assert len(rest) < len(arrays)
  np.savez(path, **rest)
  _assert_refused(path, "not a model of mars_jax")


def test_parameters_that_do_not_fit_the_config_are_refused(
  model, arrays, tmp_path
):
  path = tmp_path / "model.npz"
  lmm.save(
    path,
    dataclasses.replace(model, config=dataclasses.replace(CONFIG, mlp_dim=24)),
  )
  _assert_refused(path, "do not fit the config.*blocks/")
  name = "params/norm/scale"
  np.savez(path, **{**arrays, name: arrays[name][:-1]})
  _assert_refused(path, "do not fit the config.*norm/scale")
  np.savez(path, **{k: v for k, v in arrays.items() if k != name})
  _assert_refused(path, "do not fit the config.*norm/scale")


class _Bomb:
  """Raises if anything unpickles it."""

  def __reduce__(self):
    return _explode, ()


def _explode():
  raise AssertionError("the file was unpickled")


def test_nothing_in_the_file_is_unpickled(arrays, tmp_path):
  path = tmp_path / "model.npz"
  bomb = np.array([_Bomb()], dtype=object)
  np.savez(path, **{**arrays, "params/norm/scale": bomb})
  _assert_refused(path, "allow_pickle=False")
