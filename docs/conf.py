"""Settings of the documentation site, which `make docs` builds."""

import pathlib
import shutil

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_COPIES = _ROOT / "docs" / "copies"
# Pages from outside of this folder, and the links to them.
_LINKS = {
  "](../colabs/": "](copies/",
  "](../mars_jax/demo/": "](copies/",
  "](tests/README.md)": "](copies/tests.md)",
  "](../docs/": "](../",
}

project = "mars_jax"
html_title = "mars_jax"
html_theme = "furo"
extensions = ["myst_nb"]
nb_execution_mode = "off"  # The tests run the notebooks.
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # Sections of the README start at two.


def setup(app) -> None:
  """Copies the pages from outside, and has links lead to the copies."""
  _COPIES.mkdir(exist_ok=True)
  for path in (
    *_ROOT.glob("colabs/*.ipynb"),
    _ROOT / "mars_jax" / "demo" / "card.md",
  ):
    shutil.copy(path, _COPIES)
  shutil.copy(_ROOT / "tests" / "README.md", _COPIES / "tests.md")
  app.connect("source-read", lambda app, name, text: _redirect(text))
  app.connect("include-read", lambda app, path, name, text: _redirect(text))


def _redirect(source: list[str]) -> None:
  """Replaces links in the text of a page."""
  for old, new in _LINKS.items():
    source[0] = source[0].replace(old, new)
