r"""Makes proven training data of a market's orders.

Reads every file, replays each instrument and day through the matching engine,
and compares the replay with whatever the feed has to check by: trades, call
auctions, levels of the book, cancels, the orders left at the end. The orders of
continuous trading, with the book round each, go to --out, with bins fitted on
the training split, order images, and a manifest. A day that cannot be read, or
differs, is quarantined with the reason; its report is all that is kept of it.

  python launch/prepare_data.py --out=out/data bitstamp-sample coinbase-sample
  python launch/prepare_data.py --out=out/goog --train_fraction=0.6 \
      LOBSTER_SampleFile_GOOG_2012-06-21_10.zip
  python launch/prepare_data.py --out=out/csi500 --paths_from=files.txt \
      --valid_from=2023-01-01 --test_from=2023-04-01 --test_instruments=600519
  python launch/prepare_data.py --out=out/zi synthetic-0 synthetic-1

Formats: LOBSTER, Shanghai and Shenzhen level 2, BME, Bitstamp, Coinbase, NASDAQ
ITCH 5.0, Databento MBO, each plain or compressed (gz, bz2, xz, zst, zip). A
file of a whole market is first split by instrument, in one pass.

All cores are used. Killed and started again, it goes on where it was and writes
the same bytes; nothing is ever half written. Beyond one machine, --scheduler
names a Dask scheduler (on SLURM, Kubernetes, SSH, a cloud) whose workers see
--out and the files under the same absolute paths: a task is one instrument and
day.
--scheduler=local tries that out here.

The last line is a JSON object with the totals. Exit status 1 if a day is
quarantined; --strict stops at the first.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import sys
import time

import common
from absl import flags

from mars_jax import feeds
from mars_jax.data import build as build_lib
from mars_jax.data import day_report
from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import manifest
from mars_jax.data import prepare
from mars_jax.utils import progress as progress_lib

_OUT = flags.DEFINE_string("out", None, "Folder of the data set.")
_PATHS_FROM = flags.DEFINE_string(
  "paths_from", None, "A file with more paths, one a line; - for the input."
)
_FORMAT = flags.DEFINE_enum(
  "format", None, feeds.FORMATS, "Of the files; by default detected from each."
)
_INSTRUMENTS = flags.DEFINE_list(
  "instruments", [], "Which ones of files of several; all if not given."
)
_WORKERS = flags.DEFINE_integer(
  "workers", None, "Processes on this machine; as many as cores by default.", 1
)
_SCHEDULER = flags.DEFINE_string(
  "scheduler",
  None,
  "Address of a Dask scheduler, as tcp://host:8786, to work on a cluster; local"
  " starts one here.",
)
_STRICT = flags.DEFINE_bool(
  "strict", False, "Stop at the first day that is quarantined."
)
_MAX_MISMATCH_SHARE = flags.DEFINE_float(
  "max_mismatch_share",
  prepare.PrepareConfig.max_mismatch_share,
  "Share of what is compared that may differ in a day that is kept.",
  0.0,
)
_NUM_LEVELS = flags.DEFINE_integer(
  "num_levels",
  prepare.PrepareConfig.num_levels,
  "Levels of each side of the book to keep after every order.",
)
_VALID_FROM = flags.DEFINE_string(
  "valid_from",
  None,
  "The first day for validation, as 2023-01-31. If not given, each day is split"
  " by time.",
)
_TEST_FROM = flags.DEFINE_string(
  "test_from", None, "The first day for test; goes with --valid_from."
)
_TEST_INSTRUMENTS = flags.DEFINE_list(
  "test_instruments", [], "Instruments that are for test only."
)
_TRAIN_FRACTION = flags.DEFINE_float(
  "train_fraction",
  build_lib.SplitConfig.train_fraction,
  "Share of a day's time for training, where days are split by time.",
)
_VALID_FRACTION = flags.DEFINE_float(
  "valid_fraction",
  build_lib.SplitConfig.valid_fraction,
  "The same for validation, which follows; the rest is for test.",
)
flags.mark_flag_as_required("out")


def main(*paths: str) -> None:
  """Prepares the days, builds the data set, and prints both."""
  out = pathlib.Path(_OUT.value)
  common.outputs(f"{out}/", (manifest.MANIFEST,))
  paths = [*paths, *_listed_paths()]
  if not paths:
    raise ValueError("name the files to prepare; --help shows examples")
  config = prepare.PrepareConfig(
    num_levels=_NUM_LEVELS.value,
    max_mismatch_share=_MAX_MISMATCH_SHARE.value,
  )
  split = build_lib.SplitConfig(
    valid_from=_VALID_FROM.value,
    test_from=_TEST_FROM.value,
    test_instruments=tuple(_TEST_INSTRUMENTS.value),
    train_fraction=_TRAIN_FRACTION.value,
    valid_fraction=_VALID_FRACTION.value,
  )
  if _SCHEDULER.value not in (None, executors.LOCAL):
    _check_absolute([*paths, _OUT.value])
  executors.stay_on_cpu()
  jobs_lib.clean(out)
  began = time.time()
  with (
    _executor(len(paths)) as executor,
    common.CONSOLE.status("looking at the files, splitting those of a market"),
  ):
    jobs = jobs_lib.find_jobs(
      paths,
      out,
      executor=executor,
      format=_FORMAT.value,
      instruments=_INSTRUMENTS.value,
    )
  with _executor(len(jobs)) as executor:
    reports = _prepare(jobs, config, executor)
    _print_days(reports)
    if all(report.reason for report in reports):
      raise ValueError("all days are quarantined; the table says why")
    with common.CONSOLE.status("fitting bins, drawing order images"):
      data_set = build_lib.build_dataset(
        out, reports, prepare_config=config, split=split, executor=executor
      )
  _print_splits(data_set)
  totals = day_report.totals(reports)
  totals["seconds"] = time.time() - began
  print(json.dumps(totals))
  if totals["quarantined"]:
    sys.exit(1)


def _check_absolute(paths: list[str]) -> None:
  """Raises unless workers elsewhere find the same files."""
  for path in paths:
    is_name = path != _OUT.value and not os.path.exists(path)  # A sample's.
    if not os.path.isabs(path) and not is_name:
      raise ValueError(
        f"{path} is a relative path; with a scheduler give absolute ones, which"
        " its workers also find"
      )


def _executor(num_tasks: int):
  """Returns an executor; a single task runs in this process."""
  workers = _WORKERS.value or os.cpu_count()
  return executors.executor(
    workers=min(workers, num_tasks), scheduler=_SCHEDULER.value
  )


def _listed_paths() -> list[str]:
  """Returns the paths of --paths_from."""
  if _PATHS_FROM.value is None:
    return []
  if _PATHS_FROM.value == "-":
    lines = sys.stdin.read().splitlines()
  else:
    lines = pathlib.Path(_PATHS_FROM.value).read_text().splitlines()
  return [line.strip() for line in lines if line.strip()]


def _prepare(
  todo: list[jobs_lib.Job],
  config: prepare.PrepareConfig,
  executor: concurrent.futures.Executor,
) -> list[day_report.DayReport]:
  """Runs the jobs with a progress bar."""
  began, done = time.time(), collections.Counter()
  with progress_lib.bar("prepare", len(todo)) as show:

    def on_progress(num_events: int, num_days: int) -> None:
      done.update(events=num_events, days=num_days)
      speed = done["events"] / (time.time() - began)
      show(done["days"], f"{done['events']:,} events, {speed:,.0f}/s")

    return prepare.prepare_days(
      todo,
      _OUT.value,
      config,
      executor=executor,
      is_strict=_STRICT.value,
      on_progress=on_progress,
    )


def _print_days(reports: list[day_report.DayReport]) -> None:
  """Prints a row a day, and the reasons of quarantine."""
  header = ("day", "events", "orders", "checked", "wrong", "B/order", "s")
  common.print_table("Days", header, map(_row, reports))
  for report in reports:
    for example in report.replay.get("examples", ()):
      text = f"  {report.job}: {example}"
      common.CONSOLE.print(text, highlight=False, markup=False)
    if report.reason:
      text = f"quarantined: {report.source}: {report.reason}"
      common.CONSOLE.print(text, highlight=False, markup=False)


def _row(report: day_report.DayReport) -> tuple[str, ...]:
  """Returns a day in the columns of the table."""
  name = f"{report.market} {report.instrument} {report.day}".strip()
  replay = report.replay or {"events": 0, "checked": {}, "mismatches": {}}
  size = report.num_bytes / max(report.num_orders, 1)
  return (
    name or pathlib.PurePath(report.source).name,
    f"{replay['events']:,}",
    "-" if report.reason else f"{report.num_orders:,}",
    f"{sum(replay['checked'].values()):,}",
    f"{sum(replay['mismatches'].values()):,}",
    f"{size:.1f}",
    f"{sum(report.seconds.values()):.1f}",
  )


def _print_splits(data_set: manifest.Manifest) -> None:
  """Prints the number of orders by market and split."""
  counts = collections.defaultdict(collections.Counter)
  for day in data_set.days:
    for name, (first, last) in day.splits.items():
      counts[day.report.market][name] += last - first
  common.print_table(
    f"Orders in {data_set.folder}",
    ("market", *manifest.SPLITS),
    (
      (market, *(f"{counts[market][name]:,}" for name in manifest.SPLITS))
      for market in data_set.markets
    ),
  )


if __name__ == "__main__":
  common.run(main, takes_arguments=True)
