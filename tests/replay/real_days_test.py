"""Real days of feeds, prepared as users would."""

import pytest

pytest.importorskip("polars")

from mars_jax.data import jobs
from mars_jax.data import prepare
from tests.support import paths


@pytest.mark.parametrize(
  "path, instrument, orders, checked, num_auctions",
  [
    (
      "bme/acciona_2019-05-21.csv",
      None,
      {"asks": 5_286, "bids": 5_239, "cancels": 8_816 + 1_608},
      {"remaining": 8_816},
      0,
    ),
    pytest.param(
      "sse/five_stocks_2023-07-11_orders.zip",
      "601825",
      {"asks": 3_464, "bids": 4_773, "cancels": 1_994},
      {"auctions": 2, "trades": 3_991, "remaining": 1_997},
      2,
      marks=pytest.mark.slow,
    ),
  ],
)
def test_real_days_are_kept(
  tmp_path, path, instrument, orders, checked, num_auctions
):
  path = paths.DATA / path
  if not path.exists():
    pytest.skip(f"needs {path.name} in MARS_paths.DATA")
  job = jobs.Job(str(path), None, instrument)
  report = prepare.prepare_day(job, str(tmp_path), prepare.PrepareConfig())
  assert report.reason == ""
  assert report.orders == orders
  assert report.replay["checked"] == checked
  assert report.replay["mismatches"] == report.replay["rejected"] == {}
  assert len(report.replay["auctions"]) == num_auctions
  assert report.num_bytes < 40 * report.num_orders
