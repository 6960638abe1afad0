"""Forecasts by simulation (paper, section 4.1): many futures of one market.

`forecast` replays a day up to a time, simulates trajectories in step to the
horizon, and replays what really came; the `Forecast` sums them up and draws
them.
"""

import dataclasses
import pathlib
import time

import jax
import numpy as np

from mars_jax import demo
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax.apps import futures as futures_lib
from mars_jax.apps import horizon as horizon_lib
from mars_jax.apps import paths as paths_lib
from mars_jax.apps import start as start_lib
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.tokens import features
from mars_jax.utils import checks
from mars_jax.utils import progress as progress_lib
from mars_jax.utils import time_of_day


@dataclasses.dataclass(frozen=True)
class Forecast:
  """Simulated futures of a market, its past and real future.

  Attributes:
    start: the market that the futures start from.
    horizon: how far they go.
    futures: as simulated, event by event.
    real: the market's orders from the start to the horizon, or to the end of
      the data.
    seconds: that the simulation took, compilation included.
  """

  start: start_lib.Start
  horizon: horizon_lib.Horizon
  futures: futures_lib.Futures
  real: records_lib.Records
  seconds: float

  @property
  def paths(self) -> paths_lib.Paths:
    """The futures, the past and reality on one axis."""
    day = records_lib.concatenate([self.start.past, self.real])
    return paths_lib.paths(
      self.futures, day.time, day.mid_after, horizon=self.horizon
    )

  @property
  def axis(self) -> np.ndarray:
    """Seconds or orders from the start, `[n]`, from 0."""
    return self.paths.axis

  @property
  def mid(self) -> np.ndarray:
    """Mid price of each future, int32 `[B, n]` ticks."""
    return self.paths.mid

  def summary(self) -> paths_lib.Summary:
    """Returns where the futures end, and what happened."""
    past = self.start.past
    changes = paths_lib.past_changes(past.time, past.mid_after, self.horizon)
    return paths_lib.summarize(self.paths, changes)

  def rows(self) -> list[tuple[str, str]]:
    """Returns the forecast as rows of a table: names and values."""
    summary, futures = self.summary(), self.futures
    tick = self.start.stream.tick_size

    def change(ticks: float) -> str:
      return f"{ticks * tick:+,.2f}"

    def band(low: float, high: float) -> str:
      return f"{change(low)} to {change(high)}"

    realised = "the data ends before"
    if summary.realised is not None:
      realised = f"{change(summary.realised)} ({summary.realised_class})"
    return [
      ("start", time_of_day.clock_text(futures.start)),
      ("mid-price at the start", f"{futures.start_mid * tick:,.2f}"),
      ("horizon", str(self.horizon)),
      ("futures", f"{len(futures.mid)}"),
      ("median change", change(summary.median)),
      ("5 % to 95 %", band(summary.low, summary.high)),
      ("5 % to 95 % of the past", band(*summary.past)),
      ("probability of up", f"{summary.up:.0%}"),
      (f"probability of flat, {band(*summary.flat)}", f"{summary.stays:.0%}"),
      ("probability of down", f"{summary.down:.0%}"),
      ("what happened", realised),
      ("events simulated", f"{futures.num_events:,}"),
      ("events per second", f"{futures.num_events / self.seconds:,.0f}"),
      ("seconds, compilation included", f"{self.seconds:.1f}"),
      ("far orders left out at the start", f"{self.start.num_truncated:,}"),
      ("orders dropped by full books", f"{futures.dropped.sum():,}"),
    ]

  def plot(self, path: pathlib.Path | str) -> None:
    """Draws the futures and what happened to a PNG; needs the extra `plot`."""
    from mars_jax.apps.report import figures  # Takes matplotlib.

    stream = self.start.stream
    figures.fan(
      path,
      self.paths,
      tick_size=stream.tick_size,
      title=f"{stream.name}, from {time_of_day.clock_text(self.futures.start)}",
      unit="orders" if self.horizon.orders else "seconds",
    )

  def save(self, path: pathlib.Path | str) -> None:
    """Writes the futures to a compressed `.npz`."""
    self.futures.save(path)


def forecast(
  data: str = registry.SAMPLE,
  *,
  model: str = str(demo.MODEL),
  start: str | None = None,
  horizon_s: float = 60.0,
  horizon_orders: int | None = None,
  trajectories: int = 128,
  seed: int = 0,
  instrument: str = "",
  day: str = "",
  rules: str = start_lib.AUTO,
  book_capacity: int = 512,
  replay_capacity: int = 4096,
  progress: bool = True,
) -> Forecast:
  """Forecasts a market by simulation.

  Args:
    data: the day: "bitstamp-sample", or a path of any format of `feeds`.
    model: path of a model, or "none" to draw orders from the past; the demo
      model by default.
    start: HH:MM:SS of the market's clock; five sixths into the day if None.
    horizon_s: seconds of market time to simulate.
    horizon_orders: orders of each future to simulate, in place of `horizon_s`.
    trajectories: B, the number of futures.
    seed: the same seed gives the same futures.
    instrument: which one of a file of several.
    day: the same; the last one if "".
    rules: of `lob.PRESETS`, or "auto" for those of the day's exchange.
    book_capacity: orders that one side of a simulated book can hold.
    replay_capacity: the same of the book of the replayed day.
    progress: whether to show progress bars.

  Raises:
    FileNotFoundError, events.DataError: if the day cannot be read.
    ValueError: if an argument is invalid, or the start is not in the day.
  """
  horizon = horizon_lib.Horizon(
    seconds=None if horizon_orders else horizon_s, orders=horizon_orders
  )
  checks.at_least(1, trajectories=trajectories)
  start_lib.check_capacities(book_capacity, replay_capacity)
  loaded = start_lib.load_model(model)
  stream, truth = start_lib.read(data, instrument, day)
  if progress and loaded is not None:
    start_lib.note_unknown_market(loaded, stream)
  (time_ns,) = start_lib.times([start] if start else [], stream)
  with progress_lib.replay_bar(
    len(start_lib.before(stream, time_ns)), visible=progress
  ) as on_replay:
    market = start_lib.load_start(
      stream,
      time_ns,
      loaded,
      reference=truth.reference,
      book_capacity=book_capacity,
      replay_capacity=replay_capacity,
      on_progress=on_replay,
    )
  config = market.sim_config(rules)
  past = market.past
  paths_lib.past_changes(past.time, past.mid_after, horizon)  # Long enough?
  began = time.time()
  with progress_lib.simulation_bar(visible=progress) as on_progress:
    futures = futures_lib.simulate(
      market.flow,
      jax.random.key(seed),
      market.initial,
      config=config,
      num_trajectories=trajectories,
      horizon=horizon,
      on_progress=on_progress,
    )
  seconds = time.time() - began
  real = _real_future(market, stream, horizon)
  return Forecast(market, horizon, futures, real, seconds)


def _real_future(
  market: start_lib.Start,
  stream: events.EventStream,
  horizon: horizon_lib.Horizon,
) -> records_lib.Records:
  """Replays the day from the start to the horizon."""
  rest = stream[len(market.stream) :]
  if horizon.orders is not None:
    is_beyond = np.cumsum(rest.is_market_event) > horizon.orders
    rest = rest[: int((~is_beyond).sum())]
  else:
    # One order past the horizon shows that the data reaches it.
    is_beyond = rest.is_market_event & (rest.time > horizon.end(market.begin))
    rest = rest[: int(is_beyond.argmax()) + 1] if is_beyond.any() else rest
  if not len(rest):
    return market.past[:0]
  real, _ = replay.replay(
    rest, market.book, num_levels=features.SNAPSHOT_LEVELS
  )
  return real
