"""The recipes of docs/extending.md run as they are written."""

import re

from mars_jax import feeds
from mars_jax.feeds import registry
from tests.support import paths


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
  (rows,) = _blocks(text, "csv")
  (tmp_path / "ACME.toy.csv").write_text(rows)
  names = {}
  for block in _blocks(text, "python"):
    exec(compile(block, "extending.md", "exec"), names)
  assert names["stream"].name == "Toy ACME 2026-01-05"
  assert feeds.find_format("ACME.toy.csv") == "toy"
  assert names["result"].checked["trades"] == 1  # One order trades, twice.
  assert not any(names["result"].mismatches.values())
