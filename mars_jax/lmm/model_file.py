"""A trained model as one file, loaded without pickle.

An `.npz` archive: the arrays of the parameters and of the bins of each market
under their paths ("params/head/out_0/kernel", "tokenizers/NASDAQ/price/edges"),
and one JSON text with the model's config and its card.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import model as model_lib
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.utils import files

_ABOUT = "about"  # The name of the JSON text.


@dataclasses.dataclass(frozen=True)
class Model:
  """An order model, ready to use.

  Attributes:
    params: of `model_lib.apply`.
    config: the hyper-parameters.
    tokenizers: {market: the bins that it was trained with}.
    card: what a user must know: data, command, loss, limits, licence.
  """

  params: model_lib.Params
  config: config_lib.LmmConfig
  tokenizers: dict[str, features.Tokenizer]
  card: dict[str, Any]

  def tokenizer(self, market: str) -> features.Tokenizer:
    """Returns the bins of a market; a model of one market lends its own.

    Raises:
      ValueError: if the model knows several markets, but not this one.
    """
    if market in self.tokenizers:
      return self.tokenizers[market]
    if len(self.tokenizers) == 1:
      return next(iter(self.tokenizers.values()))
    raise ValueError(
      f"the model has bins for {', '.join(self.tokenizers)}, not for {market!r}"
    )


def save(path: pathlib.Path | str, model: Model) -> None:
  """Writes the model, whole or not at all."""
  path = pathlib.Path(path)
  tree = {
    "params": model.params,
    "tokenizers": {
      market: features.bins_of(tokenizer)
      for market, tokenizer in model.tokenizers.items()
    },
  }
  about = {"config": dataclasses.asdict(model.config), "card": model.card}
  arrays = traverse_util.flatten_dict(jax.device_get(tree), sep="/")
  with files.replacing(path) as partial, open(partial, "wb") as file:
    np.savez_compressed(file, **arrays, **{_ABOUT: json.dumps(about)})


def load(path: pathlib.Path | str) -> Model:
  """Reads a model.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the file is no model, or its arrays do not fit its config.
  """
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    about = json.loads(str(arrays.pop(_ABOUT)))
    tree = traverse_util.unflatten_dict(arrays, sep="/")
    config = config_lib.LmmConfig(**about["config"])
    model = Model(
      params=tree["params"],
      config=config,
      tokenizers={
        market: load_tokenizer(fields, config)
        for market, fields in tree["tokenizers"].items()
      },
      card=about["card"],
    )
  except FileNotFoundError:
    raise
  except Exception as error:
    raise ValueError(f"{path}: not a model of mars_jax ({error})") from error
  _check_shapes(path, model.params, config)
  return model


def load_tokenizer(
  tree: dict[str, dict[str, np.ndarray]], config: config_lib.LmmConfig
) -> features.Tokenizer:
  """Returns the bins of a market of their arrays, {field: {leaf: array}}."""
  fields = {name: bins.Bins(**leaves) for name, leaves in tree.items()}
  return features.Tokenizer(
    **fields, alphabet=config.alphabet, scheme=config.scheme
  )


def _check_shapes(path, params, config: config_lib.LmmConfig) -> None:
  """Raises ValueError unless the parameters fit the config."""

  def shapes(tree):
    leaves = traverse_util.flatten_dict(tree, sep="/")
    return {name: leaf.shape for name, leaf in leaves.items()}

  wanted = jax.eval_shape(
    lambda: model_lib.init(jax.random.key(0), config=config)
  )
  found, wanted = shapes(params), shapes(wanted)
  if found != wanted:
    names = sorted(set(found.items()) ^ set(wanted.items()))
    raise ValueError(f"{path}: parameters do not fit the config: {names[:4]}")
