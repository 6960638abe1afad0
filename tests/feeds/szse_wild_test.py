"""Shenzhen's funds, bonds, binary integers and held orders."""

import pytest

pytest.importorskip("polars")

from mars_jax import replay
from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds import registry
from mars_jax.feeds.szse import reader
from tests.support.feeds import szse_writer

pytestmark = pytest.mark.usefixtures("quick_compilation")

ASK, BID = types.Side.ASK, types.Side.BID
LAYOUTS = pytest.mark.parametrize(
  "names", [szse_writer.SPECIFIED, szse_writer.VENDOR]
)


def order(sequence, time, side, price, volume, kind="2"):
  return szse_writer.Order(sequence, time, kind, side, price, volume)


def trade(sequence, time, bid, ask, price, volume):
  return szse_writer.Execution(sequence, time, "F", bid, ask, price, volume)


def cancel(sequence, time, bid, ask, volume):
  return szse_writer.Execution(sequence, time, "4", bid, ask, "0", volume)


def verified(folder, orders, executions, **options):
  """The stream, the ground truth and the replay of some rows."""
  names = {"code": options.pop("code", "000001")}
  names["names"] = options.pop("names", szse_writer.SPECIFIED)
  szse_writer.write(folder, orders, executions, **names)
  stream, truth = reader.read_checked(folder, **options)
  rules = replay.feed_rules(stream)
  return stream, truth, replay.verify(stream, truth, rules=rules)


def small_day(scale=1, lots=1, price=str):
  """Two asks that one bid takes, in units of so many."""
  orders = [
    order(1, "09:15:00.010", 2, price(10_000 * scale), 500 * lots),
    order(2, "09:15:00.020", 1, price(9_990 * scale), 300 * lots),
    order(3, "09:15:00.030", 2, price(10_010 * scale), 400 * lots),
    order(4, "09:30:01.000", 1, price(10_010 * scale), 800 * lots),
  ]
  executions = [
    trade(5, "09:30:01.000", 4, 1, price(10_000 * scale), 500 * lots),
    trade(6, "09:30:01.000", 4, 3, price(10_010 * scale), 300 * lots),
  ]
  return orders, executions


def thousandths(price):
  return f"{price / 1000:.3f}"


@LAYOUTS
@pytest.mark.parametrize(
  ("code", "rules"),
  [
    *(("159915", "shenzhen"), ("160105", "shenzhen"), ("184801", "shenzhen")),
    ("123045", "shenzhen-bond"),
  ],
)
def test_funds_and_bonds_have_ticks_of_a_thousandth(
  tmp_path, code, rules, names
):
  orders, executions = small_day(price=lambda p: thousandths(p // 10 + 1))
  stream, _, result = verified(
    tmp_path, orders, executions, code=code, names=names
  )
  assert not result.mismatches
  assert (stream.tick_size, stream.rules) == (0.001, rules)
  assert stream.price.tolist() == [1_001, 1_000, 1_002, 1_002]


def test_price_of_a_fund_off_its_grid_is_named(tmp_path):
  orders = [order(1, "09:15:00.010", 2, "1.0005", 500)]
  with pytest.raises(events.DataError, match="row 2: .*grid of 0.001 yuan"):
    verified(tmp_path, orders, [], code="159915")


@LAYOUTS
@pytest.mark.parametrize("units", [None, "integers"])
def test_integers_of_the_binary_feed_are_recognised(tmp_path, units, names):
  orders, executions = small_day(scale=10, lots=100)
  stream, truth, result = verified(
    tmp_path, orders, executions, units=units, names=names
  )
  assert not result.mismatches
  assert stream.tick_size == 0.01
  assert stream.price.tolist() == [1_000, 999, 1_001, 1_001]
  assert stream.volume.tolist() == [500, 300, 400, 800]
  assert truth.trades.price.tolist() == [1_000, 1_001]
  assert truth.trades.volume.tolist() == [500, 300]


def test_whole_prices_that_may_be_of_either_unit_are_asked_for(tmp_path):
  orders = [order(1, "09:15:00.010", 2, "2000", 500)]
  szse_writer.write(tmp_path, orders, [])
  with pytest.raises(events.DataError, match="give units='yuan' or 'integers'"):
    reader.read_checked(tmp_path)
  for units, price, volume in (("yuan", 200_000, 500), ("integers", 20, 5)):
    stream = registry.read(tmp_path, units=units)
    assert stream.price.tolist() == [price]
    assert stream.volume.tolist() == [volume]
  with pytest.raises(ValueError, match="units 'cents' is none of"):
    reader.read_checked(tmp_path, units="cents")


def test_large_whole_prices_with_odd_volumes_are_asked_for(tmp_path):
  szse_writer.write(tmp_path, [order(1, "09:15:00.010", 2, "99900", 30)], [])
  with pytest.raises(events.DataError, match="give units"):
    reader.read_checked(tmp_path)


def test_whole_prices_in_yuan_stay(tmp_path):
  szse_writer.write(tmp_path, [order(1, "09:15:00.010", 2, "999", 300)], [])
  assert reader.read_checked(tmp_path)[0].price.tolist() == [99_900]
