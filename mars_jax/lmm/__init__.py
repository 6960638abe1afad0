"""The Large Market Model: the distribution of the next order.

`LmmConfig` fixes a model, `init` makes its parameters, `apply` runs it over a
sequence or one token against a `KvCache`, `log_prob` and `sample` turn what it
returns into the probability of an order and into an order.
"""

from mars_jax.lmm.config import LmmConfig
from mars_jax.lmm.order_model import KvCache
from mars_jax.lmm.order_model import Params
from mars_jax.lmm.order_model import apply
from mars_jax.lmm.order_model import init
from mars_jax.lmm.order_model import init_cache
from mars_jax.lmm.order_model import log_prob
from mars_jax.lmm.order_model import num_params
from mars_jax.lmm.order_model import sample

__all__ = [
  "KvCache",
  "LmmConfig",
  "Params",
  "apply",
  "init",
  "init_cache",
  "log_prob",
  "num_params",
  "sample",
]
