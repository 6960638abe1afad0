"""A small data set of one market or two."""

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
  """Writes captures and prepares them in the folder "prepared".

  Args:
    folder: for all of it.
    num_days: of Bitstamp.
    num_orders: of each of them.
    bme: whether there is also a day of BME, of 60 orders.

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
  config, executor = prepare.PrepareConfig(), executors.InlineExecutor()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(engine, "CHUNK", 512)  # A replay is padded to that.
    reports = prepare.prepare_days(todo, out, config, executor=executor)
  build.build_dataset(
    out,
    reports,
    prepare_config=config,
    split=build.SplitConfig(),
    executor=executor,
  )
  return out


def _bme_row(number):
  """A resting limit order, a second after the one before."""
  is_buy = number % 2 == 0
  price = 95 - number / 20 if is_buy else 97 + number / 20
  time = f"2019-05-21 09:00:{number:02}.000"
  return f"new;{number};{is_buy};{1 + number};{price:.2f};{time}"
