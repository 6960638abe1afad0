"""Large market model, matching engine and simulator in JAX."""

# Registers the simulated days "synthetic-0", ... with the formats of `feeds`,
# which may not import the engine that simulates them.
from mars_jax.baselines import zero_intelligence as _zero_intelligence  # noqa: F401
