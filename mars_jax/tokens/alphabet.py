"""Alphabets: what an order is told by, as data.

An alphabet says which fields an order has, how many symbols each, what they are
measured against, and how many bins the market's numbers need. Bins, features,
heads, sampling, the simulator and the conversion of released weights read it.

  touch  the default (`tokens.touch`): counted from the best prices, exact
  mid    the paper's (`tokens.vocab`): 3 x 32 x 32 x 16, against the mid
"""

import collections.abc
import dataclasses

import jax

from mars_jax.tokens import touch
from mars_jax.tokens import vocab


@dataclasses.dataclass(frozen=True)
class Alphabet:
  """The fields of an order; static.

  Attributes:
    fields: their names; the last is the interval.
    sizes: symbols of each.
    num_bins: {field of `features.Tokenizer`: how many bins}, of those it needs.
    mirror: `(symbols) -> symbols` of the same orders with buyers and sellers
      swapped, where the alphabet can tell; else None.
    encode: `(tokenizer, order, *, place, mid, interval) -> symbols`, int32
      `[..., F]` of orders `[...]`.
  """

  fields: tuple[str, ...]
  sizes: tuple[int, ...]
  num_bins: dict[str, int]
  encode: collections.abc.Callable[..., jax.Array]
  mirror: collections.abc.Callable[[jax.Array], jax.Array] | None = None


DEFAULT = "touch"

ALPHABETS = {
  "touch": Alphabet(
    fields=touch.FIELDS,
    sizes=touch.FIELD_SIZES,
    num_bins={
      "volume": touch.NUM_VOLUMES,
      "interval": touch.NUM_INTERVALS,
      "level_volume": vocab.NUM_VOLUMES,
    },
    encode=touch.encode,
    mirror=touch.mirror,
  ),
  "mid": Alphabet(
    fields=vocab.FIELDS,
    sizes=vocab.FIELD_SIZES,
    num_bins={
      "price": vocab.NUM_PRICES,
      "volume": vocab.NUM_VOLUMES,
      "interval": vocab.NUM_INTERVALS,
      "level_volume": vocab.NUM_VOLUMES,
    },
    encode=vocab.encode,
  ),
}
"""The alphabets by name, `LmmConfig.alphabet`; a new one is added here."""
