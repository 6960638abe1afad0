"""The kinds of agent that a config file can name."""

import collections.abc
from typing import Any

from mars_jax import sim
from mars_jax import types
from mars_jax.sim import agents

KINDS = {
  "market_maker": agents.market_maker.make,
  "momentum": agents.momentum.make,
  "noise": agents.noise.make,
  "pov": agents.pov.make,
  "twap": agents.twap.make,
  "value": agents.value.make,
  "vwap": agents.vwap.make,
  "zero_intelligence": agents.zero_intelligence.make,
}
"""What makes each kind, of its fields; for `agents.replay` see its module."""

_SIDES = {"buy": types.Side.BID, "sell": types.Side.ASK}


def make(
  sections: collections.abc.Iterable[collections.abc.Mapping[str, Any]],
) -> tuple[sim.agents.Agent, ...]:
  """Returns agents of what a config says of them.

  Args:
    sections: of each `kind`, one of `KINDS`, and the fields that its `make`
      takes; `side` is "buy" or "sell", `delays` the fields of `agents.Delays`.

  Raises:
    ValueError: if there is no such kind, or a field or value of it is wrong.
  """
  made = []
  for section in sections:
    fields = dict(section)
    kind = fields.pop("kind", None)
    if kind not in KINDS:
      raise ValueError(
        f"agent of kind {kind!r}: it is none of {', '.join(KINDS)}"
      )
    try:
      if "side" in fields:
        fields["side"] = _side(fields["side"])
      if "delays" in fields:
        fields["delays"] = agents.Delays(**fields["delays"])
      made.append(KINDS[kind](**fields))
    except (TypeError, ValueError) as error:
      raise ValueError(f"agent {kind}: {error}") from error
  return tuple(made)


def _side(name: str) -> int:
  """Returns the `types.Side` of an order of that name."""
  if name not in _SIDES:
    raise ValueError(f"side must be {' or '.join(_SIDES)}, not {name!r}")
  return _SIDES[name]
