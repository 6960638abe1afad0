"""Bars from the start of a path, worked out by hand."""

import dataclasses

import numpy as np
import pytest

from mars_jax import types
from mars_jax.evals import market_bars

_SECOND = types.NANOSECONDS
_BEGIN = 100 * _SECOND + 7


def _orders(rows):
  """Orders of one path: (second, kind, lots, traded, price, bid, ask)."""
  time, kind, volume, traded, price, bid, ask = (
    np.array([column]) for column in zip(*rows, strict=True)
  )
  ones = np.ones(time.shape, int)
  return market_bars.Orders(
    is_event=kind != "none",
    time=_BEGIN + (time * _SECOND).astype(int),
    is_cancel=kind == "cancel",
    is_buy=kind == "buy",
    volume=volume,
    traded=traded,
    first_price=price,
    ask=ask,
    bid=bid,
    is_two_sided=ask > 0,
    level_volume=10 * ones,
    book_volume=20 * ones,
    book_orders=volume,
  )


_ROWS = [
  (0.0, "buy", 5, 0, 0, 99, 101),
  (0.5, "sell", 3, 3, 99, 98, 102),
  (0.9, "cancel", 4, 0, 0, 98, 0),  # The last ask is gone.
  (2.0, "buy", 8, 2, 103, 98, 104),
  (3.0, "buy", 1, 1, 105, 98, 104),  # After the last bar.
  (2.5, "none", 9, 9, 1, 1, 2),  # No event.
]


@pytest.mark.parametrize("cut", [6, 3, 2])
def test_bars_by_hand(cut):
  """In chunks as in one."""
  recorder = market_bars.Recorder(
    np.array([_BEGIN]), np.array([100]), seconds=1, num_bars=3
  )
  for first in range(0, len(_ROWS), cut):
    recorder.add(_orders(_ROWS[first : first + cut]))
  bars = recorder.bars(np.array([_BEGIN + 10 * _SECOND]))
  expected = {
    "last": [99, 99, 103],
    "mean": [(100 + 99 + 99) / 3, 99, 103],
    "traded": [3, 0, 2],
    "events": [3, 0, 1],
    "new": [2, 0, 1],
    "trades": [1, 0, 1],
    "buys": [1, 0, 1],
    "sent_volume": [8, 0, 8],
    "volatility": [0, 0, np.log(101 / 100)],
    "spread": [3, 3, 6],
    "level_volume": [10, 10, 10],
    "book_volume": [20, 20, 20],
    "book_orders": [4, 4, 8],
    "one_sided": [1, 0, 0],
  }
  assert expected.keys() == {f.name for f in dataclasses.fields(bars)}
  for name, values in expected.items():
    np.testing.assert_allclose(getattr(bars, name)[0], values, err_msg=name)
  assert bars.is_known.all()
  # A path that ends earlier lacks the bar that its end cuts.
  bars = recorder.bars(np.array([_BEGIN + 2 * _SECOND + 5]))
  assert bars.is_known.tolist() == [[True, True, False]]
  assert np.isnan(bars.last[0, 2]) and len(bars[:, :1].last[0]) == 1
