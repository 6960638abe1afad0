"""A picture of a scaling law."""

import pathlib

import matplotlib
import matplotlib.axes
import matplotlib.figure
import numpy as np

from mars_jax.train import scaling


def draw(points: np.ndarray, path: pathlib.Path | str, *, title: str) -> None:
  """Draws the losses and the law over N and D.

  Args:
    points: float64 `[n, 3]`, N, D and the loss of each run.
    path: of the picture; its ending gives the format, as .png.
    title: of the picture; the fitted law is added to it.
  """
  try:
    law = scaling.fit(points[:, :2], points[:, 2])
    (ln_a, ln_b), (alpha, beta) = law.log_scales, law.exponents
    title += (
      f": {law.floor:.2f} + e^{ln_a:.2f} N^-{alpha:.3g}"
      f" + e^{ln_b:.2f} D^-{beta:.3g}"
    )
  except ValueError:  # The runs do not identify it.
    law = None
  figure = matplotlib.figure.Figure(figsize=(11, 4.5), dpi=150)
  left, right = figure.subplots(1, 2, sharey=True)
  _draw_panel(left, points, law, 0, "parameters", "{} orders seen")
  _draw_panel(right, points, law, 1, "orders seen", "{} parameters")
  left.set_ylabel("validation loss, nats an order")
  figure.suptitle(title, fontsize=9)
  figure.tight_layout()
  figure.savefig(path)


def _draw_panel(
  axes: matplotlib.axes.Axes,
  points: np.ndarray,
  law: scaling.Law | None,
  column: int,
  xlabel: str,
  label: str,
) -> None:
  """Draws loss and law over one column.

  A line for each value of the other.

  Args:
    axes: where.
    points: as of `draw`.
    law: of N and D, None if the runs do not identify it.
    column: 0 or 1.
    xlabel: of the axis.
    label: of a line, with a place for the value.
  """
  values = np.unique(points[:, 1 - column])
  colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(values)))
  x = np.geomspace(points[:, column].min(), points[:, column].max(), 100)
  for value, color in zip(values, colors, strict=True):
    rows = points[points[:, 1 - column] == value]
    line = np.full((len(x), 2), value)
    line[:, column] = x
    if law is not None:
      axes.plot(x, law(line), color=color, lw=1)
    axes.plot(
      rows[:, column],
      rows[:, 2],
      "o",
      color=color,
      label=label.format(f"{value:,.0f}"),
    )
  axes.set(xscale="log", xlabel=xlabel)
  axes.grid(alpha=0.3)
  axes.spines[["top", "right"]].set_visible(False)
  axes.legend(frameon=False, fontsize=8)
