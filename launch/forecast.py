r"""Forecasts a market by simulation: many futures of one real market.

Replays a day up to a time, simulates futures from there with a trained order
model under the rules of the day's exchange, and shows them beside what really
happened: a picture, a table and the futures as arrays.

  python launch/forecast.py --out=out/forecast
  python launch/forecast.py --start=03:00:00 --horizon_s=120 --trajectories=256
  python launch/forecast.py --horizon_orders=2000
  python launch/forecast.py --model=out/goog/model.npz \
      --data=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip --start=14:00:00

Without --data and --model it takes 30 minutes of Bitstamp's BTC/USD market
(downloaded once, 3 MB) and the model that ships with the package, which has
seen the first 20 of them. `mars_jax.apps.forecast` does the same from Python.
"""

import common
from absl import flags

from mars_jax import apps
from mars_jax import demo
from mars_jax import feeds
from mars_jax.apps import start as start_lib

_DATA = flags.DEFINE_string(
  "data",
  feeds.SAMPLE,
  "The market: 'bitstamp-sample', or a day of any format of docs/data.md.",
)
_INSTRUMENT = flags.DEFINE_string(
  "instrument", "", "Which one of a file of several."
)
_DAY = flags.DEFINE_string(
  "day", "", "Which one of a capture of several, as 2024-10-04; else the last."
)
_MODEL = flags.DEFINE_string(
  "model",
  None,
  "A model.npz of launch/train.py, or 'none' to draw orders from the past; the"
  " demo model if not given.",
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
_RULES = flags.DEFINE_string(
  "rules",
  start_lib.AUTO,
  "The rules of the simulated exchange, by the name of a preset; 'auto' for"
  " those of the exchange that the data is of.",
)
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
  """Forecasts and shows; the top of this file explains the flags."""
  picture, arrays = common.outputs(_OUT.value, (".png", ".npz"))
  found = apps.forecast(
    _DATA.value,
    model=_MODEL.value or str(demo.MODEL),
    start=_START.value,
    horizon_s=_HORIZON_S.value,
    horizon_orders=_HORIZON_ORDERS.value,
    trajectories=_TRAJECTORIES.value,
    seed=_SEED.value,
    instrument=_INSTRUMENT.value,
    day=_DAY.value,
    rules=_RULES.value,
    book_capacity=_CAPACITY.value,
    replay_capacity=_REPLAY_CAPACITY.value,
  )
  found.save(arrays)
  found.plot(picture)
  name = found.start.stream.name
  common.print_table(f"Forecast of {name}", ("", ""), found.rows())
  print(f"{picture} and {arrays} written")


if __name__ == "__main__":
  common.run(main)
