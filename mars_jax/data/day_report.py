"""Report of the preparation of one day, and its files."""

import collections.abc
import dataclasses
import json
import pathlib
from typing import Any

VERSION = 3  # Of the folders; another one is made anew.
DAYS, QUARANTINE = "days", "quarantine"  # Where the folders of jobs go.
ORDERS, REPORT = "orders.mars", "report.json"  # Of a folder.


@dataclasses.dataclass(frozen=True)
class DayReport:
  """The outcome of a job.

  Attributes:
    job: its name.
    source: its path.
    key: digest of all that the outcome depends on.
    source_sha256: digest of the bytes of its files.
    reason: why the day is quarantined; empty if it is good.
    market, instrument, day: of the stream; empty if it cannot be read.
    rules: the preset it was replayed under, of `lob.PRESETS`.
    tick_size: price of a tick, in the currency of the market.
    lot_size: volume of a lot as it is kept, in shares or coins.
    feed: what the reader counted.
    replay: `replay.VerifyResult`, as JSON has it.
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
  rules: str = ""
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
    """Number of orders that are kept."""
    return sum(self.orders.values())

  @property
  def folder(self) -> str:
    """Folder of the job, relative to the data set."""
    return f"{QUARANTINE if self.reason else DAYS}/{self.job}"


def load(folder: pathlib.Path, key: str | None = None) -> DayReport | None:
  """Returns the report in a folder, or None.

  Args:
    folder: of a job.
    key: digest that the report must have, if given."""
  path = folder / REPORT
  if not path.exists():
    return None
  try:
    report = DayReport(**json.loads(path.read_text()))
  except (TypeError, ValueError):  # Of another version.
    return None
  return report if key in (None, report.key) else None


def totals(reports: collections.abc.Iterable[DayReport]) -> dict[str, Any]:
  """Returns the sums over all days, fit for JSON.

  Args:
    reports: of all jobs, at least one of them of a good day.
  """
  reports = list(reports)
  good = [report for report in reports if not report.reason]
  num_orders = sum(report.num_orders for report in good)
  num_events = sum(report.replay["events"] for report in good)
  seconds = sum(sum(report.seconds.values()) for report in good)
  return {
    "days": len(good),
    "quarantined": len(reports) - len(good),
    "events": num_events,
    "orders": num_orders,
    "bytes_per_order": sum(report.num_bytes for report in good) / num_orders,
    "events_per_second_and_core": num_events / seconds,
  }
