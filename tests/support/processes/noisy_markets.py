"""Simulates both markets of `noisy_market` on all devices, into a folder."""

import pathlib
import sys

import jax
import numpy as np

from tests.support.sim import noisy_market


def main(folder):
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
  keys = noisy_market.keys_of_starts()
  for s, start in enumerate(noisy_market.starts()):
    kept = noisy_market.run(keys[s], start, noisy_market.UNTIL, mesh)
    np.savez(noisy_market.path(folder, s), *jax.tree.leaves(kept))


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
