"""What the configs of the order models of the paper's sizes have in common.

The paper trained eight (MarS, figure 3): 2M, 5M, 10M, 19M, 44M, 107M, 221M and
1.02B parameters, counted in units of 2**20 from 19M on, each on 2**35 order
tokens: 8,192 steps of 4,096 sequences of 1,024. So do configs/order_model_*.py,
with the default architecture of `lmm.LmmConfig`, which differs from the paper's
(docs/training.md). The paper's width and depth are only known of those that
were released, and most of the parameters of these are in the joint head; ours
are in the blocks. So at equal size ours are wider and deeper, and take more
arithmetic.

What the paper does not say is chosen here, not tuned, and the same for all:

* Muon, 256 steps of warm-up, decay 0.1, beta2 0.95, gradients clipped at 1.
* The peak learning rate is 4e-4 sqrt(2048 / dim): 4e-4 for the largest, which
  the name of one of the authors' checkpoints has, and more for narrower ones,
  half-way (on a log scale) between one for all and one over the width.
* `mlp_dim` is 2.75 dim (3 dim for 2M), and 2 to 4 query heads share a
  key/value head.
* A validation every 64 steps, as in the paper's figure, of 2**20 orders.
* Micro-batches for 8 devices of 80 GB; double `parallel.accumulation` to halve
  the memory of activations. It must divide the 4,096 sequences together with
  the devices on the data axis.

Variants: "" is that. "tiny" shrinks all dimensions, so that the same program
trains a few steps in seconds on a CPU, on the Bitstamp sample. "official",
where the paper's model was released, is the architecture of the released code,
into which its weights can be read.
"""

import math

import ml_collections

_MAX_LEARNING_RATE = 4e-4  # Of the widest.
_MAX_DIM = 2048
_TINY_MODEL = {
  "dim": 16,
  "num_layers": 2,
  "num_heads": 2,
  "num_kv_heads": 1,
  "head_dim": 8,
  "mlp_dim": 32,
  "window": 32,
}


def make(
  variant: str,
  *,
  model: dict,
  parallel: dict,
  official: dict | None = None,
) -> ml_collections.ConfigDict:
  """Returns a config.

  Args:
    variant: "", "tiny", or "official" if there is one.
    model: dim, num_layers, num_heads, num_kv_heads, head_dim, remat, and
      mlp_dim if it is not 2.75 dim.
    parallel: model, strategy and accumulation.
    official: dim, num_layers and num_heads of the released model, if any.
  """
  variants = ("", "tiny") + (("official",) if official else ())
  if variant not in variants:
    raise ValueError(f"variant {variant!r} is none of {variants}")
  if variant == "official":
    model = _official(**official)
  else:
    model = {"mlp_dim": model["dim"] * 11 // 4, "window": 1024, **model}
  config = ml_collections.ConfigDict(
    {
      # `data.dataset.DataConfig`
      "data": {
        "path": "out/data",
        "market": "",
        "train_fraction": 2 / 3,
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
      "parallel": parallel,  # `train.sharding.ParallelConfig`
    }
  )
  if variant == "tiny":
    _shrink(config)
  return config.lock()


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
    "inputs": "ticks",
    "head": "joint",
    "has_book": True,
    "has_values": False,
    "qk_norm": False,
    "remat": False,
  }


def _shrink(config: ml_collections.ConfigDict) -> None:
  """Makes a run of it that takes seconds on one device."""
  config.data.path = "bitstamp-sample"
  config.batch.update(window_length=65, window_stride=64, batch_size=4)
  config.model.update(_TINY_MODEL)
  config.optimizer.update(num_steps=20, warmup_steps=2)
  config.train.update(eval_every=10, checkpoint_every=10, eval_orders=1024)
  config.parallel.update(model=1, accumulation=2)
