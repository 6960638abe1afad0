"""Large market model, matching engine and simulator in JAX.

In the order of the layers, each of which imports only earlier ones:

  types, utils  the vocabulary with its glossary; files, statistics, checks
  lob           the matching engine: books, venues' rules, auctions
  records       orders with the market before and after them
  feeds         exchanges' files as events, and what the exchange published
  tokens        orders and books as the input of a model
  replay        events through the matching engine, and their verification
  data          training sets: prepared files, windows, batches
  lmm           the large market model
  baselines     zero intelligence and counts, which a model must beat
  train         training, sharding, checkpoints, scaling laws
  sim           the simulator: one market, or thousands, and trading agents
  apps          forecasts, simulations with agents, replays, training, impact
"""

# Registers the simulated days "synthetic-0", ... with the formats of `feeds`,
# which may not import the engine that simulates them.
from mars_jax.baselines import zero_intelligence as _zero_intelligence  # noqa: F401
