"""Shanghai level-2 orders, trades and snapshots.

`parse` describes the files. The meaning of the feed, checked on six stock-days:
  - Orders and trades are one sequence. A new order's trades come first, all at
    once, then an add of its remainder; an order that is filled at once has
    no add. The reader puts both back together, at the place and time of the
    first trade. The side of the order that came later is the taker.
  - The orders of the call auctions (09:15-09:25 and 14:57-15:00) are added as
    they arrive; nothing trades until the auction does, all at one price and in
    price-time priority on either side. No orders come from 09:25 to 09:30,
    and no deletes from 09:20 to 09:30 and after 14:57.
  - A delete has the remaining volume of the order, and takes all of it.
  - Market orders cannot be distinguished from limit orders.

With an uncross after as many events as the auctions' trades say, price-time
matching of the stream gives the exchange's trades one by one.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="sse",
  read=registry.deferred("mars_jax.feeds.sse.reader.read_checked"),
  instruments=registry.deferred("mars_jax.feeds.sse.reader.instruments"),
  split=registry.deferred("mars_jax.feeds.sse.reader.split"),
  options=("instrument",),
  file_pattern=r"(entrust|SHorders)\.csv",
  beside=(
    *(("orders", "trades"), ("SHorders", "SHtrans")),
    *(("entrust", "trade"), ("entrust", "snapshot")),
  ),
  extra="data",
)
