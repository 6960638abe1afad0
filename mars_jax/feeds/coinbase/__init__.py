"""Coinbase's full channel: every message about every order.

A capture is a folder, or a zip, of three JSON files, plain or compressed
(docs.cdp.coinbase.com/exchange):
  beginning_level_3.json  the book at the start, order by order: `asks` and
    `bids`, lists of [price, size, order id], best and oldest first, and the
    `sequence` number of the last message that it includes.
  messages.json  the messages, by `sequence`. An order is `received`; each trade
    is a `match` of a maker, with its side and price, and a taker; the remainder
    of the order is `open`; an order that is `done` is gone.
  ending_level_3.json  the book at the end, like the first; it may be absent.

The meaning of the feed, found in a capture of 2018-07-13 and checked there:
  - From `received` to `open` or `done` all messages are about that order and
    those that it trades with. It is one event, placed where that ends: its
    volume is what it took and rests with; its price is its own, or that of its
    last fill where it does not rest.
  - A market order names a size, funds, or both, and no price.
  - An order that is done as it arrives, untraded, was refused (post-only, or a
    trade with oneself): it never rests, so it is counted and not passed on.
  - An order that its owner modifies (`change`, `modify_order`, since 2022) goes
    to the end of the queue at its new price, or at its own if it grows; one
    that only shrinks keeps its place. Where the new price crosses the book, the
    matches that follow are its own.
  - The first messages may be about orders that were received before the start.

Sizes are in 1e-8 coins, prices in ticks of a cent, or a tenth, a hundredth, ...
of it where a product has them; both are read from the decimals and exact. They
need 64 bits: asks of 9,999,999,999 dollars rest in the book.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="coinbase",
  read=registry.deferred("mars_jax.feeds.coinbase.reader.read_checked"),
  days=registry.deferred("mars_jax.feeds.coinbase.reader.day_names"),
  options=("tick_size", "day"),
  file_pattern=r"beginning_level_3\.json",
  samples={
    "coinbase-sample": registry.deferred("mars_jax.feeds.samples.coinbase")
  },
)
