r"""Forecasts a market by simulation: many futures of one real moment.

Replays a day up to the moment, simulates futures from there with a trained
order model, and shows them beside what really happened: a picture, a table and
the trajectories as arrays.

  python launch/forecast.py --out=out/forecast
  python launch/forecast.py --start=03:00:00 --horizon_s=120 --trajectories=256
  python launch/forecast.py --horizon_orders=2000
  python launch/forecast.py --model=out/goog/model.npz \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip --start=14:00:00

Without --data and --model it takes 30 minutes of Bitstamp's BTC/USD market
(downloaded once, 3 MB) and the model that ships with the package, which has
seen the first 20 of them.
"""

import pathlib
import time

import common
import jax
import numpy as np
from absl import flags

from mars_jax import demo
from mars_jax import lmm
from mars_jax.apps import forecast
from mars_jax.apps import moment as moment_lib
from mars_jax.apps.report import figures
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.utils import time_of_day

_DATA = flags.DEFINE_string(
  "data",
  registry.SAMPLE,
  "The market: 'bitstamp-sample', or a day of any format of docs/data.md.",
)
_INSTRUMENT = flags.DEFINE_string(
  "instrument", None, "Which one of a file of several."
)
_MODEL = flags.DEFINE_string(
  "model", None, "A model.npz of launch/train.py; the demo model if not given."
)
_START = flags.DEFINE_string(
  "start",
  None,
  "Where the futures begin, HH:MM:SS of the market's clock. If not given, five"
  " sixths into the data.",
)
_HORIZON_S = flags.DEFINE_float(
  "horizon_s", 60.0, "How far to simulate, in seconds of market time.", 0.0
)
_HORIZON_ORDERS = flags.DEFINE_integer(
  "horizon_orders",
  None,
  "How far to simulate, in orders a trajectory; in place of --horizon_s.",
  1,
)
_TRAJECTORIES = flags.DEFINE_integer(
  "trajectories", 128, "How many futures to simulate.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same futures.")
_CAPACITY = flags.DEFINE_integer(
  "book_capacity",
  512,
  "Orders that one side of a simulated book can hold.",
  16,
)
_REPLAY_CAPACITY = flags.DEFINE_integer(
  "replay_capacity", 4096, "The same for the book of the replayed day.", 16
)
_OUT = flags.DEFINE_string(
  "out",
  "out/forecast",
  "Path of what is written, less its ending: .png and .npz.",
)


def main() -> None:
  """Replays, simulates and shows; the top of this file says what."""
  horizon = _horizon()
  model = lmm.load(_MODEL.value or demo.MODEL)
  moment, stream = _moment(model)
  past = moment.past
  changes = forecast.past_changes(past.time, past.mid_after, horizon)
  began = time.time()
  with common.progress_bar("simulate", 1.0) as show:
    futures = forecast.simulate(
      model.params,
      moment.tokenizer,
      jax.random.key(_SEED.value),
      moment.start,
      flow=moment.flow,
      num_trajectories=_TRAJECTORIES.value,
      horizon=horizon,
      on_progress=lambda share, num_events: show(
        share, f"{num_events / (time.time() - began):,.0f} events/s"
      ),
    )
  seconds = time.time() - began
  day = [
    np.concatenate(
      [getattr(part, name) for part in (moment.past, moment.future)]
    )
    for name in ("time", "mid_after")
  ]
  found = forecast.paths(futures, *day, horizon=horizon)
  summary = forecast.summarize(found, changes)
  out = pathlib.Path(_OUT.value)
  out.parent.mkdir(parents=True, exist_ok=True)
  futures.save(f"{out}.npz")
  figures.fan(
    f"{out}.png",
    found,
    tick_size=stream.tick_size,
    title=f"{stream.name}, from {moment_lib.clock_text(futures.start)}",
    unit="seconds" if horizon.orders is None else "orders",
  )
  _report(summary, futures, moment, stream, horizon, seconds)
  print(f"{out}.png and {out}.npz written")


def _horizon() -> forecast.Horizon:
  """Returns the horizon that the flags ask for."""
  if _HORIZON_ORDERS.value:
    return forecast.Horizon(orders=_HORIZON_ORDERS.value)
  return forecast.Horizon(seconds=_HORIZON_S.value)


def _moment(
  model: lmm.Model,
) -> tuple[moment_lib.Moment, events.EventStream]:
  """Reads and replays the market, with a progress bar."""
  chosen = {"instrument": _INSTRUMENT.value} if _INSTRUMENT.value else {}
  stream = registry.read(_DATA.value, **chosen)
  trained_on = (f"{stream.market} {stream.instrument}", f"{stream.market},")
  is_known = len(model.tokenizers) > 1 and stream.market in model.tokenizers
  if not (is_known or model.card["data"].startswith(trained_on)):
    common.CONSOLE.print(
      f"note: the model was trained on {model.card['data']}, not on"
      f" {stream.name}; prices and volumes may be on another scale"
    )
  start = _start_time(stream)
  with common.replay_bar(stream) as on_progress:
    moment = moment_lib.at(
      stream,
      start,
      model=model,
      replay_capacity=_REPLAY_CAPACITY.value,
      capacity=_CAPACITY.value,
      on_progress=on_progress,
    )
  return moment, stream


def _start_time(stream: events.EventStream) -> int:
  """Returns the start in nanoseconds since midnight."""
  if _START.value is None:
    return moment_lib.default_start(stream)
  return time_of_day.parse_clock(_START.value, named=f"--start={_START.value}")


def _report(
  summary: forecast.Summary,
  futures: forecast.Trajectories,
  moment: moment_lib.Moment,
  stream: events.EventStream,
  horizon: forecast.Horizon,
  seconds: float,
) -> None:
  """Prints where the futures end and what happened."""
  num_events = futures.num_events(horizon)
  tick = stream.tick_size

  def change(ticks: float) -> str:
    return f"{ticks * tick:+,.2f}"

  def band(low: float, high: float) -> str:
    return f"{change(low)} to {change(high)}"

  if summary.realised is None:
    realised = "the data ends before"
  else:
    realised = f"{change(summary.realised)} ({summary.realised_class})"
  length = f"{horizon.orders} orders" if horizon.orders else ""
  rows = [
    ("start", time_of_day.clock_text(futures.start)),
    ("mid-price at the start", f"{futures.start_mid * tick:,.2f}"),
    ("horizon", length or f"{horizon.seconds:g} s"),
    ("futures", f"{len(futures.mid)}"),
    ("median change", change(summary.median)),
    ("5 % to 95 %", band(summary.low, summary.high)),
    ("5 % to 95 % of the past", band(*summary.past)),
    ("probability of up", f"{summary.up:.0%}"),
    (f"probability of flat, {band(*summary.flat)}", f"{summary.stays:.0%}"),
    ("probability of down", f"{summary.down:.0%}"),
    ("what happened", realised),
    ("events simulated", f"{num_events:,}"),
    ("events per second", f"{num_events / seconds:,.0f}"),
    ("seconds, compilation included", f"{seconds:.1f}"),
    ("far orders left out at the start", f"{moment.num_cut:,}"),
    ("orders dropped by full books", f"{futures.dropped.sum():,}"),
  ]
  common.print_table(f"Forecast of {stream.name}", ("", ""), rows)


if __name__ == "__main__":
  common.run(main)
