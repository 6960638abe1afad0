"""Settings of every test: CPU, eight small devices, no implicit broadcast."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
