"""A small data set of one market or two."""

import pathlib

from mars_jax.data import jobs
from tests.support.data import captured_days
from tests.support.replay import chunks

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
  names = captured_days.write_days(
    folder, num_days=num_days, num_orders=num_orders
  )
  todo = captured_days.jobs(folder, *names)
  if bme:
    path = folder / "acme_2019-05-21.csv"
    path.write_text("\n".join([_BME_HEADER, *map(_bme_row, range(60))]))
    todo.append(jobs.Job(str(path), "bme"))
  out = folder / "prepared"
  with chunks.small():
    captured_days.build(out, todo)
  return out


def _bme_row(number):
  """A resting limit order, a second after the one before."""
  is_buy = number % 2 == 0
  price = 95 - number / 20 if is_buy else 97 + number / 20
  time = f"2019-05-21 09:00:{number:02}.000"
  return f"new;{number};{is_buy};{1 + number};{price:.2f};{time}"
