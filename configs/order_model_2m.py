r"""The order model of the paper's 2M: 2,517,632 parameters.

  python launch/train.py --config=configs/order_model_2m.py \
      --workdir=out/2m --data=out/data
  python launch/train.py --config=configs/order_model_2m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 7.14e+17
FLOPs, 4 minutes, 9.6 GiB on each. That is arithmetic: we have not run it at
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
      "dim": 192,
      "num_layers": 5,
      "num_heads": 6,
      "num_kv_heads": 3,
      "head_dim": 32,
      "mlp_dim": 576,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 8},
    official={"dim": 16, "num_layers": 1, "num_heads": 2},
  )
