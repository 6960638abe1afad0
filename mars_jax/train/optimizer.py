"""AdamW with warm-up, cosine decay and clipped gradients.

The paper says AdamW and no more; the rest is the common practice for
transformers. Vectors (norm scales) are not decayed.
"""

import dataclasses

import jax
import optax


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


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
  """Returns the optimizer."""
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adamw(
      make_schedule(config),
      b2=config.beta2,
      weight_decay=config.weight_decay,
      mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
    ),
  )
