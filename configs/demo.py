r"""The demo model: one market, two CPU cores, minutes.

The model that ships with the package was trained by
  python launch/train.py --config=configs/demo.py --workdir=out/demo
see its card (mars_jax/demo/card.md) for what came out. `:tiny` shrinks it to
seconds, to try things out:
  python launch/train.py --config=configs/demo.py:tiny --workdir=out/tiny
With a data set of many days, which has splits of its own, --data is its folder:
  python launch/prepare_data.py --out=out/data bitstamp-sample
  python launch/train.py --config=configs/demo.py --workdir=out/all \
      --data=out/data
"""

import pathlib
import runpy

import ml_collections

_shrink = runpy.run_path(str(pathlib.Path(__file__).with_name("tiny.py")))[
  "shrink"
]

VARIANTS = ("", "tiny")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; `variant` is "" or "tiny"."""
  if variant not in VARIANTS:
    raise ValueError(f"variant {variant!r} is none of {VARIANTS}")
  config = ml_collections.ConfigDict(
    {
      # `data.dataset.DataConfig`
      "data": {
        "path": "bitstamp-sample",
        "market": "",
        "train_fraction": 2 / 3,
        "until": "",
        "book_capacity": 4096,
      },
      # `data.pipeline.BatchConfig`
      "batch": {
        "window_length": 513,
        "window_stride": 64,
        "batch_size": 16,
      },
      # `lmm.LmmConfig`
      "model": {
        "dim": 64,
        "num_layers": 3,
        "num_heads": 2,
        "num_kv_heads": 1,
        "head_dim": 32,
        "mlp_dim": 176,
        "window": 256,
        "dropout": 0.3,
        "has_time": False,
        "mirror": True,
      },
      # `train.optimizer.OptimizerConfig`
      "optimizer": {
        "name": "muon",
        "learning_rate": 3e-3,
        "num_steps": 400,
        "warmup_steps": 30,
        "weight_decay": 0.3,
        "beta2": 0.98,
        "max_grad_norm": 1.0,
      },
      # `train.trainer.TrainConfig`
      "train": {
        "seed": 0,
        "eval_every": 50,
        "checkpoint_every": 100,
        "max_to_keep": 2,
        "eval_orders": 0,
        "max_skipped": 10,
        "tensorboard": False,
      },
      # `train.sharding.ParallelConfig`
      "parallel": {"model": 1, "strategy": "replicated", "accumulation": 1},
    }
  )
  if variant == "tiny":
    _shrink(config, num_layers=1)
  return config.lock()
