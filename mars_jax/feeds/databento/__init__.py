"""Databento's market by order: DBN and CSV files of schema `mbo`.

The meaning of a record (databento.com/docs: schemas, "Market by order";
conventions, "MBO snapshots"; examples, "Limit order book"; datasets, "Nasdaq
TotalView-ITCH" and "CME Globex MDP 3.0"), by its `action`:
  A  an order rests;
  C  `size` lots of it are taken off;
  M  it has another price and size; it keeps its place only where the price
     stays and the size does not grow, else it is cancelled and a new order;
  R  the book is cleared: no market events;
  T  an aggressive order trades, on the side of the record;
  F  a resting order is filled. Neither T nor F changes the book: a C or M of
     the resting order does, which then is no cancel;
  N  nothing.
  - The flag F_LAST ends an event of the exchange. Its trades of one side are
    one aggressive order, with the order of that side that the event adds at or
    through their last price as its remainder. Events in a row at one `ts_event`
    are one until an order is added: Nasdaq sends an order's fills one by one.
  - What rests at the start, or after a gap, comes with the flag F_SNAPSHOT.
  - A T alone is a trade with hidden or implied orders, or off the book. An F
    may also be of the hidden part of an order. Neither makes an event.
  - An F without a T of the other side is of an auction, or of a trade against
    orders elsewhere (a spread): the order leaves by a cancel that is no market
    event.

Records are in the order of `ts_recv`; their place in the file is taken as the
exchange's order, and `ts_event` as its time. A file is of one session of 24
hours at most, which may run past midnight, as CME's do: times are counted from
the midnight, in UTC, of the day on which the first record was received. The
rules are "continuous", whatever the dataset, since the presets of an exchange
with opening hours have them in local time; so call auctions are not replayed.

`EventStream.market` is the exchange's name for the datasets of one exchange
that other feeds also have (`reader.EXCHANGES`), else the id of the dataset.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="databento",
  read=registry.deferred("mars_jax.feeds.databento.reader.read_checked"),
  instruments=registry.deferred("mars_jax.feeds.databento.reader.instruments"),
  split=registry.deferred("mars_jax.feeds.databento.reader.split"),
  options=("instrument", "tick_size"),
  file_pattern=r".*\.dbn",
  columns=frozenset(
    (
      *("ts_recv", "ts_event", "publisher_id", "instrument_id", "action"),
      *("side", "price", "size", "order_id", "flags"),
    )
  ),
  extra="databento",
)
