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


CAGED = (  # Order 3 is beyond 102 % of 10.00 until that is taken.
  [
    order(1, "09:15:00.010", 2, "10", 500),
    order(2, "09:15:00.020", 1, "9.9", 300),
    order(3, "09:30:00.500", 1, "10.3", 200),
    order(4, "09:30:01.000", 2, "10.25", 500),
    order(5, "09:30:02.000", 1, "10.11", 900),
    order(9, "09:30:03.000", 2, "10.26", 100),
  ],
  [
    trade(6, "09:30:02.000", 5, 1, "10", 500),
    trade(8, "09:30:02.000", 3, 4, "10.25", 200),
  ],
)


@LAYOUTS
def test_order_beyond_the_cage_enters_when_the_market_comes(tmp_path, names):
  stream, truth, result = verified(tmp_path, *CAGED, code="300123", names=names)
  assert not result.mismatches
  assert result.checked["trades"] == 2
  assert stream.price.tolist() == [1_000, 990, 1_025, 1_011, 1_030, 1_026]
  assert stream.time[4] == stream.time[3]
  assert truth.trades.price.tolist() == [1_000, 1_025]
  assert truth.trades.event.tolist() == [3, 4]
  assert stream.counts["caged_orders"] == 1
  assert stream.counts["caged_early"] == stream.counts["caged_cancels"] == 0


def test_sale_below_the_cage_enters_when_the_market_comes(tmp_path):
  orders = [
    order(1, "09:15:00.010", 1, "10", 500),
    order(2, "09:15:00.020", 2, "10.1", 300),
    order(3, "09:30:00.500", 2, "9.7", 200),
    order(4, "09:30:01.000", 1, "9.75", 500),
    order(5, "09:30:02.000", 2, "9.89", 900),
  ]
  executions = [
    trade(6, "09:30:02.000", 1, 5, "10", 500),
    trade(7, "09:30:02.000", 4, 3, "9.75", 200),
  ]
  stream, truth, result = verified(tmp_path, orders, executions, code="300123")
  assert not result.mismatches
  assert truth.trades.price.tolist() == [1_000, 975]
  assert stream.counts["caged_orders"] == 1


def test_no_main_board_share_has_a_cage(tmp_path):
  szse_writer.write(tmp_path, *CAGED, code="000001")
  with pytest.raises(events.DataError, match="row 3: .*came last"):
    reader.read_checked(tmp_path)


def test_held_order_that_is_cancelled_is_left_out(tmp_path):
  orders = CAGED[0][:3]
  executions = [cancel(7, "09:30:01.000", 3, 0, 200)]
  stream, truth, result = verified(tmp_path, orders, executions, code="300123")
  assert not result.mismatches
  assert stream.price.tolist() == [1_000, 990]
  assert stream.counts["caged_cancels"] == 1
  assert stream.counts["rows"] == 4


def test_held_order_enters_the_closing_auction(tmp_path):
  orders = [*CAGED[0][:3], order(7, "14:58:00.000", 1, "9.95", 100)]
  executions = [trade(8, "15:00:00.000", 3, 1, "10", 200)]
  stream, truth, result = verified(tmp_path, orders, executions, code="300123")
  assert not result.mismatches
  assert stream.price.tolist() == [1_000, 990, 1_030, 995]
  assert stream.time[2] == stream.time[3]
  assert result.auctions[-1] == (4, 1_000, 200)


def test_held_order_that_trades_early_is_counted(tmp_path):
  orders = [*CAGED[0][:3], order(4, "09:30:01.000", 2, "10.4", 100)]
  executions = [trade(5, "09:30:01.000", 3, 1, "10", 200)]
  stream, _, result = verified(tmp_path, orders, executions, code="300123")
  assert not result.mismatches
  assert stream.counts["caged_early"] == 1


def test_market_order_that_expires_lets_no_order_in(tmp_path):
  orders = [
    *CAGED[0][:3],
    order(4, "09:30:01.000", 2, "10.25", 500),
    order(5, "09:30:02.000", 1, "0", 600, kind="1"),
  ]
  executions = [
    trade(6, "09:30:02.000", 5, 1, "10", 500),
    cancel(7, "09:30:02.000", 5, 0, 100),
    trade(8, "09:30:02.000", 3, 4, "10.25", 200),
  ]
  stream, truth, result = verified(tmp_path, orders, executions, code="300123")
  assert not result.mismatches
  assert truth.trades.price.tolist() == [1_000, 1_025]
  assert stream.counts["caged_early"] == 0


def test_order_numbered_after_its_own_trade_comes_before_it(tmp_path):
  orders, executions = small_day(price=thousandths)
  late = orders[3]._replace(sequence=7)
  executions = [row._replace(bid=7) for row in executions]
  executions[1] = executions[1]._replace(sequence=8)
  stream, truth, result = verified(tmp_path, [*orders[:3], late], executions)
  assert not result.mismatches
  assert truth.trades.event.tolist() == [3, 3]
  assert stream.counts["late_orders"] == 1
