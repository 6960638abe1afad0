"""One instrument and day of a feed: read, proven, and kept as training data.

A job (`jobs`) is one instrument of one file, and `run` all that is done to it:
the reader makes events of it, the matching engine replays them and is compared
with whatever the feed has to check by, and the orders of continuous trading,
each with the book round it, go to disk with a report. A day that cannot be
read, or whose replay differs, is quarantined: its report says why, and nothing
else of it is kept. `build` makes a data set of many such days.

`run` is a function of its job alone, so that jobs may run anywhere and in any
order. What it writes is a folder that is there whole or not at all, under the
name of the job; a job whose folder is there, made from the same bytes under the
same config, is not run again.
"""

import collections.abc
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from typing import Any

import numpy as np

from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax import types
from mars_jax.data import jobs
from mars_jax.data import store
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.utils import files

VERSION = 1  # Of the folders; another one is made anew.
DAYS, QUARANTINE = "days", "quarantine"  # Where the folders of jobs go.
ORDERS, REPORT = "orders.mars", "report.json"  # Of a folder.
_KINDS = ("asks", "bids", "cancels")  # By those of `tokens.vocab`.
_INT32_MAX = 2**31 - 1
_PRICE_LIMIT = 2**30  # Ticks, of `lob`.


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
  """How days are prepared.

  Attributes:
    num_levels: levels of each side that are kept after every order.
    max_mismatch_share: the share of what is compared with the feed that may
      differ, above which a day is quarantined, and of events that the clearing
      house may reject.
  """

  num_levels: int = features.SNAPSHOT_LEVELS
  max_mismatch_share: float = 1e-4

  def __post_init__(self):
    if self.num_levels < features.SNAPSHOT_LEVELS:
      raise ValueError(
        f"num_levels = {self.num_levels} must be >="
        f" {features.SNAPSHOT_LEVELS}, of which tokens are made"
      )
    if not 0 <= self.max_mismatch_share < 1:
      raise ValueError(
        f"max_mismatch_share = {self.max_mismatch_share} must be in [0, 1)"
      )


@dataclasses.dataclass(frozen=True)
class DayReport:
  """What became of a job.

  Attributes:
    job: its name.
    source: its path.
    key: digest of all that the outcome depends on.
    source_sha256: digest of the bytes of its files.
    reason: why the day is quarantined; empty if it is good.
    market, instrument, day: of the stream; empty if it cannot be read.
    venue: whose rules it was replayed by, of `lob.PRESETS`.
    tick_size: price of a tick, in the currency of the market.
    lot_size: volume of a lot as it is kept, in shares or coins.
    feed: what the reader counted.
    replay: `replay.VerifyResult` of the replay, as JSON has it.
    orders: those that are kept, by kind: asks, bids, cancels.
    left_out: orders that are not kept since int32 cannot hold their price.
    num_bytes: of the file of orders.
    orders_sha256: its digest.
    seconds: to read, replay and write; differs from run to run.
  """

  job: str
  source: str
  key: str
  source_sha256: str
  reason: str = ""
  market: str = ""
  instrument: str = ""
  day: str = ""
  venue: str = ""
  tick_size: float = 0.0
  lot_size: float = 0.0
  feed: dict[str, int] = dataclasses.field(default_factory=dict)
  replay: dict[str, Any] = dataclasses.field(default_factory=dict)
  orders: dict[str, int] = dataclasses.field(default_factory=dict)
  left_out: int = 0
  num_bytes: int = 0
  orders_sha256: str = ""
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)

  @property
  def num_orders(self) -> int:
    """How many orders are kept."""
    return sum(self.orders.values())

  @property
  def folder(self) -> str:
    """The folder of the job, from that of the data set."""
    return f"{QUARANTINE if self.reason else DAYS}/{self.job}"


def run(
  job: jobs.Job,
  out: str,
  config: PrepareConfig,
  on_progress: collections.abc.Callable[[int], None] = lambda num_events: None,
) -> DayReport:
  """Prepares one instrument and day, unless that is done already.

  Args:
    job: what to prepare.
    out: folder of the data set.
    config: how.
    on_progress: called with the number of events just replayed.

  Returns:
    Its report, which is in its folder as well.

  Raises:
    OSError: if there is no such file, or the disk is full, say; nothing of the
      job is left behind.
    ImportError: if the extra that a reader needs is not installed.
  """
  sha256 = files.digest(*registry.files(job.path))
  parts = [VERSION, dataclasses.asdict(job), dataclasses.asdict(config), sha256]
  key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
  blank = DayReport(job.name, job.path, key, sha256)
  root = pathlib.Path(out)
  for folder in (root / DAYS / job.name, root / QUARANTINE / job.name):
    if report := load_report(folder, key):
      return report
    shutil.rmtree(folder, ignore_errors=True)
  report, records = _prove(job, blank, config, on_progress)
  return _write(root, report, records)


def _prove(
  job: jobs.Job, blank: DayReport, config: PrepareConfig, on_progress
) -> tuple[DayReport, records_lib.Records | None]:
  """Reads and replays; the records are None where the day is no good."""
  began = time.time()
  options = {} if job.instrument is None else {"instrument": job.instrument}
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
    venue=stream.rules,
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
  """Returns why a day is no good, or nothing."""
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
  """Returns records in int32, in lots as many times larger as that needs.

  A volume becomes the nearest number of the larger lots, and at least one.

  Args:
    records: in int32, which are returned as they are, or in int64.

  Returns:
    The records, how many old lots a new one is, a power of ten, and how many
    orders are left out since their price is 2**30 ticks or more.

  Raises:
    events.DataError: if such a price is among the best levels.
  """
  if records.traded.dtype == np.int32 or not len(records):
    return records, 1, 0
  near = np.abs(records.order.price) < _PRICE_LIMIT
  kept = records[near]
  if np.abs(kept.snapshot.price).max() >= _PRICE_LIMIT:
    reason = f"a price among the best levels is not below {_PRICE_LIMIT} ticks"
    raise events.DataError("the book", None, reason)
  largest = max(
    int(x.max()) for x in (kept.order.volume, kept.snapshot.volume, kept.traded)
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
    snapshot=types.Snapshot(
      price=cast(kept.snapshot.price), volume=shrink(kept.snapshot.volume)
    ),
    traded=shrink(kept.traded),
  )
  return narrowed, factor, int((~near).sum())


def _count(records: records_lib.Records) -> dict[str, int]:
  """Counts orders by kind."""
  counts = np.bincount(encoding.kinds(records.order), minlength=len(_KINDS))
  return dict(zip(_KINDS, counts.tolist(), strict=True))


def _write(
  root: pathlib.Path, report: DayReport, records: records_lib.Records | None
) -> DayReport:
  """Writes the folder of a job, whole or not at all."""
  began = time.time()
  target = root / report.folder
  target.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    dir=target.parent, prefix=files.PARTIAL, ignore_cleanup_errors=True
  ) as own:
    folder = pathlib.Path(own) / report.job
    folder.mkdir()
    if records is not None:
      info = store.write(folder / ORDERS, records)
      report = dataclasses.replace(
        report,
        num_bytes=info.num_bytes,
        orders_sha256=info.sha256,
        seconds={**report.seconds, "write": time.time() - began},
      )
    text = json.dumps(dataclasses.asdict(report), indent=1)
    (folder / REPORT).write_text(text + "\n")
    try:
      os.rename(folder, target)
    except OSError:  # What a run that was cut off had begun may end just now.
      if done := load_report(target, report.key):
        return done
      raise
  return report


def load_report(
  folder: pathlib.Path, key: str | None = None
) -> DayReport | None:
  """Returns the report in a folder; None without one, or of another key."""
  path = folder / REPORT
  if not path.exists():
    return None
  try:
    report = DayReport(**json.loads(path.read_text()))
  except (TypeError, ValueError):  # Of another version.
    return None
  return report if key in (None, report.key) else None
