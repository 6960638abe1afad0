"""Shenzhen level-2 orders and executions.

`parse` describes the files. The meaning of the feed, by its specification and
the exchange's trading rules (checked on simulated days, and on a Shanghai day
written in this form; there was no Shenzhen file to check on):
  - Orders and executions are one sequence. An order comes with its full volume,
    then its trades follow, before the next order or cancel. The side of the
    order that came later is the taker.
  - The orders of the call auctions (09:15-09:25 and 14:57-15:00) come as they
    arrive; nothing trades until the auction does. The time of the last order
    or cancel before a trade decides whether it is an auction's.
  - A cancel takes all that remains of its order.
  - A market order has no price of its own. Where it trades as it comes, it gets
    that of its last fill: if it was to take the other side's best price only,
    the remainder rests there; if it was immediate or cancel, a cancel of the
    remainder follows. An order at its own side's best price gets that price.
    One that gets none, since the other side or its own was empty, or since it
    was fill or kill, is cancelled as it comes: it is left out, and counted.

Price-time matching of the stream, with an uncross after as many events as the
auctions' trades say, gives the exchange's trades one by one. The reader refuses
a continuous trade between orders that both came before the last one, as after a
volatility halt. An order that ChiNext's price cage holds back is an event where
it enters (`cage`). The feed does not have the previous close, which the price
limits and a tie of the opening auction need: where it is known, put it into
`GroundTruth.reference`.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="szse",
  read=registry.deferred("mars_jax.feeds.szse.reader.read_checked"),
  instruments=registry.deferred("mars_jax.feeds.szse.reader.instruments"),
  split=registry.deferred("mars_jax.feeds.szse.reader.split"),
  options=("instrument", "units"),
  file_pattern=r"(order|SZorders)\.csv",
  beside=(
    *(("orders", "trades"), ("SZorders", "SZtrans")),
    ("order", "trade"),
  ),
  extra="data",
)
