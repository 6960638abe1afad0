"""The output files of a simulation."""

import dataclasses
import json
import pathlib
from typing import Any

from mars_jax import sim
from mars_jax import types
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import simulation
from mars_jax.apps import start as start_lib
from mars_jax.apps.report import bars as bars_lib
from mars_jax.apps.report import tables
from mars_jax.feeds import events
from mars_jax.replay import lobster_writer
from mars_jax.sim import saving
from mars_jax.utils import time_of_day

_POINTS = 240  # Of the picture, where the horizon is in seconds;
_PER_BAR = 20  # else in the time of a bar.
END = "end"  # Of a saved state: nanoseconds since midnight where it goes on.


@dataclasses.dataclass(frozen=True)
class OutputConfig:
  """Static. A summary in JSON is always written.

  Attributes:
    table: of bars and accounts, "parquet", "csv", or "" for none.
    bar_seconds: length of a bar.
    picture: whether to draw one.
    orders: trajectories of which to write every order, as LOBSTER files.
    levels: of the book in these files.
    state: whether to save the state at the end, for `start.StartConfig.state`.
  """

  table: str = "parquet"
  bar_seconds: float = 60.0
  picture: bool = True
  orders: int = 0
  levels: int = 10
  state: bool = False

  def __post_init__(self):
    if self.table:
      tables.check_table(pathlib.Path(f"bars.{self.table}"))
    if self.orders < 0 or self.levels < 1 or not self.bar_seconds > 0:
      raise ValueError("orders must be >= 0, levels >= 1, bar_seconds > 0")


class Outputs:
  """The files of one run; make it before the run and write after it.

  Attributes:
    recorders: for `simulation.run`.
  """

  def __init__(
    self,
    prefix: str,
    before: sim.SimState,
    *,
    output: OutputConfig,
    config: sim.SimConfig,
    horizon: horizon_lib.Horizon,
    begin: int,
  ):
    """Opens what is written while the simulation runs.

    Args:
      prefix: path of all files, less their endings.
      before: the state that it begins with.
      output: what to write.
      config: of the simulation.
      horizon: of the simulation.
      begin: nanoseconds since midnight.
    """
    self._prefix, self._before = prefix, before
    self._output, self._config = output, config
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    seconds = output.bar_seconds
    self._bars = bars_lib.Recorder(before, begin=begin, seconds=seconds)
    seconds /= _PER_BAR
    if horizon.seconds is not None:
      seconds = horizon.seconds / _POINTS
    self._points = bars_lib.Recorder(before, begin=begin, seconds=seconds)
    self._orders = None
    if output.orders:
      end = begin + (horizon.seconds or 0) * types.NANOSECONDS
      if end >= lobster_writer.DAY:  # Rather now than when it gets there.
        raise ValueError(lobster_writer.PAST_MIDNIGHT)
      self._orders = tables.OrderFiles(
        self._path("_orders"),
        before,
        count=output.orders,
        rules=config.rules,
        num_levels=output.levels,
      )
    wanted = (
      (output.table, self._bars),
      (output.picture, self._points),
      (output.orders, self._orders),
    )
    self.recorders = [recorder.add for is_on, recorder in wanted if is_on]

  def _path(self, ending: str) -> pathlib.Path:
    return pathlib.Path(self._prefix + ending)

  def write(
    self,
    market: start_lib.Start,
    outcome: simulation.Outcome,
    summary: dict[str, Any],
  ) -> list[pathlib.Path]:
    """Writes the rest.

    Args:
      market: that was simulated.
      outcome: of the run.
      summary: to write.

    Returns:
      The paths of all that was written.
    """
    paths, stream = [], market.stream
    if self._output.table:
      paths += self._write_tables(stream, outcome)
    if self._output.picture:
      paths.append(self._path(".png"))
      self._draw(paths[-1], stream, outcome)
    if self._orders is not None:
      paths.append(self._path("_orders"))
      self._orders.close(instrument=stream.instrument, day=stream.day)
    if self._output.state:
      paths.append(self._path("_state.npz"))
      end = int(outcome.end.min())
      saving.save(paths[-1], outcome.state, {END: end})
    paths.append(self._path(".json"))
    paths[-1].write_text(json.dumps(summary, indent=2) + "\n")
    return paths

  def _write_tables(self, stream, outcome):
    """Writes bars and accounts; returns their paths."""
    paths = [self._path(f"_bars.{self._output.table}")]
    tables.write_bars(paths[0], self._bars.table(outcome.end), stream)
    if outcome.state.agents is not None:
      paths.append(self._path(f"_accounts.{self._output.table}"))
      names = self._config.agents.owner_names
      tables.write_accounts(paths[1], outcome.state, names, stream)
    return paths

  def _draw(self, path, stream: events.EventStream, outcome):
    """Draws the picture."""
    from mars_jax.apps.report import market_plot

    begin = time_of_day.clock_text(outcome.begin)
    market_plot.draw(
      path,
      self._points.table(outcome.end),
      stream,
      title=f"{stream.name}, simulated from {begin}",
    )
