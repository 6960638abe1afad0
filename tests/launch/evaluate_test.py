"""The script that scores futures, on the demo model, as its user runs it."""

import json
import subprocess
import sys

import pytest

from tests.support import paths
from tests.support.processes import scripts

_SMALL = "--cond=300 --messages=100 --block=50 --windows=8 --seeds=0"
_LONG = "--long_minutes=0.5 --long_futures=2 --bar_s=5"


@pytest.mark.slow
def test_the_demo_model_is_scored_beside_its_brackets(
  bitstamp_sample, tmp_path
):
  out, export = tmp_path / "realism", tmp_path / "sequences"
  # Not by `scripts`: a real day is slow without compiler optimizations.
  result = subprocess.run(
    [
      *(sys.executable, "launch/evaluate.py", f"--data={bitstamp_sample}"),
      *("--test_from=03:01:20", *_SMALL.split(), *_LONG.split()),
      *(f"--out={out}", f"--export={export}"),
    ],
    cwd=paths.ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  text = out.with_suffix(".json").read_text()
  found = json.loads(text, parse_constant=pytest.fail)  # No NaN.
  scores = {one["name"]: one for one in found["scores"]}
  assert list(scores) == [
    *("real", "tokens only", "replay", "random windows", "random orders"),
    *("zero intelligence", "queue-reactive", "model"),
  ]
  model = scores["model"]
  assert model["num_windows"] == found["windows"] == 8
  assert 0 < model["l1"]["mean"] < 0.5
  assert model["num_crossed"] == 0
  assert scores["tokens only"]["l1"]["mean"] < model["l1"]["mean"]
  # Orders trade as seldom as in truth, and the spread stays what it is.
  spreads = [block["spread"] for block in scores["real"]["blocks"]]
  for block, spread in zip(model["blocks"], spreads, strict=True):
    assert abs(block["spread"] / spread - 1) < 0.5
  assert "<table>" in out.with_suffix(".html").read_text()
  assert out.with_suffix(".png").stat().st_size > 10_000
  assert len(list((export / "gen_model").iterdir())) == 16
  assert "queue-reactive" in result.stdout
  long = {one["name"]: one for one in found["long"]["paths"]}
  assert list(long) == [
    *("real", "real day", "random orders", "zero intelligence"),
    *("queue-reactive", "model"),
  ]
  assert found["long"]["bars"] == found["long"]["real_bars"][0] == 6
  assert long["model"]["paths"] == 2 and long["model"]["cut"] == 0
  assert "Stability along the horizon" in result.stdout


@pytest.mark.slow
def test_what_a_user_can_mend_is_one_line(tmp_path):
  results = scripts.run_all(
    [
      ("evaluate", "--data=synthetic-0", f"--out={tmp_path / 'a'}"),
      (
        *("evaluate", "--data=synthetic-0", "--test_from=noon"),
        f"--out={tmp_path / 'b'}",
      ),
    ]
  )
  for result, message in zip(
    results, ("--test_from must say", "is no time like 14:30:00"), strict=True
  ):
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line
