"""A small data set of prepared days, of one market or of two."""

import pathlib

import pytest

from mars_jax.data import build
from mars_jax.data import executors
from mars_jax.data import jobs
from mars_jax.data import prepare
from mars_jax.replay import engine
from tests.support.feeds import bitstamp_capture

_BME_HEADER = "ordtype;uid;is_buy;qty;price;timestamp"


def make(folder: pathlib.Path, *, num_days: int, num_orders: int, bme=False):
  """Writes captures of Bitstamp, and prepares them in the folder "prepared".

  Args:
    folder: for all of it.
    num_days: of Bitstamp.
    num_orders: of each of them.
    bme: whether there is a day of BME as well, of 60 orders.

  Returns:
    The folder of the data set.
  """
  todo = []
  for day in range(num_days):
    path = folder / f"day{day}.csv"
    bitstamp_capture.write_bitstamp(
      path, num_orders=num_orders, seed=day, day=day
    )
    todo.append(jobs.Job(str(path), "bitstamp"))
  if bme:
    path = folder / "acme_2019-05-21.csv"
    path.write_text("\n".join([_BME_HEADER, *map(_bme_row, range(60))]))
    todo.append(jobs.Job(str(path), "bme"))
  out = folder / "prepared"
  config = prepare.PrepareConfig()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(engine, "CHUNK", 512)  # A replay is padded to that.
    reports = [prepare.run(job, str(out), config) for job in todo]
  build.build(
    out,
    reports,
    prepare_config=config,
    split=build.SplitConfig(),
    executor=executors.InlineExecutor(),
  )
  return out


def _bme_row(number):
  """A limit order that rests, a second after the one before."""
  is_buy = number % 2 == 0
  price = 95 - number / 20 if is_buy else 97 + number / 20
  time = f"2019-05-21 09:00:{number:02}.000"
  return f"new;{number};{is_buy};{1 + number};{price:.2f};{time}"
