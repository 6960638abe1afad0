"""What the documents show runs: the README's example and the notebooks."""

import json
import pathlib
import re

import matplotlib
import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_NOTEBOOKS = sorted((_ROOT / "colabs").glob("*.ipynb"))


pytestmark = pytest.mark.usefixtures("bitstamp_sample")


def test_the_examples_of_the_readme_run(capsys):
  text = (_ROOT / "README.md").read_text()
  forecast, book = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  assert len([line for line in forecast.splitlines() if line.strip()]) < 20
  exec(compile(forecast, "README.md", "exec"), {})
  assert len(re.findall(r"-?\d+", capsys.readouterr().out)) == 16
  exec(compile(book, "README.md", "exec"), {})
  assert capsys.readouterr().out == "5 [101   0   0   0]\n"


@pytest.mark.parametrize("path", _NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path, monkeypatch):
  monkeypatch.setenv("SMOKE_TEST", "1")
  matplotlib.use("agg")
  names = {}
  for cell in json.loads(path.read_text())["cells"]:
    assert len(cell["source"]) <= 15
    if cell["cell_type"] == "code":
      assert not cell["outputs"]
      source = "".join(cell["source"])
      source = re.sub(r"^(\s*)%pip.*", r"\1pass", source, flags=re.MULTILINE)
      exec(compile(source, path.name, "exec"), names)
