r"""Proves the matching engine on days of real markets.

Replays every order of a day through the matching engine, under the rules of the
exchange, and compares the outcome with the ground truth of the feed: the
exchange's own trades, its call auctions, the levels of its book, what cancels
leave of their orders, the orders that rest at the end.

  python launch/replay.py bitstamp-sample coinbase-sample
  python launch/replay.py --format=lobster \
      LOBSTER_SampleFile_GOOG_2012-06-21_10.zip
  python launch/replay.py --format=sse --instrument=600761 orders.zip

A path is what the reader of its format takes; bitstamp-sample and
coinbase-sample are downloaded once. The format is detected from the file if it
is not given. Of a file with several instruments all are replayed, unless one is
named; of a capture that runs over midnight each day, from the book that the day
before it left.

The last line is a JSON object: events, fills, traded_volume (lots, also of
auctions), checked and mismatches (by kind: trades, auctions, levels, remaining,
orders), equal_levels (rows of the book equal up to 1, 5 and 10 levels),
reordered (events whose trades the feed tells in another order), resyncs (events
that correct the book where the feed is incomplete), rejected (by reason),
dropped (orders for which a book had no room; it grows, so none), orders_left
and seconds, summed up, and the same of each replay with what its reader
counted. Mismatches make the exit status 1.
"""

import collections
import dataclasses
import json
import sys

import common
from absl import flags

from mars_jax import apps
from mars_jax import feeds
from mars_jax.lob import venues

_CORRECTED, _TICKED = (
  ", ".join(
    name for name, format in feeds.FORMATS.items() if option in format.options
  )
  for option in ("corrections", "tick_size")
)
_FORMAT = flags.DEFINE_enum(
  "format", None, feeds.FORMATS, "Of the files; by default detected from each."
)
_INSTRUMENT = flags.DEFINE_string(
  "instrument", None, "Which one of a file of several; all if not given."
)
_RULES = flags.DEFINE_enum(
  "rules",
  None,
  sorted(venues.PRESETS),
  "Whose rules to replay under; by default those of the stream that is read"
  " (`EventStream.rules`).",
)
_TICK_SIZE = flags.DEFINE_float(
  "tick_size",
  None,
  f"{_TICKED} only: price of one tick, in the market's currency; by default"
  " found in the data.",
  1e-10,
)
_CORRECTIONS = flags.DEFINE_bool(
  "corrections",
  True,
  f"{_CORRECTED} only: put back what the levels of a file cannot show.",
)
_WHAT = {
  "trades": "orders that trade",
  "auctions": "call auctions",
  "levels": "rows of the book",
  "remaining": "cancels",
  "orders": "orders left",
}
_SUMS = (
  *(
    "events",
    "fills",
    "traded_volume",
    "checked",
    "mismatches",
    "equal_levels",
  ),
  *("reordered", "resyncs", "rejected", "dropped", "orders_left", "seconds"),
)


def main(*paths: str) -> None:
  """Replays and shows; the top of this file says what."""
  if not paths:
    raise ValueError("name the files to replay; --help shows examples")
  results = []
  for path in paths:
    for instrument in _instruments(path):
      for day in feeds.days(path, format=_FORMAT.value):
        results.append(_replay(path, instrument, day))
        _report(results[-1])
  total = {name: _sum([result[name] for result in results]) for name in _SUMS}
  print(json.dumps({**total, "replays": results}))
  if total["mismatches"]:
    sys.exit(1)


def _instruments(path: str) -> tuple[str | None, ...]:
  """Returns the instruments of a file to replay."""
  if _INSTRUMENT.value is not None:
    return (_INSTRUMENT.value,)
  return feeds.instruments(path, format=_FORMAT.value)


def _replay(path: str, instrument: str | None, day: str | None) -> dict:
  """Reads and verifies one instrument and day."""
  result = apps.replay(
    path,
    format=_FORMAT.value,
    instrument=instrument or "",
    day=day or "",
    tick_size=_TICK_SIZE.value,
    rules=_RULES.value,
    corrections=_CORRECTIONS.value,
  )
  return dataclasses.asdict(result)


def _sum(values: list) -> int | float | dict[str, int]:
  """Adds numbers up, or dictionaries of numbers."""
  if isinstance(values[0], dict):
    return dict(sum(map(collections.Counter, values), collections.Counter()))
  return sum(values)


def _report(result: dict) -> None:
  """Prints one replay and its first mismatches."""
  checked, mismatches = result["checked"], result["mismatches"]
  rejected = sum(result["rejected"].values())
  rows = [
    ("events", f"{result['events']:,}"),
    ("fills", f"{result['fills']:,}"),
    ("traded, lots", f"{result['traded_volume']:,}"),
    *(
      (f"auction after {event:,} events", f"{volume:,} at {price:,}")
      for event, price, volume in result["auctions"]
    ),
    *(
      (f"{_WHAT[kind]}, different", f"{mismatches.get(kind, 0):,} of {num:,}")
      for kind, num in checked.items()
    ),
    ("events with trades in another order", f"{result['reordered']:,}"),
    *(
      ("rows of the book, not checked: no order-book file", f"{num:,}")
      for num in [result["feed"].get("unchecked_rows", 0)]
      if num
    ),
    ("corrections of the book", f"{result['resyncs']:,}"),
    ("orders rejected", f"{rejected:,}"),
    ("orders left at the end", f"{result['orders_left']:,}"),
    ("capacity of a side", f"{result['capacity']:,}"),
    ("seconds", f"{result['seconds']:.1f}"),
  ]
  common.print_table(f"Replay of {result['name']}", ("", ""), rows)
  for text in result["examples"]:
    common.CONSOLE.print(f"  {text}", highlight=False)


if __name__ == "__main__":
  common.run(main, takes_arguments=True)
