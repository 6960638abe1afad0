r"""The order model of the paper's 19M: 20,376,960 parameters.

  python launch/train.py --config=configs/order_model_19m.py \
      --workdir=out/19m --data=out/data
  python launch/train.py --config=configs/order_model_19m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 5.16e+18
FLOPs, 27 minutes, 14.3 GiB on each. That is arithmetic: we have not run it at
this scale. So small a model will not reach 40 %, and reading 2**35 orders takes
longer.
"""

import pathlib
import runpy

import ml_collections

VARIANTS = ("", "tiny")

_shared = runpy.run_path(
  str(pathlib.Path(__file__).with_name("order_model.py"))
)


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; order_model.py says what the variants are."""
  return _shared["make"](
    variant,
    model={
      "dim": 384,
      "num_layers": 12,
      "num_heads": 6,
      "num_kv_heads": 2,
      "head_dim": 64,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 16},
  )
