"""The hyper-parameters of the order model."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from mars_jax.tokens import features

SECONDS_PER_ROW = 5  # Of the table of times of the inputs "ticks".


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmmConfig:
  """What fixes the shape and the arithmetic of one order model.

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
    dropout: probability, in [0, 1), of dropping an element of the embedding
      and of each sublayer's output in training.
    rope_base: base of the rotary frequencies; wavelengths go from 2 pi to
      about `2 pi * rope_base` tokens.
    inputs: what a token says of the book and how it is embedded
      (`tokens.features`): "levels", or "ticks" as the released code does.
    head: "factored" (kind, then price, volume and interval, each given those
      before it) or the paper's "joint", one softmax over all orders.
    has_book: whether a token says anything of the book and its mid; without, it
      is the order and the time.
    has_values: whether the price, volume and interval of an order are embedded
      as numbers too, besides their bins.
    qk_norm: whether queries and keys are normalised (RMSNorm over K).
    session: of the inputs "ticks", the phases of trading, (start, stop) in
      seconds since midnight; by default those of Shanghai and Shenzhen. A time
      before or after them counts as the start or the end.
    remat: whether the activations of a block are computed again for the
      gradient, and only its input kept.
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
  dropout: float = 0.0
  rope_base: float = 10_000.0
  inputs: Literal["levels", "ticks"] = "levels"
  head: Literal["factored", "joint"] = "factored"
  has_book: bool = True
  has_values: bool = True
  qk_norm: bool = True
  session: tuple[tuple[int, int], ...] = ((34_200, 41_400), (46_800, 54_000))
  remat: bool = False
  dtype: Literal["auto", "float32", "bfloat16"] = "auto"

  def __post_init__(self):
    for name in (
      "dim",
      "num_layers",
      "num_heads",
      "num_kv_heads",
      "head_dim",
      "mlp_dim",
      "window",
    ):
      value = getattr(self, name)
      if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer >= 1, not {value!r}")
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
        f"num_kv_heads = {self.num_kv_heads} must divide num_heads = "
        f"{self.num_heads}"
      )
    if self.head_dim % 2:
      raise ValueError(f"head_dim must be even, not {self.head_dim}")
    for name, choices in (
      ("inputs", features.SCHEMES),
      ("head", ("factored", "joint")),
      ("dtype", ("auto", "float32", "bfloat16")),
    ):
      if getattr(self, name) not in choices:
        raise ValueError(
          f"{name} = {getattr(self, name)!r} is none of {', '.join(choices)}"
        )
    if not 0.0 <= self.dropout < 1.0:
      raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")
    if not self.rope_base > 1.0:
      raise ValueError(f"rope_base must be > 1, not {self.rope_base}")
    # Lists, as JSON has them, are no part of what can be hashed.
    phases = tuple(tuple(phase) for phase in self.session)
    object.__setattr__(self, "session", phases)
    times = [time for phase in phases for time in phase]
    is_pairs = all(len(phase) == 2 for phase in phases)
    if not is_pairs or times != sorted(set(times)):
      raise ValueError(
        f"session = {phases} must be (start, stop) pairs, one after another"
      )

  @property
  def compute_dtype(self) -> jnp.dtype:
    """What parameters are cast to, and activations are of."""
    if self.dtype == "auto":
      is_accelerator = jax.default_backend() in ("gpu", "tpu")
      return jnp.dtype(jnp.bfloat16 if is_accelerator else jnp.float32)
    return jnp.dtype(self.dtype)

  @property
  def num_times(self) -> int:
    """Rows of the table of times of the inputs "ticks"."""
    length = sum(stop - start for start, stop in self.session)
    return length // SECONDS_PER_ROW + 1
