"""Tests of preparing days: proven, complete, atomic."""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import time

import jax
import numpy as np
import pytest

pytest.importorskip("polars")

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.data import day_report
from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import manifest
from mars_jax.data import prepare
from mars_jax.feeds import registry
from mars_jax.replay import engine
from tests.support.data import captured_days
from tests.support.oracles import python_book
from tests.support.processes import scripts

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


def contents(out):
  """{path: bytes} of a data set, without the seconds."""
  found = {}
  for path in sorted(pathlib.Path(out).rglob("*")):
    if path.is_file():
      data = path.read_bytes()
      if path.name == day_report.REPORT:
        report = json.loads(data)
        report["seconds"] = report["replay"]["seconds"] = None
        data = json.dumps(report).encode()
      found[str(path.relative_to(out))] = data
  return found


def test_a_good_day_is_kept_with_its_report(data_set):
  data, _ = data_set
  assert [day.report.day for day in data.days] == ["2015-05-01", "2015-05-02"]
  for day in data.days:
    report = day.report
    assert (report.market, report.instrument) == ("Bitstamp", "BTC/USD")
    assert report.replay["events"] == report.num_orders + 120
    assert (
      report.num_orders
      == captured_days.NUM_ORDERS
      == sum(report.orders.values())
    )
    assert report.replay["checked"]["remaining"] == report.feed["cancels"]
    assert report.replay["mismatches"] == {}
    assert report.orders["cancels"] == report.feed["cancels"]


def test_a_broken_day_is_quarantined_with_its_reason_and_no_orders(data_set):
  data, out = data_set
  (report,) = data.quarantined
  assert "broken.csv, row 201: action is none of created" in report.reason
  assert [path.name for path in (out / report.folder).iterdir()] == [
    day_report.REPORT
  ]


def test_replaying_the_source_in_plain_python_gives_the_books_again(
  captures, data_set
):
  data, _ = data_set
  day = data.open(data.days[0])
  records = day.read(0, len(day))
  stream = registry.read(captures / "day0.csv")
  book, row = python_book.PythonBook(10**6), 0
  for i in range(len(stream)):
    columns = (stream.kind, stream.side, stream.price, stream.volume)
    numbers = [int(x[i]) for x in (*columns, stream.order_id)]
    book.apply(python_book.Message(*numbers))
    if not stream.is_market_event[i]:
      continue
    for side in (types.Side.ASK, types.Side.BID):
      levels = [
        (price, sum(order.volume for order in orders))
        for price, orders in itertools.groupby(
          book.rows(side), lambda order: order.price
        )
      ][:5]
      kept = [x[row, side] for x in jax.tree.leaves(records.snapshot)]
      assert list(zip(*kept, strict=True))[: len(levels)] == levels
    row += 1
  assert row == len(records)


def test_a_day_that_is_done_is_not_done_again_but_a_changed_one_is(
  captures, tmp_path, monkeypatch
):
  source = tmp_path / "day.csv"
  source.write_bytes((captures / "day0.csv").read_bytes())
  (job,), out = captured_days.jobs(tmp_path, "day.csv"), str(tmp_path / "out")
  report = prepare.prepare_day(job, out, captured_days.CONFIG)
  with monkeypatch.context() as patch:
    patch.setattr(registry, "read_checked", None)
    assert prepare.prepare_day(job, out, captured_days.CONFIG) == report
  source.write_bytes((captures / "broken.csv").read_bytes())
  assert prepare.prepare_day(job, out, captured_days.CONFIG).reason
  assert not (tmp_path / "out" / report.folder).exists()
  source.write_bytes((captures / "day0.csv").read_bytes())
  again = prepare.prepare_day(job, out, captured_days.CONFIG)
  assert dataclasses.replace(again, seconds={}, replay={}) == (
    dataclasses.replace(report, seconds={}, replay={})
  )


def test_days_are_reported_in_the_order_of_their_jobs(captures, tmp_path):
  todo = captured_days.jobs(captures, "day1.csv", "broken.csv", "day0.csv")
  done = []
  reports = prepare.prepare_days(
    todo,
    tmp_path,
    captured_days.CONFIG,
    executor=executors.InlineExecutor(),
    on_progress=lambda *numbers: done.append(numbers),
  )
  assert [report.job for report in reports] == [job.name for job in todo]
  assert [bool(report.reason) for report in reports] == [False, True, False]
  num_events, num_days = np.sum(done, axis=0)
  totals = day_report.totals(reports)
  assert (totals["days"], totals["quarantined"]) == (2, 1)
  assert num_days == 3
  assert num_events == totals["events"] == 2 * (captured_days.NUM_ORDERS + 120)
  assert totals["orders"] == 2 * captured_days.NUM_ORDERS
  size = sum(report.num_bytes for report in reports)
  assert totals["bytes_per_order"] == size / (2 * captured_days.NUM_ORDERS)


def test_the_first_broken_day_ends_a_strict_preparation(captures, tmp_path):
  todo = captured_days.jobs(captures, "broken.csv", "day0.csv")
  with pytest.raises(ValueError, match="broken.csv is quarantined: .*row 201"):
    prepare.prepare_days(
      todo,
      tmp_path,
      captured_days.CONFIG,
      executor=executors.InlineExecutor(),
      is_strict=True,
    )
  assert not (tmp_path / day_report.DAYS).exists()


class Killed(BaseException):
  """Nothing may catch it, as nothing catches a kill."""


def test_stopped_at_any_write_and_run_again_it_writes_the_same(
  captures, tmp_path, monkeypatch
):
  todo = captured_days.jobs(captures, "day0.csv", "broken.csv", "day1.csv")
  captured_days.build(tmp_path / "whole", todo)
  want = contents(tmp_path / "whole")
  for fatal in itertools.count():
    out, calls = tmp_path / f"cut{fatal}", itertools.count()

    def dying(function, calls=calls, fatal=fatal):
      def call(*args):
        if next(calls) == fatal:
          raise Killed
        return function(*args)

      return call

    with monkeypatch.context() as patch:
      for name in ("rename", "replace"):
        patch.setattr(os, name, dying(getattr(os, name)))
      try:
        captured_days.build(out, todo)
        break  # There was no further write to be stopped at.
      except Killed:
        pass
    assert not (out / manifest.MANIFEST).exists()
    jobs_lib.clean(out)
    captured_days.build(out, todo)
    assert contents(out) == want
  assert fatal >= 9  # Three folders, two files of orders, two of images, ...


@pytest.mark.slow
def test_killed_for_real_and_run_again_it_writes_the_same(
  captures, tmp_path, monkeypatch
):
  paths = [str(captures / name) for name in ("day0.csv", "day1.csv")]
  command = [f"--out={tmp_path / 'killed'}", "--workers=2", *paths]
  with monkeypatch.context() as patch:  # Or it may leave half a program there.
    patch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    killed = scripts.start("prepare_data", *command, "--format=bitstamp")
  while not list((tmp_path / "killed").glob("days/*")):
    assert killed.poll() is None, killed.communicate()
    time.sleep(0.01)
  killed.kill()
  killed.communicate()
  again = scripts.run("prepare_data", *command, "--format=bitstamp")
  assert again.returncode == 0, again.stderr
  totals = json.loads(again.stdout.splitlines()[-1])
  assert (totals["days"], totals["quarantined"]) == (2, 0)
  assert totals["orders"] == 2 * captured_days.NUM_ORDERS
  # Two processes write what this one does.
  captured_days.build(
    tmp_path / "here", captured_days.jobs(captures, "day0.csv", "day1.csv")
  )
  assert contents(tmp_path / "killed") == contents(tmp_path / "here")


@pytest.mark.slow
def test_dask_gives_what_this_process_gives(captures, tmp_path):
  pytest.importorskip("distributed")
  todo = captured_days.jobs(captures, "day0.csv", "broken.csv", "day1.csv")
  captured_days.build(tmp_path / "here", todo)
  paths = [str(captures / name) for name in ("day0.csv", "day1.csv")]
  with executors.executor(scheduler=executors.LOCAL) as executor:
    found = jobs_lib.find_jobs(paths, tmp_path, executor=executor)
    assert found == captured_days.find_jobs(paths, tmp_path)
    captured_days.build(tmp_path / "dask", todo, executor=executor)
  assert contents(tmp_path / "dask") == contents(tmp_path / "here")


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(
  captures, tmp_path
):
  small = tmp_path / "small"
  small.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("needs the right to mount a small disk")
  try:
    (job,) = captured_days.jobs(captures, "day0.csv")
    with pytest.raises(OSError, match="No space left"):
      prepare.prepare_day(job, str(small), captured_days.CONFIG)
    assert not list(small.rglob("*.*"))
  finally:
    subprocess.run(["umount", str(small)], check=True)


def test_a_day_that_cannot_be_replayed_is_quarantined(
  captures, tmp_path, monkeypatch
):
  read = registry.read_checked

  def empty(*args, **kwargs):
    stream, checks = read(*args, **kwargs)
    return stream[:0], checks

  monkeypatch.setattr(registry, "read_checked", empty)
  (job,) = captured_days.jobs(captures, "day0.csv")
  report = prepare.prepare_day(job, str(tmp_path), captured_days.CONFIG)
  assert "no events to replay" in report.reason


def test_a_day_that_differs_from_its_feed_is_quarantined(
  captures, tmp_path, monkeypatch
):
  read = registry.read_checked

  def wrong(*args, **kwargs):
    stream, checks = read(*args, **kwargs)
    remaining = checks.remaining
    remaining = np.where(remaining >= 0, remaining + 1, -1)
    return stream, dataclasses.replace(checks, remaining=remaining)

  monkeypatch.setattr(registry, "read_checked", wrong)
  (job,) = captured_days.jobs(captures, "day0.csv")
  report = prepare.prepare_day(job, str(tmp_path), captured_days.CONFIG)
  count = report.feed["cancels"]
  assert f"{count} of " in report.reason
  assert "the first: remaining: event" in report.reason
  assert not (tmp_path / day_report.DAYS).exists()


def wide_records(price, volume):
  """Records of int64 prices and volumes, one level a side."""
  count = len(price)
  price, volume = (np.array(x, np.int64) for x in (price, volume))
  mid = np.full(count, 100, np.int64)
  order = types.Order(
    kind=np.zeros(count, np.int32),
    side=np.zeros(count, np.int32),
    price=price,
    volume=volume,
    id=np.arange(count, dtype=np.int32),
    owner=np.full(count, types.NO_OWNER, np.int32),
  )
  snapshot = types.Snapshot(
    price=np.tile(np.array([[101], [99]]), (count, 1, 1)),
    volume=np.tile(volume[:, None, None], (1, 2, 1)),
  )
  classes = np.zeros((count, 2, types.DEPTH_CLASSES), np.int64)
  zeros = np.zeros(count, np.int64)
  return records_lib.Records(
    time=np.arange(count),
    order=order,
    place=types.Place(np.stack([mid, mid], 1), zeros, zeros, volume),
    mid_before=mid,
    mid_after=mid,
    snapshot=snapshot,
    depth=types.Depth(classes + volume[:, None, None], classes),
    traded=zeros,
  )


def test_numbers_too_large_for_int32_get_larger_lots_or_are_left_out():
  records = wide_records([100, 2**30, 99], [25_000_000_049, 5, 3])
  narrowed, factor, left_out = prepare.narrow(records)
  assert (factor, left_out) == (100, 1)
  assert narrowed.order.price.tolist() == [100, 99]
  assert narrowed.order.volume.tolist() == [250_000_000, 1]
  assert narrowed.snapshot.volume[:, 0, 0].tolist() == [250_000_000, 1]
  dtypes = {x.dtype for x in jax.tree.leaves(narrowed.order)}
  assert dtypes == {np.dtype(np.int32)}
  assert prepare.narrow(narrowed) == (narrowed, 1, 0)


@pytest.mark.slow
def test_a_synthetic_day_is_prepared_like_any_other(tmp_path, monkeypatch):
  monkeypatch.setattr(engine, "CHUNK", 4096)
  (job,) = captured_days.find_jobs(["synthetic-0"], tmp_path)
  report = prepare.prepare_day(job, str(tmp_path), captured_days.CONFIG)
  assert report.reason == ""
  assert (report.market, report.num_orders) == ("Synthetic", 20_000)
  assert report.replay["checked"]["orders"] == report.replay["orders_left"]
