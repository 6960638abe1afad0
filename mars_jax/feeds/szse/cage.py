"""ChiNext's price cage, which holds orders until the market comes.

Special Provisions of the Shenzhen Stock Exchange for Trading on ChiNext (2020),
section on the effective range of bids: in continuous trading a limit order to
buy above 102 % of the basis, or to sell below 98 % of it, is not taken part at
once but held by the exchange's computer, and enters when its price comes into
the range. The basis of a purchase is the best ask, else the best bid, else the
last price; that of a sale the reverse. Call auctions have no such range. Since
10 April 2023 (Trading Rules, article 3.3.13) the range is ten ticks at least,
and what lies beyond it is refused, so that a feed does not have it.

The feed has a held order where it was sent. Here it moves to where it enters.
What the rule says is tried whenever the book is at rest; a held order that
trades although the rule would still hold it enters just before, and is counted.
"""

import collections

import polars as pl

from mars_jax import types
from mars_jax.feeds import price_time_book
from mars_jax.feeds.szse import parse

STARTS = "2020-08-24"  # The day of the rule, and of its change.
_CHANGES = "2023-04-10"
_PERCENT = 2
_LEAST_TICKS = {False: 1, True: 10}  # Of the range, by whether it changed.
_SIGN = {types.Side.ASK: 1, types.Side.BID: -1}  # Of a price, as a key.

_Row = collections.namedtuple(
  "_Row", "index name kind side price volume bid ask is_matched"
)


class Cage:
  """A day's orders, as the cage admits them.

  Attributes:
    entries: (row before which it enters, its own row) of each held order.
    cancelled: the rows of held orders that were cancelled, and of their
      cancels.
    differences: held orders that traded before the rule lets them in.
  """

  def __init__(self, has_changed: bool):
    self.entries, self.cancelled, self.differences = [], [], 0
    self._least_ticks = _LEAST_TICKS[has_changed]
    self._book = price_time_book.Book()
    self._orders = {}  # {name: [side, key or None, volume]} of those entered.
    self._held = {}  # {name: row}, oldest first.
    self._last_price = None
    self._taker = None  # The order that came last.

  def run(self, rows: list[_Row]) -> None:
    """Goes through all rows of a day."""
    for row in rows:
      if row.kind == parse.TRADE:
        self._trade(row)
      elif row.kind == parse.CANCEL and self._taker in (row.bid, row.ask):
        self._cancel(row)  # What a market order leaves expires.
      else:
        self._settle(row.index, row.is_matched)
        if row.kind == parse.CANCEL:
          self._cancel(row)
        else:
          self._arrive(row)
    self._settle(len(rows), False)

  def _settle(self, index, is_matched):
    """Lets held orders in before a row; all where nothing is matched."""
    self._rest()
    while self._held and not self._is_crossed():
      names = [n for n, row in self._held.items() if self._is_in(row)]
      if not is_matched:
        names = list(self._held)
      if not names:
        return
      # The one that the range reaches first, then the oldest.
      name = min(names, key=lambda n: -self._key(self._held[n]))
      self._enter(name, index)
      if not is_matched:
        self._rest()

  def _enter(self, name, index):
    row = self._held.pop(name)
    self.entries.append((index, row.index))
    self._add(row)

  def _arrive(self, row):
    """Holds an order, or adds it to the book."""
    if row.is_matched and row.kind == parse.LIMIT and not self._is_in(row):
      self._held[row.name] = row
    else:
      self._add(row)

  def _add(self, row):
    key = self._key(row) if row.kind == parse.LIMIT else None
    if row.kind == parse.OWN_BEST and self._book.keys[row.side]:
      key = self._book.keys[row.side][0]
    self._orders[row.name] = [row.side, key, row.volume]
    self._taker = row.name
    if key is not None:
      self._book.add(row.side, key, row.name, row.volume)

  def _rest(self):
    """Puts what a market order leaves at its last price."""
    order = self._orders.get(self._taker)
    if order and order[1] is None and order[2] and self._last_price:
      order[1] = _SIGN[order[0]] * self._last_price
      self._book.add(order[0], order[1], self._taker, order[2])
    self._taker = None

  def _trade(self, row):
    """Takes a trade off both orders."""
    names = row.bid, row.ask
    if row.is_matched and self._taker not in names:
      self._settle(row.index, True)
    for name in names:
      if name in self._held:
        self.differences += 1
        self._enter(name, row.index)
      self._take(name, row.volume)
    self._last_price = row.price

  def _cancel(self, row):
    name = row.bid or row.ask
    if held := self._held.pop(name, None):
      self.cancelled += [held.index, row.index]
    else:
      self._take(name, row.volume)

  def _take(self, name, volume):
    """Takes lots off an order; what the feed has wrong is named later."""
    side, key, left = order = self._orders.get(name, [0, None, 0])
    volume = min(volume, left)
    order[2] -= volume
    if key is not None and volume:
      self._book.take(side, key, name, volume)

  def _is_in(self, row):
    """Returns whether a limit order is within the range."""
    own, other = self._book.keys[row.side], self._book.keys[1 - row.side]
    if other:
      basis = abs(other[0])
    elif own:
      basis = abs(own[0])
    elif self._last_price:
      basis = self._last_price
    else:
      return True  # The previous close is not in the feed.
    sign = _SIGN[row.side]
    # Half up: 102 % or 98 % of the basis.
    limit = (basis * (100 - sign * _PERCENT) + 50) // 100
    limit = -sign * max(-sign * limit, -sign * basis + self._least_ticks)
    return sign * row.price >= sign * limit

  def _is_crossed(self):
    asks, bids = (
      self._book.keys[types.Side.ASK],
      self._book.keys[types.Side.BID],
    )
    return bool(asks and bids) and asks[0] + bids[0] <= 0

  def _key(self, row):
    return _SIGN[row.side] * row.price


def apply(
  rows: pl.DataFrame, day: str, is_matched: pl.Expr
) -> tuple[pl.DataFrame, dict[str, int]]:
  """Moves held orders to where they enter.

  Args:
    rows: those of `parse.Feed`, with the column name of an order.
    day: its date.
    is_matched: whether a row is of continuous trading.

  Returns:
    The rows, renumbered where an order moved, and the counts: caged_orders,
    that were held; caged_cancels, of them cancelled before they entered, which
    are left out; caged_early, that traded before the rule lets them in.
  """
  cage = Cage(has_changed=day >= _CHANGES)
  columns = ("name", "kind", "side", "price", "volume", "bid", "ask")
  table = rows.with_columns(is_matched=is_matched).with_row_index("index")
  names = ("index", *columns, "is_matched")
  cage.run([_Row(*row) for row in table.select(names).rows()])
  counts = {
    "caged_orders": len(cage.entries) + len(cage.cancelled) // 2,
    "caged_cancels": len(cage.cancelled) // 2,
    "caged_early": cage.differences,
  }
  if not counts["caged_orders"]:
    return rows, counts
  matched = table["is_matched"].to_list()
  return _moved(rows, matched, cage.entries, cage.cancelled), counts


def _moved(rows, is_matched, entries, cancelled):
  """Returns the rows as they take effect."""
  times = rows["time"].to_list()
  gone = {own for _, own in entries} | {*cancelled}
  before = collections.defaultdict(list)
  for index, own in entries:
    before[index].append(own)
  order, new_times = [], []
  for index in range(len(times) + 1):
    for own in before[index]:
      if index == len(times):
        time = max(times[-1], parse.CLOSE)
      else:
        time = times[index - 1 if is_matched[index] else index]
      order.append(own)
      new_times.append(time)
    if index < len(times) and index not in gone:
      order.append(index)
      new_times.append(times[index])
  return rows[order].with_columns(
    time=pl.Series(new_times, dtype=pl.Int64),
    sequence=pl.int_range(len(order), dtype=pl.Int64),
  )
