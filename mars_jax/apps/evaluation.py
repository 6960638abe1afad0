"""Scores of a model's futures, beside brackets that know nothing.

Every generator continues the same windows of a real day and gets the same
scores:

  real            other windows of the same day part: what chance alone gives
  tokens only     the real orders, read by the symbols of the alphabet: no model
                  can do better than its alphabet
  replay          the messages before each window again: it cannot react
  random windows  real windows from before, taken at random: it knows no context
  random orders   orders from before, one by one, without a memory
  zero intelligence
                  Poisson orders at the rates from before
                  (`baselines.poisson_flow`)
  queue-reactive  orders from before that met a book in the same state
                  (`baselines.queue_reactive`)
  model           the trained model, given the messages before the window

Nothing is fitted to the windows, nor chosen by them. Generators that can react
are also given an order from outside at each start (`reaction`).
"""

import collections.abc
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from mars_jax import lmm
from mars_jax.apps import long_futures
from mars_jax.apps import reaction as reaction_lib
from mars_jax.apps import rollouts
from mars_jax.apps import windows as windows_lib
from mars_jax.evals import discriminator
from mars_jax.evals import export as export_lib
from mars_jax.evals import lob_bench
from mars_jax.evals import messages as messages_lib
from mars_jax.evals import microstructure
from mars_jax.evals import novelty as novelty_lib
from mars_jax.evals import response
from mars_jax.feeds import events
from mars_jax.tokens import encoding
from mars_jax.utils import checks

GENERATORS = ("tokens only", "replay", "random windows", *rollouts.FLOWS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
  """Settings of an evaluation; static.

  Attributes:
    windows: cut of the windows.
    block: messages of a block, along the horizon.
    generators: which of `GENERATORS`.
    discriminator_seeds: of the network that tells real from generated; 0 for
      none.
    bootstrap: resamples of the interval of L1; 0 for none.
    reaction_levels: price levels that the injected order takes; 0 to measure no
      reaction.
    seed: of the futures.
    long: futures of minutes to hours beside these; None for none.
  """

  windows: windows_lib.WindowsConfig
  block: int = 100
  generators: tuple[str, ...] = GENERATORS
  discriminator_seeds: int = 3
  bootstrap: int = 200
  reaction_levels: int = 3
  seed: int = 0
  long: long_futures.LongConfig | None = None

  def __post_init__(self):
    checks.at_least(1, block=self.block)
    checks.at_least(
      0,
      discriminator_seeds=self.discriminator_seeds,
      bootstrap=self.bootstrap,
      reaction_levels=self.reaction_levels,
    )
    for name in self.generators:
      checks.one_of("generators", name, GENERATORS)


@dataclasses.dataclass(frozen=True)
class Scores:
  """The scores of one generator.

  Attributes:
    name: of the generator, or "real".
    num_windows: that it continued.
    l1, wasserstein: mean, median and iqm over LOB-Bench's 21 scores.
    l1_24, wasserstein_24: the same of all 24.
    l1_interval: 95 %, of the mean L1; None if not asked for.
    by_score: {score: (L1, Wasserstein)} of all 24.
    divergence: mean L1 of each block.
    auc: of the discriminator, by seed.
    blocks: of the messages along the horizon.
    drift: mean change of the mid and its standard error, ticks.
    sign_memory: autocorrelation of trade signs, lags 1 to 10.
    novelty: how little of the time before is repeated.
    num_dropped: orders for which a simulated book had no room.
    num_emptied: futures whose book lacked a side at some time.
    num_crossed: messages after which the bid reaches the ask.
    reaction: to an injected order; None if not measured.
  """

  name: str
  num_windows: int
  l1: dict[str, float]
  wasserstein: dict[str, float]
  l1_24: dict[str, float]
  wasserstein_24: dict[str, float]
  l1_interval: tuple[float, float] | None
  by_score: dict[str, tuple[float, float]]
  divergence: list[float]
  auc: list[float]
  blocks: list[microstructure.Block]
  drift: tuple[float, float]
  sign_memory: list[float]
  novelty: novelty_lib.Novelty
  num_dropped: int
  num_emptied: int
  num_crossed: int
  reaction: response.Reaction | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The result of an evaluation.

  Attributes:
    windows: that were continued.
    config: the settings.
    scores: of the real windows and of each generator.
    messages: {generator: its messages}, of the generators of all windows.
    null_auc: of the discriminator with shuffled labels, by seed.
    card: of the model, if there is one.
    long: the scores of long futures, if asked for.
  """

  windows: windows_lib.Windows
  config: EvaluationConfig
  scores: list[Scores]
  messages: dict[str, list[messages_lib.Messages]]
  null_auc: list[float]
  card: dict[str, Any] | None
  long: long_futures.LongFutures | None = None

  def summary(self) -> dict[str, Any]:
    """Returns all numbers, fit for JSON."""
    return {
      "data": self.windows.stream.name,
      "config": dataclasses.asdict(self.config),
      "windows": len(self.windows),
      "truncated": self.windows.num_truncated,
      "null_auc": self.null_auc,
      "scores": [dataclasses.asdict(scores) for scores in self.scores],
      "long": None if self.long is None else self.long.summary(),
    }

  def export(self, folder: pathlib.Path | str) -> None:
    """Writes real and generated sequences as LOB-Bench reads them."""
    folder, stream = pathlib.Path(folder), self.windows.stream
    names = {
      "instrument": stream.instrument.replace("/", "-") or stream.market,
      "day": stream.day or "1970-01-01",
    }
    export_lib.write(folder / "data_real", self.windows.real, **names)
    export_lib.write(folder / "data_cond", self.windows.cond, **names)
    for name, messages in self.messages.items():
      folder_name = "gen_" + name.replace(" ", "_").replace("-", "_")
      path = folder / folder_name
      export_lib.write(path, messages, suffix="_gen_id_0", **names)


def evaluate(
  stream: events.EventStream,
  model: lmm.Model | None,
  *,
  config: EvaluationConfig,
  visible: bool = True,
  on_scores: collections.abc.Callable[[Scores], None] = lambda scores: None,
) -> Evaluation:
  """Continues the windows of a day and scores the futures.

  Args:
    stream: the day.
    model: the one to evaluate; None for the brackets alone, in the default
      alphabet.
    config: settings.
    visible: whether to show progress.
    on_scores: called with the scores of each, as they come.

  Raises:
    ValueError: if the day has no such windows, or the model no bins for it.
  """
  windows = windows_lib.load(stream, config=config.windows, visible=visible)
  if model is None:
    tokenizer = encoding.fit(windows.records[: windows.num_past])
  else:
    tokenizer = model.tokenizer(stream.market)
  encoded = encoding.encode(tokenizer, windows.records)
  scored, kept = [], {}

  def add(name, messages, rows, num_dropped=0, reaction=None):
    real = [windows.real[i] for i in rows]
    scores = _score(name, messages, real, windows.past, num_dropped, config)
    scores = dataclasses.replace(scores, reaction=reaction)
    scored.append(scores)
    on_scores(scores)

  every = range(len(windows))
  add("real", windows.real, every)
  for name in config.generators:
    if name == "model" and model is None:
      continue
    if name == "replay":
      rows, again = _apart(windows), rollouts.of_replay(windows)
      add(name, [again[i] for i in rows], rows)
      continue
    if name == "random windows":
      kept[name] = rollouts.of_other_windows(windows, config.seed)
      add(name, kept[name], every)
      continue
    key = jax.random.key(config.seed)
    source = rollouts.source(name, windows, encoded, tokenizer, model)
    found = rollouts.simulate(windows, source, key, visible=visible)
    kept[name], reaction = found.messages, None
    if config.reaction_levels and name in rollouts.FLOWS:
      reaction = reaction_lib.measure(
        windows,
        source,
        key,
        found.events,
        levels=config.reaction_levels,
        visible=visible,
      )
    add(name, found.messages, every, found.num_dropped, reaction)
  null = []
  if config.discriminator_seeds and len(windows) >= discriminator.MIN_PAIRS:
    last = kept[next(reversed(kept))] if kept else windows.real
    null = discriminator.auc(
      windows.real, last, seeds=config.discriminator_seeds, shuffles=True
    ).tolist()
  card = None if model is None else model.card
  long = None
  if config.long is not None:
    long = long_futures.run(stream, model, config=config.long, visible=visible)
  return Evaluation(windows, config, scored, kept, null, card, long)


def _apart(windows: windows_lib.Windows) -> list[int]:
  """Returns windows whose conditioning messages are in no real window.

  Of windows that overlap, every second or so: else a replay of the messages
  before a window would be the real window before it.
  """
  config = windows.config
  step = -(-config.size // config.stride)
  return list(range(0, len(windows), step))


def _score(name, messages, real, past, num_dropped, config) -> Scores:
  """Returns the scores of one generator."""
  lacking = [m for m in messages if not len(m)]
  if lacking:
    raise ValueError(f"{name}: {len(lacking)} futures have no message")
  plain = lob_bench.score(real, messages)
  every = {**plain, **lob_bench.score_conditional(real, messages)}
  seeds = config.discriminator_seeds
  auc = []
  if seeds and name != "real" and len(real) >= discriminator.MIN_PAIRS:
    auc = discriminator.auc(real, messages, seeds=seeds).tolist()
  interval = None
  if config.bootstrap and name != "real":
    interval = lob_bench.interval(
      real, messages, num_samples=config.bootstrap, seed=config.seed
    )
  return Scores(
    name=name,
    num_windows=len(messages),
    l1=lob_bench.summary(plain, "l1"),
    wasserstein=lob_bench.summary(plain, "wasserstein"),
    l1_24=lob_bench.summary(every, "l1"),
    wasserstein_24=lob_bench.summary(every, "wasserstein"),
    l1_interval=interval,
    by_score={
      key: (apart.l1, apart.wasserstein) for key, apart in every.items()
    },
    divergence=lob_bench.divergence(real, messages, config.block).tolist(),
    auc=auc,
    blocks=microstructure.blocks(messages, config.block),
    drift=microstructure.drift(messages),
    sign_memory=microstructure.sign_memory(messages).tolist(),
    novelty=novelty_lib.measure(messages, [past]),
    num_dropped=num_dropped,
    num_emptied=sum(not m.is_two_sided for m in messages),
    num_crossed=microstructure.num_crossed(messages),
  )


def rows(scores: collections.abc.Sequence[Scores]) -> list[tuple[str, ...]]:
  """Returns rows of text of the scores, under `HEADER`."""
  found = []
  for one in scores:
    blocks = one.blocks
    interval = ""
    if one.l1_interval:
      interval = f" ({one.l1_interval[0]:.3f}-{one.l1_interval[1]:.3f})"
    found.append(
      (
        one.name,
        str(one.num_windows),
        f"{one.l1['mean']:.3f}{interval}",
        f"{one.wasserstein['mean']:.3f}",
        " ".join(f"{x:.2f}" for x in one.divergence),
        f"{np.mean(one.auc):.2f}" if one.auc else "",
        " ".join(f"{b.spread:.1f}" for b in blocks),
        " ".join(f"{100 * b.trades:.1f}" for b in blocks),
        f"{100 * np.mean([b.joins for b in blocks]):.1f}",
        f"{100 * np.mean([b.cancels_at_best for b in blocks]):.1f}",
        f"{one.drift[0]:.1f} ± {one.drift[1]:.1f}",
        f"{one.sign_memory[0]:.2f}",
        " / ".join(f"{100 * x:.1f}" for x in one.novelty.new.values()),
        f"{np.median(one.novelty.longest):.0f} / {max(one.novelty.longest)}",
        _reaction_text(one.reaction),
        f"{one.num_emptied} / {one.num_dropped} / {one.num_crossed}",
      )
    )
  return found


def _reaction_text(reaction: response.Reaction | None) -> str:
  """Returns the response of the mid as text."""
  if reaction is None:
    return ""
  end = f"{reaction.mid[-1]:.1f} ± {reaction.error[-1]:.1f}"
  return f"{reaction.mid[0]:.1f} / {end}"


HEADER = (
  *("", "windows", "L1", "Wasserstein", "L1 by block", "AUC"),
  *("spread, ticks, by block", "trades, % of orders", "joins, % of new"),
  *("cancels at best, %", "drift, ticks", "sign memory"),
  f"novel runs of {' / '.join(map(str, novelty_lib.RUNS))}, %",
  *("longest copy, median / max", "reaction, ticks: at once / at the end"),
  "emptied / dropped / crossed",
)
