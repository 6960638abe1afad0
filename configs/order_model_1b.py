r"""The order model of the paper's 1.02B: 1,063,186,176 parameters.

  python launch/train.py --config=configs/order_model_1b.py \
      --workdir=out/1b --data=out/data
  python launch/train.py --config=configs/order_model_1b.py --dry_run \
      --devices=8 --device_kind=H100

The second command plans the first for 8 H100 at 40 % of their peak: 2.29e+20
FLOPs, 20.1 hours, 27.1 GiB on each. That is arithmetic: we have not run it at
this scale. Blocks are computed again for the gradient, so that micro-batches
can be large and the parameters, which are cut over the devices, are gathered
seldom; two devices share each block.
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
      "dim": 2048,
      "num_layers": 23,
      "num_heads": 16,
      "num_kv_heads": 4,
      "head_dim": 128,
      "remat": True,
    },
    parallel={"model": 2, "strategy": "fsdp", "accumulation": 16},
  )
