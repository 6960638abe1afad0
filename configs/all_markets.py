r"""The order model of all markets, 2,517,632 parameters.

  python launch/prepare_data.py --out=out/data FILE...
  python launch/train.py --config=configs/all_markets.py --workdir=out/all \
      --data=out/data
  python launch/evaluate_loss.py --checkpoint=out/all --data=out/data \
      --split=test

4.1M tokens in 1,000 steps, nine epochs of the 453,118 orders that train on the
files of docs/results.md: 43 minutes of processor time, less than half of that
on two idle cores. It comes to 7.027 nats per order on the next hours and to
7.291 on the last ones (README). The depth and width are those of
configs/order_model.py:2m. "tiny" takes seconds.
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
        "path": "out/data",
        "market": "",
        "train_fraction": 2 / 3,
        "until": "",
        "book_capacity": 4096,
      },
      # `data.pipeline.BatchConfig`
      "batch": {
        "window_length": 513,
        "window_stride": 128,  # An epoch shows each order four times.
        "batch_size": 8,
      },
      # `lmm.LmmConfig`
      "model": {
        "dim": 192,
        "num_layers": 5,
        "num_heads": 6,
        "num_kv_heads": 3,
        "head_dim": 32,
        "mlp_dim": 576,
        # The alphabet that the results and the paper's are of.
        "alphabet": "mid",
        "inputs": "levels",
        "window": 256,
        "dropout": 0.2,
      },
      # `train.optimizer.OptimizerConfig`
      "optimizer": {
        "name": "muon",
        "learning_rate": 2.5e-3,
        "num_steps": 1000,
        "warmup_steps": 30,
        "weight_decay": 0.1,
        "beta2": 0.98,
        "max_grad_norm": 1.0,
      },
      # `train.trainer.TrainConfig`
      "train": {
        "seed": 0,
        "eval_every": 100,
        "checkpoint_every": 100,
        "max_to_keep": 1,
        "eval_orders": 16384,
        "max_skipped": 10,
        "tensorboard": False,
      },
      # `train.sharding.ParallelConfig`
      "parallel": {"model": 1, "strategy": "replicated", "accumulation": 1},
    }
  )
  if variant == "tiny":
    _shrink(config, num_layers=1, num_heads=2, num_kv_heads=1)
  return config.lock()
