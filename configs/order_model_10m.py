r"""The order model of the paper's 10M: 9,973,312 parameters.

  python launch/train.py --config=configs/order_model_10m.py \
      --workdir=out/10m --data=out/data
  python launch/train.py --config=configs/order_model_10m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 2.58e+18
FLOPs, 14 minutes, 20.8 GiB on each. That is arithmetic: we have not run it at
this scale. So small a model will not reach 40 %, and reading 2**35 orders takes
longer.

`:official` is the architecture of the model released under this label, without
the two blocks of parameters that its code does not use.
"""

import pathlib
import runpy

import ml_collections

VARIANTS = ("", "tiny", "official")

_shared = runpy.run_path(
  str(pathlib.Path(__file__).with_name("order_model.py"))
)


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; order_model.py says what the variants are."""
  return _shared["make"](
    variant,
    model={
      "dim": 320,
      "num_layers": 8,
      "num_heads": 10,
      "num_kv_heads": 5,
      "head_dim": 32,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 8},
    official={"dim": 64, "num_layers": 2, "num_heads": 8},
  )
