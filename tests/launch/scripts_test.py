"""The launch scripts, as their user runs them."""

import json
import os
import re
import signal
import time

import numpy as np
import pytest

from mars_jax import lmm
from mars_jax.data import dataset
from mars_jax.tokens import touch
from tests.support import paths
from tests.support.data import prepared_data
from tests.support.feeds import bitstamp_capture
from tests.support.processes import scripts

_CONFIG = "--config=configs/demo.py:tiny"
_BASELINES = ("zero intelligence", "unigram", "bigram")
_FIELDS = touch.FIELDS

# What is wrong, the command, and what the message must name. In the commands,
# {folder} has broken.csv, not_a_model.npz and a data set in prepared.
_WRONG = {
  "a wrong flag": ("train --config=configs/demo.py --stepz=3", "stepz"),
  "a missing flag": (f"train {_CONFIG}", "workdir"),
  "a stray argument": ("forecast now", "now"),
  "an unknown key of a simulation": (
    "simulate --config=configs/simulate.py:tiny --config.start.day=3",
    "day",
  ),
  "an unknown key": (
    f"train {_CONFIG} --workdir={{folder}}/x --config.model.dimm=3",
    "dimm",
  ),
  "a value that makes no sense": (
    f"train {_CONFIG} --workdir={{folder}}/x --config.model.head_dim=3",
    "head_dim",
  ),
  "an unknown variant": (
    "train --config=configs/demo.py:huge --workdir={folder}/x",
    "'huge'",
  ),
  "no such config": (
    "train --config=configs/none.py --workdir={folder}/x",
    "configs/none.py",
  ),
  "no such data": (
    f"train {_CONFIG} --workdir={{folder}}/x --data={{folder}}/none.csv",
    "none.csv",
  ),
  "broken data": (
    f"train {_CONFIG} --workdir={{folder}}/x --data={{folder}}/broken.csv",
    "broken.csv, row 301",
  ),
  "no such market": (
    f"train {_CONFIG} --workdir={{folder}}/x --data={{folder}}/prepared"
    " --config.data.market=Nasdaq",
    "prepared, which has Bitstamp; it is 'Nasdaq'",
  ),
  "no file to replay": ("replay", "name the files to replay"),
  "no such file to replay": ("replay {folder}/none.zip", "none.zip"),
  "an option of another format": (
    "replay --instrument=600519 {folder}/market.csv",
    "instrument '600519' is not for bitstamp",
  ),
  "no file to prepare": (
    "prepare_data --out={folder}/x",
    "name the files to prepare",
  ),
  "splits that make no sense": (
    "prepare_data --out={folder}/x --train_fraction=0.9 {folder}/market.csv",
    "together at most 1",
  ),
  "a relative path for workers elsewhere": (
    "prepare_data --out=x --scheduler=tcp://127.0.0.1:9 {folder}/market.csv",
    "x is a relative path",
  ),
  "a day that is no good, under --strict": (
    "prepare_data --out={folder}/x --strict {folder}/broken.csv",
    "broken.csv, row 301",
  ),
  "an instrument of a file of one": (
    "forecast --instrument=600519 --data={folder}/market.csv",
    "instrument '600519' is not for bitstamp",
  ),
  "no such model": ("forecast --model={folder}/none.npz", "none.npz"),
  "a file that is no model": (
    "forecast --model={folder}/not_a_model.npz",
    "not_a_model.npz",
  ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("launch")
  path = folder / "market.csv"
  bitstamp_capture.write_bitstamp(path, num_orders=1000)
  lines = path.read_text().splitlines()
  lines[300] = lines[300].replace("ask", "sell").replace("bid", "buy")
  (folder / "broken.csv").write_text("\n".join(lines))
  (folder / "not_a_model.npz").write_text("id,price\n1,2\n")
  prepared_data.make(folder, num_days=2, num_orders=400)
  return folder


@pytest.fixture(scope="module")
def failures(folder):
  """What each wrong command ended as."""
  commands = [
    text.format(folder=folder).split(" ") for text, _ in _WRONG.values()
  ]
  return dict(zip(_WRONG, scripts.run_all(commands), strict=True))


@pytest.mark.parametrize("name", _WRONG)
def test_what_a_user_can_mend_is_one_line_that_names_it(failures, name):
  result = failures[name]
  assert result.returncode not in (0, None)
  assert "Traceback" not in result.stdout + result.stderr
  lines = result.stderr.splitlines()
  assert len(lines) == 1, result.stderr
  assert lines[0].startswith("error: ")
  assert _WRONG[name][1] in lines[0]


def test_help_says_what_each_script_does_and_its_flags():
  names = [
    path.stem
    for path in sorted((paths.ROOT / "launch").glob("*.py"))
    if path.stem != "common"
  ]
  assert len(names) >= 2
  results = scripts.run_all([(script, "--help") for script in names])
  for script, result in zip(names, results, strict=True):
    source = (paths.ROOT / "launch" / f"{script}.py").read_text()
    summary = source.split('"""')[1].split("\n")[0]
    assert summary in result.stdout
    assert f"python launch/{script}.py " in result.stdout
    for name in re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source):
      assert re.search(rf"--(\[no\])?{name}:", result.stdout)
    assert not result.stderr


@pytest.fixture(scope="module")
def runs(folder):
  """What short runs on a file and on a data set printed."""
  short = ["--config.optimizer.num_steps=4", "--config.train.eval_every=2"]
  return scripts.run_all(
    [
      (
        *("train", _CONFIG, f"--workdir={folder / 'run'}", *short),
        f"--data={folder / 'market.csv'}",
        "--config.data.book_capacity=512",
      ),
      (
        *("train", _CONFIG, f"--workdir={folder / 'days'}", *short),
        f"--data={folder / 'prepared'}",
      ),
    ]
  )


@pytest.fixture(scope="module")
def trained(folder, runs):
  """The workdir of the run on a file, and what it printed."""
  assert runs[0].returncode == 0, runs[0].stderr
  return folder / "run", runs[0].stdout


@pytest.fixture(scope="module")
def forecasts(folder, trained):
  """The outputs of a forecast, twice, and of two that cannot be."""
  workdir, _ = trained
  common = [
    "forecast",
    f"--model={workdir / 'model.npz'}",
    f"--data={folder / 'market.csv'}",
    "--replay_capacity=512",
    "--book_capacity=64",
    "--trajectories=3",
  ]
  common += ["--horizon_orders=30", "--seed=5"]
  one = scripts.run(*common, f"--out={folder / 'one'}")
  rest = scripts.run_all(  # Of which the first has what that compiled.
    [
      [*common, f"--out={folder / 'two'}"],
      [*common, "--start=noon", f"--out={folder / 'bad'}"],
      [*common, "--start=23:00:00", f"--out={folder / 'bad'}"],
    ]
  )
  return [one, *rest]


@pytest.mark.slow
def test_training_writes_a_model_its_card_and_metrics(trained):
  workdir, text = trained
  model = lmm.load(workdir / "model.npz")
  assert model.card["data"] == "Bitstamp BTC/USD 2015-05-01"
  assert model.card["source"] == {"file": "market.csv"}
  assert model.card["config"]["optimizer"]["num_steps"] == 4
  assert model.card["parameters"] == lmm.num_params(model.params)
  nats = model.card["validation_nats_per_order"]
  by_field = model.card["validation_nats_by_field"]
  np.testing.assert_allclose(sum(by_field.values()), nats, rtol=1e-5)
  scores = model.card["validation_raw_nats_per_order"]["Bitstamp"]
  assert set(scores) == {*_BASELINES, "model"}
  assert scores["model"] > nats  # What the bins leave over costs nats too.
  rows = (workdir / "metrics.csv").read_text().splitlines()
  assert [row.split(",")[1] for row in rows] == ["step", "2", "4"]
  np.testing.assert_allclose(float(rows[-1].split(",")[3]), nats, rtol=1e-4)
  for name, score in scores.items():
    assert any(
      name in line and f"{score:.3f}" in line for line in text.splitlines()
    )
  assert all(field in text for field in _FIELDS)
  assert "model.npz written" in text.replace("\n", " ")


@pytest.mark.slow
def test_training_on_a_data_set_says_which_days_it_took(folder, runs):
  assert runs[1].returncode == 0, runs[1].stderr
  data = dataset.from_folder(folder / "prepared")
  card = lmm.load(folder / "days" / "model.npz").card
  assert card["data"] == data.name == "Bitstamp, 2 days"
  assert card["source"] == data.source
  assert card["splits"] == {
    split: {"orders": data.num_orders(split), "days": 2}
    for split in ("train", "valid", "test")
  }
  assert card["orders_scored"] == data.num_orders("valid")
  raw = card["validation_raw_nats_per_order"]["Bitstamp"]
  assert set(raw) == {*(*_BASELINES, "model")}
  assert "Bitstamp, 2 days" in runs[1].stdout
  scores = card["model_by_market"]
  assert set(scores) == {"valid", "test"}
  for split, by_market in scores.items():
    assert set(by_market) == {"Bitstamp"}
    orders = by_market["Bitstamp"].pop("orders")
    assert orders == data.num_orders(split)
    assert set(by_market["Bitstamp"]) == set(_FIELDS)
    assert f"{split} Bitstamp" in runs[1].stdout
  np.testing.assert_allclose(
    list(scores["valid"]["Bitstamp"].values()),
    list(card["validation_nats_by_field"].values()),
    rtol=1e-6,
  )


@pytest.fixture(scope="module")
def preempted(folder):
  """How a long run ended that was told to after its first validation."""
  process = scripts.start(
    *("train", _CONFIG, f"--data={folder / 'market.csv'}", "--nobaselines"),
    *(f"--workdir={folder / 'preempted'}", "--config.data.book_capacity=512"),
    *("--config.optimizer.num_steps=100000", "--config.train.eval_every=1"),
  )
  metrics = folder / "preempted" / "metrics.csv"
  with process:
    while process.poll() is None and not metrics.exists():
      time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
  return process.returncode, out, err


@pytest.mark.slow
def test_a_run_that_is_preempted_saves_and_asks_to_be_started_again(
  folder, preempted
):
  status, out, err = preempted
  assert status == os.EX_TEMPFAIL == 75, err
  (step,) = re.findall(r"preempted after step (\d+), which is saved", out)
  assert (folder / "preempted" / "checkpoints" / step).is_dir()
  assert not (folder / "preempted" / "model.npz").exists()


def test_a_dry_run_plans_for_machines_that_are_not_here(folder):
  result = scripts.run(
    *("train", "--config=configs/order_model.py:1b", "--dry_run"),
    *("--devices=64", "--device_kind=TPU v5p", "--utilisation=0.5"),
  )
  assert result.returncode == 0, result.stderr
  text = " ".join(result.stdout.split())
  assert "32 data x 2 model, TPU v5p" in text
  assert "1,063," in text and "hours at 50% of the peak" in text


@pytest.mark.slow
def test_a_forecast_prints_a_table_and_draws_a_picture(folder, forecasts):
  result = forecasts[0]
  assert "the model was trained on" not in result.stdout
  assert result.returncode == 0, result.stderr
  for row in (
    "mid-price at the start",
    "horizon",
    "median change",
    "5 % to 95 %",
    "probability of up",
    "probability of flat",
    "probability of down",
    "what happened",
    "events simulated",
    "orders dropped by full books",
  ):
    assert row in result.stdout
  assert "30 orders" in result.stdout
  assert (folder / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_futures(folder, forecasts):
  assert forecasts[1].returncode == 0, forecasts[1].stderr
  with np.load(folder / "one.npz") as one, np.load(folder / "two.npz") as two:
    assert one.files == two.files
    assert one["mid"].shape == (3, 30)
    for name in one.files:
      np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.parametrize(
  ("index", "message"),
  [(2, "start 'noon' is no time"), (3, "the start must lie between 00:00:0")],
)
@pytest.mark.slow
def test_a_start_that_cannot_be_is_one_line(folder, forecasts, index, message):
  result = forecasts[index]
  assert result.returncode != 0
  assert result.stderr.startswith(f"error: {message}")
  assert len(result.stderr.splitlines()) == 1
  assert not (folder / "bad.npz").exists()


_BME = """ordtype;uid;is_buy;qty;price;timestamp
new;1;False;50;96.05;2019-05-21 09:00:00.000
new;2;True;20;96.10;2019-05-21 09:00:01.000
new;3;True;10;95.00;2019-05-21 09:00:02.000
cancel;1;False;{left};96.05;2019-05-21 09:00:03.000
"""


@pytest.mark.slow
def test_a_replay_ends_with_json_and_tells_by_its_status_what_differs(tmp_path):
  commands = []
  for left in (30, 20):  # The book holds 30.
    path = tmp_path / f"acme{left}_2019-05-21.csv"
    path.write_text(_BME.format(left=left))
    commands.append(("replay", "--format=bme", str(path)))
  right, wrong = scripts.run_all(commands)
  assert (right.returncode, wrong.returncode) == (0, 1), right.stderr
  found, mistaken = (
    json.loads(result.stdout.splitlines()[-1]) for result in (right, wrong)
  )
  assert found["fills"] == mistaken["fills"] == 1
  assert found["traded_volume"] == 20
  assert found["events"] == found["replays"][0]["events"] == 4
  assert found["mismatches"] == found["rejected"] == {}
  assert found["dropped"] == found["resyncs"] == 0
  assert found["orders_left"] == 1
  assert mistaken["mismatches"]["remaining"] == 1
  assert "event 3 takes 20 and leaves 10" in wrong.stdout
