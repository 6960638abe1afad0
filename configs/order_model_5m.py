r"""The order model of the paper's 5M: 4,930,560 parameters.

  python launch/train.py --config=configs/order_model_5m.py \
      --workdir=out/5m --data=out/data
  python launch/train.py --config=configs/order_model_5m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 1.33e+18
FLOPs, 7 minutes, 11.5 GiB on each. That is arithmetic: we have not run it at
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
      "dim": 256,
      "num_layers": 6,
      "num_heads": 4,
      "num_kv_heads": 2,
      "head_dim": 64,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 8},
    official={"dim": 32, "num_layers": 1, "num_heads": 4},
  )
