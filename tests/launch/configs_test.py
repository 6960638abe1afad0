"""Every file in configs/ builds what the training run takes."""

import importlib.util
import re

import jax
import pytest

from mars_jax import lmm
from mars_jax.train import cost as plan_lib
from mars_jax.train import order_task
from mars_jax.train import trainer
from tests.support import paths
from tests.support.train import tiny_run

_FOLDER = paths.ROOT / "configs"
_TYPES = trainer.config_types(order_task.TASK)

# Parameters of the paper's sizes: counted, of those that were released, or as
# labelled, in units of 2**20.
_SIZES = {
  "2m": 2_524_624,
  "5m": 5_008_288,
  "10m": 10_065_856,
  "19m": 19 * 2**20,
  "44m": 44 * 2**20,
  "107m": 107 * 2**20,
  "221m": 221 * 2**20,
  "1b": 1020 * 2**20,
}
# Width and depth of those that were released.
_OFFICIAL = {"2m": (16, 1), "5m": (32, 1), "10m": (64, 2)}


def _load(path):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


_MODULES = {path.stem: _load(path) for path in sorted(_FOLDER.glob("*.py"))}
# The others are what these share.
_FILES = [  # Of models to train.
  module
  for name, module in _MODULES.items()
  if hasattr(module, "get_config") and name not in ("simulate", "evaluate_goog")
]
_SIZED = _MODULES["order_model"]
_RUNS = [
  pytest.param(module, variant, id=f"{module.__name__}:{variant}")
  for module in _FILES
  for variant in module.VARIANTS
]


def _build(module, variant=""):
  return trainer.make_configs(order_task.TASK, module.get_config(variant))


def _row(size):
  """The row of a size in the table of the docstring."""
  (row,) = re.findall(rf"^  {size} .*$", _SIZED.__doc__, re.MULTILINE)
  return row


def _num_params(config):
  return lmm.num_params(
    jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=config))
  )


def test_there_is_a_config_of_each_of_the_papers_sizes():
  assert _SIZED.SIZES.keys() == _SIZES.keys()


@pytest.mark.parametrize(("module", "variant"), _RUNS)
def test_every_variant_builds_the_configs_and_the_model(module, variant):
  assert set(module.get_config(variant)) - {"sweep"} == set(_TYPES)
  built = _build(module, variant)
  assert _num_params(built["model"]) > 0
  # A training window shows the model as much as it sees at once.
  assert built["batch"].window_length > built["model"].window


@pytest.mark.parametrize(("module", "variant"), _RUNS)
def test_an_unknown_key_is_an_error(module, variant):
  config = module.get_config(variant)
  for part in (config, *(config[section] for section in _TYPES)):
    with pytest.raises(KeyError, match="speed"):
      part["speed"] = 1


@pytest.mark.parametrize("module", _FILES, ids=lambda module: module.__name__)
def test_an_unknown_variant_is_an_error_that_lists_them(module):
  with pytest.raises(ValueError, match="'huge'.*tiny"):
    module.get_config("huge")


@pytest.fixture(params=_SIZES)
def sized(request):
  """A size of the paper and its configs."""
  return request.param, _build(_SIZED, request.param)


def test_each_has_as_many_parameters_as_its_label_says(sized):
  size, configs = sized
  count = _num_params(configs["model"])
  assert count == pytest.approx(_SIZES[size], rel=0.03)
  assert f"{count:,}" in _row(size)


def test_each_trains_on_as_many_tokens_as_the_papers(sized):
  _, configs = sized
  batch, steps = configs["batch"], configs["optimizer"].num_steps
  assert batch.batch_size * (batch.window_length - 1) == 4_194_304
  assert batch.batch_size * (batch.window_length - 1) * steps == 2**35
  assert configs["train"].checkpoint_every % configs["train"].eval_every == 0


def test_wider_models_learn_at_lower_rates_down_to_the_papers():
  rates = [_build(_SIZED, size)["optimizer"].learning_rate for size in _SIZES]
  assert rates == sorted(rates, reverse=True)
  assert rates[-1] == pytest.approx(4e-4)


def test_the_docstring_tells_the_plan_for_eight_gpus_which_fits(sized):
  size, configs = sized
  configs = {name: configs[name] for name in plan_lib.CONFIGS}
  plan = plan_lib.make(**configs, num_devices=8, device_kind="H100")
  memory = sum(plan.memory.values())
  assert memory < plan.device_memory / 2
  row = _row(size)
  assert f"{plan.flops:.2e} " in row
  assert f"{memory / 2**30:.1f} GiB" in row
  time, unit = re.search(r"([\d.]+) (minutes|hours)", row).groups()
  hours = float(time) / (60 if unit == "minutes" else 1)
  assert hours == pytest.approx(plan.hours, rel=0.05, abs=0.01)
  assert "arithmetic" in _SIZED.__doc__ and "not run" in _SIZED.__doc__


@pytest.mark.parametrize("size", _OFFICIAL)
def test_the_official_variant_is_what_of_the_released_model_is_used(size):
  dim, num_layers = _OFFICIAL[size]
  config = _build(_SIZED, f"{size},official")["model"]
  assert (config.dim, config.num_layers) == (dim, num_layers)
  # Without a table of orders, a second head with its LayerNorm, and two tables
  # of ratios, which the released code does not use.
  unused = 2 * 49_152 * dim + 49_152 + 2 * dim + 22 * dim
  assert _num_params(config) == _SIZES[size] - unused


@pytest.mark.slow
def test_the_largest_trains_two_steps_if_shrunk(tmp_path, quick_compilation):
  config = _SIZED.get_config("1b,tiny")
  with config.unlocked():
    config.batch.update(window_length=33, window_stride=16)
    config.optimizer.update(num_steps=2, warmup_steps=1)
    config.model.window = 16
  configs = {name: _TYPES[name](**config[name]) for name in _TYPES}
  reports = []
  trained = trainer.train(
    order_task.TASK,
    tiny_run.dataset(),
    tmp_path,
    **configs,
    on_progress=reports.append,
  )
  assert [report.step for report in reports] == [1, 2]
  assert reports[-1].num_skipped == 0
  assert lmm.num_params(trained.params) == _num_params(configs["model"])
