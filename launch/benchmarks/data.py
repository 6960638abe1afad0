"""Benchmark of a day's orders on disk: size and speed.

`mars_jax.data.store` is compared with containers that others use: a column a
file, mapped into memory, and ArrayRecord, which Grain reads. There, too, a
number is stored in the smallest integers that can hold its column, prices as
ticks from the mid. All must give back the orders as they were.
"""

import collections.abc
import dataclasses
import pathlib
import pickle
import tempfile
import time
import typing

import jax
import numpy as np
from array_record.python import array_record_module as array_record

from mars_jax import feeds
from mars_jax import records as records_lib
from mars_jax import replay
from mars_jax.data import codec
from mars_jax.data import pipeline
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.tokens import features

_BLOCK_SIZE = 1024  # Orders of a record of ArrayRecord.
_THREADS = (0, 2)  # Of the pipeline.
_STEPS = ("read", "replay and compare", "both")
# What a model takes: 6 FLOPs a parameter and token, forward and backward.
_FLOPS = 989e12  # Of an H100 SXM a second, dense bfloat16, by its data sheet.
_UTILISATION = 0.4
_PARAMETERS = 100e6

OnRepeat = collections.abc.Callable[[str], None]
Read = collections.abc.Callable[[int, int], records_lib.Records]


@dataclasses.dataclass(frozen=True)
class DataBenchmark:
  """Settings, each explained by its flag in `launch/benchmark.py`."""

  path: str
  window: int
  windows: int
  batch_size: int
  repeats: int
  seed: int

  @property
  def num_repeats(self) -> int:
    """Number of calls of `on_repeat` by `run`."""
    return 1 + self.repeats * (1 + len(_CONTAINERS) + len(_THREADS))


class Container(typing.Protocol):
  """A way to keep the orders of a day."""

  name: str

  def write(self, path: pathlib.Path, records: records_lib.Records) -> None:
    """Writes a file, or a folder."""

  def open(self, path: pathlib.Path) -> Read:
    """Returns a function that reads the orders in `[start, stop)`."""


def run(config: DataBenchmark, on_repeat: OnRepeat) -> dict:
  """Measures.

  Args:
    config: what to measure.
    on_repeat: called after every repetition, with what it was of.

  Returns:
    The results, as JSON has them: the config, the name of the data and its
    `orders`, the rows of three tables, `prepare`, `containers` and `pipeline`,
    and of what a model takes. Speeds count the time that processors were busy,
    all threads together, which is what a core does, whoever else is on the
    machine.
  """
  name, records, steps = _measure_prepare(config, on_repeat)
  return {
    "data": name,
    "prepare": steps,
    **measure(records, config, on_repeat),
  }


def _measure_prepare(config, on_repeat):
  """Returns a day's name and records, and events a second.

  Speeds are of one core. The first repetition, which compiles, does not count.
  """
  seconds = []
  for _ in range(config.repeats + 1):
    began = time.process_time()
    stream, checks = feeds.read_checked(config.path)
    read = time.process_time()
    _, records = replay.verify_and_record(
      stream,
      checks,
      rules=replay.feed_rules(stream),
      num_levels=features.SNAPSHOT_LEVELS,
    )
    replayed = time.process_time()
    seconds.append((read - began, replayed - read, replayed - began))
    on_repeat("prepare")
  speeds = len(stream) / np.array(seconds[1:]).T
  return (
    stream.name,
    records,
    [
      {"step": step, **_summary(row.tolist(), "events_per_s")}
      for step, row in zip(_STEPS, speeds, strict=True)
    ],
  )


def measure(
  records: records_lib.Records, config: DataBenchmark, on_repeat: OnRepeat
) -> dict:
  """Measures with the records of a day; see `run`."""
  if len(records) < 2 * config.window:
    raise ValueError(
      f"{len(records)} orders are too few for windows of {config.window}"
    )
  with tempfile.TemporaryDirectory() as folder:
    return {
      "benchmark": "data",
      "config": dataclasses.asdict(config),
      "orders": len(records),
      "containers": [
        _measure_container(
          container, pathlib.Path(folder), records, config, on_repeat
        )
        for container in _CONTAINERS
      ],
      "pipeline": [
        _measure_pipeline(
          pathlib.Path(folder), records, num_threads, config, on_repeat
        )
        for num_threads in _THREADS
      ],
      "model": {
        "parameters": _PARAMETERS,
        "flops_per_s": _FLOPS,
        "utilisation": _UTILISATION,
        "orders_per_s": _FLOPS * _UTILISATION / (6 * _PARAMETERS),
      },
    }


class _Columns:
  """A file a column, mapped into memory."""

  name = "columns, mapped"

  def write(self, path, records):
    path.mkdir()
    for number, column in enumerate(_narrow_columns(records)):
      np.save(path / f"{number}.npy", column)

  def open(self, path):
    columns = [
      np.load(path / f"{number}.npy", mmap_mode="r")
      for number in range(len(list(path.iterdir())))
    ]
    return lambda start, stop: _widen([x[start:stop] for x in columns])


class _ArrayRecord:
  """Blocks of orders, each a record of its own."""

  def __init__(self, name, compression):
    self.name = name
    self._options = f"group_size:1,{compression}"

  def write(self, path, records):
    writer = array_record.ArrayRecordWriter(str(path), self._options)
    for start in range(0, len(records), _BLOCK_SIZE):
      block = _narrow_columns(records[start : start + _BLOCK_SIZE])
      writer.write(pickle.dumps(block))
    writer.close()

  def open(self, path):
    reader = array_record.ArrayRecordReader(
      str(path), options="readahead_buffer_size:0"
    )

    def read(start, stop):
      first, last = start // _BLOCK_SIZE, -(-stop // _BLOCK_SIZE)
      blocks = map(pickle.loads, reader.read(list(range(first, last))))
      columns = map(np.concatenate, zip(*blocks, strict=True))
      skipped = first * _BLOCK_SIZE
      return _widen([x[start - skipped : stop - skipped] for x in columns])

    return read


class _Store:
  """`mars_jax.data.store`."""

  def __init__(self, block_size):
    self.name = f"mars_jax, {block_size} a block"
    self._block_size = block_size

  def write(self, path, records):
    store.write(path, records, block_size=self._block_size)

  def open(self, path):
    return store.DayFile(path).read


_OURS = _Store(store.BLOCK_SIZE)
_CONTAINERS = (
  _Columns(),
  _ArrayRecord("ArrayRecord", "uncompressed"),
  _ArrayRecord("ArrayRecord, zstd", "zstd:9"),  # The level of the store.
  _Store(store.BLOCK_SIZE // 4),
  _OURS,
)


def _narrow_columns(records):
  """Returns the columns of records, `[T, n]` small integers each.

  They are the columns of the store, and all prices are ticks from a mid.
  """
  day_time, values = codec.to_columns(records)  # [T], [C, T]
  *_, level_price, _ = codec.groups(len(values))
  values[level_price] -= values[codec.MID_AFTER]
  values[codec.MID_AFTER] -= values[codec.MID_BEFORE]
  groups = [values[rows] for rows in codec.groups(len(values))]
  columns = [day_time[None], *groups]
  return [np.ascontiguousarray(codec.narrow(x).T) for x in columns]


def _widen(columns):
  """Returns the records of the columns of `_narrow_columns`."""
  day_time, *groups = columns
  values = np.concatenate([x.T for x in groups], dtype=np.int32)  # [C, T]
  *_, level_price, _ = codec.groups(len(values))
  values[codec.MID_AFTER] += values[codec.MID_BEFORE]
  values[level_price] += values[codec.MID_AFTER]
  return codec.from_columns(day_time[:, 0].astype(np.int64), values)


def _measure_container(container, folder, records, config, on_repeat):
  """Returns bytes an order, and windows a second."""
  path = folder / container.name
  began = time.process_time()
  container.write(path, records)
  seconds = time.process_time() - began
  read = container.open(path)
  _check_equal(container.name, read(0, len(records)), records)
  files = path.iterdir() if path.is_dir() else [path]
  rng = np.random.default_rng(config.seed)
  starts = rng.integers(len(records) - config.window, size=config.windows)

  def read_windows():
    for start in starts.tolist():
      read(start, start + config.window)

  speeds = _speeds(
    read_windows, config.windows, config, lambda: on_repeat(container.name)
  )
  return {
    "container": container.name,
    "bytes_per_order": sum(x.stat().st_size for x in files) / len(records),
    "written_orders_per_s": len(records) / seconds,
    **_summary(speeds, "windows_per_s"),
  }


def _check_equal(name, found, records):
  """Raises ValueError unless a container gave back the records."""
  for one, other in zip(
    jax.tree.leaves(vars(found)), jax.tree.leaves(vars(records)), strict=True
  ):
    if not np.array_equal(one, other):
      raise ValueError(f"{name} does not give back the orders as they were")


def _measure_pipeline(folder, records, num_threads, config, on_repeat):
  """Returns the orders a second of a core, in batches."""
  part = windows_lib.Part(
    store.DayFile(folder / _OURS.name), "", 0, len(records)
  )
  windows = windows_lib.by_market(
    [part], [""], config.window, config.window // 2
  )
  batches = pipeline.batches(
    windows,
    batch_size=config.batch_size,
    seed=config.seed,
    num_threads=num_threads,
  )
  num_batches = max(1, config.windows // config.batch_size)

  def draw():
    for _ in range(num_batches):
      next(batches)

  num_orders = num_batches * config.batch_size * config.window
  speeds = _speeds(draw, num_orders, config, lambda: on_repeat("pipeline"))
  return {"threads": num_threads, **_summary(speeds, "orders_per_s")}


def _speeds(work, amount, config, on_repeat):
  """Returns the work a second and core of each repetition."""
  work()
  speeds = []
  for _ in range(config.repeats):
    began = time.process_time()
    work()
    speeds.append(amount / (time.process_time() - began))
    on_repeat()
  return speeds


def _summary(speeds, name):
  """Returns the median, and the extremes as `_min` and `_max`."""
  return {
    name: float(np.median(speeds)),
    f"{name}_min": min(speeds),
    f"{name}_max": max(speeds),
  }
