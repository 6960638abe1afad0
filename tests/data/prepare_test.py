"""Tests of preparing days: proven, split, binned, atomic."""

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

from tests.support.feeds import bitstamp_capture
from tests.support.feeds import itch_market
from tests.support.feeds import itch_writer
from tests.support.feeds import minimal
from tests.support.oracles import python_book
from tests.support.processes import scripts

pytest.importorskip("polars")

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.data import build as build_lib
from mars_jax.data import day_report
from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import manifest
from mars_jax.data import prepare
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.replay import engine
from mars_jax.tokens import encoding

CONFIG = prepare.PrepareConfig()
NUM_ORDERS = 300

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
  """Makes the chunks of replays small."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(engine, "CHUNK", 512)
    yield


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
  """Captures of two days, and a broken one."""
  folder = tmp_path_factory.mktemp("captures")
  for day in range(2):
    bitstamp_capture.write_bitstamp(
      folder / f"day{day}.csv", num_orders=NUM_ORDERS, seed=day, day=day
    )
  lines = (folder / "day0.csv").read_text().splitlines()
  lines[200] = lines[200].replace("created", "invented")
  (folder / "broken.csv").write_text("\n".join(lines))
  return folder


def jobs(folder, *names):
  """The jobs of captures."""
  return [jobs_lib.Job(str(folder / name), "bitstamp") for name in names]


def find_jobs(paths, out, instruments=()):
  """The jobs of paths."""
  executor = executors.InlineExecutor()
  return jobs_lib.find_jobs(
    paths, out, executor=executor, instruments=instruments
  )


def build(out, todo, *, split=None, executor=None):
  """Prepares jobs, and makes a data set of them."""
  executor = executor or executors.InlineExecutor()
  reports = prepare.prepare_days(todo, out, CONFIG, executor=executor)
  return build_lib.build_dataset(
    out,
    reports,
    prepare_config=CONFIG,
    split=split or build_lib.SplitConfig(),
    executor=executor,
  )


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


@pytest.fixture(scope="module")
def data_set(captures, tmp_path_factory):
  out = tmp_path_factory.mktemp("data")
  todo = jobs(captures, "day0.csv", "day1.csv", "broken.csv")
  return build(out, todo), out


def test_a_good_day_is_kept_with_its_report(data_set):
  data, _ = data_set
  assert [day.report.day for day in data.days] == ["2015-05-01", "2015-05-02"]
  for day in data.days:
    report = day.report
    assert (report.market, report.instrument) == ("Bitstamp", "BTC/USD")
    assert report.replay["events"] == report.num_orders + 120
    assert report.num_orders == NUM_ORDERS == sum(report.orders.values())
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


def test_bins_are_those_of_the_training_orders_in_memory(data_set):
  data, _ = data_set
  parts = []
  for day in data.days:
    opened = data.open(day)
    records = opened.read(0, len(opened))
    first, last = day.splits["train"]
    assert first == 0 < last < len(records)
    parts.append(encoding.values(records[:last]))
  joined = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
  want = encoding.fit_values(joined)
  have = data.bins["Bitstamp"].tokenizer
  jax.tree.map(np.testing.assert_array_equal, have, want)


def test_images_hold_every_order_once(data_set):
  data, _ = data_set
  for day in data.days:
    minutes, images = data.images(day)
    assert (np.diff(minutes) > 0).all()
    assert images.sum() == day.report.num_orders
    by_kind = images.sum(axis=(0, 2, 3))
    assert dict(zip(("asks", "bids", "cancels"), by_kind, strict=True)) == (
      day.report.orders
    )


def test_a_data_set_that_is_loaded_is_the_one_that_was_built(data_set):
  data, out = data_set
  loaded = manifest.load(out)
  assert loaded.days == data.days
  assert loaded.quarantined == data.quarantined
  jax.tree.map(
    np.testing.assert_array_equal,
    loaded.bins["Bitstamp"].tokenizer,
    data.bins["Bitstamp"].tokenizer,
  )


def test_a_file_that_was_changed_afterwards_is_found(captures, tmp_path):
  data = build(tmp_path, jobs(captures, "day0.csv"))
  manifest.check(tmp_path)
  path = tmp_path / data.days[0].report.folder / day_report.ORDERS
  changed = bytearray(path.read_bytes())
  changed[len(changed) // 2] ^= 1
  path.write_bytes(changed)
  with pytest.raises(events.DataError, match="not the file of the manifest"):
    manifest.check(tmp_path)


def test_a_day_that_is_done_is_not_done_again_but_a_changed_one_is(
  captures, tmp_path, monkeypatch
):
  source = tmp_path / "day.csv"
  source.write_bytes((captures / "day0.csv").read_bytes())
  (job,), out = jobs(tmp_path, "day.csv"), str(tmp_path / "out")
  report = prepare.prepare_day(job, out, CONFIG)
  with monkeypatch.context() as patch:
    patch.setattr(registry, "read_checked", None)
    assert prepare.prepare_day(job, out, CONFIG) == report
  source.write_bytes((captures / "broken.csv").read_bytes())
  assert prepare.prepare_day(job, out, CONFIG).reason
  assert not (tmp_path / "out" / report.folder).exists()
  source.write_bytes((captures / "day0.csv").read_bytes())
  again = prepare.prepare_day(job, out, CONFIG)
  assert dataclasses.replace(again, seconds={}, replay={}) == (
    dataclasses.replace(report, seconds={}, replay={})
  )


def test_days_are_reported_in_the_order_of_their_jobs(captures, tmp_path):
  todo = jobs(captures, "day1.csv", "broken.csv", "day0.csv")
  done = []
  reports = prepare.prepare_days(
    todo,
    tmp_path,
    CONFIG,
    executor=executors.InlineExecutor(),
    on_progress=lambda *numbers: done.append(numbers),
  )
  assert [report.job for report in reports] == [job.name for job in todo]
  assert [bool(report.reason) for report in reports] == [False, True, False]
  num_events, num_days = np.sum(done, axis=0)
  totals = day_report.totals(reports)
  assert (totals["days"], totals["quarantined"]) == (2, 1)
  assert num_days == 3
  assert num_events == totals["events"] == 2 * (NUM_ORDERS + 120)
  assert totals["orders"] == 2 * NUM_ORDERS
  size = sum(report.num_bytes for report in reports)
  assert totals["bytes_per_order"] == size / (2 * NUM_ORDERS)


def test_the_first_broken_day_ends_a_strict_preparation(captures, tmp_path):
  todo = jobs(captures, "broken.csv", "day0.csv")
  with pytest.raises(ValueError, match="broken.csv is quarantined: .*row 201"):
    prepare.prepare_days(
      todo,
      tmp_path,
      CONFIG,
      executor=executors.InlineExecutor(),
      is_strict=True,
    )
  assert not (tmp_path / day_report.DAYS).exists()


class Killed(BaseException):
  """Nothing may catch it, as nothing catches a kill."""


def test_stopped_at_any_write_and_run_again_it_writes_the_same(
  captures, tmp_path, monkeypatch
):
  todo = jobs(captures, "day0.csv", "broken.csv", "day1.csv")
  build(tmp_path / "whole", todo)
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
        build(out, todo)
        break  # There was no further write to be stopped at.
      except Killed:
        pass
    assert not (out / manifest.MANIFEST).exists()
    jobs_lib.clean(out)
    build(out, todo)
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
  assert totals["orders"] == 2 * NUM_ORDERS
  # Two processes write what this one does.
  build(tmp_path / "here", jobs(captures, "day0.csv", "day1.csv"))
  assert contents(tmp_path / "killed") == contents(tmp_path / "here")


@pytest.mark.slow
def test_dask_gives_what_this_process_gives(captures, tmp_path):
  pytest.importorskip("distributed")
  todo = jobs(captures, "day0.csv", "broken.csv", "day1.csv")
  build(tmp_path / "here", todo)
  paths = [str(captures / name) for name in ("day0.csv", "day1.csv")]
  with executors.executor(scheduler=executors.LOCAL) as executor:
    found = jobs_lib.find_jobs(paths, tmp_path, executor=executor)
    assert found == find_jobs(paths, tmp_path)
    build(tmp_path / "dask", todo, executor=executor)
  assert contents(tmp_path / "dask") == contents(tmp_path / "here")


def test_a_scheduler_that_is_not_there_is_an_error():
  pytest.importorskip("distributed")
  with pytest.raises(OSError, match="tcp://127.0.0.1:9"):
    with executors.executor(scheduler="tcp://127.0.0.1:9", timeout=0.5):
      pass


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(
  captures, tmp_path
):
  small = tmp_path / "small"
  small.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("needs the right to mount a small disk")
  try:
    (job,) = jobs(captures, "day0.csv")
    with pytest.raises(OSError, match="No space left"):
      prepare.prepare_day(job, str(small), CONFIG)
    assert not list(small.rglob("*.*"))
  finally:
    subprocess.run(["umount", str(small)], check=True)


def test_days_are_split_by_date_and_by_instrument(captures, tmp_path):
  todo = jobs(captures, "day0.csv", "day1.csv")
  by_date = build_lib.SplitConfig(valid_from="2015-05-02")
  data = build(tmp_path / "a", todo, split=by_date)
  all_of_it = (0, NUM_ORDERS)
  assert [day.splits for day in data.days] == [
    {"train": all_of_it},
    {"valid": all_of_it},
  ]
  assert [len(data.parts(split)) for split in manifest.SPLITS] == [1, 1, 0]
  both = dataclasses.replace(by_date, test_from="2015-05-02")
  data = build(tmp_path / "a", todo, split=both)
  assert data.days[1].splits == {"test": all_of_it}
  held_out = build_lib.SplitConfig(test_instruments=("BTC/USD",))
  with pytest.raises(ValueError, match="no order of Bitstamp is for training"):
    build(tmp_path / "a", todo, split=held_out)


def test_a_day_is_split_by_time(data_set):
  data, _ = data_set
  for day in data.days:
    time_ = data.open(day).read(0, NUM_ORDERS).time
    ends = [day.splits[name][1] for name in manifest.SPLITS]
    assert ends[-1] == NUM_ORDERS
    span = time_[-1] - time_[0]
    for end, share in zip(ends[:2], (0.7, 0.85), strict=True):
      assert time_[end - 1] < time_[0] + span * share <= time_[end]


def test_without_a_share_for_test_no_order_is_for_test(captures, tmp_path):
  split = build_lib.SplitConfig(train_fraction=0.9, valid_fraction=0.1)
  (day,) = build(tmp_path, jobs(captures, "day0.csv"), split=split).days
  assert list(day.splits) == ["train", "valid"]
  assert day.splits["valid"][1] == NUM_ORDERS


@pytest.mark.parametrize(
  "wrong, reason",
  [
    ({"train_fraction": 0.9, "valid_fraction": 0.2}, "together at most 1"),
    ({"test_from": "2020-01-01"}, "needs valid_from"),
    ({"valid_from": "2020-1-31"}, "'2020-1-31' is no date like 2023-01-31"),
    ({"valid_from": "20200131"}, "'20200131' is no date like 2023-01-31"),
    (
      {"valid_from": "2020-01-02", "test_from": "2020-01-01"},
      "is before valid_from",
    ),
  ],
)
def test_splits_that_make_no_sense_are_an_error(wrong, reason):
  with pytest.raises(ValueError, match=reason):
    build_lib.SplitConfig(**wrong)


def test_an_unknown_test_instrument_is_an_error(captures, tmp_path):
  split = build_lib.SplitConfig(test_instruments=("BTC/EUR",))
  with pytest.raises(ValueError, match="no day is of test instrument BTC/EUR"):
    build(tmp_path, jobs(captures, "day0.csv"), split=split)


def test_a_day_that_cannot_be_replayed_is_quarantined(
  captures, tmp_path, monkeypatch
):
  read = registry.read_checked

  def empty(*args, **kwargs):
    stream, checks = read(*args, **kwargs)
    return stream[:0], checks

  monkeypatch.setattr(registry, "read_checked", empty)
  (job,) = jobs(captures, "day0.csv")
  report = prepare.prepare_day(job, str(tmp_path), CONFIG)
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
  (job,) = jobs(captures, "day0.csv")
  report = prepare.prepare_day(job, str(tmp_path), CONFIG)
  count = report.feed["cancels"]
  assert f"{count} of " in report.reason
  assert "the first: remaining: event" in report.reason
  assert not (tmp_path / day_report.DAYS).exists()


def test_jobs_are_told_from_files_and_instruments(captures, tmp_path):
  path = str(captures / "day0.csv")
  job = jobs_lib.Job(path, "bitstamp")
  assert find_jobs([path, path], tmp_path) == [job]
  shanghai = minimal.write(tmp_path, "sse", "")
  (job,) = find_jobs([str(shanghai)], tmp_path)
  assert (job.format, job.instrument) == ("sse", None)
  assert job == find_jobs([job.path], "x", instruments=["600000"])[0]
  with pytest.raises(ValueError, match="has the instruments 600000, none of 7"):
    find_jobs([job.path], tmp_path, instruments=["7"])


def test_a_file_of_a_whole_market_is_split_once(tmp_path):
  messages, stocks = itch_market.session(400)
  path = str(itch_writer.save(tmp_path, messages))
  todo = find_jobs([path], tmp_path)
  files = [pathlib.Path(job.path) for job in todo]
  assert len(files) == len(stocks) == 2
  assert all(file.name.endswith("_2020-01-30.itch") for file in files)
  written = [file.stat().st_mtime_ns for file in files]
  assert find_jobs([path], tmp_path) == todo
  assert [file.stat().st_mtime_ns for file in files] == written
  (job,) = find_jobs([path], tmp_path, instruments=["BB/W"])
  report = prepare.prepare_day(job, str(tmp_path), CONFIG)
  assert report.reason == ""
  assert (report.instrument, report.day) == ("BB/W", "2020-01-30")


def test_two_files_of_one_day_are_an_error(captures, tmp_path):
  copy = captures / "copy.csv"
  copy.write_bytes((captures / "day0.csv").read_bytes())
  with pytest.raises(ValueError, match="are both Bitstamp BTC/USD 2015-05-01"):
    build(tmp_path, jobs(captures, "day0.csv", "copy.csv"))


def test_a_folder_without_a_data_set_is_an_error_that_says_what_to_do(tmp_path):
  with pytest.raises(events.DataError, match="prepare_data.py"):
    manifest.load(tmp_path)


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
  return records_lib.Records(
    np.arange(count), order, mid, mid, snapshot, np.zeros(count, np.int64)
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


def test_a_synthetic_day_is_prepared_like_any_other(tmp_path, monkeypatch):
  monkeypatch.setattr(engine, "CHUNK", 4096)
  (job,) = find_jobs(["synthetic-0"], tmp_path)
  report = prepare.prepare_day(job, str(tmp_path), CONFIG)
  assert report.reason == ""
  assert (report.market, report.num_orders) == ("Synthetic", 20_000)
  assert report.replay["checked"]["orders"] == report.replay["orders_left"]
