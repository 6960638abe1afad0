"""The hyper-parameters of the order model."""

import dataclasses
from typing import Literal

from mars_jax.lmm.nn import config as config_lib
from mars_jax.lmm.order import heads
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import features
from mars_jax.utils import checks

SECONDS_PER_ROW = 5  # Of the table of times of the inputs "ticks".


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmmConfig(config_lib.TransformerConfig):
  """Shape and arithmetic of one order model: a transformer, inputs and a head.

  Attributes:
    alphabet: the fields of an order, of `alphabet.ALPHABETS`: "touch", counted
      from the best prices, or the paper's "mid".
    inputs: what a token tells beside the order, and its embedding
      (`tokens.features`): "depth", the five best levels and all behind them by
      distance; "levels", without the latter; or "ticks" as in the released
      code.
    head: "factored" (field after field of the alphabet, each given those before
      it), the paper's "joint", one softmax over all orders of the alphabet
      "mid", or another of `heads.HEADS`.
    has_book: whether a token has the book and its mid; if not, it is the order
      and the time.
    has_time: whether a token has the time of day. A model of a few days learns
      them by heart, and knows nothing of a time that it has not seen.
    has_values: whether the price, volume and interval of an order are embedded
      as numbers too, besides their bins.
    mirror: whether buyers and sellers are swapped in every second window of the
      training, by chance (`features.mirror`): there are few days, and a market
      has no reason to prefer a side.
    adaptation: the standard deviation, in nats, of the prior of the biases that
      are fitted to the orders before a start (`adaptation`); 0 for none.
    session: of the inputs "ticks", the phases of trading, (start, stop) in
      seconds since midnight; by default those of Shanghai and Shenzhen. A time
      before or after them counts as the start or the end.
  """

  alphabet: str = alphabet_lib.DEFAULT
  inputs: Literal["depth", "levels", "ticks"] = "depth"
  head: str = "factored"
  has_book: bool = True
  has_time: bool = True
  has_values: bool = True
  mirror: bool = False
  adaptation: float = 0.0
  session: tuple[tuple[int, int], ...] = ((34_200, 41_400), (46_800, 54_000))

  def __post_init__(self):
    super().__post_init__()
    checks.one_of("alphabet", self.alphabet, alphabet_lib.ALPHABETS)
    checks.one_of("inputs", self.inputs, ("depth", *features.SCHEMES))
    checks.one_of("head", self.head, heads.HEADS)
    checks.at_least(0, adaptation=self.adaptation)
    if self.adaptation and self.alphabet != "touch":
      raise ValueError("adaptation needs alphabet = 'touch'")
    if self.mirror and (self.alphabet != "touch" or self.inputs == "ticks"):
      raise ValueError(
        "mirror needs alphabet = 'touch', and the inputs 'depth' or 'levels'"
      )
    if self.head == "joint" and self.alphabet != "mid":
      raise ValueError(
        f"head = 'joint' needs alphabet = 'mid', not {self.alphabet!r}: one"
        " softmax over all orders of another would not fit into memory"
      )
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
  def fields(self) -> tuple[str, ...]:
    """The names of the fields of an order."""
    return alphabet_lib.ALPHABETS[self.alphabet].fields

  @property
  def field_sizes(self) -> tuple[int, ...]:
    """The number of symbols of each field."""
    return alphabet_lib.ALPHABETS[self.alphabet].sizes

  @property
  def scheme(self) -> str:
    """The scheme of volumes, `features.Tokenizer.scheme`."""
    return "ticks" if self.inputs == "ticks" else "levels"

  @property
  def num_times(self) -> int:
    """Rows of the table of times of the inputs "ticks"."""
    length = sum(stop - start for start, stop in self.session)
    return length // SECONDS_PER_ROW + 1
