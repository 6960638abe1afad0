"""Settings of every test: on the CPU, and no rank promotion unseen."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
