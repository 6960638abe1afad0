"""Databento's records as its venues send them: clocks, prices, phases."""

import pytest

pytest.importorskip("databento_dbn")
pytest.importorskip("polars")

from mars_jax import types
from mars_jax.feeds import events
from mars_jax.feeds.databento import reader
from tests.support.feeds.databento_days import BOOK
from tests.support.feeds.databento_days import write
from tests.support.feeds.databento_writer import START
from tests.support.feeds.databento_writer import record
from tests.support.oracles import plain_book

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SECOND = types.NANOSECONDS


def test_clock_that_steps_back_stays_and_is_counted(tmp_path):
  times = 0, 30, 20, 25, 40
  records = [
    record("A", i, "A", 101 + i, 1, time=START + time, ts_recv=START + 50)
    for i, time in enumerate(times)
  ]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert stream.order_id.tolist() == [0, 1, 2, 3, 4]
  assert (stream.time - stream.time[0]).tolist() == [0, 30, 30, 30, 40]
  assert stream.counts["clock_back"] == 2
  assert stream.counts["clock_ahead"] == 0


def test_event_far_after_its_receipt_does_not_stop_the_clock(tmp_path):
  records = [
    record("A", 1, "A", 101, 1),
    record("A", 2, "A", 102, 1, time=START + 3_600 * SECOND, ts_recv=START + 9),
    record("A", 3, "A", 103, 1, time=START + 20),
  ]
  stream = reader.read_checked(write(tmp_path, records))[0]
  assert (stream.time - stream.time[0]).tolist() == [0, 9, 20]
  assert stream.counts["clock_ahead"] == 1
  assert stream.counts["clock_back"] == 0


@pytest.mark.parametrize("dataset", ["GLBX.MDP3", "IFEU.IMPACT", "XEUR.EOBI"])
def test_futures_trade_at_zero_and_below(tmp_path, dataset):
  records = [
    record("A", 1, "A", 1, 5),
    record("A", 2, "B", -2, 5),
    record("A", 3, "A", 0, 5),
    record("C", 2, "B", -2, 5),
  ]
  stream = reader.read_checked(write(tmp_path, records, dataset=dataset))[0]
  assert stream.tick_size == 0.25
  assert plain_book.rows(stream) == [
    (LIMIT, ASK, 1, 5, 0),
    (LIMIT, BID, -2, 5, 1),
    (LIMIT, ASK, 0, 5, 2),
    (CANCEL, BID, -2, 5, 1),
  ]


@pytest.mark.parametrize("price", [0, -1])
def test_shares_trade_above_zero(tmp_path, price):
  path = write(
    tmp_path, [*BOOK, record("A", 9, "A", price, 1)], dataset="XNAS.ITCH"
  )
  with pytest.raises(events.DataError, match="row 4: price is not positive"):
    reader.read_checked(path)


def test_tick_of_prices_that_are_all_zero_is_asked_for(tmp_path):
  path = write(tmp_path, [record("A", 1, "A", 0, 1)])
  with pytest.raises(events.DataError, match="give the tick size"):
    reader.read_checked(path)
  assert reader.read_checked(path, tick_size=0.25)[0].price.tolist() == [0]


def test_price_far_below_zero_is_named(tmp_path):
  path = write(tmp_path, [*BOOK, record("A", 9, "A", -(2**30), 1)])
  with pytest.raises(events.DataError, match=r"row 4: price -268435456.0 is 2"):
    reader.read_checked(path)
