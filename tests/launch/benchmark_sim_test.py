"""The speed of the simulator: what is timed, and what is printed."""

import json

import pytest

from tests.support.processes import scripts


@pytest.fixture(scope="module")
def result():
  """The command, as its user runs it."""
  return scripts.run(
    *("benchmark", "sim", "--batch=2", "--events=4", "--repeats=1"),
    *("--sim_dim=32", "--sim_layers=1", "--window=16", "--devices=2"),
    *("--sim_head=joint", "--json"),
  )


@pytest.mark.slow
def test_table_is_shown(result):
  assert result.returncode == 0, result.stderr
  for text in ("Simulated orders a second", "joint", "2 devices"):
    assert text in result.stdout


@pytest.mark.slow
def test_json_is_the_last_line(result):
  found = json.loads(result.stdout.splitlines()[-1])
  assert found["benchmark"] == "sim"
  assert found["devices"] == 2
  assert found["peer"] is None
  assert [row["head"] for row in found["rows"]] == ["joint"]
  for row in found["rows"]:
    speed = row["orders_per_s"]
    assert 0 < row["orders_per_s_min"] <= speed <= row["orders_per_s_max"]
    shares = [row[f"share_{part}"] for part in ("book", "layers", "head")]
    assert sum(shares) == pytest.approx(1.0)
    # Keys and values of 16 orders, 32 floats each.
    assert row["cache_bytes"] == 2 * 16 * 32 * 4


def test_a_path_without_a_clone_is_one_line(tmp_path):
  result = scripts.run(
    *("benchmark", "sim", f"--peer_path={tmp_path}", "--batch=1"),
    *("--events=1", "--repeats=1", "--sim_dim=32", "--sim_layers=1"),
    "--window=16",
  )
  assert result.returncode != 0
  assert "give a clone of MarS" in result.stderr
