"""The sweep of sizes and budgets behind a scaling law.

`runs` are the runs of a config such as `configs/scaling.py`, `laws` the answers
to four questions about their results, by `scaling.fit`.
"""

import collections.abc
import dataclasses
import math
from typing import Any

import jax
import numpy as np

from mars_jax.train import cost
from mars_jax.train import order_task
from mars_jax.train import scaling
from mars_jax.train import trainer


@dataclasses.dataclass(frozen=True)
class Run:
  """A run of the sweep.

  Attributes:
    name: of its files.
    size: the name of its size.
    configs: as `trainer.train` takes them.
    plan: of the run, on one device.
    seconds: that it is estimated to take.
  """

  name: str
  size: str
  configs: dict
  plan: cost.CostEstimate
  seconds: float


def runs(config: Any) -> tuple[list[Run], int]:
  """Returns the runs of a sweep, quickest first.

  And the number left out.

  Args:
    config: `ConfigDict` with the sections of a training run, and `sweep`. Runs
      of more than `sweep.max_flops` are left out.
  """
  every = [
    _make_run(config, size, budget)
    for size in config.sweep.sizes
    for budget in config.sweep.budgets
  ]
  kept = [run for run in every if run.plan.flops <= config.sweep.max_flops]
  kept.sort(key=lambda run: run.seconds)
  return kept, len(every) - len(kept)


def _make_run(config, size: str, budget: int) -> Run:
  """Returns a run: the config with a size, and what the budget makes of it."""
  sections = config.to_dict()
  model = {**sections["model"], **config.sweep.sizes[size]}
  length = config.batch.window_length - 1  # The last order is not an input.
  num_steps = max(round(budget / (config.batch.batch_size * length)), 2)
  width = model["dim"] / config.model.dim
  optimizer = {
    **config.optimizer,
    "num_steps": num_steps,
    "warmup_steps": math.ceil(num_steps * config.sweep.warmup_share),
    "learning_rate": config.optimizer.learning_rate
    * width**config.sweep.learning_rate_power,
  }
  configs = trainer.make_configs(
    order_task.TASK, {**sections, "model": model, "optimizer": optimizer}
  )
  plan = cost.make(
    **{name: configs[name] for name in cost.CONFIGS},
    num_devices=jax.device_count(),
    device_kind=jax.devices()[0].device_kind,
    utilisation=config.sweep.utilisation,
  )
  seconds = plan.hours * 3600 + plan.tokens * config.sweep.seconds_per_token
  seconds += config.sweep.seconds_per_run
  return Run(f"{size}-{budget}", size, configs, plan, seconds)


def points(results: list[dict]) -> dict[str, np.ndarray]:
  """Returns N, D and loss by run, ours and MarS's.

  float64 `[n, 3]`.

  The paper's losses on the way are of one long run each; ours are all of runs
  whose learning rate had come down.
  """
  found = {}
  for who, n in (
    ("ours", "params"),
    ("ours, N less tables", "params_without_tables"),
  ):
    found[who] = [
      (run[n], run["tokens"], run["valid"]["nats"]) for run in results
    ]
  for who, n in (("MarS", "num_params"), ("MarS, N in use", "num_live")):
    found[who] = [
      (getattr(model, n), tokens, nats)
      for model in scaling.PAPER
      for tokens, nats in zip(scaling.PAPER_TOKENS, model.nats, strict=True)
      if not math.isnan(nats)
    ]
  return {who: np.array(points, float) for who, points in found.items()}


@dataclasses.dataclass(frozen=True)
class _Question:
  """A law to fit, to which runs, and its report.

  Attributes:
    title: the formula, and of which runs.
    columns: of `points` that are its variables: 0 is N, 1 is D.
    held: the column of which only the largest value counts, None for all.
    values: {name: function of the law}.
  """

  title: str
  columns: tuple[int, ...]
  held: int | None
  values: dict[str, collections.abc.Callable[[scaling.Law], float]]


_POWER = {
  "ln c": lambda law: law.log_scales[0],
  "a": lambda law: law.exponents[0],
}
_QUESTIONS = (
  _Question(
    "E + A N^-alpha + B D^-beta, all runs",
    columns=(0, 1),
    held=None,
    values={
      "E": lambda law: law.floor,
      "ln A": lambda law: law.log_scales[0],
      "alpha": lambda law: law.exponents[0],
      "ln B": lambda law: law.log_scales[1],
      "beta": lambda law: law.exponents[1],
      # The N that is best for its FLOPs, if they go with N D, goes with their
      # power of this; from [1] of `scaling`.
      "beta / (alpha + beta)": lambda law: (
        law.exponents[1] / law.exponents.sum()
      ),
    },
  ),
  _Question("c N^-a, at the largest D", (0,), held=1, values=_POWER),
  _Question(
    "E + c N^-a, at the largest D",
    columns=(0,),
    held=1,
    values={"E": lambda law: law.floor, **_POWER},
  ),
  _Question("c D^-a, of the largest N", (1,), held=0, values=_POWER),
)


def laws(
  results: list[dict], *, num_samples: int
) -> tuple[dict[str, dict[str, dict]], dict[str, str]]:
  """Fits each law to the runs, ours and the paper's.

  Args:
    results: of `sweep.run`.
    num_samples: resamples of the runs behind an interval.

  Returns:
    {title: {who: {name: {"value", "interval"}}}}, fit for JSON, and {title:
    reason} of laws that the runs do not identify.
  """
  found, left_out = {}, {}
  for question in _QUESTIONS:
    try:
      found[question.title] = {
        who: _answer(question, rows, num_samples)
        for who, rows in points(results).items()
      }
    except ValueError as error:
      left_out[question.title] = str(error)
  return found, left_out


def _answer(
  question: _Question, points: np.ndarray, num_samples: int
) -> dict[str, dict]:
  """Returns each value with its interval, fit for JSON.

  Raises:
    ValueError: if the runs are too few for the law.
  """
  if question.held is not None:
    held = points[:, question.held]
    points = points[held == held.max()]
  x, loss = points[:, question.columns], points[:, 2]
  has_floor = "E" in question.values
  law = scaling.fit(x, loss, has_floor=has_floor)
  laws = scaling.bootstrap(
    x, loss, has_floor=has_floor, num_samples=num_samples
  )
  return {
    name: {
      "value": float(value(law)),
      "interval": scaling.interval(laws, value),
    }
    for name, value in question.values.items()
  }
