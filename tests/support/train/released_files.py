"""Files as MarS released them, weights and bin converters, of random numbers.

The released ones cannot be had here. The converters' class is typed again from
its description, under the name that the files give it, by which it can be
pickled and unpickled once this is imported.
"""

import functools
import json
import pathlib
import pickle
import sys
import types

import numpy as np
import safetensors.numpy

from mars_jax.utils.compression import zstd

EMBED = "order_info_tokenizer."
SIZES = {"2m": (16, 1, 2), "5m": (32, 1, 4), "10m": (64, 2, 8)}  # D, L, H
_BLOCK_SHAPES = {  # In units of D.
  "input_layernorm": (1,),
  "self_attn.q_proj": (1, 1),
  "self_attn.k_proj": (1, 1),
  "self_attn.v_proj": (1, 1),
  "self_attn.o_proj": (1, 1),
  "post_attention_layernorm": (1,),
  "mlp.gate_proj": (4, 1),
  "mlp.up_proj": (4, 1),
  "mlp.down_proj": (1, 4),
}
_PACKAGES = ("market_simulation", "market_simulation.utils")
_MODULE = f"{_PACKAGES[-1]}.bin_converter"


def _shapes(dim, num_layers):
  """The tensors of a released file."""
  shapes = {
    f"{EMBED}emb_order_type.weight": (3, dim),
    f"{EMBED}emb_price_level.weight": (32, dim),
    f"{EMBED}emb_pred_order_volume.weight": (32, dim),
    f"{EMBED}emb_order_interval.weight": (16, dim),
    f"{EMBED}emb_volume_ratio.weight": (11, dim),
    f"{EMBED}emb_trans_ratio.weight": (11, dim),
    f"{EMBED}emb_chg_to_open.weight": (4001, dim),
    f"{EMBED}emb_time_to_open.weight": (2881, dim),
    f"{EMBED}lob_tokenizer.0.weight": (dim, 10),
    f"{EMBED}lob_tokenizer.0.bias": (dim,),
    f"{EMBED}lob_tokenizer.1.weight": (dim,),
    f"{EMBED}lob_tokenizer.1.bias": (dim,),
    "decoder.model.embed_tokens.weight": (49152, dim),
    "decoder.model.norm.weight": (dim,),
    "decoder.lm_head.weight": (49152, dim),
    "linear_head.0.weight": (dim,),
    "linear_head.0.bias": (dim,),
    "linear_head.1.weight": (49152, dim),
    "linear_head.1.bias": (49152,),
  }
  for layer in range(num_layers):
    for name, factors in _BLOCK_SHAPES.items():
      name = f"decoder.model.layers.{layer}.{name}.weight"
      shapes[name] = tuple(factor * dim for factor in factors)
  return shapes


@functools.cache
def random_tensors(size):
  """Tensors of a size with which all of the model matters, logits near 1."""
  rng = np.random.default_rng(0)
  dim, num_layers, _ = SIZES[size]
  tensors = {}
  for name, shape in _shapes(dim, num_layers).items():
    x = rng.standard_normal(shape, np.float32)
    if "norm" in name or name == f"{EMBED}lob_tokenizer.1.weight":
      x = 1 + x / 4
    elif "_proj" in name or "lm_head" in name:
      x /= shape[1] ** 0.5
    tensors[name] = x
  return tensors


def write_weights(
  folder: pathlib.Path, size="2m", changes=(), about=None
) -> pathlib.Path:
  """Writes the tensors of a size; returns the path of the file.

  Args:
    folder: of the file.
    size: which of `SIZES`.
    changes: {name: tensor} in place of its own; None leaves one out.
    about: what a config.json beside it says, None for no such file.
  """
  tensors = {**random_tensors(size), **dict(changes)}
  tensors = {name: x for name, x in tensors.items() if x is not None}
  path = folder / "model.safetensors"
  safetensors.numpy.save_file(tensors, path)
  if about is not None:
    (folder / "config.json").write_text(json.dumps(about))
  return path


class BinConverter:
  """Bounds, and for each bin values with probabilities."""

  def __init__(self, bounds, bin_values, bin_counts):
    self.num_bins = len(bounds) - 1
    self.bins = np.array(bounds)
    self.bin_values = [np.array(values) for values in bin_values]
    self.bin_probs = [np.array(x) / max(sum(x), 1) for x in bin_counts]

  def get_bin_index(self, values):
    """The rule of the released code, of arrays."""
    index = np.digitize(values, self.bins, right=True) - 1
    return np.clip(index, 0, self.num_bins - 1)


BinConverter.__module__ = _MODULE
sys.modules.update({name: types.ModuleType(name) for name in _PACKAGES})
sys.modules[_MODULE] = types.ModuleType(_MODULE)
sys.modules[_MODULE].BinConverter = BinConverter


def random_converter(num_bins, unit, low, high, seed=0):
  """A converter of whole units; the first and the last value have own bins."""
  rng = np.random.default_rng(seed)
  inner = rng.choice(np.arange(low + 1, high), num_bins - 1, replace=False)
  bounds = np.concatenate([[low - 1], np.sort(inner), [high]])
  values = [
    rng.permutation(np.arange(first + 1, last + 1))[:100] * unit
    for first, last in zip(bounds[:-1], bounds[1:], strict=True)
  ]
  counts = [-np.sort(-rng.integers(1, 1000, len(x))) for x in values]
  return BinConverter(bounds * unit, values, counts)


def write_converter(path: pathlib.Path, content, protocol=4) -> pathlib.Path:
  """Writes a file of what is pickled, or is bytes; returns its path."""
  pickled = content
  if not isinstance(content, bytes):
    pickled = pickle.dumps(content, protocol=protocol)
  path.write_bytes(zstd.compress(pickled))
  return path


def write_converters(folder: pathlib.Path) -> None:
  """Writes those of a tokenizer, in the units of the released ones."""
  for name, num_bins, unit, low, high in (
    ("price-level", 32, 100, -80, 80),
    ("order-volume", 32, 1, 1, 30_000),
    ("pred-order-volume", 32, 1, 1, 40_000),
    ("order-interval", 16, 0.01, 0, 500),
    ("lob-volume", 32, 1, 1, 90_000),
  ):
    converter = random_converter(num_bins, unit, low, high)
    write_converter(folder / f"{name}.zstd", converter)
