"""Every file in configs/ builds what the training run takes."""

import importlib.util
import pathlib

import jax
import pytest

from mars_jax import lmm
from mars_jax.data import dataset as dataset_lib
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import trainer

_FOLDER = pathlib.Path(__file__).parent.parent / "configs"
_TYPES = {
  "data": dataset_lib.DataConfig,
  "model": lmm.LmmConfig,
  "optimizer": optimizer_lib.OptimizerConfig,
  "train": trainer.TrainConfig,
}


def _load(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


_FILES = [_load(path) for path in sorted(_FOLDER.glob("*.py"))]
_RUNS = [
  pytest.param(module, variant, id=f"{module.__name__}:{variant}")
  for module in _FILES
  for variant in module.VARIANTS
]


def test_there_are_configs():
  assert _FILES


@pytest.mark.parametrize(("module", "variant"), _RUNS)
def test_every_variant_builds_the_configs_and_the_model(module, variant):
  config = module.get_config(variant)
  assert set(config) == set(_TYPES)
  built = {name: _TYPES[name](**config[name]) for name in _TYPES}
  params = jax.eval_shape(
    lambda: lmm.init(jax.random.key(0), config=built["model"])
  )
  assert lmm.num_params(params) > 0
  # A training window shows the model more than it sees at once.
  assert built["data"].window_length > built["model"].window


@pytest.mark.parametrize(("module", "variant"), _RUNS)
def test_an_unknown_key_is_an_error(module, variant):
  config = module.get_config(variant)
  for part in (config, *(config[section] for section in _TYPES)):
    with pytest.raises(KeyError, match="speed"):
      part["speed"] = 1


@pytest.mark.parametrize("module", _FILES, ids=lambda module: module.__name__)
def test_an_unknown_variant_is_an_error_that_lists_them(module):
  assert module.get_config() == module.get_config("")
  with pytest.raises(ValueError, match="'huge'.*tiny"):
    module.get_config("huge")
