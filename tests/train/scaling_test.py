"""Scaling laws: fits find what made the losses; the script tells what it is."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.train import scaling
from tests.support import paths

_LAW = scaling.Law(4.5, np.log([8.0, 60.0]), np.array([0.25, 0.35]))
_SIZES = np.array([48e3, 156e3, 487e3, 1.48e6, 5.03e6])
_BUDGETS = np.array([125e3, 250e3, 500e3, 1e6])
_RUNS = np.array([(n, d) for n in _SIZES for d in _BUDGETS])
_PAPER_SIZES = np.array([[model.num_params] for model in scaling.PAPER])
_PAPER_LOSSES = np.array([model.nats[-1] for model in scaling.PAPER])


def _noise(size, scale, seed=0):
  return np.exp(np.random.default_rng(seed).normal(0, scale, size))


def test_a_law_is_a_floor_and_a_power_of_each_variable():
  assert _LAW(np.array([16.0, 1.0])) == pytest.approx(4.5 + 8 / 2 + 60)


class TestFit:
  def test_losses_of_a_law_give_the_law_back(self):
    found = scaling.fit(_RUNS, _LAW(_RUNS))
    assert found.floor == pytest.approx(4.5, rel=1e-4)
    np.testing.assert_allclose(found.log_scales, _LAW.log_scales, atol=1e-2)
    np.testing.assert_allclose(found.exponents, _LAW.exponents, rtol=1e-3)

  def test_a_run_that_went_wrong_does_not_move_it(self):
    loss = _LAW(_RUNS)
    loss[3] += 1
    found = scaling.fit(_RUNS, loss)
    np.testing.assert_allclose(found.exponents, _LAW.exponents, rtol=0.03)
    squares = scaling.fit(_RUNS, loss, delta=1.0)
    assert abs(squares.exponents[1] / 0.35 - 1) > 0.1

  def test_the_unit_of_a_variable_changes_its_scale_only(self):
    loss = _LAW(_RUNS) * _noise(len(_RUNS), 1e-3)
    one, other = scaling.fit(_RUNS, loss), scaling.fit(_RUNS / 1e6, loss)
    np.testing.assert_allclose(other.floor, one.floor, rtol=1e-4)
    np.testing.assert_allclose(other.exponents, one.exponents, rtol=1e-4)
    np.testing.assert_allclose(
      other.log_scales,
      one.log_scales - one.exponents * np.log(1e6),
      atol=1e-3,
    )

  def test_where_there_is_no_floor_none_is_found(self):
    loss = 12 * _SIZES**-0.05
    found = scaling.fit(_SIZES[:, None], loss)
    assert found.floor < 0.01
    assert found.exponents[0] == pytest.approx(0.05, rel=1e-3)

  def test_a_step_is_a_law_whose_scale_is_beyond_all_floats(self):
    x = np.array([[27e3], [28e3], [29e3], [30e3]])
    loss = np.array([9.0, 8.0, 8.0, 8.0])
    with np.errstate(over="raise", invalid="raise"):
      found = scaling.fit(x, loss)
      np.testing.assert_allclose(found(x), loss, rtol=1e-4)
    assert np.log(np.finfo(float).max) < found.log_scales < np.inf

  @pytest.mark.parametrize(
    ("x", "loss", "message"),
    [
      (_RUNS[:4], np.ones(4), "5 unknowns .* of runs there are 4"),
      (_RUNS[:8], np.ones(8), "3 values of .* of values 2 and 4"),
      (_RUNS, np.ones(19), "must be"),
      (_RUNS * 0, np.ones(20), "must be positive"),
      (_RUNS, np.full(20, np.nan), "must be positive"),
    ],
  )
  def test_runs_that_tell_no_law_are_refused(self, x, loss, message):
    with pytest.raises(ValueError, match=message):
      scaling.fit(x, loss)


class TestBootstrap:
  @pytest.mark.slow
  def test_intervals_cover_the_law_about_as_often_as_they_say(self):
    x = np.geomspace(1e4, 1e7, 20)[:, None]
    num_covered = 0
    for seed in range(20):
      loss = 12 * x[:, 0] ** -0.05 * _noise(20, 3e-3, seed)
      laws = scaling.bootstrap(x, loss, has_floor=False, num_samples=40)
      low, high = scaling.interval(
        laws, lambda law: law.exponents[0], level=0.9
      )
      num_covered += low < 0.05 < high
    assert num_covered >= 13  # Fewer have a probability of 1 % at 80 %.

  def test_the_more_runs_differ_the_wider_they_are(self):
    widths = []
    for scale in (3e-4, 3e-3):
      loss = _LAW(_RUNS) * _noise(len(_RUNS), scale)
      laws = scaling.bootstrap(_RUNS, loss, num_samples=20)
      low, high = scaling.interval(laws, lambda law: law.floor)
      assert low < 4.5 < high
      widths.append(high - low)
    assert widths[1] > 3 * widths[0]

  def test_resamples_that_tell_no_law_are_drawn_again(self):
    x = _SIZES[:3, None]
    loss = 5 + 30 * x[:, 0] ** -0.3
    laws = scaling.bootstrap(x, loss, num_samples=10)  # Three sizes, always.
    exponents = [law.exponents[0] for law in laws]
    np.testing.assert_allclose(exponents, 0.3, rtol=1e-2)


class TestPaper:
  def test_least_squares_agree_with_a_straight_line_through_logarithms(self):
    law = scaling.fit(_PAPER_SIZES, _PAPER_LOSSES, has_floor=False, delta=1.0)
    slope, start = np.polyfit(
      np.log(_PAPER_SIZES[:, 0]), np.log(_PAPER_LOSSES), 1
    )
    np.testing.assert_allclose(law.exponents, -slope, rtol=1e-5)
    np.testing.assert_allclose(law.log_scales, start, atol=1e-5)
    # Found by others from the same points.
    np.testing.assert_allclose(law.exponents, 0.01753, rtol=2e-3)
    np.testing.assert_allclose(law.log_scales, np.log(9.994), atol=1e-3)

  def test_with_a_floor_the_squares_are_as_small_as_others_have_found(self):
    law = scaling.fit(_PAPER_SIZES, _PAPER_LOSSES, delta=1.0)
    residual = law(_PAPER_SIZES) - _PAPER_LOSSES
    assert np.sum(residual**2) == pytest.approx(3.0e-3, rel=0.02)
    other = 6.04 + 7.448 * _PAPER_SIZES[:, 0] ** -0.1
    np.testing.assert_allclose(law(_PAPER_SIZES), other, atol=5e-3)

  def test_losses_fall_with_the_size_and_with_the_data(self):
    nats = np.array([model.nats for model in scaling.PAPER])
    assert np.all(np.isnan(nats) | (nats < 8))
    assert not np.any(np.diff(nats, axis=0) >= 0)
    assert not np.any(np.diff(nats, axis=1) >= 0)
    for model in scaling.PAPER:
      assert model.num_live < model.num_params


def _config(variant=""):
  path = paths.ROOT / "configs" / "scaling.py"
  spec = importlib.util.spec_from_file_location("scaling_config", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(variant), module.__doc__


def test_the_sizes_go_from_28k_to_5m_parameters():
  config, text = _config()
  counts = []
  for shape in config.sweep.sizes.values():
    model = lmm.LmmConfig(**{**config.model, **shape})
    params = jax.eval_shape(
      lambda model=model: lmm.init(jax.random.key(0), config=model)
    )
    counts.append(lmm.num_params(params))
  np.testing.assert_allclose(
    sorted(counts), [2.8e4, 1.18e5, 4.2e5, 1.4e6, 5e6], rtol=0.05
  )
  assert all(f"{count:,}" in text for count in counts)


# Runs the script on a data set and with results that are made up here: a law.
# Once more, it has runs of one budget only.
_SCRIPT = """
import sys
sys.path[:0] = ["launch", "."]
import jax
from absl import flags
from mars_jax import lmm
from mars_jax.data import dataset
from mars_jax.train import sweep
from tests.support import paths
from tests.support.train import tiny_run

def run(task, name, configs, data, folder, *, max_orders, on_progress):
  model = jax.eval_shape(
    lambda: lmm.init(jax.random.key(0), config=configs["model"])
  )
  tokens = configs["optimizer"].num_steps * 2 * 32
  n = lmm.num_params(model)
  nats = {"nats": 5 + 40 * n**-0.4 + 30 * tokens**-0.5}
  folder.mkdir(exist_ok=True)
  return {
    "params": n, "params_without_tables": n // 2, "tokens": tokens,
    "epochs": tokens / data.num_orders("train"), "valid": nats,
    "markets": {"valid": {"A": nats}}, "tokens_per_second": None,
    "seconds": 1.0,
  }

dataset.from_folder = lambda folder, market: tiny_run.dataset()
sweep.run = run
import scaling_law
flags.FLAGS(sys.argv)
for flags.FLAGS.dry_run in (True, False):
  scaling_law.main()
print("one budget")
flags.FLAGS.config.sweep.budgets = (512,)
flags.FLAGS.out += "/one"
flags.FLAGS.plot = flags.FLAGS.out + "/points.png"
scaling_law.main()
"""


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
  """What the script printed, and its folder."""
  folder = tmp_path_factory.mktemp("sweeps")
  result = subprocess.run(
    [
      *(sys.executable, "-c", _SCRIPT, "--config=configs/scaling.py:tiny"),
      *("--data=x", f"--out={folder}", "--resamples=3"),
      f"--plot={folder}/law.png",
    ],
    cwd=paths.ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "150"},
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  assert "Warning" not in result.stderr
  return result.stdout, folder


@pytest.mark.slow
def test_the_script_plans_the_runs_and_finds_their_law(sweeps):
  text, folder = sweeps
  plan, _, rest = text.partition("one budget")[0].partition("in all")
  assert all(word in plan for word in ("FLOPs", "minutes", "512", "2,048"))
  assert "epochs are too many" not in rest
  assert "Orders were seen again" in rest
  assert "left out" not in rest
  found = json.loads((folder / "scaling.json").read_text())
  assert len(found["runs"]) == 9
  law = found["laws"]["E + A N^-alpha + B D^-beta, all runs"]
  for name, value in {"E": 5, "alpha": 0.4, "beta": 0.5}.items():
    assert law["ours"][name]["value"] == pytest.approx(value, rel=1e-2)
  assert law["MarS"]["alpha"]["value"] == pytest.approx(0.173, abs=1e-3)
  assert "0.173 (" in rest
  assert (folder / "law.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_law_that_the_runs_do_not_tell_is_left_out_in_a_line(sweeps):
  text, folder = sweeps
  lines = text.partition("one budget")[2].splitlines()
  found = json.loads((folder / "one" / "scaling.json").read_text())
  assert len(found["runs"]) == 3
  powers = {"c N^-a, at the largest D", "E + c N^-a, at the largest D"}
  assert found["laws"].keys() == powers
  left_out = [line for line in lines if "left out" in line]
  assert len(left_out) == 2
  for line, (title, runs, values) in zip(
    left_out,
    [
      ("E + A N^-alpha + B D^-beta, all runs", "3", "3 and 1"),
      ("c D^-a, of the largest N", "1", "1"),
    ],
    strict=True,
  ):
    assert line.startswith(f"{title}: left out: a law of ")
    assert line.endswith(f" of runs there are {runs}, of values {values}")
  points = folder / "one" / "points.png"
  assert points.read_bytes().startswith(b"\x89PNG")
