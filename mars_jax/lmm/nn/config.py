"""Hyper-parameters of a transformer, whatever it models."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from mars_jax.utils import checks

_SIZES = (
  "dim",
  "num_layers",
  "num_heads",
  "num_kv_heads",
  "head_dim",
  "mlp_dim",
  "window",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
  """Shape and arithmetic of a decoder-only transformer.

  Attributes:
    dim: width D of the residual stream.
    num_layers: number of transformer blocks.
    num_heads: number of query heads H.
    num_kv_heads: number of key/value heads G, a divisor of `num_heads`; 1 is
      multi-query attention, whose cache is H times smaller and which decodes
      several times faster on a CPU.
    head_dim: width K of one head, even; `num_heads * head_dim` need not be
      `dim`.
    mlp_dim: hidden width F of the SwiGLU; 8/3 `dim` has as many parameters as
      a plain MLP of 4 `dim`.
    window: W, the tokens that a token attends to in one layer: itself and the
      `window - 1` before it. L layers see `L * (window - 1)` tokens back.
    short_window: W of all layers but the last, where only that one is to look
      far back; None for `window`.
    dropout: probability, in [0, 1), of dropping an element of the embedding
      and of each sublayer's output in training.
    rope_base: base of the rotary frequencies; wavelengths go from 2 pi to
      about `2 pi * rope_base` tokens.
    qk_norm: whether queries and keys are normalised (RMSNorm over K).
    remat: whether the backward pass recomputes the activations of a block, of
      which only the input is kept.
    dtype: of the arithmetic; "auto" is bfloat16 on a GPU or TPU, else float32.
      Parameters are float32, and so are softmaxes, norms' sums and the loss.
  """

  dim: int
  num_layers: int
  num_heads: int
  head_dim: int
  mlp_dim: int
  window: int
  num_kv_heads: int = 1
  short_window: int | None = None
  dropout: float = 0.0
  rope_base: float = 10_000.0
  qk_norm: bool = True
  remat: bool = False
  dtype: Literal["auto", "float32", "bfloat16"] = "auto"

  def __post_init__(self):
    for name in _SIZES:
      value = getattr(self, name)
      if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer >= 1, not {value!r}")
    short = self.short_window
    if short is not None and not 1 <= short <= self.window:
      raise ValueError(
        f"short_window = {short} must be from 1 to window = {self.window}"
      )
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
        f"num_kv_heads = {self.num_kv_heads} must divide num_heads = "
        f"{self.num_heads}"
      )
    if self.head_dim % 2:
      raise ValueError(f"head_dim must be even, not {self.head_dim}")
    checks.one_of("dtype", self.dtype, ("auto", "float32", "bfloat16"))
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")
    if not self.rope_base > 1.0:
      raise ValueError(f"rope_base must be > 1, not {self.rope_base}")

  @property
  def windows(self) -> tuple[int, ...]:
    """The window of each layer."""
    short = self.window if self.short_window is None else self.short_window
    return (*(short,) * (self.num_layers - 1), self.window)

  @property
  def compute_dtype(self) -> jnp.dtype:
    """Type of activations and of parameters in products."""
    if self.dtype == "auto":
      is_accelerator = jax.default_backend() in ("gpu", "tpu")
      return jnp.dtype(jnp.bfloat16 if is_accelerator else jnp.float32)
    return jnp.dtype(self.dtype)
