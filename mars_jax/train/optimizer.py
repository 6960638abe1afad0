"""AdamW or Muon, with warm-up, cosine decay and clipped gradients.

The paper says AdamW and no more; the rest is the common practice for
transformers. Vectors (norm scales) are not decayed.

Muon (Jordan et al., 2024) orthogonalises the momentum of the matrices of the
blocks; everything else (tables, heads, norms) stays with AdamW, with Nesterov's
momentum. Its updates are scaled to the root mean square of AdamW's (Liu et al.,
arXiv:2502.16982), so that one learning rate serves both. It is the default as
README.md's table has it ahead.
"""

import dataclasses
import functools
from typing import Literal

import jax
import optax
from optax import contrib

from mars_jax import lmm
from mars_jax.utils import checks

_MUON_RMS = 0.2  # Of a step at learning rate 1, as AdamW's are.
_MATRICES = {
  # The axes of `lmm.layers.Block`'s kernels that are summed over, and those of
  # the result; the layers, and the gates and what they gate, stay apart.
  "qkv": contrib.MuonDimensionNumbers((1,), (2, 3, 4)),
  "attention_out": contrib.MuonDimensionNumbers((1, 2), (3,)),
  "gate_up": contrib.MuonDimensionNumbers((1,), (3,)),
  "down": contrib.MuonDimensionNumbers((1,), (2,)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """Hyper-parameters of the optimizer.

  Attributes:
    name: "adamw", or "muon" for the matrices of the blocks.
    learning_rate: at its peak, after the warm-up.
    num_steps: steps of the whole run; the rate has then decayed to a tenth.
    warmup_steps: steps of linear warm-up.
    weight_decay: of matrices and tables, per unit of learning rate.
    beta2: decay of the second moment.
    max_grad_norm: gradients of a larger global norm are scaled down to it.
  """

  name: Literal["adamw", "muon"] = "muon"
  learning_rate: float
  num_steps: int
  warmup_steps: int
  weight_decay: float
  beta2: float
  max_grad_norm: float

  def __post_init__(self):
    checks.one_of("name", self.name, ("adamw", "muon"))
    for name in ("learning_rate", "max_grad_norm"):
      if not getattr(self, name) > 0:
        raise ValueError(f"{name} = {getattr(self, name)} must be positive")
    checks.at_least(0, weight_decay=self.weight_decay)
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
    _direction(config),
    optax.add_decayed_weights(config.weight_decay, _is_decayed),
    optax.scale_by_learning_rate(make_schedule(config)),
  )


def _direction(config: OptimizerConfig) -> optax.GradientTransformation:
  """Returns the update rule at a learning rate of 1."""
  if config.name == "adamw":
    return optax.scale_by_adam(b2=config.beta2)
  muon = contrib.muon(
    1.0,
    adam_b2=config.beta2,
    muon_weight_dimension_numbers=_dimension_numbers,
    consistent_rms=_MUON_RMS,
  )
  return optax.chain(muon, optax.scale(-1.0))  # Uphill again.


def _dimension_numbers(params: lmm.Params):
  """Returns how `contrib.muon` reads each matrix, None for other leaves."""

  def numbers(path, leaf):
    names = [key.key for key in path]
    is_matrix = names[0] == "blocks" and names[1] in _MATRICES
    return _MATRICES[names[1]] if is_matrix else None

  return jax.tree_util.tree_map_with_path(numbers, params)


def _is_decayed(params: lmm.Params) -> lmm.Params:
  """Marks matrices and tables, but not norm scales.

  Scales of blocks are stacked, so rank does not distinguish them.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key != "scale", params
  )
