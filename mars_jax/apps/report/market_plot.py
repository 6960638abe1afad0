"""A picture of simulated markets; needs matplotlib, in the extra `plot`."""

import pathlib

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from mars_jax.apps.report import bars as bars_lib
from mars_jax.feeds import events

_BANDS = ((0.05, 0.95, 0.15), (0.25, 0.75, 0.25))  # Quantiles and opacity.
_STEPS = {"drawstyle": "steps-post"}
_PRICE, _SPREAD, _ASK, _BID, _VOLUME = (
  "#2f6f9f",
  "#6b4c9a",
  "#c8442d",
  "#3a7d44",
  "#777777",
)


def draw(
  path: pathlib.Path,
  bars: bars_lib.Bars,
  stream: events.EventStream,
  *,
  title: str,
) -> None:
  """Plots price, spread, depth and volume to a PNG.

  The median over trajectories with the bands of 5 to 95 and 25 to 75 %; of the
  price also some trajectories by themselves, of the volume the mean.

  Args:
    path: of the picture.
    bars: of B trajectories.
    stream: of the market.
    title: of the picture.
  """
  figure = matplotlib.figure.Figure(figsize=(9, 8), dpi=150)
  panels = figure.subplots(
    4, sharex=True, gridspec_kw={"height_ratios": (3, 1, 1, 1)}
  )
  time = bars.begin / 1e9
  tick, lot = stream.tick_size, stream.lot_size
  is_off = ~bars.is_bar

  def known(values, unit):
    is_none = is_off | np.ma.getmaskarray(values)
    return np.where(is_none, np.nan, np.ma.getdata(values) * unit)

  price, spread, depth, volume = panels
  mids = known(bars.mid[3], tick)
  _fan(price, time, mids, _PRICE, "median")
  price.plot(time, mids[:20].T, lw=0.5, alpha=0.4, color=_PRICE, **_STEPS)
  _fan(spread, time, known(bars.spread, tick), _SPREAD, "spread")
  for side, color, label in (
    (bars_lib.ASK, _ASK, "best ask"),
    (bars_lib.BID, _BID, "best bid"),
  ):
    _fan(depth, time, known(bars.best_volume[side], lot), color, label)
  traded = np.ma.masked_array(bars.volume * lot, is_off).mean(axis=0)
  volume.fill_between(time, traded, step="post", color=_VOLUME, lw=0)
  price.set(ylabel="mid-price", title=title)
  spread.set(ylabel="spread")
  depth.set(ylabel="depth")
  volume.set(ylabel="volume", xlabel="time of the market")
  price.ticklabel_format(axis="y", useOffset=False)
  depth.legend(frameon=False, loc="upper left", ncols=2)
  whole_seconds = matplotlib.ticker.MaxNLocator(
    nbins=8, integer=True, steps=(1, 2, 3, 6, 10)
  )
  volume.xaxis.set_major_locator(whole_seconds)
  volume.xaxis.set_major_formatter(
    matplotlib.ticker.FuncFormatter(lambda seconds, _: _clock(seconds))
  )
  for axes in panels:
    axes.spines[["top", "right"]].set_visible(False)
  figure.align_ylabels(panels)
  figure.tight_layout()
  figure.savefig(path)


def _fan(axes, time, values, color, label):
  """Draws the median and bands of `[B, n]`, NaN ignored.

  `n` are times.
  """
  has = ~np.isnan(values).all(axis=0)
  time, values = time[has], values[:, has]
  for low, high, opacity in _BANDS:
    band = np.nanquantile(values, [low, high], axis=0)
    axes.fill_between(
      time, *band, step="post", color=color, alpha=opacity, lw=0
    )
  median = np.nanmedian(values, axis=0)
  axes.plot(time, median, label=label, lw=1.5, color=color, **_STEPS)


def _clock(seconds):
  """Returns a time of day as HH:MM:SS."""
  minutes, seconds = divmod(int(seconds), 60)
  return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
