"""Preparation of days of a feed: read, prove, keep.

A job (`jobs`) is one instrument of one file, and `prepare_day` all its work:
the reader makes events of it, the matching engine replays them and is compared
with whatever the feed has to check by, and the orders of continuous trading,
each with the book round it, go to disk with a report (`day_report`). A day that
cannot be read, or whose replay differs, is quarantined: its report says why,
and nothing else of it is kept. `build` makes a data set of many such days.

`prepare_day` is a function of its job alone, so that jobs may run anywhere and
in any order. It writes a folder that is there whole or not at all, under the
name of the job; a job whose folder is there, made from the same bytes under the
same config, is not run again.
"""

import collections.abc
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time

import numpy as np

from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import types
from mars_jax.data import day_report
from mars_jax.data import executors
from mars_jax.data import jobs
from mars_jax.data import store
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import checks
from mars_jax.utils import files

_KINDS = ("asks", "bids", "cancels")  # By those of `tokens.vocab`.
_INT32_MAX = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
  """Settings of the preparation of days.

  Attributes:
    num_levels: levels of each side that are kept after every order.
    max_mismatch_share: the share of what is compared with the feed that may
      differ, above which a day is quarantined, and of events that the matching
      engine may reject.
  """

  num_levels: int = features.SNAPSHOT_LEVELS
  max_mismatch_share: float = 1e-4

  def __post_init__(self):
    # Tokens are made of so many.
    checks.at_least(features.SNAPSHOT_LEVELS, num_levels=self.num_levels)
    if not 0 <= self.max_mismatch_share < 1:
      raise ValueError(
        f"max_mismatch_share = {self.max_mismatch_share} must be in [0, 1)"
      )


def prepare_day(
  job: jobs.Job,
  out: str,
  config: PrepareConfig,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> day_report.DayReport:
  """Prepares one instrument and day, unless that is done already.

  Args:
    job: what to prepare.
    out: folder of the data set.
    config: how.
    on_progress: called with the number of events just replayed.

  Returns:
    Its report, which is also in its folder.

  Raises:
    OSError: if there is no such file, or the disk is full, say; nothing of the
      job is left behind.
    ImportError: if the extra that a reader needs is not installed.
  """
  sha256 = files.digest(*registry.files(job.path))
  parts = [
    day_report.VERSION,
    dataclasses.asdict(job),
    dataclasses.asdict(config),
    sha256,
  ]
  key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
  blank = day_report.DayReport(job.name, job.path, key, sha256)
  root = pathlib.Path(out)
  for folder in (
    root / day_report.DAYS / job.name,
    root / day_report.QUARANTINE / job.name,
  ):
    if report := day_report.load(folder, key):
      return report
    shutil.rmtree(folder, ignore_errors=True)
  report, records = _prove(job, blank, config, on_progress)
  return _write(root, report, records)


def prepare_days(
  todo: collections.abc.Sequence[jobs.Job],
  out: str,
  config: PrepareConfig,
  *,
  executor: concurrent.futures.Executor,
  is_strict: bool = False,
  on_progress: collections.abc.Callable[
    [int, int], None
  ] = lambda num_events, num_days: None,
) -> list[day_report.DayReport]:
  """Prepares many days.

  Args:
    todo: the jobs.
    out: folder of the data set.
    config: how.
    executor: runs the jobs, each a task.
    is_strict: whether a day that is quarantined ends it all.
    on_progress: called with the numbers of events and of days just done: as
      they are replayed if the executor is this process, else day by day.

  Returns:
    The report of each job, in the order of the jobs.

  Raises:
    ValueError: if a day is quarantined, and `is_strict`.
    OSError, ImportError: as of `prepare_day`.
  """
  is_here = isinstance(executor, executors.InlineExecutor)
  arguments = [str(out), config]
  if is_here:
    arguments.append(lambda num_events: on_progress(num_events, 0))
  futures = (executor.submit(prepare_day, job, *arguments) for job in todo)
  reports = {}
  for done in (
    futures if is_here else concurrent.futures.as_completed([*futures])
  ):
    report = done.result()
    if report.reason and is_strict:
      raise ValueError(f"{report.source} is quarantined: {report.reason}")
    reports[report.job] = report
    on_progress(0 if is_here else report.replay.get("events", 0), 1)
  return [reports[job.name] for job in todo]


def _prove(
  job: jobs.Job, blank: day_report.DayReport, config: PrepareConfig, on_progress
) -> tuple[day_report.DayReport, records_lib.Records | None]:
  """Reads and replays; returns no records of a bad day."""
  began = time.time()
  options = {"instrument": job.instrument, "day": job.day}
  options = {name: value for name, value in options.items() if value}
  try:
    stream, checks = registry.read_checked(
      job.path, format=job.format, **options
    )
    read = time.time()
    result, records = replay.verify_and_record(
      stream,
      checks,
      rules=replay.feed_rules(stream),
      num_levels=config.num_levels,
      on_progress=on_progress,
    )
    records, factor, left_out = narrow(records)
  except ValueError as error:  # Of the reader, or of what cannot be replayed.
    return dataclasses.replace(blank, reason=str(error)), None
  report = dataclasses.replace(
    blank,
    reason=_find_fault(result, records, config),
    market=stream.market,
    instrument=stream.instrument,
    day=stream.day,
    rules=stream.rules,
    tick_size=stream.tick_size,
    lot_size=stream.lot_size * factor,
    feed=dict(stream.counts),
    replay=json.loads(json.dumps(dataclasses.asdict(result))),
    orders=_count(records),
    left_out=left_out,
    seconds={"read": read - began, "replay": result.seconds},
  )
  return report, None if report.reason else records


def _find_fault(
  result: replay.VerifyResult,
  records: records_lib.Records,
  config: PrepareConfig,
) -> str:
  """Returns the reason to quarantine a day, or nothing."""
  most = config.max_mismatch_share
  differ = sum(result.mismatches.values())
  compared = sum(result.checked.values())
  if differ > most * compared:
    return (
      f"{differ:,} of {compared:,} things differ from the feed; the first:"
      f" {result.examples[0]}"
    )
  if result.crossed:
    return f"the book is crossed after {result.crossed:,} events"
  refused = sum(result.rejected.values())
  if refused > most * result.events:
    reasons = ", ".join(f"{n:,} {why}" for why, n in result.rejected.items())
    return f"the matching engine rejects orders: {reasons}"
  if not len(records):
    return "no order came in continuous trading"
  return ""


def narrow(
  records: records_lib.Records,
) -> tuple[records_lib.Records, int, int]:
  """Returns records in int32, in larger lots if need be.

  A volume becomes the nearest number of the larger lots, and at least one.

  Args:
    records: in int32, which are returned as they are, or in int64.

  Returns:
    The records, how many old lots a new one is, a power of ten, and how many
    orders are left out since their price exceeds `types.MAX_PRICE`.

  Raises:
    events.DataError: if such a price is among the best levels.
  """
  if records.traded.dtype == np.int32 or not len(records):
    return records, 1, 0
  near = np.abs(records.order.price) <= types.MAX_PRICE
  kept = records[near]
  if np.abs(kept.snapshot.price).max() > types.MAX_PRICE:
    reason = f"a price among the best levels exceeds {types.MAX_PRICE} ticks"
    raise events.DataError("the book", None, reason)
  largest = max(
    int(x.max()) for x in (kept.order.volume, kept.depth.volume, kept.traded)
  )
  factor = 1
  while largest / factor > _INT32_MAX:
    factor *= 10

  def shrink(volume: np.ndarray) -> np.ndarray:
    rounded = np.maximum((volume + factor // 2) // factor, 1)
    return np.where(volume > 0, rounded, 0).astype(np.int32)

  def cast(price: np.ndarray) -> np.ndarray:
    return price.astype(np.int32)

  narrowed = records_lib.Records(
    time=kept.time,
    order=kept.order.replace(
      price=cast(kept.order.price), volume=shrink(kept.order.volume)
    ),
    mid_before=cast(kept.mid_before),
    mid_after=cast(kept.mid_after),
    place=kept.place.replace(
      best=cast(kept.place.best), resting=shrink(kept.place.resting)
    ),
    snapshot=types.Snapshot(
      price=cast(kept.snapshot.price), volume=shrink(kept.snapshot.volume)
    ),
    depth=kept.depth.replace(volume=shrink(kept.depth.volume)),
    traded=shrink(kept.traded),
  )
  return narrowed, factor, int((~near).sum())


def _count(records: records_lib.Records) -> dict[str, int]:
  """Counts orders by kind."""
  counts = np.bincount(encoding.kinds(records.order), minlength=len(_KINDS))
  return dict(zip(_KINDS, counts.tolist(), strict=True))


def _write(
  root: pathlib.Path,
  report: day_report.DayReport,
  records: records_lib.Records | None,
) -> day_report.DayReport:
  """Writes the folder of a job atomically."""
  began = time.time()
  target = root / report.folder
  target.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    dir=target.parent, prefix=files.PARTIAL, ignore_cleanup_errors=True
  ) as own:
    folder = pathlib.Path(own) / report.job
    folder.mkdir()
    if records is not None:
      info = store.write(folder / day_report.ORDERS, records)
      report = dataclasses.replace(
        report,
        num_bytes=info.num_bytes,
        orders_sha256=info.sha256,
        seconds={**report.seconds, "write": time.time() - began},
      )
    text = json.dumps(dataclasses.asdict(report), indent=1)
    (folder / day_report.REPORT).write_text(text + "\n")
    try:
      os.rename(folder, target)
    except OSError:  # What a run that was cut off had begun may end just now.
      if done := day_report.load(target, report.key):
        return done
      raise
  return report
