"""`mars_jax.apps` in one call each."""

import runpy

import chex
import jax
import pytest

from mars_jax import apps
from mars_jax import demo
from mars_jax import lmm
from mars_jax.apps import training
from mars_jax.sim import agents
from tests.support import paths


@pytest.mark.slow
def test_a_forecast_keeps_to_the_lunch_break_of_its_exchange():
  path = paths.real_day("sse/600519_2023-02-01.zip")
  found = apps.forecast(
    str(path),
    model="none",
    start="11:29:59",
    horizon_orders=40,
    trajectories=4,
    progress=False,
  )
  seconds = found.futures.time[found.futures.is_event] // 10**9
  assert ((seconds < 41_400) | (seconds >= 46_800)).all()
  assert (seconds >= 46_800).any()  # They go on after it.


@pytest.mark.slow
def test_a_simulation_needs_no_data_and_has_a_summary(tmp_path):
  maker = agents.market_maker.make(volume=5, limit=50)
  found = apps.simulate(
    agents=[maker],
    horizon_s=2.0,
    trajectories=2,
    book_capacity=128,
    progress=False,
  )
  summary = found.summary()
  assert summary["trajectories"] == 2 and summary["is_complete"]
  names = [owner["name"] for owner in summary["owners"]]
  assert names == [maker.name, "market"]
  found.plot(tmp_path / "market.png")
  assert (tmp_path / "market.png").stat().st_size > 10_000


def test_nonsense_is_an_error_before_anything_is_read():
  with pytest.raises(ValueError, match="replay_capacity = 16 is below"):
    apps.forecast("no such file", replay_capacity=16, progress=False)
  with pytest.raises(ValueError, match="trajectories = 0"):
    apps.simulate("no such file", trajectories=0, progress=False)
  with pytest.raises(ValueError, match="horizon"):
    apps.forecast("no such file", horizon_s=-1.0, progress=False)


def test_a_day_that_is_not_there_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    apps.replay(str(tmp_path / "nothing"), progress=False)


@pytest.mark.slow
def test_a_model_is_trained_and_read_back(tmp_path):
  config = runpy.run_path(str(paths.ROOT / "configs" / "demo.py"))
  config = config["get_config"]("tiny")
  config.data.book_capacity = 256
  model = apps.train(
    "synthetic-0",
    tmp_path / "run",
    config=config,
    num_steps=2,
    baselines=False,
    progress=False,
  )
  assert model.card["config"]["optimizer"]["num_steps"] == 2
  assert config.data.path != "synthetic-0"  # The caller's is untouched.
  read = lmm.load(tmp_path / "run" / "model.npz")
  chex.assert_trees_all_equal(read.params, jax.device_get(model.params))
  nats = read.card["validation_nats_per_order"]
  assert nats > 0


def test_training_that_cannot_be_written_fails_before_the_data_is_read(
  tmp_path,
):
  (tmp_path / "file").write_text("")
  with pytest.raises(OSError, match="cannot be written"):
    apps.train("no such file", tmp_path / "file" / "run", progress=False)


def test_the_settings_of_the_demo_are_the_default():
  configs = training.make_configs("other", num_steps=20)
  assert configs["data"].path == "other"
  assert configs["optimizer"].num_steps == 20
  assert configs["optimizer"].warmup_steps == 2
  assert configs["model"] == lmm.load(demo.MODEL).config
