"""AdamW with warm-up, cosine decay and clipped gradients.

The paper says AdamW and no more; the rest is the common practice for
transformers. Vectors (norm scales) are not decayed.
"""

import dataclasses
import functools

import jax
import optax

from mars_jax import lmm


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """Hyper-parameters of the optimizer.

  Attributes:
    learning_rate: at its peak, after the warm-up.
    num_steps: steps of the whole run; the rate has then decayed to a tenth.
    warmup_steps: steps of linear warm-up.
    weight_decay: of matrices and tables, per unit of learning rate.
    beta2: decay of the second moment.
    max_grad_norm: gradients of a larger global norm are scaled down to it.
  """

  learning_rate: float
  num_steps: int
  warmup_steps: int
  weight_decay: float
  beta2: float
  max_grad_norm: float

  def __post_init__(self):
    for name in ("learning_rate", "max_grad_norm"):
      if not getattr(self, name) > 0:
        raise ValueError(f"{name} = {getattr(self, name)} must be positive")
    if not self.weight_decay >= 0:
      raise ValueError(f"weight_decay = {self.weight_decay} must be >= 0")
    if not 0 <= self.beta2 < 1:
      raise ValueError(f"beta2 = {self.beta2} must be in [0, 1)")
    if not 0 <= self.warmup_steps < self.num_steps:
      raise ValueError(
        f"warmup_steps = {self.warmup_steps} must be less than num_steps ="
        f" {self.num_steps}"
      )


def make_schedule(config: OptimizerConfig) -> optax.Schedule:
  """Returns the learning rate as a function of the step."""
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=config.num_steps,
    end_value=config.learning_rate / 10,
  )


@functools.cache  # Its identity is part of what a jitted step is known by.
def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
  """Returns the optimizer."""
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adamw(
      make_schedule(config),
      b2=config.beta2,
      weight_decay=config.weight_decay,
      mask=_is_decayed,
    ),
  )


def _is_decayed(params: lmm.Params) -> lmm.Params:
  """Tells matrices and tables from norm scales, which blocks have stacked."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key != "scale", params
  )
