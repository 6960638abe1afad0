"""Applications of the model and the simulator, one function each.

`forecast` simulates futures of a market and compares them with reality,
`simulate` runs a market with agents, `replay` verifies a day against its
exchange, `train` trains an order model.

The modules have the pieces: `start` (a market to simulate from), `futures` and
`paths` (of a forecast), `experiment` and `simulation` (simulations described by
a config), `impact` and `reaction` (the response to an order), `training` (data,
settings and display of a run), `report` (bars, tables, pictures).
"""

from mars_jax.apps.forecasting import Forecast
from mars_jax.apps.forecasting import forecast
from mars_jax.apps.simulation import Simulation
from mars_jax.apps.simulation import simulate
from mars_jax.apps.training import train
from mars_jax.apps.verification import replay

__all__ = (
  "Forecast",
  "Simulation",
  "forecast",
  "replay",
  "simulate",
  "train",
)
