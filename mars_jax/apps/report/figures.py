"""Pictures of forecasts; needs matplotlib, which is in the extra `plot`."""

import pathlib

import matplotlib.figure
import numpy as np

from mars_jax.apps import paths as paths_lib

_BANDS = ((0.05, 0.95, 0.15), (0.25, 0.75, 0.25))  # Quantiles and opacity.
_PAST, _FUTURE, _REAL = "#777777", "#2f6f9f", "#c8442d"


def fan(
  path: pathlib.Path | str,
  found: paths_lib.Paths,
  *,
  tick_size: float,
  title: str,
  unit: str,
) -> None:
  """Draws paths, quantiles and the real mid to a PNG.

  Args:
    path: of the picture.
    found: the futures, the past and what came.
    tick_size: price of a tick.
    title: of the picture.
    unit: of the axis, "seconds" or "orders".
  """
  figure = matplotlib.figure.Figure(figsize=(9, 5), dpi=150)
  axes = figure.subplots()
  axis, mid = found.axis, found.mid * tick_size
  real = found.real_mid * tick_size
  num_paths = len(mid)

  def line(x, y, color, **style):
    axes.plot(x, y, color=color, drawstyle="steps-post", **style)

  line(found.past_axis, found.past_mid * tick_size, _PAST, label="before")
  line(axis, mid[:1].T, _FUTURE, lw=0.6, label=f"{num_paths} futures")
  line(axis, mid[1:].T, _FUTURE, lw=0.6, alpha=0.15)
  for low, high, opacity in _BANDS:
    axes.fill_between(
      axis,
      *np.quantile(mid, [low, high], axis=0),
      step="post",
      color=_FUTURE,
      alpha=opacity,
      lw=0,
      label=f"{low:.0%} to {high:.0%}",
    )
  line(axis, np.median(mid, axis=0), _FUTURE, lw=2, label="median")
  line(axis[: len(real)], real, _REAL, lw=2, label="what happened")
  axes.axvline(0, color="black", lw=0.8)
  axes.set(xlabel=f"{unit} from the start", ylabel="mid-price", title=title)
  axes.ticklabel_format(axis="y", useOffset=False)
  axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
  axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path)
