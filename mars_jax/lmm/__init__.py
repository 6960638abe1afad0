"""The Large Market Model: the distribution of the next order.

`LmmConfig` fixes a model, `init` makes its parameters, `apply` runs it over a
sequence or one token against a `KvCache`, `log_prob` and `sample` turn what it
returns into the probability of an order and into an order. `next_order` is all
of that for the simulator, `read` takes in what came before a start, and the
module `cache` is how many trajectories share a history; `save` and `load` keep
a trained `Model` in a file.
"""

from mars_jax.lmm.model_file import Model
from mars_jax.lmm.model_file import load
from mars_jax.lmm.model_file import save
from mars_jax.lmm.nn import cache
from mars_jax.lmm.nn.cache import KvCache
from mars_jax.lmm.nn.config import TransformerConfig
from mars_jax.lmm.nn.transformer import Params
from mars_jax.lmm.nn.transformer import num_params
from mars_jax.lmm.order.adaptation import read
from mars_jax.lmm.order.config import LmmConfig
from mars_jax.lmm.order.model import apply
from mars_jax.lmm.order.model import init
from mars_jax.lmm.order.model import log_prob
from mars_jax.lmm.order.model import sample
from mars_jax.lmm.order.sampling import next_order

__all__ = (
  "KvCache",
  "LmmConfig",
  "Model",
  "Params",
  "TransformerConfig",
  "apply",
  "cache",
  "init",
  "load",
  "log_prob",
  "next_order",
  "num_params",
  "read",
  "sample",
  "save",
)
