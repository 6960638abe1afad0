r"""Simulates a market: an order flow and agents, matched by an exchange.

Starts from a day of orders at a time, or from a synthetic market that takes no
data, or where an earlier simulation ended; simulates many trajectories in step,
over all devices of the machine; and writes what came of them.

  python launch/simulate.py --config=configs/simulate.py
  python launch/simulate.py --config=configs/simulate.py:synthetic
  python launch/simulate.py --config=configs/simulate.py --out=out/goog \
      --config.start.path=LOBSTER_SampleFile_GOOG_2012-06-21_10.zip \
      --config.start.model=out/goog/model.npz \
      --config.start.times="('11:00:00','14:00:00')"
  python launch/simulate.py --config=configs/simulate.py \
      --config.agents[0].volume=4000000 --config.outputs.orders=2

The config says where it starts (`start`), by whose rules (`rules`), who trades
beside the order flow (`agents`: each a kind, which is market_maker, momentum,
noise, pov, twap, value, vwap or zero_intelligence, and the fields of its `make`
in mars_jax/sim/agents), how far it goes (`horizon`), and what is kept
(`outputs`).
An agent of one's own takes ten lines of Python: mars_jax/sim/agents/base.py has
one, and `mars_jax.apps.simulate` simulates it.

A simulation that has saved its state (--config.outputs.state) goes on with
--config.start.state=out/simulate_state.npz, all else of the config unchanged
but for horizon and outputs.

Writes, by `outputs` of the config, to the path of --out and
  .json             what came of it: events, rejections, accounts by owner
  .png              price, spread, depth and volume over time
  _bars.parquet     bars of a minute, or of another length, by trajectory
  _accounts.parquet what each owner has traded, by trajectory
  _orders/0000/     every order of trajectory 0, as a pair of LOBSTER files,
                    which launch/replay.py verifies
  _state.npz        the state at the end
With several `start.times`, each has its own files, with the time in their name.
"""

import common
from absl import flags
from ml_collections import config_flags

from mars_jax.apps import experiment as experiment_lib
from mars_jax.utils import time_of_day

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The simulation: configs/simulate.py, or with :synthetic or :tiny.",
)
_OUT = flags.DEFINE_string(
  "out", "out/simulate", "Path of what is written, less the endings."
)
flags.mark_flag_as_required("config")


def main() -> None:
  """Simulates from each start; the top of this file explains the config."""
  sections = _CONFIG.value.to_dict()
  experiment = experiment_lib.make(sections)
  common.outputs(_OUT.value, (".json",))
  for summary, paths in experiment_lib.run_all(
    experiment, _OUT.value, sections=sections
  ):
    _report(summary)
    print(f"{', '.join(map(str, paths))} written")


def _report(summary) -> None:
  """Prints what came of a simulation."""

  def band(values) -> str:
    low, median, high = (values[name] for name in ("p5", "median", "p95"))
    return f"{median:,.6g} ({low:,.6g} to {high:,.6g})"

  rejected = summary["rejected"]
  rows = [
    ("start", time_of_day.clock_text(summary["begin_s"] * 1e9)),
    ("end", time_of_day.clock_text(summary["end_s"] * 1e9)),
    ("trajectories", f"{summary['trajectories']:,}"),
    ("mid-price at the start", band(summary["mid_at_start"])),
    ("mid-price at the end", band(summary["mid_at_end"])),
    ("orders simulated", f"{summary['events']:,}"),
    ("orders per second", f"{summary['orders_per_second']:,.0f}"),
    ("seconds, compilation included", f"{summary['seconds']:.1f}"),
    ("far orders left out at the start", f"{summary['left_out_at_start']:,}"),
    ("orders dropped by full books", f"{summary['dropped_by_full_books']:,}"),
    *((f"rejected: {name}", f"{count:,}") for name, count in rejected.items()),
  ]
  common.print_table(f"Simulation of {summary['market']}", ("", ""), rows)
  if not summary["is_complete"]:
    print("note: stopped by max_orders before the end of the horizon")
  if "owners" not in summary:
    return
  columns = ("inventory", "cash", "profit")
  counts = [
    name
    for name in ("rejected", "dropped", "stale")
    if any(owner.get(name) for owner in summary["owners"])
  ]
  common.print_table(
    "Accounts: medians over trajectories, and 5 to 95 % of the profit",
    ("", *columns, "5 %", "95 %", *counts),
    [
      (
        owner["name"],
        *(f"{owner[name]['median']:,.6g}" for name in columns),
        *(f"{owner['profit'][name]:,.6g}" for name in ("p5", "p95")),
        *(f"{owner[name]:,}" if name in owner else "" for name in counts),
      )
      for owner in summary["owners"]
    ],
  )


if __name__ == "__main__":
  common.run(main)
