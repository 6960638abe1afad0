"""The reaction to an injected order: a picture and a table.

Needs matplotlib, which is in the extra `plot`.
"""

import collections.abc

import matplotlib.figure
import numpy as np

from mars_jax.apps import evaluation
from mars_jax.evals import response

HEADER = (
  *("", "volume, lots", "at once, ticks", "at the end, ticks"),
  *("remains, % (95 %)", "trades of its side, points (p)"),
  *("new orders of its side, points (p)", "cancels of its side, points (p)"),
)
_KINDS = {
  "trades": "trades",
  "new": "new orders that rest",
  "cancels": "cancels",
}


def reactions(
  scores: collections.abc.Sequence[evaluation.Scores],
) -> dict[str, response.Reaction]:
  """Returns the reactions that were measured, by generator."""
  return {s.name: s.reaction for s in scores if s.reaction is not None}


def rows(
  found: dict[str, response.Reaction], *, near: int = 100
) -> list[tuple[str, ...]]:
  """Returns rows of text under `HEADER`.

  Args:
    found: by generator.
    near: the first lag for which the orders of its side are given; the second
      is the last.
  """
  return [_row(name, one, near) for name, one in found.items()]


def _row(name, one, near):
  at = {one.lags.index(min(near, one.lags[-1])), len(one.lags) - 1}

  def shift(kind):
    cells = [
      f"to {one.lags[i]}: {100 * one.shifts[kind][i - 1]:+.1f}"
      f" ({one.p_values[kind][i - 1]:.3f})"
      for i in sorted(at)
    ]
    return ", ".join(cells)

  low, high = one.remains_interval
  return (
    name,
    f"{one.volume:.0f}",
    f"{one.mid[0]:.1f} ± {one.error[0]:.1f}",
    f"{one.mid[-1]:.1f} ± {one.error[-1]:.1f}",
    f"{100 * one.remains:.0f} ({100 * low:.0f} to {100 * high:.0f})",
    *(shift(kind) for kind in response.KINDS),
  )


def figure(
  found: dict[str, response.Reaction], colors: dict[str, str]
) -> matplotlib.figure.Figure:
  """Draws the response of the mid and the flow.

  Args:
    found: by generator, at least one.
    colors: by generator.
  """
  drawn = matplotlib.figure.Figure(figsize=(13, 3.6), dpi=120)
  axes = drawn.subplots(1, 1 + len(response.KINDS))
  for name, one in found.items():
    lags, mid, error = map(np.array, (one.lags, one.mid, one.error))
    style = {"color": colors[name], "lw": 2.5 if name == "model" else 1.2}
    axes[0].plot(lags, mid, label=name, **style)
    axes[0].fill_between(
      lags, mid - error, mid + error, color=colors[name], alpha=0.15, lw=0
    )
    for axis, kind in zip(axes[1:], response.KINDS, strict=True):
      axis.plot(lags[1:], 100 * np.array(one.shifts[kind]), **style)
  axes[0].set(title="mid, ticks, signed by the order")
  for axis, kind in zip(axes[1:], response.KINDS, strict=True):
    axis.set(title=f"{_KINDS[kind]} of its side, points", xscale="log")
  for axis in axes:
    axis.axhline(0, color="#bbbbbb", lw=0.8)
    axis.set(xlabel="orders after it")
    axis.spines[["top", "right"]].set_visible(False)
  axes[0].legend(frameon=False, fontsize=8)
  drawn.tight_layout()
  return drawn
