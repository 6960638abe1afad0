"""What a replay of a feed gave, and where it differs from the feed."""

import collections.abc
import dataclasses

import numpy as np

_NUM_EXAMPLES = 5  # Mismatches that are told in full.


@dataclasses.dataclass
class VerifyResult:
  """What a replay gave, and where it differs from the feed.

  Attributes:
    name: market, instrument and day.
    events: of the stream.
    fills: trades in continuous trading, one for each resting order hit.
    traded_volume: lots, those of auctions as well.
    last_price: ticks, of the last trade; None without one.
    auctions: (events before it, price in ticks, lots) of each call auction.
    checked: how many things were compared, by kind:
      trades: events with trades, the exchange's or ours, of continuous trading;
      auctions: call auctions: price, volume, and what each order traded;
      levels: rows of the book;
      left: cancels, by what they leave of their order;
      orders: orders that rest at the end, the feed's or ours.
    mismatches: how many of these differ.
    equal_levels: rows equal up to a depth, by depth.
    examples: the first mismatches, in words.
    rejected: orders by `types.Reason`, in words; `dropped` apart.
    dropped: orders lost because a side was full.
    crossed: events of continuous trading after which bids reach asks.
    gaps: times in continuous trading without an event for over a minute.
    longest_gap: the longest time between two of its events, seconds.
    resyncs: events that correct the book where the feed does not tell all.
    orders_left: orders that rest at the end.
    capacity: orders that a side of the book had room for in the end.
    seconds: of the replay, compilation included.
    feed: what the reader counted.
  """

  name: str
  events: int
  fills: int = 0
  traded_volume: int = 0
  last_price: int | None = None
  auctions: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
  checked: dict[str, int] = dataclasses.field(default_factory=dict)
  mismatches: dict[str, int] = dataclasses.field(default_factory=dict)
  equal_levels: dict[int, int] = dataclasses.field(default_factory=dict)
  examples: list[str] = dataclasses.field(default_factory=list)
  rejected: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped: int = 0
  crossed: int = 0
  gaps: int = 0
  longest_gap: float = 0.0
  resyncs: int = 0
  orders_left: int = 0
  capacity: int = 0
  seconds: float = 0.0
  feed: dict[str, int] = dataclasses.field(default_factory=dict)

  def compare(
    self,
    kind: str,
    is_equal: collections.abc.Sequence[bool] | np.ndarray,
    describe: collections.abc.Callable[[int], str],
  ) -> None:
    """Counts comparisons.

    Args:
      kind: of what.
      is_equal: the outcome of each.
      describe: tells of one that differs, by its index.
    """
    wrong = np.flatnonzero(~np.asarray(is_equal, bool))
    for numbers, more in (
      (self.checked, len(is_equal)),
      (self.mismatches, len(wrong)),
    ):
      if more:
        numbers[kind] = numbers.get(kind, 0) + more
    for i in wrong[: max(_NUM_EXAMPLES - len(self.examples), 0)]:
      self.examples.append(f"{kind}: {describe(i)}")
