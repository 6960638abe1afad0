"""Where tests find the repository and the real days."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
DATA = pathlib.Path(os.environ.get("MARS_DATA_DIR") or SHARED / "data")


def real_day(name: str) -> pathlib.Path:
  """Returns the path of a file of `DATA`; skips the test without it."""
  path = DATA / name
  if not path.is_file():
    pytest.skip(f"needs {name} in MARS_DATA_DIR")
  return path
