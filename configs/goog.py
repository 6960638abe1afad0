r"""An order model of one day of a stock: trained to 13:33, validated to 14:00.

  python launch/train.py --config=configs/goog.py --workdir=out/goog \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip

LOBSTER's free sample of GOOG is at
https://lobsterdata.com/info/DataSamples.php; another day of a stock that trades
from 9:30 on goes too. Nothing after 14:00 is seen, so that
launch/evaluate.py can score the rest of the day.
"""

import pathlib
import runpy

import ml_collections

_demo = runpy.run_path(str(pathlib.Path(__file__).with_name("demo.py")))

VARIANTS = ("", "tiny")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; `variant` is "" or "tiny"."""
  config = _demo["get_config"](variant).unlock()
  config.data.update(
    path="LOBSTER_SampleFile_GOOG_2012-06-21_10.zip",
    train_fraction=0.9,
    until="14:00:00",
  )
  if not variant:
    config.model.update(dim=128, num_layers=3, num_heads=4, mlp_dim=352)
    config.model.update(mirror=True, has_time=False, adaptation=0.3)
    config.optimizer.update(num_steps=700, learning_rate=2e-3)
    config.train.update(eval_every=100, eval_orders=8192)
  return config.lock()
