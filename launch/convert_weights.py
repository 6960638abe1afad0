r"""Converts the weights released by MarS to a model file.

The weights are a safetensors file, or fetched from the Hugging Face hub by
their size; the bin converters likewise. Needs the extra `import`.

  python launch/convert_weights.py --size=10m --out=model.npz
  python launch/convert_weights.py --weights=model.safetensors \
      --converters=converters --out=model.npz

The result is what --model of launch/forecast.py and --checkpoint of
launch/evaluate_loss.py take, and its logits are those of the released code
(mars_jax/lmm/convert.py says up to what). Nothing of the converters, which are
pickles, is run.
"""

import dataclasses
import pathlib

import common
import numpy as np
from absl import flags

from mars_jax import lmm
from mars_jax.lmm.released import bins
from mars_jax.lmm.released import weights

_WEIGHTS = flags.DEFINE_string(
  "weights", None, "A safetensors file; a config.json beside it is read too."
)
_SIZE = flags.DEFINE_enum(
  "size", None, list(weights.REPOSITORIES), "The weights to fetch instead."
)
_CONVERTERS = flags.DEFINE_string(
  "converters",
  None,
  "The folder of the bin converters; fetched if not given.",
)
_NUM_HEADS = flags.DEFINE_integer(
  "num_heads",
  None,
  "Attention heads; by default those of config.json, else as many as have 8"
  " dimensions, which is right for the 2m.",
  1,
)
_WINDOW = flags.DEFINE_integer(
  "window",
  None,
  "Orders seen at once; by default those of config.json, else 1024.",
  1,
)
_TICK_SIZE = flags.DEFINE_integer(
  "tick_size", 100, "Of the market, in 0.0001 yuan.", 1
)
_LOT_SIZE = flags.DEFINE_integer("lot_size", 1, "Of the market, in shares.", 1)
_MARKET = flags.DEFINE_string(
  "market", "SZSE", "The market that the bins are for."
)
_OUT = flags.DEFINE_string("out", "model.npz", "The file to write.")
flags.register_multi_flags_validator(
  ["weights", "size"],
  lambda values: bool(values["weights"]) != bool(values["size"]),
  "Give either --weights or --size.",
)

_LIMITS = (
  "Up to a window of orders the logits are those of the released code; beyond,"
  " that starts anew from the last window of orders, where ours slides.",
  "The mid's change is in basis points since the mid before the first order;"
  " there it is since the first trade of continuous trading.",
  "A time before or after a session counts as its start or end.",
  "The heads of the 5m and 10m are not in the weights' shapes.",
)


def main() -> None:
  """Converts and shows; the top of this file says what."""
  (out,) = common.outputs(_OUT.value, ("",))
  path = _WEIGHTS.value or weights.fetch(_SIZE.value)
  converted = weights.load(
    path, num_heads=_NUM_HEADS.value, window=_WINDOW.value
  )
  tokenizer, num_rounded = bins.load_tokenizer(
    _CONVERTERS.value or weights.fetch_converters(),
    tick_size=_TICK_SIZE.value,
    lot_size=_LOT_SIZE.value,
  )
  card = _card(path, converted, num_rounded)
  model = lmm.Model(
    converted.params, converted.config, {_MARKET.value: tokenizer}, card
  )
  lmm.save(out, model)
  _report(converted, card)
  print(f"{out} written")


def _card(path, converted: weights.Converted, num_rounded: dict) -> dict:
  """Returns the origin of the weights, for the model's card."""
  converters = weights.CONVERTERS
  if _CONVERTERS.value:
    converters = pathlib.Path(_CONVERTERS.value).resolve().name
  return {
    "data": f"{_MARKET.value}, by the authors of MarS; the days are not told",
    "source": {
      "weights": weights.REPOSITORIES.get(_SIZE.value, pathlib.Path(path).name),
      "converters": converters,
      "paper": "Li et al., MarS (ICLR 2025), arXiv:2409.07486",
    },
    "licence": "MIT",
    "parameters": lmm.num_params(converted.params),
    "source_parameters": converted.num_source_params,
    "unused_tensors": {
      name: list(shape) for name, shape in converted.unused.items()
    },
    "values_rounded": num_rounded,
    "tick_size": _TICK_SIZE.value,
    "lot_size": _LOT_SIZE.value,
    "limits": list(_LIMITS),
    "config": {"model": dataclasses.asdict(converted.config)},
  }


def _report(converted: weights.Converted, card: dict) -> None:
  """Prints what was taken and what was not."""
  config = converted.config
  common.print_table(
    "converted",
    ("", ""),
    (
      ("parameters in the file", f"{card['source_parameters']:,}"),
      ("of these kept", f"{card['parameters']:,}"),
      ("width, layers", f"{config.dim}, {config.num_layers}"),
      ("heads", f"{config.num_heads} of {config.head_dim} dimensions"),
      ("window", f"{config.window} orders"),
      *(
        (f"values of {name} rounded or cut", f"{count:,}")
        for name, count in card["values_rounded"].items()
      ),
    ),
  )
  common.print_table(
    "not used, as the released code does not either",
    ("tensor", "shape", "parameters"),
    (
      (name, " x ".join(map(str, shape)), f"{int(np.prod(shape)):,}")
      for name, shape in converted.unused.items()
    ),
  )


if __name__ == "__main__":
  common.run(main)
