r"""The order models of the paper's sizes, as a table.

  python launch/train.py --config=configs/order_model.py:10m \
      --workdir=out/10m --data=out/data
  python launch/train.py --config=configs/order_model.py:10m --dry_run \
      --devices=8 --device_kind=H100
  python launch/train.py --config=configs/order_model.py:10m,tiny \
      --workdir=out/tiny

The argument is a size, and after a comma "tiny" or "official" if wanted. "tiny"
shrinks all dimensions, so that the same program trains a few steps in seconds
on a CPU, on the Bitstamp sample. "official", of 2m, 5m and 10m, is the
architecture of the released code, into which its weights can be read, without
the two blocks of parameters that this code does not use.

The paper trained eight (MarS, figure 3): 2M, 5M, 10M, 19M, 44M, 107M, 221M and
1.02B parameters, counted in units of 2**20 from 19M on, each on 2**35 order
tokens: 8,192 steps of 4,096 sequences of 1,024. So do these, with the default
architecture of `lmm.LmmConfig`, which differs from the paper's
(docs/training.md). Their plan for 8 H100 at 40 % of their peak, by the second
command:

  size     parameters     FLOPs      time          memory of each
  2m        2,517,632     7.14e+17   4 minutes      9.6 GiB
  5m        4,930,560     1.33e+18   7 minutes     11.5 GiB
  10m       9,973,312     2.58e+18   14 minutes    20.8 GiB
  19m      20,376,960     5.16e+18   27 minutes    14.3 GiB
  44m      46,899,712     1.14e+19   1.0 hours     12.2 GiB
  107m    113,358,208     2.61e+19   2.3 hours     19.9 GiB
  221m    232,220,672     5.22e+19   4.6 hours     29.5 GiB
  1b    1,063,186,176     2.29e+20   20.1 hours    27.1 GiB

That is arithmetic: we have not run them at this scale. Models up to 19m will
not reach 40 %, and reading 2**35 orders takes longer. The blocks of 1b are
computed again for the gradient, so that micro-batches can be large and the
parameters, which are cut over the devices, are gathered seldom; two devices
share each block.

The paper's width and depth are only known of those that were released, and most
of the parameters of these are in the joint head; ours are in the blocks. So at
equal size ours are wider and deeper, and take more arithmetic.

What the paper does not say is chosen here, not tuned, and the same for all:

* Muon, 256 steps of warm-up, decay 0.1, beta2 0.95, gradients clipped at 1.
* The peak learning rate is 4e-4 sqrt(2048 / dim): 4e-4 for the largest, which
  the name of one of the authors' checkpoints has, and more for narrower ones,
  half-way (on a log scale) between one for all and one over the width.
* `mlp_dim` is 2.75 dim (3 dim for 2m), and 2 to 4 query heads share a
  key/value head.
* A validation every 64 steps, as in the paper's figure, of 2**20 orders.
* Micro-batches for 8 devices of 80 GB; double `parallel.accumulation` to halve
  the memory of activations. It must divide the 4,096 sequences together with
  the devices on the data axis.
"""

import dataclasses
import math
import pathlib
import runpy

import ml_collections

_shrink = runpy.run_path(str(pathlib.Path(__file__).with_name("tiny.py")))[
  "shrink"
]


@dataclasses.dataclass(frozen=True)
class _Size:
  """A row of the table.

  Attributes:
    dim, num_layers, num_heads, num_kv_heads, head_dim: of the model.
    accumulation: micro-batches of a step.
    mlp_dim: hidden width; 2.75 dim if None.
    remat: whether blocks are computed again for the gradient.
    model, strategy: how the work is spread over devices.
    official: dim, layers and heads of the released model, if any.
  """

  dim: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  accumulation: int
  mlp_dim: int | None = None
  remat: bool = False
  model: int = 1
  strategy: str = "zero2"
  official: tuple[int, int, int] | None = None


SIZES = {
  "2m": _Size(192, 5, 6, 3, 32, 8, mlp_dim=576, official=(16, 1, 2)),
  "5m": _Size(256, 6, 4, 2, 64, 8, official=(32, 1, 4)),
  "10m": _Size(320, 8, 10, 5, 32, 8, official=(64, 2, 8)),
  "19m": _Size(384, 12, 6, 2, 64, 16),
  "44m": _Size(512, 16, 8, 2, 64, 32),
  "107m": _Size(768, 17, 12, 4, 64, 32),
  "221m": _Size(1024, 20, 8, 2, 128, 32),
  "1b": _Size(2048, 23, 16, 4, 128, 16, remat=True, model=2, strategy="fsdp"),
}
VARIANTS = tuple(
  f"{name}{variant}"
  for name, size in SIZES.items()
  for variant in ("", ",tiny", *([",official"] if size.official else []))
)

_MAX_LEARNING_RATE = 4e-4  # Of the widest.
_MAX_DIM = 2048


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config of a size: "10m", "10m,tiny" or "10m,official"."""
  if variant not in VARIANTS:
    raise ValueError(
      f"variant {variant!r} is no size of the table; give"
      f" --config=configs/order_model.py:SIZE with one of {', '.join(VARIANTS)}"
    )
  name, _, change = variant.partition(",")
  size = SIZES[name]
  model = _official(*size.official) if change == "official" else _model(size)
  config = ml_collections.ConfigDict(
    {
      # `data.dataset.DataConfig`
      "data": {
        "path": "out/data",
        "market": "",
        "train_fraction": 2 / 3,
        "until": "",
        "book_capacity": 4096,
      },
      # `data.pipeline.BatchConfig`
      "batch": {
        "window_length": 1025,  # 1,024 orders are scored.
        "window_stride": 1024,
        "batch_size": 4096,
      },
      "model": model,  # `lmm.LmmConfig`
      # `train.optimizer.OptimizerConfig`
      "optimizer": {
        "name": "muon",
        "learning_rate": _MAX_LEARNING_RATE
        * math.sqrt(_MAX_DIM / model["dim"]),
        "num_steps": 8192,
        "warmup_steps": 256,
        "weight_decay": 0.1,
        "beta2": 0.95,
        "max_grad_norm": 1.0,
      },
      # `train.trainer.TrainConfig`
      "train": {
        "seed": 0,
        "eval_every": 64,
        "checkpoint_every": 256,
        "max_to_keep": 2,
        "eval_orders": 2**20,
        "max_skipped": 10,
        "tensorboard": False,
      },
      # `train.sharding.ParallelConfig`
      "parallel": {
        "model": size.model,
        "strategy": size.strategy,
        "accumulation": size.accumulation,
      },
    }
  )
  if change == "tiny":
    config.data.path = "bitstamp-sample"
    _shrink(config, num_layers=2, num_heads=2, num_kv_heads=1)
    config.train.eval_orders = 1024
    config.parallel.update(model=1, accumulation=2)
  return config.lock()


def _model(size: _Size) -> dict:
  """Returns the architecture of a row."""
  return {
    "dim": size.dim,
    "num_layers": size.num_layers,
    "num_heads": size.num_heads,
    "num_kv_heads": size.num_kv_heads,
    "head_dim": size.head_dim,
    "mlp_dim": size.mlp_dim or size.dim * 11 // 4,
    "window": 1024,
    # The paper's alphabet, so that nats per order compare with its figure.
    "alphabet": "mid",
    "inputs": "levels",
    "remat": size.remat,
  }


def _official(dim: int, num_layers: int, num_heads: int) -> dict:
  """Returns the architecture of the released code.

  Its dropout, 0.1, is on the attention weights, where ours has none.
  """
  return {
    "dim": dim,
    "num_layers": num_layers,
    "num_heads": num_heads,
    "num_kv_heads": num_heads,
    "head_dim": dim // num_heads,
    "mlp_dim": 4 * dim,
    "window": 1024,
    "alphabet": "mid",
    "inputs": "ticks",
    "head": "joint",
    "has_book": True,
    "has_values": False,
    "qk_norm": False,
    "remat": False,
  }
