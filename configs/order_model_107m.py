r"""The order model of the paper's 107M: 113,358,208 parameters.

  python launch/train.py --config=configs/order_model_107m.py \
      --workdir=out/107m --data=out/data
  python launch/train.py --config=configs/order_model_107m.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 2.61e+19
FLOPs, 2.3 hours, 19.9 GiB on each. That is arithmetic: we have not run it at
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
      "dim": 768,
      "num_layers": 17,
      "num_heads": 12,
      "num_kv_heads": 4,
      "head_dim": 64,
      "remat": False,
    },
    parallel={"model": 1, "strategy": "zero2", "accumulation": 32},
  )
