"""Helpers without a subject of their own.

files          atomic writes, digests, checks of output paths
checks         checks of arguments, with clear errors
stats          intervals, bootstrap and permutation tests
axes           axes of pytrees for `jax.vmap`
time_of_day    times as text and nanoseconds
progress       progress bars
compression    zstd on any supported Python
preset_rates   rates of the synthetic market
"""
