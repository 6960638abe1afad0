"""Times the matching engine against others, and by capacity."""

import collections.abc
import dataclasses
import functools

import numpy as np

from benchmarks import c_book
from benchmarks import engines
from benchmarks import jaxmarl_hft
from benchmarks import ours
from benchmarks import stream as stream_lib

OURS = ours.MarsJax.name
PEER = jaxmarl_hft.JaxMarlHft.name
C = c_book.CBook.name

_DEPTH = 40  # Orders on a side at first, where a book has room for twice that.
_FEWEST, _FEWEST_LONG = 8, 32  # Messages of a book; in the second table.

OnRepeat = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class LobConfig:
  """The measurements; `launch/benchmark.py` explains each flag."""

  batch: tuple[int, ...]
  capacity: int
  messages: int
  capacities: tuple[int, ...]
  capacities_batch: tuple[int, ...]
  repeats: int
  min_seconds: float
  seed: int
  peer_path: str | None
  peer_capacity: int | None
  vmap_one: bool

  @property
  def num_repeats(self) -> int:
    """The number of times that `run` calls `on_repeat`."""
    runs = len(self.batch) + len(self.capacities) * len(self.capacities_batch)
    return self.repeats * runs


def run(config: LobConfig, on_repeat: OnRepeat) -> dict:
  """Runs the measurements.

  Args:
    config: what to measure.
    on_repeat: called after every repetition, with what it was of.

  Returns:
    The results, as JSON has them: the config, what is `skipped` and why, and
    the rows of two tables, `by_batch` and `by_capacity`.
  """
  competitors, skipped = _engines(config)
  by_batch = [
    _compare(competitors, num_books, config, on_repeat)
    for num_books in config.batch
  ]
  by_capacity = [
    row
    for capacity in config.capacities
    if config.capacities_batch
    for row in _cost_at(capacity, config, on_repeat)
  ]
  return {
    "benchmark": "lob",
    "config": dataclasses.asdict(config),
    "skipped": skipped,
    "by_batch": by_batch,
    "by_capacity": by_capacity,
  }


def _engines(
  config: LobConfig,
) -> tuple[list[engines.Engine], dict[str, str]]:
  """Returns the engines, ours first, and why others are skipped."""
  found, skipped = [ours.MarsJax(config.vmap_one)], {}
  if config.peer_path is None:
    skipped[PEER] = "no --peer_path"
  else:
    found.append(
      jaxmarl_hft.JaxMarlHft(
        config.peer_path, config.peer_capacity, config.vmap_one
      )
    )
  if c_book.has_compiler():
    found.append(c_book.CBook())
  else:
    skipped[C] = "no C compiler"
  return found, skipped


def _compare(
  competitors: collections.abc.Sequence[engines.Engine],
  num_books: int,
  config: LobConfig,
  on_repeat: OnRepeat,
) -> dict:
  """Times the engines on one stream, if they trade alike."""
  room = min(config.capacity, config.peer_capacity or config.capacity)
  stream = stream_lib.generate(
    num_books,
    max(config.messages // num_books, _FEWEST),
    capacity=room,
    depth=min(_DEPTH, room // 2),
    seed=config.seed,
  )
  _check(competitors, stream, config.capacity)
  programs = [engine.prepare(stream, config.capacity) for engine in competitors]
  speeds = _speeds(
    programs, stream, config, functools.partial(on_repeat, f"{num_books} books")
  )
  found = {
    engine.name: speed
    for engine, speed in zip(competitors, speeds, strict=True)
  }
  return {
    "books": num_books,
    "messages_a_book": stream.shape[1],
    "stream": stream.statistics(),
    "engines": found,
    "ratios": {
      f"{one} / {other}": found[one]["messages_per_s"]
      / found[other]["messages_per_s"]
      for one, other in ((OURS, PEER), (C, OURS))
      if one in found and other in found
    },
  }


def _cost_at(
  capacity: int, config: LobConfig, on_repeat: OnRepeat
) -> list[dict]:
  """Times our matching engine with half full books."""
  most_books = max(config.capacities_batch)
  # A message costs about as much as the book is long.
  num_messages = config.messages * _DEPTH // (capacity * most_books)
  stream = stream_lib.generate(
    most_books,
    max(num_messages, _FEWEST_LONG),
    capacity=capacity,
    depth=capacity // 2,
    seed=config.seed,
  )
  rows = []
  for num_books in config.capacities_batch:
    part = stream.first(num_books)
    (speed,) = _speeds(
      [ours.MarsJax(config.vmap_one).prepare(part, capacity)],
      part,
      config,
      functools.partial(on_repeat, f"capacity {capacity}"),
    )
    rows.append({"capacity": capacity, "books": num_books, **speed})
  return rows


def _check(
  competitors: collections.abc.Sequence[engines.Engine],
  stream: stream_lib.Stream,
  capacity: int,
) -> None:
  """Raises ValueError unless all engines trade the same."""
  expected, *others = [
    engine.totals(stream, capacity) for engine in competitors
  ]
  for engine, found in zip(competitors[1:], others, strict=True):
    for what, ours_, theirs in zip(found._fields, expected, found, strict=True):
      ours_ = ours_[: len(theirs)]
      if not np.array_equal(ours_, theirs):
        book = int(np.argmax(ours_ != theirs))
        raise ValueError(
          f"{engine.name} differs from {OURS} in what trades: {what} of book"
          f" {book} is {theirs[book]}, not {ours_[book]}"
        )


def _speeds(
  programs: collections.abc.Sequence[engines.Program],
  stream: stream_lib.Stream,
  config: LobConfig,
  on_repeat: collections.abc.Callable[[], None],
) -> list[dict[str, float]]:
  """Times programs; the median, the slowest and the quickest repetition."""
  num_messages = np.prod(stream.shape)
  all_seconds = engines.measure(
    programs,
    repeats=config.repeats,
    min_seconds=config.min_seconds,
    on_repeat=on_repeat,
  )
  return [
    {
      "messages_per_s": float(num_messages / np.median(seconds)),
      "messages_per_s_min": float(num_messages / seconds.max()),
      "messages_per_s_max": float(num_messages / seconds.min()),
      "ns_per_message": float(np.median(seconds) / num_messages * 1e9),
      "compile_s": program.compile_s,
    }
    for program, seconds in zip(programs, all_seconds, strict=True)
  ]
