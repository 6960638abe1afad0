"""NASDAQ TotalView-ITCH 5.0, one instrument at a time.

`chunks` describes the files. The feed has all displayed orders from the first
of the day on, each with a reference, and what becomes of them; the order that
trades with them is not in it. So:
  Aggressive orders. Executions of one side in a row, at one time, are one
    order that takes them all (trades with hidden orders in between do not end
    the row, and are no part of it). If a new order of the other side follows at
    that time, at the price of the last execution or beyond, it is the remainder
    of that order and has its limit; else the limit is the last price.
  Replaces. A cancel of the remainder of the order, and a new order: the feed
    always gives it a new place in the queue, even where it only loses shares.
  Crosses. What leaves the book in an auction (opening, closing, after a halt)
    trades with no aggressive order: executions that are not printed, that have
    the time of a cross (Q), or that come right before one. They become cancels
    that are no market events.
  Turns. The exchange may execute an order before others that price and time put
    first. The reader keeps a price-time book in step and sees that; the row
    of executions then becomes cancels that are no market events, since no
    order would trade like this.
  Crossing orders. An order may rest at a price that would trade: before the
    cross that ends a halt, say. It waits outside the book until it no longer
    would, and enters it then (no market event) with its remainder.
  Executions at another price than the order's (C) are trades at the order's,
    as in any replay.

One lot is one share, one tick 1 cent. Where more than half of the new orders
are off this grid, or one that trades outside of a cross, it is half a cent, or
else 1/100 cent: below a dollar prices may be so. What is off the grid then are
a few orders that only rest, and these are left out.

The exchange is open from 4:00 to 20:00. Where new orders or executions come at
other times, the session is longer than that: the stream has the rules of a
venue that never closes, and no cancel is late.

The counts of a stream are
  messages: those of the instrument and the events of the whole market =
    limit_orders + replaces + cancels + executions + hidden_executions +
    cross_trades + broken_trades + trading_actions + directory + system_events +
    those of the other types, each under `type_` and its letter.
  limit_orders, replaces, cancels, executions: A and F, U, X and D, E and C.
  hidden_executions, cross_trades, broken_trades: P, Q, B; these leave the book
    as it is, and yield no event.
  trading_actions, halts: H, and those of them that halt or pause trading.
  directory, system_events: R and S.
  aggressive_orders: orders put together from executions.
  remainders: limit_orders that are what such an order left over.
  cross_executions, out_of_turn_executions: executions that are cancels here.
  repriced_executions: others, at another price than the order's.
  off_grid_orders: new orders, by A, F or U, that are left out.
  crossing_orders: new orders that have to wait outside the book.
  outside: cancels, replaces and executions of orders that are not in the book,
    for one of these reasons; these yield no event.
  beyond_hours: new orders and executions before 4:00 or from 20:00 on.
  late_cancels: cancels from 20:00 on, when the exchange is closed and clears
    its book: these yield no event, and the orders count as those that rest
    last.
"""

from mars_jax.feeds import registry

FORMAT = registry.Format(
  name="itch",
  read=registry.deferred("mars_jax.feeds.itch.reader.read_checked"),
  instruments=registry.deferred("mars_jax.feeds.itch.parse.instruments"),
  split=registry.deferred("mars_jax.feeds.itch.parse.split"),
  options=("instrument", "tick_size"),
  file_pattern=r".*\.(\w+_)?(itch|ITCH)(_?50)?|S\d{6}-v50\.txt",
)
