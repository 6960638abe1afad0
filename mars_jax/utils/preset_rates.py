"""Rates of a synthetic liquid market.

Synthetic days and agents have them as their default. The numbers are chosen for
a stable book. Limit orders at distance d, in ticks from the best price of the
other side, come `d**-0.5` times a second and side, market orders once; a cancel
comes after 5 s in the mean; volumes are geometric with a mean of 5 lots.
"""

import numpy as np

MARKET = 1.0  # Market orders per second and side.
CANCEL = 0.2  # Cancels per second and resting order.
MAX_DISTANCE = 32  # Ticks.


def limit() -> np.ndarray:
  """Returns limit orders per second and side, `[MAX_DISTANCE]`."""
  return np.arange(1, MAX_DISTANCE + 1) ** -0.5


def volume(size: int) -> np.ndarray:
  """Returns quantiles of an order's volume, int32 `[size]` lots."""
  quantiles = (np.arange(size) + 0.5) / size
  return np.ceil(np.log1p(-quantiles) / np.log(0.8)).astype(np.int32)
