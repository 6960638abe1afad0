"""Where tests find the repository and the real days."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
DATA = pathlib.Path(os.environ.get("MARS_DATA_DIR") or SHARED / "data")
