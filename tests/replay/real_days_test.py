"""Real days, replayed and prepared: nothing differs from the exchange."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

pytest.importorskip("polars")

from mars_jax import lob
from mars_jax import types
from mars_jax.data import jobs
from mars_jax.data import prepare
from mars_jax.feeds import registry
from mars_jax.feeds.sse import parse
from mars_jax.lob import auction
from mars_jax.lob import rules
from mars_jax.lob import session
from mars_jax.lob import venues
from mars_jax.replay import engine
from mars_jax.replay import verification
from tests.support import paths
from tests.support.replay import exact

SHANGHAI = dataclasses.replace(venues.A_SHARES, lot=1)
SECOND = types.NANOSECONDS


def test_bme_day_fills_796_times_and_ends_with_no_order_left():
  _, result = exact.replayed(paths.real_day("bme/acciona_2019-05-21.csv"))
  exact.assert_exact(result, remaining=8_816)
  assert result.fills == 796
  assert result.traded_volume == 44_041
  assert result.orders_left == result.resyncs == 0


@pytest.mark.slow
def test_coinbase_ends_with_the_exchange_s_book_order_by_order(
  coinbase_sample,
):
  _, result = exact.replayed(coinbase_sample)
  exact.assert_exact(result, trades=307, remaining=11_600, orders=66_833)
  assert result.fills == 501
  assert result.capacity == 65_536
  assert result.orders_left == 66_833


@pytest.mark.slow
def test_bitstamp_trades_as_the_exchange_did(bitstamp_sample):
  _, result = exact.replayed(bitstamp_sample)
  exact.assert_exact(result, trades=170, remaining=49_105)
  assert result.fills == 284
  assert result.traded_volume == 15_029_842


@pytest.mark.parametrize(
  "name, num_rows, num_deletes, num_resyncs, wrong",
  [
    ("GOOG_2012-06-21_10", 145_840, 62_008, 3_939 + 4_870, {}),
    # The delete of order 1270: the feed executed half of it out of its turn.
    ("AAPL_2012-06-21_30", 85_767, 38_045, 514 + 648, {"remaining": 1}),
  ],
)
@pytest.mark.slow
def test_lobster_rows_are_equal_on_all_levels(
  name, num_rows, num_deletes, num_resyncs, wrong
):
  path = paths.real_day(f"lobster/LOBSTER_SampleFile_{name}.zip")
  stream, result = exact.replayed(path)
  assert result.checked == {"levels": num_rows, "remaining": num_deletes}
  assert result.equal_levels == dict.fromkeys(verification.DEPTHS, num_rows)
  assert result.mismatches == wrong
  assert result.resyncs == num_resyncs
  assert result.dropped == 0
  assert not result.rejected
  assert stream.counts["added"] == stream.counts["removed"] == 0


FIVE = "sse/five_stocks_2023-07-11_orders.zip"


_SHANGHAI_DAYS = [
  (FIVE, "601825", 3_991, 1_997, 5_185_669, 548),
  ("sse/600519_2023-02-01.zip", "600519", 20_013, 15_668, 3_397_389, 184_497),
  (FIVE, "605580", 9_274, 7_108, 14_222_843, 1_450),
  (FIVE, "600536", 18_867, 12_580, 12_364_596, 5_073),
  (FIVE, "600961", 15_657, 9_087, 31_330_733, 915),
  (FIVE, "600761", 15_481, 8_816, 7_916_463, 2_150),
]


@pytest.mark.slow
@pytest.mark.parametrize(
  "path, code, takers, deletes, traded, close", _SHANGHAI_DAYS
)
def test_shanghai_day_from_the_empty_book_to_the_closing_auction(
  path, code, takers, deletes, traded, close
):
  _, result = exact.replayed(paths.real_day(path), instrument=code)
  levels = {"levels": 4_889} if code == "600519" else {}
  exact.assert_exact(
    result, trades=takers, remaining=deletes, auctions=2, **levels
  )
  assert result.traded_volume == traded
  assert result.last_price == close
  assert len(result.auctions) == 2
  assert result.resyncs == 0


@functools.partial(jax.jit, static_argnames="has_auction")
def run(market, orders, seconds, *, has_auction):
  """Matches orders; returns the auction's outcome after each."""

  def step(market, inputs):
    market, _ = session.step(market, *inputs, rules=SHANGHAI, max_fills=0)
    if not has_auction:
      return market, None
    last = market.last_price
    return market, auction.find_price(
      market.book, reference=last, rules=SHANGHAI
    )

  return jax.lax.scan(step, market, (orders, seconds))


@pytest.mark.slow
def test_indicative_prices_of_shanghai_are_those_of_our_auction():
  path = paths.real_day("sse/600519_2023-02-01.zip")
  stream, checks = registry.read_checked(path)
  seconds = (stream.time // SECOND).astype(np.int32)
  phases = session.phase_at(SHANGHAI, seconds)
  collects = np.isin(phases, rules.AUCTION_PHASES)
  first, *_, last = np.flatnonzero(~collects)
  market = session.init(lob.init(4096), reference=checks.reference)
  outcomes = []
  for start, end in ((0, first), (first, last + 1), (last + 1, len(stream))):
    orders = engine.orders_of(stream, slice(start, end))
    market, outcome = run(
      market, orders, seconds[start:end], has_auction=bool(collects[start])
    )
    if collects[start]:
      outcomes.append((start, *map(np.asarray, outcome)))
      market, _ = session.uncross(market, rules=SHANGHAI)
  assert market.book.dropped == 0
  shown = parse.load_snapshots(parse.find(path).snapshots, "600519")
  names = ("time", "AskPrice1", "AskVolume1", "BidVolume2", "AskVolume2")
  counts = []
  for status, (start, *outcome) in zip(
    ("OCALL", "CCALL"), outcomes, strict=True
  ):
    rows = shown.rows.filter(status=status).select(names).rows()
    rows = [row for row in rows if row[2] > 0]
    counts.append(len(rows))
    times = stream.time[start : start + len(outcome[0])]
    price, volume, surplus = outcome
    ours = np.stack(
      [price, volume, np.maximum(surplus, 0), np.maximum(-surplus, 0)], axis=1
    )
    for row in rows:  # Few are older than a second, none than three.
      span = times.searchsorted([row[0] - 3 * SECOND, row[0] + SECOND])
      near = ours[max(span[0] - 1, 0) : span[1]]
      assert (near == row[1:]).all(axis=1).any(), row
  assert counts == [125, 63]


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
  job = jobs.Job(str(paths.real_day(path)), None, instrument)
  report = prepare.prepare_day(job, str(tmp_path), prepare.PrepareConfig())
  assert report.reason == ""
  assert report.orders == orders
  assert report.replay["checked"] == checked
  assert report.replay["mismatches"] == report.replay["rejected"] == {}
  assert len(report.replay["auctions"]) == num_auctions
  assert report.num_bytes < 40 * report.num_orders
