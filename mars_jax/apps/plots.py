"""Pictures of forecasts; needs matplotlib, which is in the extra `plot`."""

import dataclasses
import pathlib

import matplotlib
import matplotlib.figure
import numpy as np

_BANDS = ((0.05, 0.95), (0.25, 0.75))
_FUTURE, _PAST, _REAL = "#2f6f9f", "#777777", "#c8442d"


@dataclasses.dataclass(frozen=True)
class Fan:
  """What the picture of a forecast shows; prices in the market's currency.

  Attributes:
    title: of the picture.
    unit: of the horizontal axis, "seconds" or "orders".
    past: float `[p]` of that axis, <= 0, and `past_mid` there.
    future: float `[n]`, >= 0, with `mid` `[B, n]` of each trajectory, and
      `real_mid` `[r]` of the first r, what really happened.
  """

  title: str
  unit: str
  past: np.ndarray
  past_mid: np.ndarray
  future: np.ndarray
  mid: np.ndarray
  real_mid: np.ndarray


def fan(path: pathlib.Path | str, data: Fan) -> None:
  """Draws the paths, their quantiles and what really happened, to a PNG."""
  figure = matplotlib.figure.Figure(figsize=(9, 5), dpi=150)
  axes = figure.subplots()
  steps = {"drawstyle": "steps-post"}
  axes.plot(data.past, data.past_mid, color=_PAST, label="before", **steps)
  for index, mid in enumerate(data.mid):
    label = f"{len(data.mid)} simulated futures" if index == 0 else None
    axes.plot(
      data.future, mid, color=_FUTURE, alpha=0.15, lw=0.6, label=label, **steps
    )
  for low, high in _BANDS:
    bounds = np.quantile(data.mid, [low, high], axis=0)
    axes.fill_between(
      data.future,
      *bounds,
      step="post",
      color=_FUTURE,
      alpha=0.2,
      lw=0,
      label=f"{low:.0%} to {high:.0%}",
    )
  axes.plot(
    data.future,
    np.median(data.mid, axis=0),
    color=_FUTURE,
    lw=2,
    label="median",
    **steps,
  )
  num_real = len(data.real_mid)
  axes.plot(
    data.future[:num_real],
    data.real_mid,
    color=_REAL,
    lw=2,
    label="what happened",
    **steps,
  )
  axes.axvline(0, color="black", lw=0.8)
  axes.set_xlabel(f"{data.unit} from the start")
  axes.set_ylabel("mid-price")
  axes.set_title(data.title)
  axes.ticklabel_format(axis="y", useOffset=False)
  axes.legend(loc="upper left", frameon=False, fontsize=8)
  axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path)
