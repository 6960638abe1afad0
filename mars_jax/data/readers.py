"""Finds the reader of a feed, by its name or by what its files look like."""

import gzip
import importlib
import pathlib
import re
import zipfile

from mars_jax.data import events
from mars_jax.data import samples

FORMATS = ("lobster", "bme", "sse", "bitstamp", "coinbase")
SAMPLE = "bitstamp-sample"
COINBASE_SAMPLE = "coinbase-sample"
_SAMPLE_FORMATS = {SAMPLE: "bitstamp", COINBASE_SAMPLE: "coinbase"}
_OPTIONS = {"sse": ("instrument",), "lobster": ("corrections",)}
# A file that tells the format by its name, alone, in its folder or in a zip.
_FILES = {
  "lobster": r"message[^/]*\.csv",
  "sse": r"(^|/)(entrust|SHorders)\.csv",
  "coinbase": r"beginning_level_3\.json",
}
# Columns that tell the format of a single file.
_COLUMNS = {
  "bme": {"ordtype", "uid", "is_buy", "qty", "timestamp"},
  "bitstamp": {"id", "exchange_timestamp", "action", "direction"},
}


def read(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> events.EventStream:
  """Returns the stream of `read_checked`, which see, alone."""
  return read_checked(path, format=format, **options)[0]


def read_checked(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> tuple[events.EventStream, events.Checks]:
  """Reads the events of one instrument and day, and what to check them by.

  Args:
    path: what the reader of the format takes:
      lobster: the `.zip` of a sample, a folder with one message and one
        order-book file, or the message file, beside its order-book file;
      bme: a file with the columns `ordtype;uid;is_buy;qty;price;timestamp`;
      sse: a `.zip` or a folder with a file of orders and one of trades;
      bitstamp: a capture, `*.csv` or `*.csv.gz`, or `SAMPLE`;
      coinbase: a folder with a capture's three files, or `COINBASE_SAMPLE`.
      The samples are fetched when they are not in the cache yet.
    format: one of `FORMATS`; by default it is told from the names of the files
      or their columns.
    **options: for sse `instrument`, which of several; for lobster
      `corrections`, False for the messages alone.

  Raises:
    FileNotFoundError: if there is no such file.
    ImportError: if the extra `data` is not installed.
    ValueError: if there is no such format, or it has no such option.
    events.DataError: if the file is broken, or its format cannot be told.
  """
  name = find_format(path, format)
  for option, value in options.items():
    if option not in _OPTIONS.get(name, ()):
      raise ValueError(f"{option} {value!r} is not for {name}")
  return _reader(name).read_checked(_fetch(path), **options)


def find_format(path: pathlib.Path | str, format: str | None = None) -> str:
  """Returns the format of a file or sample, `format` where that is given."""
  if format not in (None, *FORMATS):
    raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
  if str(path) in _SAMPLE_FORMATS:
    return _SAMPLE_FORMATS[str(path)]
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise FileNotFoundError(
      f"{path}: no such file; give a file of one of the formats"
      f" {', '.join(FORMATS)}, or {SAMPLE!r}"
    )
  return format or _guess(path)


def instruments(
  path: pathlib.Path | str, *, format: str | None = None
) -> tuple[str | None, ...]:
  """Returns the instruments in a file; None for that of a file of one."""
  name = find_format(path, format)
  return _reader(name).instruments(_fetch(path)) if name == "sse" else (None,)


def _fetch(path):
  """Returns the path of a file, or of a sample once it is in the cache."""
  if str(path) in _SAMPLE_FORMATS:
    return getattr(samples, _SAMPLE_FORMATS[str(path)])()
  return pathlib.Path(path).expanduser()


def _guess(path):
  """Tells the format of an existing path."""
  names = _names(path)
  for name, pattern in _FILES.items():
    if any(re.search(rf"{pattern}$", file) for file in names):
      return name
  columns = _columns(path)
  for name, expected in _COLUMNS.items():
    if expected <= columns:
      return name
  reason = f"no known format; name it, one of {', '.join(FORMATS)}"
  raise events.DataError(path, None, reason)


def _names(path):
  """Returns the names of the files of a folder or a zip, or of the file."""
  if path.is_dir():
    return [entry.name for entry in path.iterdir()]
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      return archive.namelist()
  return [path.name]


def _columns(path):
  """Returns the names in the header of a CSV file; none if it is no such."""
  if path.is_dir():
    return set()
  open_text = gzip.open if path.suffix == ".gz" else open
  try:
    with open_text(path, "rt", encoding="utf-8") as file:
      return set(re.split("[,;]", file.readline(1000).strip()))
  except (OSError, EOFError, UnicodeDecodeError):
    return set()


def _reader(name):
  """Imports a reader; they need polars, which is an extra."""
  try:
    return importlib.import_module(f"mars_jax.data.formats.{name}")
  except ModuleNotFoundError as error:
    if error.name != "polars":
      raise
    raise ImportError(
      "reading market data needs polars: pip install 'mars-jax[data]'"
    ) from error
