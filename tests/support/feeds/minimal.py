"""The smallest valid files of each format, maybe compressed.

Each is the same story: two orders rest; a third comes, loses some of its
volume, and is taken out of the book.
"""

import bz2
import gzip
import lzma
import pathlib
import zipfile

from mars_jax.utils.compression import zstd

BITSTAMP = """\
id,timestamp,exchange_timestamp,price,volume,action,direction
1,0,1728000001000,100,1.0,created,bid
2,0,1728000001000,102,1.0,created,ask
3,0,1728000002000,101,2.0,created,bid
3,0,1728000003000,101,1.5,changed,bid
3,0,1728000004000,101,1.5,deleted,bid
"""
BME = """\
ordtype;uid;is_buy;qty;price;timestamp
new;1;True;40;95.5;2019-05-21 09:00:23.256
new;2;False;50;96.05;2019-05-21 09:00:23.256
new;3;True;20;96.0;2019-05-21 09:00:24.000
modif;3;;5;;2019-05-21 09:00:25.000
cancel;3;;15;;2019-05-21 17:30:00.017
"""
MESSAGE_NAME = "XYZ_2020-01-02_34200000_57600000_message_1.csv"
LEVELS_NAME = MESSAGE_NAME.replace("message", "orderbook")
MESSAGES = """\
34200.1,1,3,20,10000,1
34200.2,2,3,5,10000,1
34200.3,3,3,15,10000,1
"""
LEVELS = """\
10100,50,10000,20
10100,50,10000,15
10100,50,9900,40
"""
SSE_ORDERS = """\
MDDate,MDTime,SecurityID,ApplSeqNum,OrderType,OrderNO,OrderPrice,\
OrderQty,OrderBSFlag
2023.07.11,09:30:00.000,600000.SH,1,2,1,9.99,40,1
2023.07.11,09:30:01.000,600000.SH,2,2,2,10.01,50,2
2023.07.11,09:30:02.000,600000.SH,3,2,3,10,20,1
2023.07.11,09:30:04.000,600000.SH,5,10,3,10,15,1
"""
SSE_TRADES = """\
MDDate,MDTime,SecurityID,ApplSeqNum,TradeBuyNo,TradeSellNo,\
TradePrice,TradeQty,TradeBSFlag
2023.07.11,09:30:03.000,600000.SH,4,3,4,10,5,2
"""
COINBASE_BOOK = """\
{"sequence": 10, "asks": [["102", "1", "b"]], "bids": [["100", "1", "a"]]}
"""
COINBASE_MESSAGES = """\
[{"type": "received", "order_id": "c", "order_type": "limit", "side": "buy",
  "size": "20", "price": "101", "product_id": "X-USD", "sequence": 11,
  "time": "2018-07-13T20:47:11Z"},
 {"type": "open", "order_id": "c", "side": "buy", "remaining_size": "20",
  "price": "101.0", "product_id": "X-USD", "sequence": 12,
  "time": "2018-07-13T20:47:12Z"},
 {"type": "change", "order_id": "c", "side": "buy", "old_size": "20",
  "new_size": "15", "price": "101", "product_id": "X-USD", "sequence": 13,
  "time": "2018-07-13T20:47:13Z"},
 {"type": "done", "order_id": "c", "side": "buy", "remaining_size": "15",
  "reason": "canceled", "product_id": "X-USD", "sequence": 14,
  "time": "2018-07-13T20:47:14Z"}]
"""
FEEDS = {  # {format: {name of a file: text}}
  "bitstamp": {"orders.csv": BITSTAMP},
  "bme": {"acme.csv": BME},
  "lobster": {MESSAGE_NAME: MESSAGES, LEVELS_NAME: LEVELS},
  "sse": {"SHorders.csv": SSE_ORDERS, "SHtrans.csv": SSE_TRADES},
  "coinbase": {
    "beginning_level_3.json": COINBASE_BOOK,
    "messages.json": COINBASE_MESSAGES,
  },
}
FILES = [(format, name) for format, files in FEEDS.items() for name in files]
_CHECKSUM = {zstd.CompressionParameter.checksum_flag: 1}
COMPRESS = {  # {suffix: what compresses}; for zip see `pack`
  "": bytes,
  ".gz": gzip.compress,
  ".bz2": bz2.compress,
  ".xz": lzma.compress,
  ".zst": lambda data: zstd.compress(data, options=_CHECKSUM),
}
SUFFIXES = (*COMPRESS, ".zip")


def pack(path: pathlib.Path, data: bytes, suffix: str) -> pathlib.Path:
  """Writes a file, compressed by suffix; returns its path."""
  packed = path.with_name(path.name + suffix)
  if suffix == ".zip":
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
      out.writestr(path.name, data)
  else:
    packed.write_bytes(COMPRESS[suffix](data))
  return packed


def write(folder: pathlib.Path, format: str, suffix: str = "") -> pathlib.Path:
  """Writes the files of a format; returns their path."""
  files = {
    name: pack(folder / name, text.encode(), suffix)
    for name, text in FEEDS[format].items()
  }
  return folder if len(files) > 1 else next(iter(files.values()))
