"""LOBSTER message and order-book files of NASDAQ.

LOBSTER (https://lobsterdata.com/info/DataStructure.php) gives two CSV files
without a header for an instrument and day, here plain or compressed. Row `i` of
the order-book file is the book after row `i` of the message file.

  message    time (seconds after midnight, a decimal of up to ns), type, order
             id, size (shares), price (1/10000 dollar), direction of the RESTING
             order (1 buy, -1 sell). The types are the constants below. Newer
             files have a seventh, the participant or null, which is left out.
  orderbook  ask price, ask size, bid price, bid size of the best level, then of
             the second, ...; empty levels are 9999999999 / -9999999999, size 0.

Units: one tick is 1 cent (100 price units), or half a cent or 1/100 cent where
a visible order of the file needs it, as stocks of certain spreads and those
below a dollar do; one lot is one share. Times are parsed from their decimals
and are exact; decimals past the ninth (float noise in a few rows of the
samples) are rounded to the nearest nanosecond. Only hidden executions and cross
trades may be off the tick grid.

Three things are missing from such files, and the reader puts them back:
  Aggressive orders. Only the resting orders that they hit have rows; executions
    at one time stamp become the one order that caused them.
  Depth. Only events within the levels of the file have rows: what rests at the
    start, or scrolls into view, is set up as synthetic orders, and orders that
    were deleted out of sight are taken off when their level is seen again.
  Turns. Some executions are not in time priority as we know it. The reader
    keeps the book of a price-time matching engine in step (`reconstruct`), so
    that its levels equal the file's after every row.

Hidden executions, halts and cross trades (the trades of an auction; the orders
that one takes out of the visible book have messages of their own) leave that
book as it is: they are counted, and yield no event.

While trading is halted (type 7, from price -1 to price 1), bids may reach asks.
An order that would trade waits outside the book until it no longer would, and
enters then (no market event) with its remainder. Executions in a halt, or of
the time at which it ends, or as long as bids reach asks after it, are those of
its cross, which no aggressive order explains: they become cancels that are no
market events. Elsewhere bids that reach asks are an error.

Without an order-book file the book is what the messages imply (`inferred`), and
its levels are not checked. Of the sample day of GOOG, with ten levels, the best
prices and their sizes are then right after 85 % of the rows, those of five
levels after 49 %: it is the flow of orders that is known, not the book.

The counts of a stream are
  messages: rows of the file = limit_orders + cancels + executions +
    hidden_executions + cross_trades + halts.
  limit_orders, cancels, executions: rows of type 1, of 2 and 3, of 4.
  hidden_executions, cross_trades, halts: rows of type 5, 6 and 7, which yield
    no event.
  aggressive_orders: orders put together from executions.
  remainders: limit_orders that are the remainder of an aggressive order, and
    so part of its event.
  start_orders: synthetic orders of the book before the first message.
  scrolled_in: synthetic orders at prices worse than all in the row before (of
    a sweep, before its first).
  scrolled_out: CANCEL events at such prices, of orders that went out of view
    and were gone when their price came back into it.
  added, removed: the same at prices that were in view: 0 unless the two files
    contradict each other.
  out_of_turn_executions: executions that price-time priority gives to another
    order than the feed does.
  reassigned_cancels: cancels that take volume off another order than the one
    they name, since price-time priority consumed that one, or a correction
    removed it.
  split_cancels: CANCEL events beyond the first of a cancel that takes volume
    off several orders.
  short_deletes: deletes of less than what the feed had left of the order.
  crossing_orders: limit_orders that have to wait outside the book.
  outside: cancels and executions of these while they wait: no event.
  cross_executions: executions of the cross that ends a halt.
  inferred_orders, ghosts, unchecked_rows: without an order-book file, orders
    that messages name and none has brought; those taken as gone; the rows whose
    levels nothing checks.
  unexplained: cancels and executions of more than rests at their price, which
    are an error unless `corrections` is False.
With corrections, and without crossing orders and executions of a cross, the
events of `is_market_event` are limit_orders - remainders + aggressive_orders +
cancels + split_cancels.
"""

from mars_jax.feeds import registry

# The types of message.
NEW = 1  # A new limit order.
REDUCE = 2  # A partial cancel.
DELETE = 3
EXECUTE = 4  # Execution of a visible order.
HIDDEN = 5  # Execution of a hidden order.
CROSS = 6  # A trade of an auction; it does not touch the visible book.
HALT = 7  # A trading halt: price -1, 0 or 1, the rest 0.
VISIBLE = (NEW, REDUCE, DELETE, EXECUTE)  # Types of visible orders.

COLUMNS = ("time", "type", "order_id", "size", "price", "direction")

FORMAT = registry.Format(
  name="lobster",
  read=registry.deferred("mars_jax.feeds.lobster.reader.read_checked"),
  options=("corrections", "book_path"),
  file_pattern=r".*message.*\.csv",
  beside=(("message", "orderbook"),),
  extra="data",
)
