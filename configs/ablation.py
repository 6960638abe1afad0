r"""The variants of the order model for launch/ablation.py.

  python launch/prepare_data.py --out=out/ablation --train_fraction=0.85 \
      --valid_fraction=0.15 --test_instruments=AAPL,600961 FILE...
  python launch/ablation.py --data=out/ablation --out=out/ablation-runs

Every run sees the same 1.5M tokens, about three epochs of all files at hand, in
360 steps. A variant is a run:

  best          the paper's alphabet and five levels, with 0.18M parameters
  touch         the alphabet "touch" in place of the paper's
  depth         the defaults: that, and what rests behind the five levels
  order_only    nothing of the book (the paper's ablation, appendix B)
  ticks         what the released code says of the book
  bins_only     an order's fields as bins, not as numbers too
  adamw         in place of Muon for the matrices of the blocks
  qk_norm       normalised queries and keys

and at the size of the released 2M, which has 0.90M parameters in use:

  released_2m   its architecture: ticks, joint head, D = 16, one layer
  joint         the same joint head on the inputs of "best"
  factored      "best" with as many parameters
"""

import pathlib
import runpy

import ml_collections

_shrink = runpy.run_path(str(pathlib.Path(__file__).with_name("tiny.py")))[
  "shrink"
]

_SMALL = {"dim": 64, "num_layers": 3, "num_heads": 2, "mlp_dim": 176}
_LARGE = {"dim": 128, "num_layers": 4, "num_heads": 4, "mlp_dim": 320}
_RELEASED = {
  "dim": 16,
  "num_layers": 1,
  "num_heads": 2,
  "num_kv_heads": 2,
  "head_dim": 8,
  "mlp_dim": 64,
  "head": "joint",
}
_RUNS = {
  "best": _SMALL,
  "touch": {**_SMALL, "alphabet": "touch"},
  "depth": {**_SMALL, "alphabet": "touch", "inputs": "depth"},
  "order_only": {**_SMALL, "has_book": False},
  "ticks": {**_SMALL, "inputs": "ticks"},
  "bins_only": {**_SMALL, "has_values": False},
  "adamw": _SMALL,
  "qk_norm": {**_SMALL, "qk_norm": True},
  "released_2m": {
    **_RELEASED,
    "inputs": "ticks",
    "window": 1024,
    "has_values": False,
  },
  "joint": _RELEASED,
  "factored": _LARGE,
}
VARIANTS = ("", "tiny", *_RUNS)


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config of a run; "" is "best", and "tiny" takes seconds."""
  if variant not in VARIANTS:
    raise ValueError(f"variant {variant!r} is none of {VARIANTS}")
  run = variant if variant in _RUNS else "best"
  config = ml_collections.ConfigDict(
    {
      # `data.dataset.DataConfig`
      "data": {
        "path": "out/ablation",
        "market": "",
        "train_fraction": 2 / 3,
        "until": "",
        "book_capacity": 4096,
      },
      # `data.pipeline.BatchConfig`
      "batch": {
        "window_length": 513,
        "window_stride": 128,
        "batch_size": 8,
      },
      # `lmm.LmmConfig`
      "model": {
        "num_kv_heads": 1,
        "head_dim": 32,
        "window": 256,
        "dropout": 0.1,
        "alphabet": "mid",
        "inputs": "levels",
        "head": "factored",
        "has_book": True,
        "has_values": True,
        "qk_norm": False,
        **_RUNS[run],
      },
      # `train.optimizer.OptimizerConfig`
      "optimizer": {
        "name": "adamw" if run in ("adamw", "released_2m") else "muon",
        # Models of 16 dimensions do better at the higher rate.
        "learning_rate": 1e-2 if _RUNS[run]["dim"] == 16 else 3e-3,
        "num_steps": 360,
        "warmup_steps": 30,
        "weight_decay": 0.1,
        "beta2": 0.98,
        "max_grad_norm": 1.0,
      },
      # `train.trainer.TrainConfig`
      "train": {
        "seed": 0,
        "eval_every": 60,
        "checkpoint_every": 60,
        "max_to_keep": 1,
        "eval_orders": 2048,
        "max_skipped": 10,
        "tensorboard": False,
      },
      # `train.sharding.ParallelConfig`
      "parallel": {"model": 1, "strategy": "replicated", "accumulation": 1},
    }
  )
  if config.model.window > 512:  # A window shows more than it sees at once.
    config.batch.update(window_length=1025, window_stride=256, batch_size=4)
  if variant == "tiny":
    _shrink(config, num_layers=1)
  return config.lock()
