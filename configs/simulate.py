r"""A simulated market, with agents that trade in it; see launch/simulate.py.

  python launch/simulate.py --config=configs/simulate.py

simulates 64 futures of five minutes of Bitstamp's BTC/USD market with the demo
model, in each of which someone buys two bitcoins by TWAP (MarS, section 7.1).
`:synthetic` takes no data and no model: a zero-intelligence market, whose
orders are drawn anew from its own past, with a market maker and momentum
traders.
`:tiny` is that for seconds, to try things out.
"""

import ml_collections

from mars_jax import demo

VARIANTS = ("", "synthetic", "tiny")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
  """Returns the config; `variant` is "", "synthetic" or "tiny"."""
  if variant not in VARIANTS:
    raise ValueError(f"variant {variant!r} is none of {VARIANTS}")
  config = ml_collections.ConfigDict(
    {
      "seed": 0,
      "trajectories": 64,
      # Of a venue of `lob.PRESETS`, or "auto" for that of the orders.
      "rules": "auto",
      # `apps.start.StartConfig`
      "start": {
        "path": "bitstamp-sample",
        "instrument": "",
        "times": (),
        "model": str(demo.MODEL),
        "book_capacity": 512,
        "replay_capacity": 4096,
        "state": "",
      },
      # Each a kind of `apps.agents.KINDS` and the fields of its `make`.
      "agents": (
        {
          "kind": "twap",
          "side": "buy",
          "volume": 2_000_000,
          "duration": 300.0,
          "slices": 10,
          "passive_s": 25.0,
        },
      ),
      # `sim.SimConfig`, `sim.AgentsConfig`, and events of a compiled call.
      "simulator": {
        "price_from": "planning",
        "after_injection": "keep",
        "slots": 8,
        "outbox": 8,
        "levels": 10,
        "views": 64,
        "chunk": 256,
      },
      # `apps.forecast.Horizon`: of seconds and orders one is 0.
      "horizon": {"seconds": 300.0, "orders": 0, "max_orders": 1_000_000},
      # `apps.outputs.OutputConfig`
      "outputs": {
        "table": "parquet",
        "bar_seconds": 60.0,
        "picture": True,
        "orders": 0,
        "levels": 10,
        "state": False,
      },
    }
  )
  if variant in ("synthetic", "tiny"):
    config.start.update(
      path="synthetic-0", model="none", book_capacity=256, replay_capacity=256
    )
    config.agents = (
      {"kind": "market_maker", "volume": 5, "limit": 50, "skew": 0.05},
      {
        "kind": "momentum",
        "count": 4,
        "short": 5,
        "long": 15,
        "volume": (2, 8),
        "interval": 2.0,
      },
    )
  if variant == "tiny":
    config.trajectories = 4
    config.horizon.seconds = 10.0
    config.outputs.update(table="csv", bar_seconds=2.0, orders=1, state=True)
  return config.lock()
