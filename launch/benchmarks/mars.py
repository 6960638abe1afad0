"""The order model of MarS, as its authors run it: the peer of the simulator.

It is imported from a clone of https://github.com/microsoft/MarS, of which
nothing is copied here. For every order it reads the last 1,024 tokens anew, and
computes logits of all of them (`OrderModel.sample`); its book is not timed. It
needs PyTorch and transformers: `pip install -e '.[parity]'`.
"""

import collections.abc
import importlib.util
import pathlib
import time

import numpy as np

from mars_jax import lmm

_FILE = pathlib.Path("market_simulation", "models", "order_model.py")
_NUM_ORDERS, _BATCH = 1024, 16  # Tokens of a window, and the authors' batch.
_FEATURES = 15  # Numbers of a token.


def measure(
  path: str,
  config: lmm.LmmConfig,
  repeats: int,
  on_repeat: collections.abc.Callable[[str], None],
) -> dict:
  """Returns the orders per second of MarS, and its settings.

  Args:
    path: of the clone.
    config: of our model, whose width, depth and query heads it gets.
    repeats: how many calls count.
    on_repeat: called after each of them.

  Raises:
    ValueError: if the path is no clone, or PyTorch or transformers are not
      installed.
  """
  model, torch = _load(pathlib.Path(path), config)
  generator = np.random.default_rng(0)
  tokens = np.zeros((_BATCH, _NUM_ORDERS, _FEATURES), np.int64)
  tokens[..., 0] = generator.integers(0, 49_152, tokens.shape[:2])
  inputs = torch.from_numpy(tokens)
  seconds = []
  with torch.inference_mode():
    for _ in range(repeats + 1):
      began = time.perf_counter()
      model.sample(inputs)
      seconds.append(time.perf_counter() - began)
      if len(seconds) > 1:
        on_repeat("MarS")
  return {
    "name": "MarS",
    "torch": torch.__version__,
    "threads": torch.get_num_threads(),
    "trajectories": _BATCH,
    "parameters": sum(x.numel() for x in model.parameters()),
    "orders_per_s": _BATCH / float(np.median(seconds[1:])),
    "orders_per_s_min": _BATCH / max(seconds[1:]),
    "orders_per_s_max": _BATCH / min(seconds[1:]),
  }


def _load(path, config):
  """Returns the model, with random weights, and PyTorch."""
  file = path / _FILE
  if not file.exists():
    raise ValueError(f"--peer_path={path} has no {_FILE}; give a clone of MarS")
  try:
    import torch

    spec = importlib.util.spec_from_file_location("mars_order_model", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
  except ModuleNotFoundError as error:
    raise ValueError(
      f"MarS needs {error.name}: pip install -e '.[parity]'"
    ) from None
  torch.manual_seed(0)
  model = module.OrderModel(
    emb_dim=config.dim,
    num_layers=config.num_layers,
    num_heads=config.num_heads,
    num_max_orders=_NUM_ORDERS,
  )
  return model.eval(), torch
