"""The hyper-parameters of the order model."""

import dataclasses
from typing import Literal

from mars_jax.lmm.nn import config as config_lib
from mars_jax.lmm.order import heads
from mars_jax.tokens import features
from mars_jax.utils import checks

SECONDS_PER_ROW = 5  # Of the table of times of the inputs "ticks".


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmmConfig(config_lib.TransformerConfig):
  """Shape and arithmetic of one order model: a transformer, inputs and a head.

  Attributes:
    inputs: fields of a token beside the order, and their embedding
      (`tokens.features`): "levels", or "ticks" as in the released code.
    head: "factored" (kind, then price, volume and interval, each given those
      before it), the paper's "joint", one softmax over all orders, or another
      of `heads.HEADS`.
    has_book: whether a token has the book and its mid; if not, it is the order
      and the time.
    has_values: whether the price, volume and interval of an order are embedded
      as numbers too, besides their bins.
    session: of the inputs "ticks", the phases of trading, (start, stop) in
      seconds since midnight; by default those of Shanghai and Shenzhen. A time
      before or after them counts as the start or the end.
  """

  inputs: Literal["levels", "ticks"] = "levels"
  head: str = "factored"
  has_book: bool = True
  has_values: bool = True
  session: tuple[tuple[int, int], ...] = ((34_200, 41_400), (46_800, 54_000))

  def __post_init__(self):
    super().__post_init__()
    checks.one_of("inputs", self.inputs, features.SCHEMES)
    checks.one_of("head", self.head, heads.HEADS)
    # Lists, as JSON has them, cannot be hashed.
    phases = tuple(tuple(phase) for phase in self.session)
    object.__setattr__(self, "session", phases)
    times = [time for phase in phases for time in phase]
    is_pairs = all(len(phase) == 2 for phase in phases)
    if not is_pairs or times != sorted(set(times)):
      raise ValueError(
        f"session = {phases} must be (start, stop) pairs, one after another"
      )

  @property
  def num_times(self) -> int:
    """Rows of the table of times of the inputs "ticks"."""
    length = sum(stop - start for start, stop in self.session)
    return length // SECONDS_PER_ROW + 1
