"""`mars_jax.apps` in one call each."""

import pytest

from mars_jax import apps
from mars_jax.sim import agents
from tests.support import paths

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_a_forecast_keeps_to_the_lunch_break_of_its_exchange():
  path = paths.DATA / "sse" / "600519_2023-02-01.zip"
  if not path.exists():
    pytest.skip(f"needs {path.name}")
  found = apps.forecast(
    str(path),
    model="none",
    start="11:29:59",
    horizon_orders=40,
    trajectories=4,
    progress=False,
  )
  seconds = found.futures.time[found.futures.is_event] // 10**9
  assert ((seconds < 41_400) | (seconds >= 46_800)).all()
  assert (seconds >= 46_800).any()  # They go on after it.


@pytest.mark.slow
def test_a_simulation_needs_no_data_and_has_a_summary(tmp_path):
  maker = agents.market_maker.make(volume=5, limit=50)
  found = apps.simulate(
    agents=[maker],
    horizon_s=2.0,
    trajectories=2,
    book_capacity=128,
    progress=False,
  )
  summary = found.summary()
  assert summary["trajectories"] == 2 and summary["is_complete"]
  names = [owner["name"] for owner in summary["owners"]]
  assert names == [maker.name, "market"]
  found.plot(tmp_path / "market.png")
  assert (tmp_path / "market.png").stat().st_size > 10_000


def test_nonsense_is_an_error_before_anything_is_read():
  with pytest.raises(ValueError, match="replay_capacity = 16 is below"):
    apps.forecast("no such file", replay_capacity=16, progress=False)
  with pytest.raises(ValueError, match="trajectories = 0"):
    apps.simulate("no such file", trajectories=0, progress=False)
  with pytest.raises(ValueError, match="horizon"):
    apps.forecast("no such file", horizon_s=-1.0, progress=False)


def test_a_day_that_is_not_there_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    apps.replay(str(tmp_path / "nothing"), progress=False)
