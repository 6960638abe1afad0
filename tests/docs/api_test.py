"""The page of public names is up to date."""

import importlib
import pkgutil
import runpy

import mars_jax
from tests.support import paths

_GENERATOR = runpy.run_path(str(paths.ROOT / "docs" / "generate_api.py"))


def test_the_page_is_as_generated():
  found = (paths.ROOT / "docs" / "api.md").read_text()
  assert found == _GENERATOR["page"](), "docs/api.md is stale: run make docs"


def test_every_package_with_public_names_is_on_it():
  names = {
    module.name.removeprefix("mars_jax.")
    for module in pkgutil.walk_packages(mars_jax.__path__, "mars_jax.")
    if module.ispkg and hasattr(importlib.import_module(module.name), "__all__")
  }
  assert names == set(_GENERATOR["PACKAGES"])


def test_a_name_without_a_docstring_is_an_error():
  assert _GENERATOR["_summary"]("A | b.\n\nMore.") == "A \\| b."
  for doc in (None, ""):
    try:
      _GENERATOR["_summary"](doc)
    except ValueError:
      continue
    raise AssertionError(doc)
