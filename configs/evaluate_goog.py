r"""Training on a stock's morning, and the afternoon's score.

  python launch/evaluate.py --config=configs/evaluate_goog.py \
      --workdir=out/goog --out=out/goog-realism --export=out/goog-sequences

The day is LOBSTER's free sample of GOOG (see configs/goog.py); --data names
another. Nothing after 14:00 is seen before it is scored.
"""

import pathlib
import runpy

import ml_collections

_goog = runpy.run_path(str(pathlib.Path(__file__).with_name("goog.py")))

VARIANTS = _goog["VARIANTS"]


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; `variant` is "" or "tiny"."""
  config = _goog["get_config"](variant).unlock()
  config.test_from = "14:30:00"
  return config.lock()
