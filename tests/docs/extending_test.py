"""The recipes of docs/extending.md run as they are written."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import feeds
from mars_jax import lmm
from mars_jax import lob
from mars_jax import types
from mars_jax.feeds import registry
from mars_jax.lmm.order import heads
from mars_jax.lob import submit
from mars_jax.tokens import vocab
from tests.support import paths
from tests.support.train import tiny_run

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


def _section(title: str) -> str:
  """The text of a section of the page."""
  text = (paths.ROOT / "docs" / "extending.md").read_text()
  return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _blocks(text: str, language: str) -> list[str]:
  """The code blocks of a language."""
  return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_a_feed_is_added_as_the_page_says(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setitem(registry._formats, "toy", None)  # Removed afterwards.
  text = _section("Add a feed")
  (rows,) = _blocks(text, "text")
  (tmp_path / "ACME.toy.csv").write_text(rows)
  names = {}
  for block in _blocks(text, "python"):
    exec(compile(block, "extending.md", "exec"), names)
  assert names["stream"].name == "Toy ACME 2026-01-05"
  assert feeds.find_format("ACME.toy.csv") == "toy"
  assert names["result"].checked["trades"] == 1  # One order trades, twice.
  assert not any(names["result"].mismatches.values())


def _run(title: str, names=None) -> dict:
  """Executes the Python blocks of a section; returns their names."""
  names = {} if names is None else names
  for block in _blocks(_section(title), "python"):
    exec(compile(block, "extending.md", "exec"), names)
  return names


def test_a_venue_is_added_as_the_page_says(monkeypatch, capsys):
  monkeypatch.setattr(lob, "PRESETS", dict(lob.PRESETS))
  _run("Add a venue")
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == "None"
  for line, reason in zip(
    lines[1:], ["OFF_LOT", "OFF_TICK", "PRICE_LIMIT", "CLOSED"], strict=True
  ):
    assert submit.EXPLANATIONS[getattr(types.Reason, reason)] in line


@pytest.mark.slow
def test_an_agent_is_added_as_the_page_says():
  owners = _run("Add an agent")["simulation"].summary()["owners"]
  assert [owner["name"] for owner in owners] == ["dip buyer", "market"]
  assert owners[0]["inventory"]["mean"] > 0


def test_a_head_is_added_as_the_page_says(monkeypatch):
  monkeypatch.setattr(heads, "HEADS", dict(heads.HEADS))
  names = _run("Add a head")
  params, config, hidden = names["params"], names["config"], names["hidden"]
  index = jnp.arange(vocab.NUM_ORDERS)
  nats = -lmm.log_prob(
    params,
    jnp.broadcast_to(hidden, (len(index), 16)),
    vocab.unpack(index),
    config=config,
  )
  total = jnp.exp(-nats.sum(axis=-1)).sum()
  np.testing.assert_allclose(total, 1.0, rtol=1e-4)
  assert nats[int(vocab.pack(names["order"]))].sum() < 15  # It is no rarity.
  sample = functools.partial(lmm.sample, config=config)
  keys = jax.random.split(jax.random.key(3), 4000)
  draw = jax.jit(jax.vmap(sample, (None, 0, None)))
  drawn = draw(params, keys, hidden)
  kinds = np.bincount(drawn[:, 0], minlength=vocab.FIELD_SIZES[0]) / 4000
  first = index.reshape(vocab.FIELD_SIZES)[:, 0, 0, 0]
  np.testing.assert_allclose(kinds, jnp.exp(-nats[first, 0]), atol=0.04)
  with pytest.raises(ValueError, match="is none of .*independent"):
    dataclasses.replace(config, head="none")


def test_a_model_is_added_as_the_page_says(tmp_path):
  names = {
    "dataset": tiny_run.dataset(),
    "configs": tiny_run.CONFIGS,
    "workdir": tmp_path,
  }
  trained = _run("Add a model", names)["trained"]
  assert trained.params["logits"].shape == (3,)
  assert trained.valid.keys() == {"A", "B"}
