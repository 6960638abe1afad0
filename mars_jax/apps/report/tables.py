"""Order files and tables of a simulation.

`OrderFiles` writes every order of some trajectories while it runs; `write_bars`
and `write_accounts` write tables, Parquet or CSV by the ending of their name,
with prices and volumes in the market's own units.
"""

import csv
import pathlib

import jax
import numpy as np

from mars_jax import sim
from mars_jax.apps.report import bars as bars_lib
from mars_jax.feeds import events
from mars_jax.lob import rules as rules_lib
from mars_jax.replay import lobster_writer
from mars_jax.utils import files
from mars_jax.utils import time_of_day

try:
  import polars as pl
except ImportError:
  pl = None

_DIGITS = 10  # Of prices and volumes in tables.
_PRICES = ("open", "high", "low", "close")


class OrderFiles:
  """Writes the orders of the first trajectories as LOBSTER files.

  Those of trajectory b are in the folder of its number, `0000` and so on, as
  `feeds.lobster` reads them.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    state: sim.SimState,
    *,
    count: int,
    rules: rules_lib.Rules,
    num_levels: int,
  ):
    """Opens the files.

    Args:
      folder: of the folders of trajectories.
      state: before the first event, of B trajectories.
      count: how many of them to write, <= B.
      rules: of the venue.
      num_levels: of the files of the book.

    Raises:
      ValueError: as `lobster_writer.Writer`.
      FileExistsError: if the folder has files: a reader would take old ones for
        new ones.
    """
    if folder.exists() and any(folder.iterdir()):
      raise FileExistsError(f"{folder} has files; name another path")
    books = jax.device_get(state.market.exchange.book)
    times = time_of_day.nanoseconds(state.market.clock).tolist()
    self._traded = np.array(state.market.traded)[:count]
    self._writers = [
      lobster_writer.Writer(
        folder / f"{b:04}",
        jax.tree.map(lambda x, b=b: x[b], books),
        times[b],
        rules=rules,
        num_levels=num_levels,
      )
      for b in range(count)
    ]

  def add(self, kept: bars_lib.Kept) -> None:
    """Takes a chunk, numpy leaves `[B, E, ...]`."""
    order = kept.order
    time = time_of_day.nanoseconds(kept.time)
    columns = (order.kind, order.side, order.price, order.volume, order.id)
    for b, writer in enumerate(self._writers):
      rows = kept.is_event[b]
      # An auction trades between two events, and so is in no report.
      total = kept.all_traded[b] - self._traded[b]
      self._traded[b] = kept.all_traded[b, -1]
      traded = kept.traded[b].cumsum(dtype=np.int32)
      if (total != traded).any():
        raise ValueError(lobster_writer.NOT_CONTINUOUS)
      for moment, *row, reason, volume in zip(
        *(x[b, rows].tolist() for x in (time, *columns, kept.reason)),
        kept.traded[b, rows].tolist(),
        strict=True,
      ):
        writer.add(moment, row, reason, volume)

  def close(self, *, instrument: str, day: str) -> None:
    """Gives the files their names."""
    for writer in self._writers:
      writer.close(instrument=instrument, day=day)


def write_bars(
  path: pathlib.Path, bars: bars_lib.Bars, stream: events.EventStream
) -> None:
  """Writes a row for each bar, by trajectory and time.

  The columns are `trajectory`, `time_s` (seconds since midnight at which the
  bar begins), `mid_open` and so on, `trade_open` and so on (empty without a
  trade), `volume`, `trades`, `orders`, `cancels`, and at the end of the bar
  `spread`, `ask_price`, `ask_volume`, `bid_price` and `bid_volume` (empty where
  that side of the book is).

  Args:
    path: ends in `.parquet` or `.csv`.
    bars: of B trajectories.
    stream: of the market, whose ticks and lots these are.
  """
  tick, lot = stream.tick_size, stream.lot_size
  rows, columns = bars.is_bar, {}

  def put(name, values, unit=1, is_empty=False):
    values = values[rows]
    values = values if unit == 1 else np.round(values * unit, _DIGITS)
    is_empty = np.broadcast_to(is_empty, rows.shape)[rows]
    columns[name] = np.ma.masked_array(values, is_empty)

  put("trajectory", np.broadcast_to(np.arange(len(rows))[:, None], rows.shape))
  put("time_s", np.broadcast_to(bars.begin, rows.shape), 1e-9)
  for name, price in zip(_PRICES, bars.mid, strict=True):
    put(f"mid_{name}", price, tick)
  for name, price in zip(_PRICES, bars.trade, strict=True):
    put(f"trade_{name}", price, tick, ~bars.has_trade)
  put("volume", bars.volume, lot)
  for name in ("trades", "orders", "cancels"):
    put(name, getattr(bars, name))
  put("spread", bars.spread.data, tick, bars.spread.mask)
  for name, side in (("ask", bars_lib.ASK), ("bid", bars_lib.BID)):
    volume = bars.best_volume[side]
    put(f"{name}_price", bars.best_price[side], tick, volume == 0)
    put(f"{name}_volume", volume, lot)
  _write_table(path, columns)


def accounts(state: sim.SimState) -> dict[str, np.ndarray]:
  """Returns the number of trades by owner.

  int64 `[B, A + 1]`.

  Args:
    state: of B trajectories with A agents.

  Returns:
    `inventory`, `bought`, `sold` in lots; `cash` and `profit` in ticks times
    lots, where the profit is the cash and the inventory at the mid. The last
    owner is the rest of the market.
  """
  found = state.agents.accounts
  inventory = np.asarray(found.inventory, np.int64)
  cash = sim.money.to_int(np.asarray(found.cash))
  return {
    "inventory": inventory,
    "cash": cash,
    # They wrap round at 2**31, and so reach twice as far without their sign.
    "bought": np.asarray(found.bought).astype(np.uint32).astype(np.int64),
    "sold": np.asarray(found.sold).astype(np.uint32).astype(np.int64),
    "profit": cash
    + inventory * np.asarray(state.market.mid, np.int64)[:, None],
  }


def account_units(stream: events.EventStream) -> dict[str, float]:
  """Returns the units of the columns of `accounts`."""
  money = stream.tick_size * stream.lot_size
  lots = dict.fromkeys(("inventory", "bought", "sold"), stream.lot_size)
  return {**lots, "cash": money, "profit": money}


def write_accounts(
  path: pathlib.Path,
  state: sim.SimState,
  owner_names: tuple[str, ...],
  stream: events.EventStream,
) -> None:
  """Writes a row for each owner and trajectory.

  In the market's units.

  Args:
    path: ends in `.parquet` or `.csv`.
    state: of B trajectories with agents.
    owner_names: of the agents and of the rest of the market.
    stream: of the market.
  """
  found, units = accounts(state), account_units(stream)
  shape = found["cash"].shape
  columns = {
    "trajectory": np.broadcast_to(np.arange(shape[0])[:, None], shape),
    "owner": np.broadcast_to(owner_names, shape),
    **{
      name: np.round(values * units[name], _DIGITS)
      for name, values in found.items()
    },
  }
  _write_table(
    path, {n: np.ma.masked_array(x.ravel()) for n, x in columns.items()}
  )


def check_table(path: pathlib.Path) -> None:
  """Raises unless a table can be written there."""
  if path.suffix not in (".csv", ".parquet"):
    raise ValueError(f"{path}: a table ends in .parquet or .csv")
  if path.suffix == ".parquet" and pl is None:
    raise ImportError("Parquet needs polars: pip install mars-jax[data]")


def _write_table(path, columns):
  """Writes masked arrays `[n]` by name; what is masked is empty."""
  check_table(path)
  with files.replacing(path) as partial:
    if path.suffix == ".parquet":
      pl.DataFrame(
        [
          pl.Series(name, x.data).scatter(
            np.flatnonzero(np.ma.getmaskarray(x)), None
          )
          for name, x in columns.items()
        ]
      ).write_parquet(partial)
      return
    with partial.open("w", newline="") as file:
      writer = csv.writer(file)
      writer.writerow(columns)
      # What is masked is None in a list, which is an empty field.
      lists = [x.tolist() for x in columns.values()]
      writer.writerows(zip(*lists, strict=True))
