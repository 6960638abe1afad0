"""Bitstamp's live orders, a row an event of one order.

The columns are those of `ob-analytics`' captures of the exchange's WebSocket
channel `live_orders` (bitstamp.net/websocket/v2): `id`, `timestamp` (local),
`exchange_timestamp` (ms), `price`, `volume` (remaining of the order),
`action` (created, changed, deleted) and `direction` (bid, ask).

The meaning of the feed, found in the sample and checked there against the
exchange's own list of trades:
  - The rows of the first exchange time are the book at the start. Those of the
    last, where all are deletes, end the capture and are no orders.
  - An aggressive order is created with its full volume. Each fill is then a row
    of it and a row of the resting order, both with the price of the trade; a
    filled order is deleted with volume 0. They have its time, or follow it.
  - The volumes of R's captures are in units of 1e-8: whole numbers, of which
    half are 10,000 or more.
  - The rows are in the order of receipt. Exchange times may step back (a delete
    may have the time at which its order was created); the clock does not.
  - Two orders of three are created at a price that crosses the book and deleted
    in the next row, untraded: the exchange refuses a post-only order that would
    take liquidity. They never rest, so they are counted and not passed on.
  - The start book holds a few orders that were gone when the stream began. One
    shows when a later order rests at a price that crosses it; it is left out.
  - Some deletes name orders created between start book and stream. They are
    counted; more than one in a thousand rows is an error.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="bitstamp",
  read=registry.deferred("mars_jax.feeds.bitstamp.reader.read_checked"),
  days=registry.deferred("mars_jax.feeds.bitstamp.reader.day_names"),
  options=("tick_size", "day"),
  columns=frozenset({"id", "exchange_timestamp", "action", "direction"}),
  beside=(("orders", "trades"),),
  samples={
    registry.SAMPLE: registry.deferred("mars_jax.feeds.samples.bitstamp")
  },
  extra="data",
)
