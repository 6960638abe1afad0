r"""Scores a model's futures beside brackets that know nothing.

Continues windows of a real day by the model and by generators that bound what a
score means (the real orders through the alphabet alone, a replay, random
windows, random orders, zero intelligence, a queue-reactive flow), and prints
LOB-Bench's scores, the errors along the horizon, the AUC of a network that
tells real from generated, and what the benchmark cannot see, such as the
reaction to an order injected at the windows' starts. Nothing after --test_from
is used but to compare with.

  python launch/evaluate.py --lobster MESSAGE.csv ORDERBOOK.csv \
      --checkpoint=out/goog --test_from=14:30 --out=out/goog-realism \
      --export=out/goog-sequences
  python launch/evaluate.py --data=bitstamp-sample --test_from=02:56:20
  python launch/evaluate.py --config=configs/evaluate_goog.py --out=out/goog

With --long_minutes it also simulates minutes to hours from --test_from on, and
scores these futures' bars: stylized facts, the MarS paper's Table 7, stability.

  python launch/evaluate.py --data=DAY --checkpoint=out/x --test_from=13:58 \
      --long_minutes=120 --long_starts=1 --long_futures=32

With --config it trains first, as that file says, and then evaluates. Without
--checkpoint it takes the model that ships with the package.

Writes OUT.html (the report, one file), OUT.png (its main picture) and OUT.json
(all numbers); with --export, sequences that LOB-Bench's own code reads.
"""

import pathlib
import sys
import time

import common
from absl import flags
from ml_collections import config_flags

from mars_jax import apps
from mars_jax import demo
from mars_jax import feeds
from mars_jax import lmm
from mars_jax.apps import evaluation
from mars_jax.apps import long_futures
from mars_jax.apps import long_starts
from mars_jax.apps import long_tables
from mars_jax.apps import start as start_lib
from mars_jax.apps import windows as windows_lib
from mars_jax.apps.report import evaluation_page
from mars_jax.feeds import registry
from mars_jax.train import evaluation as loss_evaluation

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Trains and evaluates: configs/evaluate_goog.py, say."
)
_DATA = flags.DEFINE_string(
  "data", None, "The day: a sample, or any format of docs/data.md."
)
_INSTRUMENT = flags.DEFINE_string(
  "instrument", "", "Which one of a file of several."
)
_LOBSTER = flags.DEFINE_string(
  "lobster",
  None,
  "In place of --data: a LOBSTER message file; the order-book file may follow.",
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "A run's folder or a model.npz; 'none' for the brackets alone, and the model"
  " that ships with the package if not given.",
)
_WORKDIR = flags.DEFINE_string(
  "workdir", "out/evaluate", "Of --config: folder of the training run."
)
_TEST_FROM = flags.DEFINE_string(
  "test_from", None, "HH:MM or HH:MM:SS, from which windows are cut."
)
_COND = flags.DEFINE_integer("cond", 500, "Messages to condition on.", 1)
_MESSAGES = flags.DEFINE_integer("messages", 500, "Messages to generate.", 1)
_STRIDE = flags.DEFINE_integer("stride", 500, "Messages between windows.", 1)
_WINDOWS = flags.DEFINE_integer("windows", 0, "At most so many; 0: all.", 0)
_BLOCK = flags.DEFINE_integer("block", 100, "Messages of a block.", 1)
_SEEDS = flags.DEFINE_integer(
  "seeds", 3, "Of the discriminating network; 0 for none.", 0
)
_REACTION = flags.DEFINE_integer(
  "reaction_levels",
  3,
  "Price levels that an injected order takes, whose effect on the futures is"
  " measured; 0 for none.",
  0,
)
_LEVELS = flags.DEFINE_integer("levels", 10, "Price levels to compare.", 1)
_CAPACITY = flags.DEFINE_integer(
  "book_capacity", 1024, "Orders that one side of a simulated book holds.", 16
)
_LONG_MINUTES = flags.DEFINE_float(
  "long_minutes", 0.0, "Horizon of the long futures; 0 for none.", 0
)
_LONG_STARTS = flags.DEFINE_integer(
  "long_starts", 1, "Of these, the first at --test_from.", 1
)
_LONG_FUTURES = flags.DEFINE_integer(
  "long_futures", 32, "Of each of these starts.", 1
)
_BAR_S = flags.DEFINE_float("bar_s", 60.0, "Seconds of a bar of these.")
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same futures.")
_OUT = flags.DEFINE_string("out", "out/realism", "Path of the outputs.")
_EXPORT = flags.DEFINE_string(
  "export", None, "Folder for the sequences, in LOB-Bench's format."
)


def main(book: str | None = None) -> None:
  """Evaluates and shows; the top of this file explains the flags.

  Args:
    book: the order-book file of --lobster.
  """
  began = time.time()
  page, picture, numbers = common.outputs(
    _OUT.value, (".html", ".png", ".json")
  )
  model, path, config = _settings()
  if _LOBSTER.value is not None:
    options = {"format": "lobster"} | ({"book_path": book} if book else {})
    stream, _ = registry.read_checked(_LOBSTER.value, **options)
  else:
    stream, _ = start_lib.read(path, _INSTRUMENT.value)
  found = evaluation.evaluate(
    stream,
    model,
    config=config,
    on_scores=lambda scores: common.CONSOLE.print(
      f"{scores.name}: L1 {scores.l1['mean']:.3f}, Wasserstein"
      f" {scores.wasserstein['mean']:.3f}"
    ),
  )
  _print(found)
  if _EXPORT.value is not None:
    found.export(_EXPORT.value)
  command = " ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
  evaluation_page.write(page, found, command=command)
  evaluation_page.draw(picture, found)
  numbers.write_text(common.to_json(found.summary(), indent=1) + "\n")
  print(f"{page}, {picture} and {numbers} written, {time.time() - began:.0f} s")


def _settings():
  """Returns the model, the day's path and the settings."""
  changes = {
    "num_cond": _COND.value,
    "num_real": _MESSAGES.value,
    "stride": _STRIDE.value,
    "max_windows": _WINDOWS.value,
    "num_levels": _LEVELS.value,
    "book_capacity": _CAPACITY.value,
  }
  test_from, path = _TEST_FROM.value, _DATA.value or feeds.SAMPLE
  if _CONFIG.value is not None:
    sections = dict(_CONFIG.value)
    default = sections.pop("test_from")
    test_from = test_from or default
    path = _DATA.value or sections["data"]["path"]
    apps.train(path, _WORKDIR.value, config=sections, baselines=False)
    model = loss_evaluation.load_model(_WORKDIR.value, "best")
  elif _CHECKPOINT.value == "none":
    model = None
  elif _CHECKPOINT.value is None:
    model = lmm.load(demo.MODEL)
  else:
    model = loss_evaluation.load_model(_CHECKPOINT.value)
  if test_from is None:
    raise ValueError("--test_from must say where the windows begin")
  if test_from.count(":") == 1:
    test_from += ":00"
  config = evaluation.EvaluationConfig(
    windows=windows_lib.WindowsConfig(test_from=test_from, **changes),
    block=_BLOCK.value,
    discriminator_seeds=_SEEDS.value,
    reaction_levels=_REACTION.value,
    seed=_SEED.value,
    long=_long_config(test_from),
  )
  return model, path, config


def _long_config(test_from: str) -> long_futures.LongConfig | None:
  """Returns the settings of long futures; None for none."""
  if not _LONG_MINUTES.value:
    return None
  return long_futures.LongConfig(
    starts=long_starts.StartsConfig(
      test_from=test_from,
      seconds=60 * _LONG_MINUTES.value,
      num_starts=_LONG_STARTS.value,
      bar_s=_BAR_S.value,
      num_levels=_LEVELS.value,
      book_capacity=_CAPACITY.value,
    ),
    num_futures=_LONG_FUTURES.value,
    seed=_SEED.value,
  )


def _print(found: evaluation.Evaluation) -> None:
  """Prints the scores, and those of the long futures."""
  rows = evaluation.rows(found.scores)
  columns = list(zip(*rows, strict=True))
  common.print_table(
    f"Futures of {found.windows.stream.name}",
    ("", *columns[0]),
    [
      (name, *column)
      for name, column in zip(evaluation.HEADER[1:], columns[1:], strict=True)
    ],
  )
  if found.long is not None:
    common.CONSOLE.print(long_tables.about(found.long))
    for table in long_tables.tables(found.long):
      common.print_table(table.title, table.header, table.rows)
      common.CONSOLE.print(table.note)


if __name__ == "__main__":
  common.run(main, takes_arguments=True)
