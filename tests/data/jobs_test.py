"""Tests of jobs: the days of files, and what runs them."""

import pathlib

import pytest

pytest.importorskip("polars")

from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import prepare
from tests.support.data import captured_days
from tests.support.feeds import itch_market
from tests.support.feeds import itch_writer
from tests.support.feeds import minimal

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


def test_jobs_are_told_from_files_and_instruments(captures, tmp_path):
  path = str(captures / "day0.csv")
  job = jobs_lib.Job(path, "bitstamp")
  assert captured_days.find_jobs([path, path], tmp_path) == [job]
  shanghai = minimal.write(tmp_path, "sse", "")
  (job,) = captured_days.find_jobs([str(shanghai)], tmp_path)
  assert (job.format, job.instrument) == ("sse", None)
  assert (
    job == captured_days.find_jobs([job.path], "x", instruments=["600000"])[0]
  )
  with pytest.raises(ValueError, match="has the instruments 600000, none of 7"):
    captured_days.find_jobs([job.path], tmp_path, instruments=["7"])


def test_a_file_of_a_whole_market_is_split_once(tmp_path):
  messages, stocks = itch_market.session(400)
  path = str(itch_writer.save(tmp_path, messages))
  todo = captured_days.find_jobs([path], tmp_path)
  files = [pathlib.Path(job.path) for job in todo]
  assert len(files) == len(stocks) == 2
  assert all(file.name.endswith("_2020-01-30.itch") for file in files)
  written = [file.stat().st_mtime_ns for file in files]
  assert captured_days.find_jobs([path], tmp_path) == todo
  assert [file.stat().st_mtime_ns for file in files] == written
  (job,) = captured_days.find_jobs([path], tmp_path, instruments=["BB/W"])
  report = prepare.prepare_day(job, str(tmp_path), captured_days.CONFIG)
  assert report.reason == ""
  assert (report.instrument, report.day) == ("BB/W", "2020-01-30")


def test_a_scheduler_that_is_not_there_is_an_error():
  pytest.importorskip("distributed")
  with pytest.raises(OSError, match="tcp://127.0.0.1:9"):
    with executors.executor(scheduler="tcp://127.0.0.1:9", timeout=0.5):
      pass
