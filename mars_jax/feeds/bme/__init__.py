"""Inbound orders of Madrid's exchange (BME), in its order.

A file has the columns `ordtype;uid;is_buy;qty;price;timestamp`, and a row is
one of
  new     an order arrives; it may take liquidity, which the file does not say.
  cancel  an order leaves the book; `qty` is all that remained of it.
  modif   `qty` is taken off an order, which keeps its priority.
Only a new order says its side and price. The rows come in the exchange's order,
which distinguishes those of one `timestamp` (local time, ms or finer).

The meaning of the file, found in a day of Acciona:
  - The new orders of the first time are the best levels of the book that the
    opening auction left. They are the book at the start.
  - The rows of the last time purge the book. That nothing rests after them can
    be seen without matching: what was ordered and never taken off was traded,
    or still rests, and it is as much bought as sold.
  - A new order without a price would be a market order. There is none in that
    day; such an order is given the price of the file that is worst for it, at
    which it takes all that there is.

Prices are in ticks of 0.0001 euro, the finest tick of MiFID II (RTS 11), so
that any day of any share fits, and the days of a share fit each other, whatever
its bands of price and liquidity. The tick of the market is coarser, and not in
the file: the count `price_step` is the greatest common divisor of all prices.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="bme",
  read=registry.deferred("mars_jax.feeds.bme.reader.read_checked"),
  columns=frozenset({"ordtype", "uid", "is_buy", "qty", "timestamp"}),
  extra="data",
)
