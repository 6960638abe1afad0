"""The demo model, trained by `configs/demo.py`; `card.md` says all about it."""

import pathlib

MODEL = pathlib.Path(__file__).parent / "model.npz"
