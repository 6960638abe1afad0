"""Tests of the Shanghai reader: handmade days, and whole real ones.

The real days are replayed in plain Python: auctions by `python_auction`, and
price-time matching in between must give all trades of the exchange.
"""

import zipfile

import numpy as np
import pytest

from mars_jax import types
from tests.support import paths
from tests.support.oracles import python_auction

pytest.importorskip("polars")

from mars_jax.feeds import events
from mars_jax.feeds.sse import reader

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
SECOND, MINUTE = types.NANOSECONDS, 60 * types.NANOSECONDS
OPEN = (9 * 60 + 30) * MINUTE
CLOSING = (14 * 60 + 57) * MINUTE  # When orders collect for the last auction.
PREVIOUS_CLOSE = 184_576  # Of 600519; for the others it does not matter.
MOUTAI = "600519_2023-02-01.zip"
FIVE = "five_stocks_2023-07-11_orders.zip"

# A day by hand. Of an order: sequence, time, kind, number, price, volume, side.
ORDERS = [
  (10, "09:15:00.020", "A", 7, "10.019999999999999", 300, "B"),
  (11, "09:15:01.000", "A", 8, "10", 200, "S"),
  (12, "09:16:00.000", "A", 9, "10.05", 500, "S"),
  (13, "09:17:00.000", "D", 9, "10.05", 500, "S"),
  (14, "09:18:00.000", "A", 6, "10.05", 500, "S"),
  (20, "09:30:00.000", "A", 12, "10.03", 100, "S"),
  (24, "09:31:00.500", "A", 13, "10.05", 250, "B"),  # What is left of 850.
  (27, "09:33:00.000", "D", 13, "10.05", 50, "B"),
]
# Of a trade: sequence, time, bid, ask, price, volume, cause.
TRADES = [
  (15, "09:25:00.000", 7, 8, "10.02", 200, "N"),
  (22, "09:31:00.500", 13, 12, "10.03", 100, "B"),
  (23, "09:31:00.500", 13, 6, "10.05", 500, "B"),
  (25, "09:32:00.000", 13, 14, "10.05", 200, "S"),
]
EVENTS = [
  (LIMIT, BID, 1002, 300, 0),
  (LIMIT, ASK, 1000, 200, 1),
  (LIMIT, ASK, 1005, 500, 2),
  (CANCEL, ASK, 1005, 500, 2),
  (LIMIT, ASK, 1005, 500, 3),
  (LIMIT, ASK, 1003, 100, 4),
  (LIMIT, BID, 1005, 850, 5),
  (LIMIT, ASK, 1005, 200, 6),
  (CANCEL, BID, 1005, 50, 5),
]
ORDER_HEADS = (
  "SecurityID,BizIndex,OrderTime,OrderType,OrderNO,OrderPrice,Balance"
  ",OrderBSFlag",
  "SecurityID,ApplSeqNum,MDTime,OrderType,OrderNO,OrderPrice,OrderQty"
  ",OrderBSFlag",
)
TRADE_HEADS = (
  "SecurityID,BizIndex,TradTime,TradeBuyNo,TradeSellNo,TradPrice,TradVolume"
  ",TradeBSFlag",
  "SecurityID,ApplSeqNum,MDTime,TradeBuyNo,TradeSellNo,TradePrice,TradeQty"
  ",TradeBSFlag",
)
DIGITS = {"A": "2", "D": "10", "B": "1", "S": "2", "N": "0"}  # Second layout.


def lines(head, code, rows):
  """The text of a file."""
  rows = [",".join(map(str, (code, *row))) for row in rows]
  return "\n".join([head, *rows]) + "\n"


def write(folder, orders=ORDERS, trades=TRADES):
  """Writes a day in the first layout."""
  text = lines(ORDER_HEADS[0], "600000", orders)
  (folder / "entrust.csv").write_text(text)
  (folder / "trade.csv").write_text(lines(TRADE_HEADS[0], "600000", trades))
  return folder


def write_many(folder, codes=("600000", "600001")):
  """Writes the day for several instruments, in the second layout."""
  for name, head, rows in (
    ("SHorders.csv", ORDER_HEADS[1], ORDERS),
    ("SHtrans.csv", TRADE_HEADS[1], TRADES),
  ):
    rows = [[DIGITS.get(field, field) for field in row] for row in rows]
    text = "".join(lines("", f"{code}.SH", rows).lstrip() for code in codes)
    (folder / name).write_text(f"{head}\n{text}")
  return folder / "SHorders.csv"


def rows_of(arrays, names):
  """Some arrays of a dataclass as tuples."""
  columns = [getattr(arrays, name).tolist() for name in names]
  return list(zip(*columns, strict=True))


def tuples(stream):
  """(kind, side, price, volume, id) of the events."""
  return rows_of(stream, ("kind", "side", "price", "volume", "order_id"))


def test_an_order_is_one_event_of_its_full_volume(tmp_path):
  stream, checks = reader.read_checked(write(tmp_path))
  assert tuples(stream) == EVENTS
  assert stream.is_market_event.all()
  assert stream.tick_size == 0.01
  assert stream.time[0] == (9 * 60 + 15) * MINUTE + SECOND // 50
  assert stream.time[6] == OPEN + MINUTE + SECOND // 2
  assert stream.counts == {
    "rows": 12,
    "limit_orders": 7,
    "cancels": 2,
    "aggressive_orders": 2,
    "remainders": 1,
    "auction_trades": 1,
    "continuous_trades": 3,
  }
  assert checks.remaining.tolist() == [-1, -1, -1, 0, -1, -1, -1, -1, 0]
  assert checks.levels is None


def test_trades_name_their_events_and_our_orders(tmp_path):
  _, checks = reader.read_checked(write(tmp_path))
  trades = checks.trades
  assert trades.is_auction.tolist() == [True, False, False, False]
  assert trades.event.tolist() == [5, 6, 6, 7]  # 5 events before the auction.
  assert trades.bid_id.tolist() == [0, 5, 5, 5]
  assert trades.ask_id.tolist() == [1, 4, 3, 6]
  assert trades.price.tolist() == [1002, 1003, 1005, 1005]
  assert trades.volume.tolist() == [200, 100, 500, 200]


def test_both_layouts_give_the_same_stream(tmp_path):
  (tmp_path / "2023-07-11").mkdir()
  path = write_many(tmp_path / "2023-07-11")
  assert reader.instruments(path) == ("600000", "600001")
  stream = reader.read_checked(path, instrument="600001")[0]
  assert tuples(stream) == EVENTS
  assert stream.name == "SSE 600001 2023-07-11"
  assert reader.read_checked(write(tmp_path))[0].name == "SSE 600000"


def test_day_is_that_of_the_rows_or_else_of_the_path(tmp_path):
  folder = tmp_path / "2023-07-11"
  folder.mkdir()
  path = write_many(folder, ["600000"])
  assert reader.read_checked(path)[0].day == "2023-07-11"
  for date, name in ("2023.07.12", path.name), ("20230712", "SHtrans.csv"):
    head, *rows = (folder / name).read_text().splitlines()
    rows = [f"{date},{row}" for row in rows]
    (folder / name).write_text("\n".join([f"MDDate,{head}", *rows]))
  assert reader.read_checked(path)[0].day == "2023-07-12"


def test_what_is_not_read_may_be_anything(tmp_path):
  path = write_many(tmp_path)
  symbol = "\u6d66\u53d1".encode("gbk")
  head, *rows = path.read_bytes().splitlines()
  rows = [symbol + b",7," + row for row in rows]
  rows[0] = rows[0].replace(b"10.0199", b"?")  # Of 600000.
  path.write_bytes(b"\n".join([b"Symbol,row," + head, *rows]))
  assert tuples(reader.read_checked(path, instrument="600001")[0]) == EVENTS
  with pytest.raises(
    events.DataError, match="row 2: OrderPrice '\\?.*' is no nu"
  ):
    reader.read_checked(path, instrument="600000")


def test_rows_may_be_in_any_order(tmp_path):
  assert tuples(reader.read_checked(write(tmp_path, ORDERS[::-1]))[0]) == EVENTS


def test_zip_folder_and_file_give_the_same_stream(tmp_path):
  write(tmp_path)
  write_many(tmp_path, ["600000"])
  archives = {
    "day.zip": ["entrust.csv", "trade.csv"],
    "x_orders.zip": ["SHorders.csv"],
    "x_trades.zip": ["SHtrans.csv"],
  }
  for name, members in archives.items():
    with zipfile.ZipFile(tmp_path / name, "w") as out:
      for member in members:
        out.write(tmp_path / member, f"inside/{member}")
  for name in ("day.zip", "x_orders.zip", "entrust.csv", "SHorders.csv"):
    assert tuples(reader.read_checked(tmp_path / name)[0]) == EVENTS
    assert reader.instruments(str(tmp_path / name)) == ("600000",)
  with pytest.raises(events.DataError, match="2 files of orders"):
    reader.read_checked(tmp_path)
  (tmp_path / "SHorders.csv").unlink()
  assert tuples(reader.read_checked(tmp_path)[0]) == EVENTS
  with zipfile.ZipFile(tmp_path / "day.zip", "a") as out:
    out.write(tmp_path / "entrust.csv", "another/entrust.csv")
  with pytest.raises(events.DataError, match=r"several entrust\.csv"):
    reader.read_checked(tmp_path / "day.zip")


def snapshot(time, status, num_trades, asks, bids, ask_total, bid_total):
  """A row of snapshots by column, from (price, volume) pairs."""
  row = {
    **{"UpdateTime": time, "SecurityID": "600000", "InstruStatus": status},
    **{"TradNumber": num_trades, "TotalAskVol": ask_total},
    **{"TotalBidVol": bid_total, "PreCloPrice": 10.01},
  }
  for side, pairs in (("Ask", asks), ("Bid", bids)):
    for level in range(1, 11):
      price, volume = (pairs + [("", "")] * 10)[level - 1]
      row |= {f"{side}Price{level}": price, f"{side}Volume{level}": volume}
  return row


def test_snapshots_are_placed_by_trades_totals_and_levels(tmp_path):
  rows = [
    snapshot("09:17:30.000", "OCALL", 0, [(10.02, 200)], [(10.02, 200)], 0, 0),
    snapshot(
      "09:25:01.000", "TRADE", 1, [(10.05, 500)], [(10.02, 100)], 500, 100
    ),
    snapshot(
      *("09:30:00.000", "TRADE", 1),
      *([(10.03, 100), (10.05, 500)], [(10.02, 100)], 600, 100),
    ),
    snapshot(  # Of no moment: there is no such ask.
      *("09:31:00.000", "TRADE", 1),
      *([(10.04, 100), (10.05, 500)], [(10.02, 100)], 600, 100),
    ),
    snapshot(
      *("09:31:00.000", "TRADE", 3, [], [(10.05, 250), (10.02, 100)], 0, 350),
    ),
    snapshot("15:00:02.000", "CLOSE", 4, [], [(10.02, 100)], 0, 100),
  ]
  text = [",".join(rows[0]), *(",".join(map(str, r.values())) for r in rows)]
  (tmp_path / "snapshot.csv").write_text("\n".join(text) + "\n")
  stream, checks = reader.read_checked(write(tmp_path))
  assert stream.counts["snapshots"] == 6
  assert stream.counts["bookless_snapshots"] == 1
  assert stream.counts["unplaced_snapshots"] == 1
  assert checks.reference == 1001
  levels = checks.levels
  assert levels.num_events.tolist() == [5, 6, 7, 9]
  assert levels.price.shape == levels.volume.shape == (4, 2, 10)
  assert levels.price[1, ASK, :3].tolist() == [1003, 1005, 0]
  assert levels.volume[1, BID, :3].tolist() == [100, 0, 0]


def orders_with(index, **new):
  names = ("sequence", "time", "kind", "order", "price", "volume", "side")
  return changed(ORDERS, names, index, new)


def trades_with(index, **new):
  names = ("sequence", "time", "bid", "ask", "price", "volume", "cause")
  return changed(TRADES, names, index, new)


def changed(rows, names, index, new):
  """The rows, some fields of one of them new."""
  row = tuple((dict(zip(names, rows[index], strict=True)) | new).values())
  return [*rows[:index], row, *rows[index + 1 :]]


AGAIN = (28, "09:33:00.000", "A", 14, "10.05", 9, "S")
EARLY = (9, "09:15:00.000", 7, 8, "10.02", 200, "N")
LATE = (28, "09:33:00.000", 7, 14, "10.02", 50, "S")
BROKEN_ORDERS = (  # The row is counted with the header.
  (orders_with(1, price="10.005"), 3, "off the grid of 0.01"),
  (orders_with(1, price="0"), 3, "price is not above 0"),
  (orders_with(1, volume=0), 3, "volume is not in [1, 2**31)"),
  (orders_with(1, volume=2**31), 3, "volume is not in [1, 2**31)"),
  (orders_with(1, volume=""), 3, "a value is missing"),
  (orders_with(1, kind="X"), 3, "OrderType is none of A, D, 2, 10"),
  (orders_with(1, side="N"), 3, "OrderBSFlag is none of B, S, 1, 2"),
  (orders_with(1, time="9h15"), 3, "the time is no HH:MM:SS.mmm"),
  (orders_with(1, sequence=10), 3, "the sequence number is repeated"),
  ([*ORDERS, AGAIN], 10, "other rows came between"),
  (orders_with(3, side="B"), 5, "has another side or price"),
  (orders_with(3, price="10"), 5, "has another side or price"),
  (orders_with(3, volume=499), 5, "volume is not what is left of the order"),
  (orders_with(7, volume=51), 9, "volume is not what is left of the order"),
)
BROKEN_TRADES = (
  (trades_with(0, price="10.021"), 2, "off the grid of 0.01"),
  (trades_with(0, volume=0), 2, "volume is not in [1, 2**31)"),
  (trades_with(0, cause="X"), 2, "TradeBSFlag is none of B, S, 1, 2, N, 0"),
  (trades_with(0, bid=99), 2, "unknown order trades"),
  (trades_with(1, ask=99), 3, "unknown order trades"),
  ([EARLY, *TRADES], 2, "unknown order trades"),
  (trades_with(2, volume=501), 4, "the trade exceeds what is left"),
  (trades_with(3, cause="B"), 5, "the order was added before"),
  ([*TRADES, LATE], 6, "other rows came between"),
)


@pytest.mark.parametrize("rows, row, reason", BROKEN_ORDERS)
def test_broken_order_is_an_error_with_file_row_and_reason(
  tmp_path, rows, row, reason
):
  with pytest.raises(events.DataError) as error:
    reader.read_checked(write(tmp_path, orders=rows))
  assert f"{tmp_path / 'entrust.csv'}, row {row}: " in str(error.value)
  assert reason in str(error.value)


@pytest.mark.parametrize("rows, row, reason", BROKEN_TRADES)
def test_broken_trade_is_an_error_with_file_row_and_reason(
  tmp_path, rows, row, reason
):
  with pytest.raises(events.DataError) as error:
    reader.read_checked(write(tmp_path, trades=rows))
  assert f"{tmp_path / 'trade.csv'}, row {row}: " in str(error.value)
  assert reason in str(error.value)


def test_which_instrument_must_be_clear(tmp_path):
  path = write_many(tmp_path)
  with pytest.raises(events.DataError, match="several among .* 600000, 600001"):
    reader.read_checked(path)
  with pytest.raises(events.DataError, match="no 600519 among .* 600000"):
    reader.read_checked(path, instrument="600519")


def test_missing_files_and_columns_are_errors(tmp_path):
  path = write(tmp_path) / "trade.csv"
  text = path.read_text()
  path.write_text(text.replace("TradeSellNo", "Seller"))
  with pytest.raises(events.DataError, match='find column "TradeSellNo"'):
    reader.read_checked(tmp_path)
  path.write_text(text.replace("600000", "", 1))
  with pytest.raises(
    events.DataError, match="row 2: the SecurityID is missing"
  ):
    reader.read_checked(tmp_path)
  with pytest.raises(events.DataError, match="0 files of orders"):
    reader.read_checked(path)
  path.unlink()
  with pytest.raises(events.DataError, match=r"there is no trade\.csv"):
    reader.read_checked(tmp_path)
  (tmp_path / "day.zip").write_bytes(b"PK")
  with pytest.raises(events.DataError, match=r"day\.zip: no zip file"):
    reader.read_checked(tmp_path / "day.zip")
  with pytest.raises(events.DataError, match="none: no such file or folder"):
    reader.read_checked(tmp_path / "none")


def replay(stream):
  """Yields (number of events, book, fills) after every event and auction."""
  names = ("time", "kind", "side", "price", "volume", "order_id")
  return python_auction.replay(
    rows_of(stream, names),
    lambda time: time < OPEN or time >= CLOSING,
    PREVIOUS_CLOSE,
  )


# rows, limit_orders, cancels, aggressive_orders, remainders, auction_trades,
# continuous_trades; volume of the day, closing price
REAL = {
  "600519": (
    *(MOUTAI, 81_870, 58_117, 15_668, 20_013, 963, 563, 26_572),
    *(3_397_389, 184_497),
  ),
  "605580": (
    *(FIVE, 42_533, 26_883, 7_108, 9_274, 820, 603, 16_393),
    *(14_222_843, 1450),
  ),
  "600536": (
    *(FIVE, 83_136, 53_946, 12_580, 18_867, 1_924, 448, 33_105),
    *(12_364_596, 5073),
  ),
  "600961": (
    *(FIVE, 64_413, 41_011, 9_087, 15_657, 1_035, 417, 28_520),
    *(31_330_733, 915),
  ),
  "601825": (
    *(FIVE, 12_653, 9_237, 1_997, 3_991, 40, 30, 5_340),
    *(5_185_669, 548),
  ),
  "600761": (
    *(FIVE, 56_240, 37_309, 8_816, 15_481, 836, 92, 24_668),
    *(7_916_463, 2150),
  ),
}


@pytest.mark.parametrize("code", REAL)
@pytest.mark.slow
def test_counts_and_trades_of_a_real_day(code):
  name, *counts, volume, close = REAL[code]
  stream, checks = reader.read_checked(
    paths.real_day(f"sse/{name}"), instrument=code
  )
  assert list(stream.counts.values())[: len(counts)] == counts
  assert (np.diff(stream.time) >= 0).all()
  new_ids = stream.order_id[stream.kind == LIMIT]
  assert (new_ids == np.arange(len(new_ids))).all()
  assert checks.trades.volume.sum() == volume
  assert checks.trades.price[-1] == close


def test_plain_matching_of_a_real_day_gives_the_exchange_s_own_trades():
  stream, checks = reader.read_checked(
    paths.real_day(f"sse/{FIVE}"), instrument="601825"
  )
  trades = checks.trades
  want = rows_of(trades, ("bid_id", "ask_id", "price", "volume"))
  have, causes = [], []
  for count, _, fills in replay(stream):
    have += fills
    causes += [count] * len(fills)
  assert have == want
  assert causes == (trades.event + ~trades.is_auction).tolist()


@pytest.mark.slow
def test_snapshots_of_a_real_day_are_all_placed():
  stream, checks = reader.read_checked(paths.real_day(f"sse/{MOUTAI}"))
  assert stream.counts["snapshots"] == 5109
  assert stream.counts["bookless_snapshots"] == 29 + 127 + 64
  assert stream.counts["unplaced_snapshots"] == 0
  assert len(checks.levels.num_events) == 5109 - 220
