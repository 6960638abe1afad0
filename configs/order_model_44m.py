r"""The order model of the paper's 44M: 46,899,712 parameters.

  python launch/train.py --config=configs/order_model_44m.py \
      --workdir=out/44m --data=out/data
  python launch/train.py --config=configs/order_model_44m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 1.14e+19
FLOPs, 1.0 hours, 12.2 GiB on each. That is arithmetic: we have not run it at
this scale.
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
      "dim": 512,
      "num_layers": 16,
      "num_heads": 8,
      "num_kv_heads": 2,
      "head_dim": 64,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 32},
  )
