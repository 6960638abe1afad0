"""The report of an evaluation: one HTML file, and its main picture.

Needs matplotlib, which is in the extra `plot`. The file holds its pictures, so
that it opens without a network.
"""

import base64
import html
import io
import json
import pathlib

import matplotlib.figure
import numpy as np

from mars_jax.apps import evaluation
from mars_jax.apps import long_futures
from mars_jax.apps import long_tables
from mars_jax.apps.report import long_figure
from mars_jax.apps.report import reaction_plot
from mars_jax.evals import lob_bench_scores
from mars_jax.evals import messages as messages_lib
from mars_jax.utils import files

_COLORS = {
  "real": "black",
  "model": "#c8442d",
  "tokens only": "#2f6f9f",
  "queue-reactive": "#4f9f5f",
  "random windows": "#b08f2f",
  "random orders": "#8f6fb0",
  "zero intelligence": "#d98fb0",
  "replay": "#999999",
}
_SHOWN = 0.99  # Share of the values that a distribution's axis shows.
_DISTRIBUTIONS = {
  "spread": "spread, ticks",
  "log_inter_arrival_time": "log ms between messages",
  "ask_volume_touch": "lots at the best ask",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em;
  padding: 0 1em; color: #222; }}
table {{ border-collapse: collapse; font-size: 13px; margin: 1em 0; }}
td, th {{ padding: .25em .6em; border-bottom: 1px solid #ddd;
  text-align: right; }}
td:first-child, th:first-child {{ text-align: left; }}
img {{ max-width: 100%; }} pre {{ background: #f5f5f5; padding: 1em;
  overflow: auto; }}
</style></head><body>
<h1>{title}</h1>
<p>{about}</p>
{body}
</body></html>
"""

_LEGEND = """L1 and Wasserstein are LOB-Bench's, means over its 21 scores of all
messages; the interval is by bootstrap over sequences. AUC is of a network that
tells real from generated messages (.5: not at all); with shuffled labels it has
{null}. A replay of the past and random real windows score well without knowing
anything: a model has to be read beside them, and nothing scores better than its
alphabet ("tokens only"). Read the share of new runs of messages and the longest
copy of the time before beside the real ones: a generator with fewer new runs,
or longer copies, repeats what it has seen."""

_REACTION = """At each start comes a market order that takes the best {levels}
levels of the other side: a buy in one future, a sell in another, with the same
random numbers. Ticks are the mean of the rise after a buy and the fall after a
sell, with the standard error over windows. Points are percent of the orders up
to there, by how much more of them are of the injected order's side than without
it; p is by permutation of buys and sells. Random orders ignore the book: their
response is what the matching engine does alone."""


def write(
  path: pathlib.Path, found: evaluation.Evaluation, *, command: str
) -> None:
  """Writes the report.

  Args:
    path: of the HTML file.
    found: the evaluation.
    command: that made it, to be shown.
  """
  windows = found.windows
  null = f"{np.mean(found.null_auc):.2f}" if found.null_auc else "not been run"
  by_score = [
    (
      name,
      *(
        f"{s.by_score[name][0]:.3f} / {s.by_score[name][1]:.3f}"
        for s in found.scores
      ),
    )
    for name in (*lob_bench_scores.SCORES, *lob_bench_scores.CONDITIONAL_SCORES)
  ]
  names = ("", *(s.name for s in found.scores))
  body = [
    _picture(_figure(found), "the main figures"),
    "<h2>All generators</h2>",
    _table(evaluation.HEADER, evaluation.rows(found.scores)),
    f"<p>{_LEGEND.format(null=null)}</p>",
    *_reaction(found),
    "<h2>Score by score: L1 / Wasserstein</h2>",
    _table(names, by_score),
  ]
  if found.long is not None:
    body += _long_section(found.long)
  if found.card is not None:
    card = json.dumps(found.card, indent=1, default=str)
    body += ["<h2>Model card</h2>", f"<pre>{html.escape(card)}</pre>"]
  body += ["<h2>Command</h2>", f"<pre>{html.escape(command)}</pre>"]
  config = windows.config
  about = (
    f"{len(windows)} windows from {config.test_from} on, each of"
    f" {config.num_cond} messages to condition on and {config.num_real} that"
    " follow."
  )
  page = _PAGE.format(
    title=html.escape(f"Futures of {windows.stream.name}"),
    about=html.escape(about),
    body="\n".join(body),
  )
  with files.replacing(path) as partial:
    partial.write_text(page)


def _reaction(found: evaluation.Evaluation) -> list[str]:
  """Returns the section of the reaction, if measured."""
  reactions = reaction_plot.reactions(found.scores)
  if not reactions:
    return []
  about = _REACTION.format(levels=found.config.reaction_levels)
  return [
    "<h2>Reaction to an injected order</h2>",
    _picture(reaction_plot.figure(reactions, _COLORS), "the reaction"),
    _table(reaction_plot.HEADER, reaction_plot.rows(reactions)),
    f"<p>{html.escape(about)}</p>",
  ]


def _picture(figure: matplotlib.figure.Figure, alt: str) -> str:
  """Returns a figure as an HTML image with its data."""
  picture = io.BytesIO()
  figure.savefig(picture, format="png")
  encoded = base64.b64encode(picture.getvalue()).decode()
  return f'<img alt="{alt}" src="data:image/png;base64,{encoded}">'


def draw(path: pathlib.Path, found: evaluation.Evaluation) -> None:
  """Writes the main picture as a PNG."""
  _figure(found).savefig(path)


def _long_section(found: long_futures.LongFutures) -> list[str]:
  """Returns the section of long futures."""
  body = [
    "<h2>Long futures</h2>",
    f"<p>{html.escape(long_tables.about(found))}</p>",
    _picture(long_figure.draw(found, colors=_COLORS), "long futures"),
  ]
  for table in long_tables.tables(found):
    body += [
      f"<h3>{html.escape(table.title)}</h3>",
      f"<p>{html.escape(table.note)}</p>",
      _table(table.header, table.rows),
    ]
  return body


def _table(header, rows) -> str:
  """Returns an HTML table of rows of text."""

  def line(cells, tag):
    inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"

  lines = [line(header, "th"), *(line(row, "td") for row in rows)]
  return f"<table>{''.join(lines)}</table>"


def _figure(found: evaluation.Evaluation) -> matplotlib.figure.Figure:
  """Draws the scores along the horizon, and some distributions."""
  figure = matplotlib.figure.Figure(figsize=(13, 7), dpi=120)
  axes = figure.subplots(2, 3)
  block = found.config.block
  for scores in found.scores:
    color = _COLORS[scores.name]
    style = {
      "color": color,
      "label": scores.name,
      "lw": 2.5 if scores.name in ("real", "model") else 1.2,
    }
    x = (np.arange(len(scores.blocks)) + 0.5) * block
    axes[0, 0].plot(x, [b.spread for b in scores.blocks], **style)
    axes[0, 1].plot(x, [100 * b.trades for b in scores.blocks], **style)
    if scores.name != "real":
      axes[0, 2].plot(x, scores.divergence, **style)
  for axis, title in zip(
    axes[0],
    ("spread, ticks", "orders that trade, %", "L1 of a block, mean of scores"),
    strict=True,
  ):
    axis.set(title=title, xlabel="messages from the start", ylim=(0, None))
  sequences = {"real": found.windows.real, **found.messages}
  for axis, (name, title) in zip(axes[1], _DISTRIBUTIONS.items(), strict=True):
    _distribution(axis, sequences, lob_bench_scores.SCORES[name].values)
    axis.set(title=title)
  axes[0, 0].legend(frameon=False, fontsize=8)
  for axis in axes.ravel():
    axis.spines[["top", "right"]].set_visible(False)
  figure.suptitle(found.windows.stream.name)
  figure.tight_layout()
  return figure


def _distribution(axis, sequences, values) -> None:
  """Draws the histogram of a score of each generator."""
  pooled = {
    name: _finite(np.concatenate([values(m) for m in found]))
    for name, found in sequences.items()
  }
  low, high = np.quantile(pooled["real"], [1 - _SHOWN, _SHOWN])
  edges = np.linspace(low, high, 41) if high > low else [low - 0.5, low + 0.5]
  for name, found in pooled.items():
    axis.hist(
      np.clip(found, edges[0], edges[-1]),
      bins=edges,
      density=True,
      histtype="step",
      color=_COLORS[name],
      lw=2 if name in ("real", "model") else 1,
    )
  axis.set_yticks([])


def _finite(values: np.ndarray) -> np.ndarray:
  """Returns the values without those of empty levels."""
  return values[np.isfinite(values) & (np.abs(values) < messages_lib.NO_PRICE)]
