"""Tables of long futures, as text: for a terminal and a page."""

import dataclasses

import numpy as np

from mars_jax import types
from mars_jax.apps import long_futures
from mars_jax.evals import stability
from mars_jax.utils import time_of_day

_NOT_KNOWN = "-"
_LARGE = 100_000  # From here on numbers have three digits and a power.
_MARK = "*"  # Of a value outside the real day's range.


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of text.

  Attributes:
    title: what they are.
    note: how to read them.
    header: names of the columns.
    rows: the text.
  """

  title: str
  note: str
  header: tuple[str, ...]
  rows: list[tuple[str, ...]]


def about(found: long_futures.LongFutures) -> str:
  """Returns what was simulated, in a few sentences."""
  config, starts = found.config, found.starts
  times = ", ".join(time_of_day.clock_text(t)[:8] for t in starts.begin)
  bars, known = config.starts.num_bars, found.num_real_bars
  text = (
    f"{config.num_futures} futures of {config.starts.seconds / 60:g} minutes"
    f" from each start ({times}), in {bars} bars of {config.starts.bar_s:g} s."
  )
  if min(known) < bars:
    text += (
      " The real day ends before the horizon: it has"
      f" {', '.join(map(str, known))} of these bars."
    )
  if starts.num_truncated:
    text += (
      f" {starts.num_truncated} resting orders at the starts had no room in"
      " the simulated books."
    )
  if starts.num_classes < types.DEPTH_CLASSES:
    near = 4 ** (starts.num_classes - 1)
    text += (
      " So the book, real and simulated, is counted up to"
      f" {near - 1} ticks from its best prices."
    )
  return text


def tables(found: long_futures.LongFutures) -> list[Table]:
  """Returns all tables."""
  generators = [p for p in found.paths if p.stability is not None]
  made = [_facts(found.paths), _holds(found.paths)]
  if generators:
    made += [
      _similarity(generators, "overlap", "Overlap of histograms"),
      _similarity(generators, "accuracy", "Three-class accuracy"),
      _stability(generators, found.config),
      _counts(found.paths),
    ]
  return made


def _number(value: float, digits: int = 3) -> str:
  if not np.isfinite(value):
    return _NOT_KNOWN
  return f"{value:.3g}" if abs(value) >= _LARGE else f"{value:.{digits}f}"


def _with_error(value: float, error: float, digits: int = 3) -> str:
  if not np.isfinite(value) or not np.isfinite(error):
    return _number(value, digits)
  return f"{_number(value, digits)} ± {_number(error, digits)}"


_STATISTICS = (
  ("autocorrelation, last price, lag 1", "autocorrelation_last", 0),
  ("autocorrelation, last price, lag 2", "autocorrelation_last", 1),
  ("autocorrelation, mean price, lag 1", "autocorrelation_mean", 0),
  ("kurtosis, 1 bar", "kurtosis", 0),
  ("kurtosis, 10 bars", "kurtosis", 9),
  ("skewness, 1 bar", "skew", 0),
  ("Fano factor", "fano", None),
  ("volatility, lag 1", "volatility", 0),
  ("volatility, lag 5", "volatility", 4),
  ("volatility, lag 20", "volatility", 19),
  ("conditional kurtosis, 1 bar", "conditional_kurtosis", 0),
  ("leverage, lag 1", "leverage", 0),
  ("volume and volatility, lag 1", "volume_volatility", 0),
  ("timescale asymmetry, lag 1", "asymmetry", 0),
)


def _facts(paths) -> Table:
  """Returns the statistics of the stylized facts."""

  def cell(one, name, index):
    value = getattr(one.facts, name)
    error = np.nan if one.errors is None else getattr(one.errors, name)
    if index is not None:
      value = value[index]
      error = error if one.errors is None else error[index]
    return _with_error(value, error)

  return Table(
    "Stylized facts",
    "Cont's facts of returns by bar, pooled over paths; errors are by bootstrap"
    " over paths. 'real' is the day after the starts, 'real day' all of it."
    f" {_NOT_KNOWN}: too little data.",
    ("", *(one.name for one in paths)),
    [
      ("paths", *(str(len(one.bars)) for one in paths)),
      *(
        (title, *(cell(one, name, index) for one in paths))
        for title, name, index in _STATISTICS
      ),
    ],
  )


def _holds(paths) -> Table:
  """Returns which facts hold."""
  held = [one.facts.holds() for one in paths]
  words = {True: "yes", False: "no", None: _NOT_KNOWN}
  return Table(
    "Which facts hold",
    "By the rules of `stylized_facts.StylizedFacts.holds`.",
    ("", *(one.name for one in paths)),
    [(name, *(words[one[name]] for one in held)) for name in held[0]],
  )


def _similarity(generators, score, title) -> Table:
  """Returns one score of Table 7, beside its ceiling."""

  def cell(one):
    value, ceiling = getattr(one, score), getattr(one, f"{score}_ceiling")
    if not np.isfinite(ceiling).all():
      return _number(value)
    return f"{_number(value)} ({ceiling[0]:.2f}±{ceiling[1]:.2f})"

  return Table(
    title,
    "Of bars, beside the real day's after the same start (Table 7 of the MarS"
    " paper). In brackets the ceiling: what the futures score with one of them"
    " as the real day, mean and deviation. The largest of the three classes is"
    " what a constant may score.",
    ("", "largest class", *(one.name for one in generators)),
    [
      (
        name,
        _number(first.largest),
        *(cell(one.similarity[name]) for one in generators),
      )
      for name, first in generators[0].similarity.items()
    ],
  )


def _stability(generators, config) -> Table:
  """Returns the quantities by stretch of the horizon."""
  minutes = config.stretch * config.starts.bar_s / 60
  rows = []
  for name, title in stability.QUANTITIES.items():
    digits = 4 if name == "trades" else 1
    courses = [one.stability[name] for one in generators]
    first = courses[0]
    low, high = _number(first.low, digits), _number(first.high, digits)
    rows.append((title, f"{low} to {high}", *[""] * len(courses)))
    for j, real in enumerate(first.real):
      cells = [
        _with_error(one.mean[j], one.error[j], digits)
        + _MARK * one.is_outside[j]
        for one in courses
      ]
      when = f"  {minutes * j:g} to {minutes * (j + 1):g}"
      rows.append((when, _number(real, digits), *cells))
  return Table(
    "Stability along the horizon",
    f"Means of stretches of {minutes:g} minutes, with errors over futures,"
    " below the range of such stretches of the whole real day;"
    f" {_MARK}: outside it.",
    ("minutes", "real", *(one.name for one in generators)),
    rows,
  )


def _counts(paths) -> Table:
  """Returns what went wrong."""
  return Table(
    "Emptied, dropped, cut",
    "Paths whose book lacked a side after some order, and the share of such"
    " orders; orders for which a simulated book had no room; futures stopped"
    " for their many orders; stretches outside the range, of all quantities.",
    (
      *("", "paths", "emptied", "one-sided, %", "dropped", "cut"),
      "outside, stretches",
    ),
    [
      (
        one.name,
        *(str(len(one.bars)), str(one.num_emptied)),
        _number(100 * one.one_sided, 2),
        *(str(one.num_dropped), str(one.num_cut)),
        _NOT_KNOWN if one.stability is None else _num_outside(one.stability),
      )
      for one in paths
    ],
  )


def _num_outside(courses) -> str:
  """Returns how many stretches of all quantities are outside."""
  flags = [flag for one in courses.values() for flag in one.is_outside]
  return f"{sum(flags)} of {len(flags)}"
