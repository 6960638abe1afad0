r"""Sizes and token budgets for launch/scaling_law.py, on two CPU cores.

  python launch/scaling_law.py --config=configs/scaling.py --data=out/data \
      --out=out/scaling --plot=out/scaling.png

Each of five sizes is trained with each of four budgets, on a cosine schedule of
its own, but for what takes more than `sweep.max_flops`: 19 runs, by arithmetic
25 minutes on two idle cores. `:gpu` has two sizes more and leaves nothing out.
`:tiny` takes seconds and finds nothing, to try things out.

* `sweep.sizes` have 27,720, 117,792, 419,808, 1,391,136 and 4,930,176
  parameters, with two to six layers and `mlp_dim` 3 dim.
* Muon, since with AdamW larger models lost to smaller ones in so few steps: on
  500,000 orders of five markets 50k came to 8.65 nats and 500k to 8.83 (the
  better of two rates). With Muon, on 250,000, it was 8.86 and 8.71.
* The peak learning rate is `optimizer.learning_rate` at `model.dim`, and goes
  with `dim ** sweep.learning_rate_power` elsewhere. The norm of Muon's step of
  a matrix grows with the root of its width, which asks for a power of -0.5;
  rows of tables ask for 0. -0.25 is half-way, and not tuned.
* A step is 2 windows of 512 orders: small, since steps, not orders, are what
  short runs lack. Windows do not overlap, so that an epoch shows each order
  once.
* No dropout, as long as budgets are few epochs.
"""

import ml_collections

VARIANTS = ("", "gpu", "tiny")

_SIZES = {
  # Name: dim, num_layers, num_heads, head_dim.
  "28k": (24, 2, 2, 12),
  "118k": (48, 3, 2, 24),
  "420k": (96, 3, 3, 32),
  "1400k": (160, 4, 5, 32),
  "5M": (256, 6, 8, 32),
}
_GPU_SIZES = {"15M": (384, 8, 12, 32), "50M": (640, 10, 10, 64)}
_TINY_SIZES = {"a": (8, 1, 1, 8), "b": (12, 1, 1, 8), "c": (16, 1, 2, 8)}


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; `variant` is "", "gpu" or "tiny"."""
  if variant not in VARIANTS:
    raise ValueError(f"variant {variant!r} is none of {VARIANTS}")
  sizes = {"": _SIZES, "gpu": _SIZES | _GPU_SIZES, "tiny": _TINY_SIZES}[variant]
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
        "window_stride": 512,
        "batch_size": 2,
      },
      # `lmm.LmmConfig`; a size overrides some.
      "model": {
        **_model(*_SIZES["420k"]),
        "num_kv_heads": 1,
        # The alphabet that the results and the paper's are of.
        "alphabet": "mid",
        "inputs": "levels",
        "window": 256,
        "dropout": 0.0,
      },
      # `train.optimizer.OptimizerConfig`; steps and warm-up follow from the
      # budget, the rate from the size.
      "optimizer": {
        "name": "muon",
        "learning_rate": 1e-2,
        "num_steps": 1000,
        "warmup_steps": 100,
        "weight_decay": 0.1,
        "beta2": 0.98,
        "max_grad_norm": 1.0,
      },
      # `train.trainer.TrainConfig`; a run is scored when it is done.
      "train": {
        "seed": 0,
        "eval_every": 1_000_000,
        "checkpoint_every": 200,
        "max_to_keep": 1,
        "eval_orders": 256,
      },
      "parallel": {"model": 1, "strategy": "replicated", "accumulation": 1},
      "sweep": {
        # What each size overrides in `model`.
        "sizes": {name: _model(*shape) for name, shape in sizes.items()},
        "budgets": (125_000, 250_000, 500_000, 1_000_000),  # Orders.
        "max_flops": 2e13,  # Of a run.
        "learning_rate_power": -0.25,
        "warmup_share": 0.1,  # Of the steps.
        "max_orders": 16_384,  # Of each market, to score a run; 0 for all.
        # For estimates of the time: tables and norms, the rest, and what comes
        # once a run (compilation, scores). Of two cores.
        "seconds_per_token": 5e-5,
        "utilisation": 0.5,
        "seconds_per_run": 15.0,
      },
    }
  )
  if variant == "gpu":
    config.sweep.max_flops = float("inf")
  if variant == "tiny":
    config.batch.update(window_length=33, window_stride=32)
    config.model.window = 16
    config.sweep.update(budgets=(512, 1024, 2048), max_orders=512)
  return config.lock()


def _model(dim, num_layers, num_heads, head_dim) -> dict[str, int]:
  """Returns the shape of a model."""
  return {
    "dim": dim,
    "num_layers": num_layers,
    "num_heads": num_heads,
    "head_dim": head_dim,
    "mlp_dim": 3 * dim,
  }
