"""Captures of two days and a broken one, and data sets made of them."""

import pathlib

from mars_jax.data import build as build_lib
from mars_jax.data import executors
from mars_jax.data import jobs as jobs_lib
from mars_jax.data import prepare
from tests.support.feeds import bitstamp_capture

CONFIG = prepare.PrepareConfig()
NUM_ORDERS = 300


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes day0.csv, day1.csv and broken.csv; returns their folder."""
  write_days(folder, num_days=2, num_orders=NUM_ORDERS)
  lines = (folder / "day0.csv").read_text().splitlines()
  lines[200] = lines[200].replace("created", "invented")
  (folder / "broken.csv").write_text("\n".join(lines))
  return folder


def write_days(
  folder: pathlib.Path, *, num_days: int, num_orders: int
) -> list[str]:
  """Writes captures of successive days; returns the names of their files."""
  names = [f"day{day}.csv" for day in range(num_days)]
  for day, name in enumerate(names):
    bitstamp_capture.write_bitstamp(
      folder / name, num_orders=num_orders, seed=day, day=day
    )
  return names


def jobs(folder, *names):
  """Returns the jobs of captures."""
  return [jobs_lib.Job(str(folder / name), "bitstamp") for name in names]


def find_jobs(paths, out, instruments=()):
  """Returns the jobs of paths."""
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
