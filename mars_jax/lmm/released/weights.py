"""Reads the weights that MarS released.

The released order models (2M, 5M and 10M parameters) are PyTorch weights in
safetensors files. `load` turns one into parameters and a config of ours, of
`inputs="ticks"` and `head="joint"`, with the same logits. Up to `window` orders
that is exact. Beyond, the released code starts anew from the last `window`
orders, where ours slides: the same for one layer, not for two.

References: Li et al., MarS (ICLR 2025), arXiv:2409.07486; the names of tensors
are those of github.com/microsoft/MarS, the rest is LLaMA's.
"""

import collections.abc
import contextlib
import dataclasses
import importlib
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax.lmm.order import config as config_lib
from mars_jax.lmm.order import model
from mars_jax.tokens import features
from mars_jax.tokens import vocab

REPOSITORIES = {  # Of the Hugging Face hub, by size.
  "2m": "Don-Don/mars-order-2m",
  "5m": "Don-Don/mars-order-5m",
  "10m": "Don-Don/mars-order-10m",
}
CONVERTERS = "Don-Don/mars-order-assets"  # A repository of data, for all sizes.

_WINDOW = 1024  # Orders that the released models were trained on at once.
_HEAD_DIM = 8  # That of the 2M; those of the 5M and 10M are not published.
_EMBED = "order_info_tokenizer."
_FIELD_TABLES = (
  "emb_order_type",
  "emb_price_level",
  "emb_pred_order_volume",
  "emb_order_interval",
)
_NUM_UNKNOWN_ROWS = 22  # Of width D, in the two tensors that no code reads.


@dataclasses.dataclass(frozen=True)
class Converted:
  """An order model made of released weights.

  Attributes:
    params: of `model.apply`, float32.
    config: the hyper-parameters.
    unused: shapes of the tensors that the released forward pass does not read
      either, by name: an embedding of orders, a second head, and two tables.
    num_source_params: elements of all tensors of the file.
  """

  params: model.Params
  config: config_lib.LmmConfig
  unused: dict[str, tuple[int, ...]]
  num_source_params: int


def fetch(size: str) -> pathlib.Path:
  """Downloads released weights from the Hugging Face hub.

  They go to the hub's cache.

  Args:
    size: of `REPOSITORIES`.

  Returns:
    The path for `load`, with the `config.json` of the model beside it.

  Raises:
    ConnectionError: if they are not to be had.
    ImportError: without the extra `import`.
  """
  if size not in REPOSITORIES:
    raise ValueError(f"size = {size!r} is none of {', '.join(REPOSITORIES)}")
  hub = _extra("huggingface_hub")
  with _connected(REPOSITORIES[size]):
    hub.hf_hub_download(REPOSITORIES[size], "config.json")
    path = hub.hf_hub_download(REPOSITORIES[size], "model.safetensors")
  return pathlib.Path(path)


def fetch_converters() -> pathlib.Path:
  """Downloads the released bin converters, as `fetch` does; returns the folder.

  It is for `convert_bins.load_tokenizer`.
  """
  hub = _extra("huggingface_hub")
  with _connected(CONVERTERS):
    folder = hub.snapshot_download(
      CONVERTERS, repo_type="dataset", allow_patterns="converters/*"
    )
  return pathlib.Path(folder) / "converters"


def load(
  path: pathlib.Path | str,
  *,
  num_heads: int | None = None,
  window: int | None = None,
) -> Converted:
  """Reads released weights.

  Args:
    path: a safetensors file; what it leaves open is taken from a `config.json`
      beside it, if there is one.
    num_heads: attention heads; None takes those of `config.json`, else as many
      as have 8 dimensions, which is right for the 2M.
    window: orders seen at once; None takes `config.json`'s, else 1024.

  Raises:
    ValueError: if a tensor is missing, unknown or of another shape or type than
      the released code's, or the sizes do not fit `config.json`.
    ImportError: without the extra `import`.
  """
  path = pathlib.Path(path)
  tensors = _read(path)
  dim, num_layers = _sizes(path, tensors)
  unused = _check(path, tensors, dim, num_layers)
  about = _about(path, emb_dim=dim, num_layers=num_layers)
  if num_heads is None:
    num_heads = about.get("num_heads", max(dim // _HEAD_DIM, 1))
  if num_heads < 1 or dim % num_heads:
    raise ValueError(
      f"{path}: {num_heads} heads do not divide a width of {dim}"
    )
  config = config_lib.LmmConfig(
    dim=dim,
    num_layers=num_layers,
    num_heads=num_heads,
    num_kv_heads=num_heads,
    head_dim=dim // num_heads,
    mlp_dim=4 * dim,
    window=about.get("num_max_orders", _WINDOW) if window is None else window,
    alphabet="mid",
    inputs="ticks",
    head="joint",
    has_values=False,
    qk_norm=False,
  )
  return Converted(
    params=_params(tensors, config),
    config=config,
    unused=unused,
    num_source_params=sum(tensor.size for tensor in tensors.values()),
  )


def _extra(name: str) -> types.ModuleType:
  """Imports a module of the extra `import`."""
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise ImportError(
      f"released weights need {name}: pip install 'mars-jax[import]'"
    ) from error


@contextlib.contextmanager
def _connected(repository: str) -> collections.abc.Iterator[None]:
  """Turns connection failures into a one-line ConnectionError."""
  try:
    yield
  except OSError as error:
    reason = str(error).split("\n")[0]
    raise ConnectionError(
      f"cannot fetch {repository} from the Hugging Face hub: {reason} (files "
      "downloaded elsewhere can be loaded by their path)"
    ) from error


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns all tensors of a safetensors file, as float32."""
  if not path.is_file():
    raise FileNotFoundError(f"{path}: no such file")
  reader = _extra("safetensors.numpy")
  try:
    tensors = reader.load_file(path)
  except Exception as error:
    raise ValueError(f"{path}: not a safetensors file ({error})") from error
  for name, tensor in tensors.items():
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
      raise ValueError(f"{path}: {name} is of {tensor.dtype}, not of floats")
  return {name: x.astype(np.float32) for name, x in tensors.items()}


def _about(path: pathlib.Path, **sizes: int) -> dict[str, int]:
  """Reads the config.json beside the weights and checks it."""
  path = path.with_name("config.json")
  if not path.is_file():
    return {}
  try:
    about = dict(json.loads(path.read_text()))
  except (TypeError, ValueError) as error:
    raise ValueError(f"{path}: not the config of a model ({error})") from error
  for name in ("num_heads", "num_max_orders"):
    if not isinstance(about.get(name, 0), int):
      raise ValueError(f"{path}: {name} is {about[name]!r}, no integer")
  for name, size in sizes.items():
    if about.get(name, size) != size:
      raise ValueError(
        f"{path}: {name} is {about[name]}, but the weights have {size}"
      )
  return about


def _sizes(path: pathlib.Path, tensors) -> tuple[int, int]:
  """Returns the width and the number of layers."""
  table = tensors.get(f"{_EMBED}{_FIELD_TABLES[0]}.weight")
  layers = {
    name.split(".")[3]
    for name in tensors
    if name.startswith("decoder.model.layers.")
  }
  if table is None or table.ndim != 2 or not layers:
    raise ValueError(
      f"{path}: not an order model of MarS: it has no tables of orders, or no "
      f"layers, among {len(tensors)} tensors: {', '.join(sorted(tensors)[:4])}"
    )
  return table.shape[1], len(layers)


def _check(path: pathlib.Path, tensors, dim: int, num_layers: int):
  """Raises unless the tensors are the released ones; returns the unused."""
  used, dead = _used_shapes(dim, num_layers), _dead_shapes(dim)
  shapes = {name: tensor.shape for name, tensor in tensors.items()}
  known = used | dead
  unknown = {name: shapes[name] for name in sorted(shapes.keys() - known)}
  sizes = [np.prod(shape) for shape in unknown.values()]
  is_released = len(sizes) == 2 and sum(sizes) == _NUM_UNKNOWN_ROWS * dim
  wrong = [f"{name} is missing" for name in used if name not in shapes]
  wrong += [
    f"{name} is {shapes[name]}, not {shape}"
    for name, shape in known.items()
    if shapes.get(name, shape) != shape
  ]
  if unknown and not is_released:
    wrong += [f"{name} {shape} is unknown" for name, shape in unknown.items()]
  if wrong:
    raise ValueError(f"{path}: not an order model of MarS: {'; '.join(wrong)}")
  return {name: shapes[name] for name in dead if name in shapes} | unknown


def _used_shapes(dim: int, num_layers: int) -> dict[str, tuple[int, ...]]:
  """Shapes of the tensors that the released forward pass reads."""
  tables = dict(zip(_FIELD_TABLES, vocab.FIELD_SIZES, strict=True))
  tables["emb_chg_to_open"] = 2 * features.MAX_BASIS_POINTS + 1
  tables["emb_time_to_open"] = 14_400 // config_lib.SECONDS_PER_ROW + 1
  shapes = {f"{_EMBED}{x}.weight": (rows, dim) for x, rows in tables.items()}
  shapes |= {
    f"{_EMBED}lob_tokenizer.0.weight": (dim, 10),
    f"{_EMBED}lob_tokenizer.0.bias": (dim,),
    f"{_EMBED}lob_tokenizer.1.weight": (dim,),
    f"{_EMBED}lob_tokenizer.1.bias": (dim,),
    "decoder.model.norm.weight": (dim,),
    "decoder.lm_head.weight": (vocab.NUM_ORDERS, dim),
  }
  for layer in range(num_layers):
    block = f"decoder.model.layers.{layer}."
    shapes |= {
      f"{block}self_attn.{x}_proj.weight": (dim, dim) for x in "qkvo"
    } | {
      f"{block}mlp.gate_proj.weight": (4 * dim, dim),
      f"{block}mlp.up_proj.weight": (4 * dim, dim),
      f"{block}mlp.down_proj.weight": (dim, 4 * dim),
      f"{block}input_layernorm.weight": (dim,),
      f"{block}post_attention_layernorm.weight": (dim,),
    }
  return shapes


def _dead_shapes(dim: int) -> dict[str, tuple[int, ...]]:
  """Shapes of released tensors that the model never reads."""
  return {
    "decoder.model.embed_tokens.weight": (vocab.NUM_ORDERS, dim),
    "linear_head.0.weight": (dim,),
    "linear_head.0.bias": (dim,),
    "linear_head.1.weight": (vocab.NUM_ORDERS, dim),
    "linear_head.1.bias": (vocab.NUM_ORDERS,),
  }


def _params(tensors, config: config_lib.LmmConfig) -> model.Params:
  """Arranges tensors as `model.init` does; PyTorch's are [out, in]."""

  def embed(name):
    return tensors[f"{_EMBED}{name}"]

  tables = [embed(f"{name}.weight") for name in _FIELD_TABLES]
  blocks = [_block(tensors, i, config) for i in range(config.num_layers)]
  return {
    "embed": {
      "fields": np.concatenate(tables),
      "mid_change": embed("emb_chg_to_open.weight"),
      "time": embed("emb_time_to_open.weight"),
      "book": {
        "kernel": embed("lob_tokenizer.0.weight").T,
        "bias": embed("lob_tokenizer.0.bias"),
      },
      "book_norm": {
        "scale": embed("lob_tokenizer.1.weight"),
        "bias": embed("lob_tokenizer.1.bias"),
      },
    },
    "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks),
    "norm": {"scale": tensors["decoder.model.norm.weight"]},
    "head": {"kernel": tensors["decoder.lm_head.weight"]},
  }


def _block(tensors, layer: int, config: config_lib.LmmConfig):
  """Returns the parameters of one block."""
  dim, heads = config.dim, (config.num_heads, config.head_dim)

  def read(name):
    return tensors[f"decoder.model.layers.{layer}.{name}.weight"]

  qkv = [read(f"self_attn.{x}_proj").T.reshape(dim, *heads) for x in "qkv"]
  gate_up = [read(f"mlp.{x}_proj").T for x in ("gate", "up")]
  out = read("self_attn.o_proj").T.reshape(*heads, dim)
  return {
    "attention_norm": {"scale": read("input_layernorm")},
    "qkv": {"kernel": np.stack(qkv, axis=2)},
    "attention_out": {"kernel": out},
    "mlp_norm": {"scale": read("post_attention_layernorm")},
    "gate_up": {"kernel": np.stack(gate_up, axis=1)},
    "down": {"kernel": read("mlp.down_proj").T},
  }
