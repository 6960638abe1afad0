"""The picture of long futures; needs matplotlib, in the extra `plot`."""

import matplotlib.figure
import numpy as np

from mars_jax.apps import long_futures
from mars_jax.evals import stability
from mars_jax.evals import stylized_facts

_BY_LAG = {
  "autocorrelation_last": "autocorrelation of returns",
  "volatility": "autocorrelation of absolute returns",
  "kurtosis": "excess kurtosis, by bars",
  "leverage": "return and later absolute returns",
  "volume_volatility": "volume and later absolute returns",
  "asymmetry": "timescale asymmetry",
}


def draw(
  found: long_futures.LongFutures, *, colors: dict[str, str]
) -> matplotlib.figure.Figure:
  """Draws quantities along the horizon, and facts by lag.

  Bands are two standard errors over futures; grey is the range of the whole
  real day.

  Args:
    found: the futures.
    colors: by generator.
  """
  figure = matplotlib.figure.Figure(figsize=(13, 13), dpi=110)
  axes = figure.subplots(4, 3)
  generators = [p for p in found.paths if p.stability is not None]
  minutes = found.config.stretch * found.config.starts.bar_s / 60
  for axis, (name, title) in zip(
    axes[:2].ravel(), stability.QUANTITIES.items(), strict=True
  ):
    axis.set(title=title, xlabel="minutes from the start")
    for one in generators:
      course = one.stability[name]
      x = (np.arange(len(course.mean)) + 0.5) * minutes
      _line(axis, x, course.mean, course.error, one.name, colors)
    if generators:
      axis.plot(x, course.real, color="black", lw=2.5, label="real")
      axis.axhspan(course.low, course.high, color="#eeeeee", zorder=0)
  for axis, (name, title) in zip(
    axes[2:].ravel(), _BY_LAG.items(), strict=True
  ):
    axis.set(title=title, xlabel="bars" if name == "kurtosis" else "lag, bars")
    axis.axhline(0, color="#aaaaaa", lw=0.8)
    for one in found.paths:
      value = getattr(one.facts, name)
      _line(
        axis,
        1 + np.arange(len(value)),
        value,
        _errors(one.errors, name, value),
        one.name,
        colors,
      )
  if generators:
    axes[0, 0].legend(frameon=False, fontsize=8)
  axes[2, 0].legend(frameon=False, fontsize=8)
  for axis in axes.ravel():
    axis.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  return figure


def _errors(
  errors: stylized_facts.StylizedFacts | None, name: str, value: np.ndarray
) -> np.ndarray:
  """Returns the errors of a fact; NaN if there are none."""
  if errors is None:
    return np.full_like(value, np.nan)
  return getattr(errors, name)


def _line(axis, x, mean, error, name, colors) -> None:
  """Draws a line with its band."""
  is_real = name.startswith("real")
  style = {
    "color": colors.get(name, "black" if is_real else "#555555"),
    "ls": ":" if name == "real day" else "-",
    "lw": 2.5 if name in ("real", "model") else 1.2,
  }
  axis.plot(x, mean, label=name, **style)
  mean, band = np.array(mean), 2 * np.nan_to_num(error)
  if band.any():
    axis.fill_between(
      x, mean - band, mean + band, color=style["color"], alpha=0.15, lw=0
    )
