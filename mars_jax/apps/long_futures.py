"""Futures of minutes to hours, beside the real day.

From each start of a day (`long_starts`) every generator simulates as many
futures, all in one program, and keeps their bars. They get

  stylized facts  Cont's eleven, of the futures and of the real day
  similarity      histograms and classes of bars, beside those of the real day
                  after the same starts (Table 7 of the MarS paper)
  stability       spread, depth and rates by stretch of the horizon, beside the
                  range of such stretches of the whole real day

The brackets are flows fitted to the orders before the first start
(`rollouts.past_source`).
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import long_starts
from mars_jax.apps import rollouts
from mars_jax.evals import market_bars
from mars_jax.evals import similarity as similarity_lib
from mars_jax.evals import stability as stability_lib
from mars_jax.evals import stylized_facts
from mars_jax.feeds import events
from mars_jax.sim import pending
from mars_jax.tokens import encoding
from mars_jax.utils import checks
from mars_jax.utils import progress
from mars_jax.utils import time_of_day

GENERATORS = rollouts.FLOWS
_CHUNK = 256  # Events of each future in one compiled call.
_MAX_RATE = 10  # Times the day's mean rate; a future with more is cut.
_MIN_EVENTS = 1000  # That a future may have in any case.


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongConfig:
  """Settings of long futures; static.

  Attributes:
    starts: from which they begin, and their horizon.
    num_futures: of each start.
    num_stretches: of the horizon, for its stability.
    generators: which of `GENERATORS`.
    bootstrap: resamples of the facts' errors; 0 for none.
    seed: of the futures.
  """

  starts: long_starts.StartsConfig
  num_futures: int = 32
  num_stretches: int = 8
  generators: tuple[str, ...] = GENERATORS
  bootstrap: int = 50
  seed: int = 0

  def __post_init__(self):
    checks.at_least(
      1, num_futures=self.num_futures, num_stretches=self.num_stretches
    )
    checks.at_least(0, bootstrap=self.bootstrap)
    for name in self.generators:
      checks.one_of("generators", name, GENERATORS)

  @property
  def stretch(self) -> int:
    """Bars of a stretch."""
    return max(self.starts.num_bars // self.num_stretches, 1)


@dataclasses.dataclass(frozen=True)
class Paths:
  """The scores of a generator's futures, or of the day.

  Attributes:
    name: of the generator; "real" is the day after the starts, "real day" all
      of it, one path.
    bars: of all paths.
    facts: stylized facts.
    errors: their standard errors, by bootstrap over paths; None if there are
      none.
    similarity: by statistic; None of the real day.
    stability: by quantity; None of the real day.
    num_emptied: paths whose book lacked a side after some order.
    num_dropped: orders for which a simulated book had no room.
    num_cut: futures stopped before the horizon, for having ten times the
      day's orders.
  """

  name: str
  bars: market_bars.Bars
  facts: stylized_facts.StylizedFacts
  errors: stylized_facts.StylizedFacts | None
  similarity: dict[str, similarity_lib.Similarity] | None = None
  stability: dict[str, stability_lib.Course] | None = None
  num_emptied: int = 0
  num_dropped: int = 0
  num_cut: int = 0

  @property
  def one_sided(self) -> float:
    """Share of the orders that left a one-sided book."""
    events = np.nansum(self.bars.events)
    return float(np.nansum(self.bars.one_sided) / max(events, 1))

  def summary(self) -> dict[str, Any]:
    """Returns all numbers but the bars."""
    return {
      "name": self.name,
      "paths": len(self.bars),
      "facts": self.facts.summary(),
      "holds": self.facts.holds(),
      "errors": None if self.errors is None else self.errors.summary(),
      "similarity": _dicts(self.similarity),
      "stability": _dicts(self.stability),
      "emptied": self.num_emptied,
      "one_sided": self.one_sided,
      "dropped": self.num_dropped,
      "cut": self.num_cut,
    }


def _dicts(found):
  """Returns dataclasses by name as dictionaries."""
  if found is None:
    return None
  return {name: dataclasses.asdict(one) for name, one in found.items()}


@dataclasses.dataclass(frozen=True)
class LongFutures:
  """The scores of long futures.

  Attributes:
    starts: from which they begin.
    config: the settings.
    paths: of the real day, and of each generator.
  """

  starts: long_starts.Starts
  config: LongConfig
  paths: list[Paths]

  @property
  def num_real_bars(self) -> list[int]:
    """The bars that the real day has after each start."""
    return self.starts.real.is_known.sum(axis=1).tolist()

  def summary(self) -> dict[str, Any]:
    """Returns all numbers, fit for JSON; None for what is not known."""
    found = {
      "config": dataclasses.asdict(self.config),
      "starts": [time_of_day.clock_text(t) for t in self.starts.begin],
      "bars": self.config.starts.num_bars,
      "real_bars": self.num_real_bars,
      "truncated": self.starts.num_truncated,
      "paths": [paths.summary() for paths in self.paths],
    }
    return _without_nan(found)


def _without_nan(value: Any) -> Any:
  """Returns a tree with None in place of NaN."""
  if isinstance(value, dict):
    return {key: _without_nan(one) for key, one in value.items()}
  if isinstance(value, list | tuple):
    return [_without_nan(one) for one in value]
  return None if isinstance(value, float) and math.isnan(value) else value


def run(
  stream: events.EventStream,
  model: lmm.Model | None,
  *,
  config: LongConfig,
  visible: bool = True,
) -> LongFutures:
  """Simulates long futures of a day and scores them.

  Args:
    stream: the day.
    model: the one to evaluate; None for the brackets alone, in the default
      alphabet.
    config: settings.
    visible: whether to show progress.

  Raises:
    ValueError: if the first start is not within continuous trading, or the
      model has no bins for the market.
  """
  starts = long_starts.load(stream, config=config.starts, visible=visible)
  if model is None:
    tokenizer = encoding.fit(starts.records[: starts.num_past])
  else:
    tokenizer = model.tokenizer(stream.market)
  encoded = encoding.encode(tokenizer, starts.records)
  paths = [
    _real("real", starts.real, starts.begin, config),
    # One path: no other has its times of day.
    _real("real day", starts.day, starts.begin[:1], config),
  ]
  for name in config.generators:
    if name == "model" and model is None:
      continue
    source = rollouts.source(name, starts, encoded, tokenizer, model)
    paths.append(_simulate(name, source, starts, config, visible))
  return LongFutures(starts, config, paths)


def _real(name, bars, begin, config) -> Paths:
  """Returns the scores of the real day."""
  facts, errors = _facts(bars, begin, config)
  return Paths(name, bars, facts, errors, num_emptied=_num_emptied(bars))


def _num_emptied(bars) -> int:
  """Returns how many paths lacked a side after some order."""
  return int((np.nan_to_num(bars.one_sided) > 0).any(axis=1).sum())


def _facts(bars, begin, config):
  """Returns stylized facts of paths and their errors."""
  when = begin // round(config.starts.bar_s * types.NANOSECONDS)
  values = (bars.last, bars.mean, bars.traded)
  found = stylized_facts.compute(*values, time_of_day=when)
  errors = None
  if config.bootstrap > 1:
    errors = stylized_facts.errors(
      *values, time_of_day=when, num_samples=config.bootstrap, seed=config.seed
    )
  return found, errors


@functools.lru_cache
def _observer(num_levels: int, num_classes: int):
  """Returns the `observe_fn`, the same one for the same numbers."""
  return functools.partial(
    _observe, num_levels=num_levels, num_classes=num_classes
  )


def _observe(
  state: sim.SimState, event: sim.Event, *, num_levels: int, num_classes: int
) -> market_bars.Orders:
  """Returns what the bars take of an event; the time as a pair."""
  book = state.market.exchange.book
  best = jax.tree.map(lambda x: x[:, 0], event.snapshot)
  near = jax.tree.map(lambda x: x[:, :num_classes], event.depth)
  levels = lob.snapshot(book, num_levels=num_levels)
  is_buy = event.order.side == types.Side.BID
  prices = event.place.best
  return market_bars.Orders(
    is_event=event.is_event,
    time=event.time,
    is_cancel=event.order.kind == types.OrderKind.CANCEL,
    is_buy=is_buy,
    volume=event.order.volume,
    traded=event.report.traded,
    first_price=jnp.where(
      is_buy, prices[types.Side.ASK], prices[types.Side.BID]
    ),
    ask=best.price[types.Side.ASK],
    bid=best.price[types.Side.BID],
    is_two_sided=(best.volume > 0).all(),
    level_volume=levels.volume.sum(dtype=jnp.int32),
    book_volume=near.volume.sum(dtype=jnp.int32),
    book_orders=near.orders.sum(dtype=jnp.int32),
  )


def _simulate(name, source, starts, config, visible) -> Paths:
  """Returns the scores of a generator's futures."""
  num, cut = config.num_futures, config.starts
  rules = lob.PRESETS[starts.stream.rules]
  before = _init(source, starts, config, rules)
  begin = np.repeat(starts.begin, num)
  recorder = market_bars.Recorder(
    begin,
    np.repeat(starts.last_price, num),
    seconds=cut.bar_s,
    num_bars=cut.num_bars,
  )
  closes = time_of_day.nanoseconds(pending.end_of_day(rules))
  length = round(cut.seconds * types.NANOSECONDS)
  end = np.minimum(begin + length, closes)
  rate = np.nanmean(starts.day.events) / cut.bar_s
  most = max(_MAX_RATE * rate * cut.seconds, _MIN_EVENTS)
  with progress.simulation_bar(f"simulate {name}", visible=visible) as show:
    for chunk in sim.run(
      source.flow,
      before,
      time_of_day.timestamps(end),
      observe_fn=_observer(cut.num_levels, starts.num_classes),
      config=sim.SimConfig(rules=rules),
      # Whole chunks: less would be another program.
      max_events=math.ceil(most / _CHUNK) * _CHUNK,
      chunk=_CHUNK,
      on_progress=show,
    ):
      state, kept = chunk
      recorder.add(kept.replace(time=time_of_day.nanoseconds(kept.time)))
  is_cut = kept.is_event[:, -1]
  clock = time_of_day.nanoseconds(state.market.clock)
  bars = recorder.bars(np.where(is_cut, clock, end))
  facts, errors = _facts(bars, begin, config)
  return Paths(
    name=name,
    bars=bars,
    facts=facts,
    errors=errors,
    similarity=similarity_lib.compare(starts.real, bars),
    stability=stability_lib.compute(
      starts.day, starts.real, bars, config.stretch, seconds=cut.bar_s
    ),
    num_emptied=_num_emptied(bars),
    num_dropped=int(np.asarray(state.market.exchange.book.dropped).sum()),
    num_cut=int(is_cut.sum()),
  )


def _init(source, starts, config, rules) -> sim.SimState:
  """Returns the state of the futures; those of a start are in a row."""
  num = config.num_futures
  source = rollouts.repeat(source, num)
  # A future is the same whatever the number of others.
  seeds = sim.trajectory_keys(jax.random.key(config.seed), len(starts))
  keys = jnp.concatenate([sim.trajectory_keys(key, num) for key in seeds])
  return sim.init_each(
    source.flow, keys, source.starts, config=sim.SimConfig(rules=rules)
  )
