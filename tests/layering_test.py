"""Each package imports only those that stand below it."""

import ast
import pathlib

import pytest

import mars_jax

_ROOT = pathlib.Path(mars_jax.__file__).parent
_GROUND = {"types", "utils"}
_REPLAY = _GROUND | {"lob", "records", "feeds"}
_DATA = _REPLAY | {"tokens", "replay"}
_SIM = _GROUND | {"lob", "records", "tokens"}
_ALLOWED = {
  "__init__": {"baselines"},  # It registers its format.
  "types": set(),
  "utils": {"types"},
  "lob": _GROUND,
  "records": _GROUND,
  "tokens": _GROUND | {"records"},
  "feeds": _GROUND,
  "replay": _REPLAY,
  "data": _DATA,
  "lmm": _GROUND | {"tokens"},
  "baselines": _DATA | {"data", "lmm"},
  "train": _DATA | {"data", "lmm", "baselines"},
  "sim": _SIM,
  "evals": _DATA | {"sim"},
  "apps": _DATA | {"data", "lmm", "baselines", "train", "sim", "evals", "demo"},
  "demo": set(),
}
_LINEN = {
  *("lmm/order/embed.py", "lmm/order/heads.py", "lmm/nn/layers.py"),
  "evals/discriminator.py",
}
_FILES = sorted(_ROOT.rglob("*.py"))


def _imports(path):
  """Full names of all modules and names that a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}: relative import"
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _package(path):
  """The package of a file, by its first part below the root."""
  return path.relative_to(_ROOT).parts[0].removesuffix(".py")


def test_every_package_has_its_place():
  packages = {_package(path) for path in _FILES} - {"__init__"}
  assert packages <= _ALLOWED.keys()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_imports_only_what_stands_below(path):
  package = _package(path)
  allowed = _ALLOWED.get(package, set()) | {package}
  for name in _imports(path):
    if name.startswith("mars_jax."):
      assert name.split(".")[1] in allowed, f"{path} imports {name}"


def test_the_transformer_knows_no_model():
  for path in _FILES:
    if path.is_relative_to(_ROOT / "lmm" / "nn"):
      for name in _imports(path):
        assert not name.startswith("mars_jax.lmm") or ".nn." in f"{name}.", path


def test_linen_stays_in_the_network_files():
  found = {
    str(path.relative_to(_ROOT))
    for path in _FILES
    if any(name.startswith("flax.linen") for name in _imports(path))
  }
  assert found <= _LINEN
