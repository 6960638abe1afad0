"""Simulations from a config to their files, and launch/simulate.py."""

import dataclasses
import importlib.util
import json
import sys

import jax
import numpy as np
import polars as pl
import pytest
from absl import flags as absl_flags

from mars_jax import replay
from mars_jax import sim
from mars_jax.apps import agents
from mars_jax.apps import experiment as experiment_lib
from mars_jax.apps import simulation
from mars_jax.apps import start as start_lib
from mars_jax.apps.report import bars
from mars_jax.baselines import zero_intelligence
from mars_jax.feeds import events
from mars_jax.feeds.lobster import reader
from mars_jax.lob import venues
from tests.support import paths
from tests.support.sim import synthetic_start

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")
_NUM = 3
_SECONDS = 6.0
_NOTHING = {"table": "", "picture": False, "orders": 0, "state": False}


def _config_file():
  spec = importlib.util.spec_from_file_location(
    "simulate_config", paths.ROOT / "configs" / "simulate.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


CONFIG_FILE = _config_file()


def _sections(**changes):
  """The config :tiny of the market of `simulated`, less its agents."""
  sections = CONFIG_FILE.get_config("tiny").to_dict()
  sections |= {"trajectories": _NUM, "agents": ()}
  sections["start"] |= {"book_capacity": 128}
  sections["simulator"] |= {"chunk": 100}
  sections["horizon"] |= {"seconds": _SECONDS}
  for name, fields in changes.items():
    sections[name] = (
      sections[name] | fields if isinstance(fields, dict) else fields
    )
  return sections


def _experiment(sections):
  """The experiment of a config, with the restless agent."""
  made = experiment_lib.make(sections)
  crowd = synthetic_start.CONFIG.agents
  simulator = dataclasses.replace(made.simulator, agents=crowd)
  return dataclasses.replace(made, simulator=simulator)


def _run(folder, name="x", **changes):
  sections = _sections(**changes)
  return experiment_lib.run(
    _experiment(sections),
    synthetic_start.market(),
    str(folder / name),
    sections=sections,
  )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("simulate")


@pytest.fixture(scope="module")
def straight(folder):
  """The summary of a run that has written all that there is."""
  summary, paths = _run(folder, outputs={"orders": 2})
  assert all(path.exists() for path in paths)
  return summary


def test_every_file_is_written(straight, folder):
  endings = ("_accounts.csv", "_bars.csv", "_state.npz", ".json", ".png")
  assert {f"x{ending}" for ending in endings} | {"x_orders"} <= {
    path.name for path in folder.iterdir()
  }
  assert not list(folder.rglob("*.part*"))


def test_the_summary_tells_what_came_of_it(straight, folder):
  written = json.loads((folder / "x.json").read_text())
  assert written == json.loads(json.dumps(straight))
  assert straight["config"] == _sections(outputs={"orders": 2})
  assert straight["is_complete"] and straight["trajectories"] == _NUM
  assert straight["events"] > 400
  assert straight["end_s"] - straight["begin_s"] == pytest.approx(_SECONDS)
  # What the agent asks for and does not get.
  assert {"would cross", "not fillable"} == set(straight["rejected"])
  assert straight["dropped_by_full_books"] == 0
  agent, market = straight["owners"]
  assert (agent["name"], market["name"]) == ("restless", "market")
  for column in ("inventory", "cash", "profit"):
    assert agent[column]["mean"] == pytest.approx(-market[column]["mean"])
  assert agent["bought"]["p5"] > 0
  # Of every modify and cancel of what has been filled in the meantime.
  assert agent["rejected"] >= 0 and agent["dropped"] == agent["stale"] == 0


def test_bars_and_accounts_add_up(straight, folder):
  bars = pl.read_csv(folder / "x_bars.csv")
  assert bars["orders"].sum() + bars["cancels"].sum() == straight["events"]
  ends = bars.group_by("trajectory", maintain_order=True).last()
  assert ends["mid_close"].mean() == pytest.approx(
    straight["mid_at_end"]["mean"]
  )
  accounts = pl.read_csv(folder / "x_accounts.csv")
  assert accounts.height == 2 * _NUM
  total = accounts.drop("owner").group_by("trajectory").sum()
  assert total["inventory"].to_list() == [0] * _NUM
  np.testing.assert_allclose(total["cash"], 0, atol=1e-6)
  # Everyone's purchases are everyone's sales are the volume of the bars.
  traded = bars.group_by("trajectory").agg(pl.col("volume").sum())
  np.testing.assert_array_equal(
    total.sort("trajectory")["bought"], traded.sort("trajectory")["volume"]
  )


@pytest.mark.parametrize("number", [1])
def test_order_files_replay_without_a_difference(number, straight, folder):
  path = folder / "x_orders" / f"{number:04}"
  stream, checks = reader.read_checked(path)
  result = replay.verify(stream, checks, rules=venues.CONTINUOUS)
  assert not result.mismatches
  assert result.checked["levels"] > 100
  assert result.dropped == 0
  bars = pl.read_csv(folder / "x_bars.csv")
  of_it = bars.filter(pl.col("trajectory") == number)
  assert result.traded_volume == of_it["volume"].sum()
  assert result.fills == of_it["trades"].sum()


def test_a_saved_simulation_goes_on_to_where_it_would_have_come(
  straight, folder, tmp_path
):
  outputs = _NOTHING | {"state": True}
  half = {"seconds": _SECONDS / 2}
  _run(tmp_path, "half", horizon=half, outputs=outputs)
  path = str(tmp_path / "half_state.npz")
  summary, paths = _run(
    tmp_path, "whole", horizon=half, outputs=outputs, start={"state": path}
  )
  assert [path.name for path in paths] == ["whole_state.npz", "whole.json"]
  for name in ("end_s", "mid_at_end", "owners"):
    assert summary[name] == straight[name], name
  assert summary["events"] < straight["events"]
  with np.load(folder / "x_state.npz") as a, np.load(paths[0]) as b:
    for name in a.files:
      np.testing.assert_array_equal(a[name], b[name], name)


def test_order_files_are_not_put_among_others(straight, folder):
  with pytest.raises(FileExistsError, match="x_orders has files"):
    _run(folder, outputs={"orders": 1})


def test_a_horizon_in_orders_is_kept_exactly(tmp_path):
  changes = {"horizon": {"seconds": 0.0, "orders": 200}, "outputs": _NOTHING}
  summary, _ = _run(tmp_path, **changes)
  assert summary["events"] == 200 * _NUM and summary["is_complete"]


@pytest.mark.parametrize(
  ("most", "sizes"),
  [(250, [100, 100, 50]), (200, [100, 100]), (50, [50])],
)
def test_chunks_are_as_many_events_as_are_asked_for(most, sizes):
  start = synthetic_start.market()
  config = synthetic_start.CONFIG
  state = simulation.init(start, config=config, num_trajectories=2, seed=0)
  chunks = sim.run(
    start.flow,
    state,
    observe_fn=bars.observe,
    config=config,
    max_events=most,
    chunk=100,
  )
  found = [kept.mid.shape for _, kept in chunks]
  assert found == [(2, size) for size in sizes]


def test_a_horizon_that_takes_too_many_orders_is_told(tmp_path):
  changes = {"horizon": {"max_orders": 100}, "outputs": _NOTHING}
  summary, _ = _run(tmp_path, **changes)
  assert summary["events"] == 100 * _NUM and not summary["is_complete"]


def test_trajectories_are_shared_by_as_many_devices_as_divide_them():
  devices = jax.devices() * 4
  assert simulation.mesh_of(6, devices).size == 3
  assert simulation.mesh_of(8, devices).size == 4
  assert simulation.mesh_of(5, devices) is None


def test_a_market_without_a_model_goes_on_as_it_was():
  market = synthetic_start.market()
  past = market.stream
  # All but the orders of the start were drawn from.
  assert len(market.flow.params) == past.is_market_event.sum()
  assert market.begin == past.time[-1]
  assert market.num_truncated == 0
  with pytest.raises(ValueError, match="when the 100 orders that it needs"):
    start_lib.load_start(past, int(past.time[120]), None)
  with pytest.raises(ValueError, match="the end of .* does not"):
    start_lib.load_start(past, int(past.time[-1]) + 1, None)


def test_times_of_the_clock_and_five_sixths_by_default():
  stream = zero_intelligence.stream(seed=0, num_orders=600, capacity=128)
  texts = ("00:00:05", "00:01:00.5")
  assert start_lib.times(texts, stream) == [5 * 10**9, 60_500_000_000]
  (time,) = start_lib.times((), stream)
  assert time == stream.time[-1] * 5 // 6
  with pytest.raises(ValueError, match="'5 pm' is no time"):
    start_lib.times(("5 pm",), stream)


@pytest.mark.parametrize("variant", CONFIG_FILE.VARIANTS)
def test_every_variant_of_the_config_is_an_experiment(variant):
  config = CONFIG_FILE.get_config(variant)
  made = experiment_lib.make(config.to_dict())
  assert made.simulator.agents.num_agents > 0
  with pytest.raises(KeyError, match="speed"):
    config["speed"] = 1


_WRONG = {
  "start": ({"pathh": "x"}, "pathh"),
  "horizon": ({"orders": 5}, "one of them"),
  "rules": ("lse", "rules = 'lse' is none of auto, continuous"),
  "simulator": ({"slots": 0}, "slots = 0 must be >= 1"),
  "outputs": ({"table": "xls"}, r"\.parquet or \.csv"),
  "agents": (({"kind": "twap", "side": "up"},), "agent twap: side must be buy"),
}


@pytest.mark.parametrize("section", _WRONG)
def test_what_makes_no_sense_is_told(section):
  value, text = _WRONG[section]
  with pytest.raises((TypeError, ValueError), match=text):
    experiment_lib.make(_sections(**{section: value}))


def test_orders_of_more_trajectories_than_there_are_are_refused():
  with pytest.raises(ValueError, match="orders of 4 trajectories"):
    experiment_lib.make(_sections(outputs={"orders": 4}))


_AGENTS = {
  "market_maker": {"volume": 3, "delays": {"communication": 5_000_000}},
  "momentum": {"count": 2, "volume": (1, 5)},
  "noise": {"interval": 0.5},
  "pov": {"side": "sell", "volume": 10, "ratio": 0.2},
  "twap": {"side": "buy", "volume": 10},
  "value": {"fundamental": 10_000.0},
  "vwap": {"side": "buy", "volume": 10, "profile": (1.0, 2.0)},
  "zero_intelligence": {},
}


def test_every_kind_of_agent_can_be_told_in_a_config():
  assert set(_AGENTS) == set(agents.KINDS)
  made = agents.make(
    {"kind": kind, "name": kind, **fields} for kind, fields in _AGENTS.items()
  )
  assert [agent.name for agent in made] == list(_AGENTS)
  crowd = sim.AgentsConfig(kinds=made)
  assert crowd.num_agents == len(_AGENTS) + 1
  assert made[0].delays.communication == 5_000_000


@pytest.mark.parametrize(
  ("section", "text"),
  [
    ({"volume": 3}, "kind None: it is none of market_maker"),
    ({"kind": "twap", "side": "buy", "volumes": 3}, "agent twap: .*volumes"),
    ({"kind": "noise", "delays": {"observation": -1}}, "agent noise: obs"),
  ],
)
def test_an_agent_that_makes_no_sense_is_told(section, text):
  with pytest.raises(ValueError, match=text):
    agents.make([section])


def _script():
  sys.path.append(str(paths.ROOT / "launch"))
  spec = importlib.util.spec_from_file_location(
    "simulate_script", paths.ROOT / "launch" / "simulate.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_script_simulates_from_each_time(tmp_path, monkeypatch, capsys):
  script, market = _script(), synthetic_start.market()
  crowd = synthetic_start.CONFIG.agents
  monkeypatch.chdir(paths.ROOT)
  day = market.stream, events.GroundTruth()
  monkeypatch.setattr(start_lib, "read", lambda *args: day)
  monkeypatch.setattr(start_lib, "load_start", lambda *args, **options: market)
  monkeypatch.setattr(agents, "make", lambda sections: crowd.kinds)
  flags = ["--config=configs/simulate.py:tiny", f"--out={tmp_path}/y"]
  keys = (
    "start.times=('00:00:10','00:00:12')",
    "agents=()",
    f"trajectories={_NUM}",
    f"horizon.seconds={_SECONDS}",
    "simulator.chunk=100",
    f"simulator.slots={crowd.slots}",
    "outputs.orders=0",
    "outputs.table=parquet",
  )
  argv = ["simulate", *flags, *(f"--config.{key}" for key in keys)]
  monkeypatch.setattr(sys, "argv", argv)  # Where the keys are looked for.
  absl_flags.FLAGS(argv)
  script.main()
  names = {path.name for path in tmp_path.iterdir()}
  for clock in ("00-00-10.000", "00-00-12.000"):
    for ending in ("_bars.parquet", "_accounts.parquet", ".json", ".png"):
      assert f"y_{clock}{ending}" in names
  text = capsys.readouterr().out
  assert "orders per second" in text and "│ restless │" in text
  assert "rejected: would cross" in text
