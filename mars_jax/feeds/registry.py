"""Finds the reader of a feed, by its name or by what its files look like."""

import collections.abc
import importlib
import pathlib
import re

from mars_jax.baselines import zero_intelligence
from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import samples

FORMATS = (
  *("lobster", "bme", "sse", "bitstamp", "coinbase"),
  *("itch", "databento", "szse", "synthetic"),
)
SPLIT_FORMATS = ("itch", "databento", "sse", "szse")
SAMPLE = "bitstamp-sample"
COINBASE_SAMPLE = "coinbase-sample"
_SYNTHETIC = FORMATS[-1]  # Of days that are simulated, by name.
_SAMPLE_FORMATS = {SAMPLE: "bitstamp", COINBASE_SAMPLE: "coinbase"}
_OPTIONS = {
  "lobster": ("corrections",),
  "sse": ("instrument",),
  "szse": ("instrument",),
  "itch": ("instrument",),
  "databento": ("instrument", "tick_size"),
}
# The name of a file that tells the format: alone, in its folder or in a zip;
# without the endings of compression.
_FILES = {
  "lobster": r".*message.*\.csv",
  "sse": r"(entrust|SHorders)\.csv",
  "szse": r"(order|SZorders)\.csv",
  "coinbase": r"beginning_level_3\.json",
  "itch": r".*\.(\w+_)?(itch|ITCH)(_?50)?|S\d{6}-v50\.txt",
  "databento": r".*\.dbn",
}
# Columns that tell the format of a single file, whatever its name.
_COLUMNS = {
  "bme": {"ordtype", "uid", "is_buy", "qty", "timestamp"},
  "bitstamp": {"id", "exchange_timestamp", "action", "direction"},
}
# In the name of a file, and in that of one beside it which is read with it.
_BESIDE = (
  *(("message", "orderbook"), ("orders", "trades"), ("order", "trade")),
  *(("entrust", "trade"), ("entrust", "snapshot")),
  *(("SHorders", "SHtrans"), ("SZorders", "SZtrans")),
)
# Packages that readers need: what pip calls them, and our extra.
_EXTRAS = {
  "polars": ("polars", "data"),
  "databento_dbn": ("databento-dbn", "databento"),
}


def read(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, format=format, **options)[0]


def read_checked(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads the events of one instrument and day, and what to check them by.

  Args:
    path: what the reader of the format takes, each file plain or compressed
      (gz, bz2, xz, zst, or a zip of it):
      lobster: the `.zip` of a sample, a folder with one message and one
        order-book file, or the message file, beside its order-book file;
      bme: a file with the columns `ordtype;uid;is_buy;qty;price;timestamp`;
      sse, szse: a `.zip` or a folder with a file of orders and one of trades;
      bitstamp: a capture, `*.csv`, or `SAMPLE`;
      coinbase: a folder with a capture's three files, or `COINBASE_SAMPLE`;
      itch: a file of messages, `*.NASDAQ_ITCH50` or `*.itch`;
      databento: a file of the schema mbo, `*.dbn`.
      `synthetic-0`, with any seed, is a day of `data.synthetic`.
      The samples are fetched when they are not in the cache yet.
    format: one of `FORMATS`; by default it is told from the names of the files
      or their columns.
    **options: `instrument`, which of several, for sse, szse, itch and
      databento; `tick_size`, in the market's currency, for databento;
      `corrections`, False for the messages alone, for lobster.

  Raises:
    FileNotFoundError: if there is no such file.
    ImportError: if the extra that a reader needs is not installed.
    ValueError: if there is no such format, or it has no such option.
    events.DataError: if the file is broken, or its format cannot be told.
  """
  name = find_format(path, format)
  for option, value in options.items():
    if option not in _OPTIONS.get(name, ()):
      raise ValueError(f"{option} {value!r} is not for {name}")
  if name == _SYNTHETIC:
    return zero_intelligence.read_checked(str(path))
  return _reader(name).read_checked(find(path), **options)


def find_format(path: pathlib.Path | str, format: str | None = None) -> str:
  """Returns the format of a file or sample, `format` where that is given."""
  if format not in (None, *FORMATS):
    raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
  if str(path) in _SAMPLE_FORMATS:
    return _SAMPLE_FORMATS[str(path)]
  if _is_synthetic(path):
    return _SYNTHETIC
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise FileNotFoundError(
      f"{path}: no such file; give a file of one of the formats"
      f" {', '.join(FORMATS)}, {SAMPLE!r}, or"
      " 'synthetic-0'"
    )
  return format or _guess(path)


def instruments(
  path: pathlib.Path | str, *, format: str | None = None
) -> tuple[str | None, ...]:
  """Returns the instruments in a file; None for that of a file of one.

  Arguments and errors are those of `read_checked`.
  """
  name = find_format(path, format)
  if "instrument" not in _OPTIONS.get(name, ()):
    return (None,)
  return _reader(name).instruments(find(path))


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  *,
  format: str | None = None,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Splits a file of many instruments into ones of one each, in one pass.

  To read many instruments of a large file, split it first, if it is of one of
  the `SPLIT_FORMATS`: `read_checked` goes through all of it for each of them.

  Args:
    path: as `read_checked` takes it.
    folder: where to write the files.
    format: one of `FORMATS`; by default it is told as by `read_checked`.
    instruments: those to write; by default all.

  Returns:
    The paths of the files, folders of files for sse and szse; of another format
    `[path]`, which stays as it is.
    Errors are those of `read_checked`.
  """
  name, path = find_format(path, format), find(path)
  if name not in SPLIT_FORMATS:
    return [path]
  return _reader(name).split(path, folder, instruments=instruments)


def find(path: pathlib.Path | str) -> pathlib.Path:
  """Returns the path of a file, or of a sample once it is in the cache."""
  if str(path) in _SAMPLE_FORMATS:
    return getattr(samples, _SAMPLE_FORMATS[str(path)])()
  return pathlib.Path(path).expanduser()


def files(path: pathlib.Path | str) -> list[pathlib.Path]:
  """Returns all files that reading a path reads, a folder for those in it."""
  if _is_synthetic(path):
    return []
  path = find(path)
  if path.is_dir():
    return [path]
  name = compressed.plain_name(path)
  names = {name.replace(*pair) for pair in _BESIDE if pair[0] in name}
  paths = [
    path.with_name(other + suffix)
    for other in sorted(names)
    for suffix in ("", *compressed.SUFFIXES)
  ]
  return [path, *(other for other in paths if other.is_file())]


def _is_synthetic(path):
  """Tells whether a path is the name of a day that is simulated."""
  return str(path).startswith(f"{_SYNTHETIC}-")


def _guess(path):
  """Tells the format of an existing path."""
  files = compressed.members(path)
  is_single = len(files) == 1 and not path.is_dir()
  columns = _columns(files[0]) if is_single else set()
  found = {name for name in _COLUMNS if _COLUMNS[name] <= columns}
  if not found:
    names = [compressed.plain_name(file) for file in files]
    found = {f for f in _FILES for n in names if re.fullmatch(_FILES[f], n)}
  if len(found) == 1:
    return found.pop()
  what = "no known format"
  if found:
    what = f"it looks like {' and '.join(sorted(found))}"
  elif is_single and not columns:
    what = "empty file"
  reason = f"{what}; name its format, one of {', '.join(FORMATS)}"
  raise events.DataError(path, None, reason)


def _columns(file):
  """Returns the names in the header of a CSV file; none if it is empty."""
  with compressed.open_binary(file) as opened:
    line = opened.readline(1000).decode("utf-8-sig", errors="replace")
  return set(re.split("[,;]", line.strip())) if line else set()


def _reader(name):
  """Imports a reader; some need packages that are extras."""
  try:
    return importlib.import_module(f"mars_jax.feeds.{name}")
  except ModuleNotFoundError as error:
    if error.name not in _EXTRAS:
      raise
    package, extra = _EXTRAS[error.name]
    raise ImportError(
      f"{name} files need {package}: pip install 'mars-jax[{extra}]'"
    ) from error
