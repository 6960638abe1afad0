"""Descriptors of the formats, and reading by them."""

import collections.abc
import contextlib
import dataclasses
import importlib
import pathlib
import re
import types

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from mars_jax.feeds import looks

SAMPLE = "bitstamp-sample"  # The data of the demo and the notebooks.
_formats = {}
FORMATS = types.MappingProxyType(_formats)
"""`Format` by name, read-only; `register` adds to it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
  """One feed: its reader, and the looks of its files.

  A file is recognised by the names in its header (`columns`) or else by its own
  name (`file_pattern`), in a folder or a zip also by that of one file in it.

  Attributes:
    name: what `format` is called in `read`.
    read: `(path, **options)` to the stream and the ground truth.
    instruments: path to the names of the instruments; None if a file has one.
    split: `(path, folder, *, instruments)` to the paths of files of a single
      instrument each; None if a file stays as it is.
    days: path to the names of the days; None if a file has one. With several,
      `read` takes one of them as `day`.
    options: the keyword arguments of `read`.
    file_pattern: regular expression of a file's whole name, without the suffix
      of compression.
    columns: names in the header of a CSV file, separated by comma or semicolon.
    beside: pairs of words; a file that has the first in its name is read along
      with the file of the same name but for the second.
    samples: {name to read by: fetches its files and returns their path}.
    prefix: start of the names that are read without any file.
    extra: of this package, with what the reader imports.
  """

  name: str
  read: collections.abc.Callable
  instruments: collections.abc.Callable | None = None
  split: collections.abc.Callable | None = None
  days: collections.abc.Callable | None = None
  options: tuple[str, ...] = ()
  file_pattern: str | None = None
  columns: frozenset[str] = frozenset()
  beside: tuple[tuple[str, str], ...] = ()
  samples: collections.abc.Mapping[str, collections.abc.Callable] = (
    dataclasses.field(default_factory=dict)
  )
  prefix: str | None = None
  extra: str | None = None


def register(format: Format) -> None:
  """Adds a format, or replaces one of that name."""
  _formats[format.name] = format


def deferred(name: str) -> collections.abc.Callable:
  """Returns a function that is imported when it is called.

  So a descriptor is loaded without the packages that its reader needs.

  Args:
    name: full name of the function, with its module.
  """
  module, _, function = name.rpartition(".")

  def call(*args, **kwargs):
    return getattr(importlib.import_module(module), function)(*args, **kwargs)

  return call


def read(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> events.EventStream:
  """Reads the events of one instrument and day; see `read_checked`."""
  return read_checked(path, format=format, **options)[0]


def read_checked(
  path: pathlib.Path | str, *, format: str | None = None, **options
) -> tuple[events.EventStream, events.GroundTruth]:
  """Reads one instrument and day, with the exchange's ground truth.

  Args:
    path: what the reader of the format takes, each file plain or compressed
      (gz, bz2, xz, zst, or a zip of it):
      lobster: the `.zip` of a sample, a folder with one message and one
        order-book file, or the message file, beside its order-book file;
      bme: a file with the columns `ordtype;uid;is_buy;qty;price;timestamp`;
      sse, szse: a `.zip` or a folder with a file of orders and one of trades;
      bitstamp: a capture, `*.csv`, or "bitstamp-sample" (`SAMPLE`);
      coinbase: a folder with a capture's three files, or "coinbase-sample";
      itch: a file of messages, `*.NASDAQ_ITCH50` or `*.itch`;
      databento: a file of the schema mbo, `*.dbn`;
      synthetic: "synthetic-0", with any seed: a simulated day.
      The samples are fetched when they are not in the cache yet.
    format: a name of `FORMATS`; by default it is detected from the names of the
      files or their columns.
    **options: `instrument`, to pick one of several, for sse, szse, itch and
      databento; `day`, to pick one of several (`days`), for bitstamp and
      coinbase; `tick_size`, in the market's currency, for databento,
      bitstamp, coinbase and itch;
      `corrections`, False for the messages alone, and `book_path`, of the
      order-book file of a message file, for lobster.

  Raises:
    FileNotFoundError: if there is no such file.
    ImportError: if the extra that a reader needs is not installed.
    ValueError: if there is no such format, or it has no such option.
    events.DataError: if the file is broken, or its format is not recognised.
  """
  found = FORMATS[find_format(path, format)]
  for option, value in options.items():
    if option not in found.options:
      raise ValueError(f"{option} {value!r} is not for {found.name}")
  with _explained(found):
    return found.read(find(path), **options)


def find_format(path: pathlib.Path | str, format: str | None = None) -> str:
  """Returns the name of a path's format, `format` where given."""
  if format not in (None, *FORMATS):
    raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
  if named := _by_name(path):
    return named.name
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    names = [repr(name) for found in FORMATS.values() for name in found.samples]
    names += [f"'{f.prefix}0'" for f in FORMATS.values() if f.prefix]
    raise FileNotFoundError(
      f"{path}: no such file; give a file of one of the formats"
      f" {', '.join(FORMATS)}, or {', '.join(names)}"
    )
  return format or _guess(path)


def instruments(
  path: pathlib.Path | str, *, format: str | None = None
) -> tuple[str | None, ...]:
  """Returns the instruments in a file, `(None,)` if single.

  Arguments and errors are those of `read_checked`.
  """
  found = FORMATS[find_format(path, format)]
  if found.instruments is None:
    return (None,)
  with _explained(found):
    return found.instruments(find(path))


def days(
  path: pathlib.Path | str, *, format: str | None = None
) -> tuple[str | None, ...]:
  """Returns the days in a file, `(None,)` if single.

  Arguments and errors are those of `read_checked`.
  """
  found = FORMATS[find_format(path, format)]
  if found.days is None:
    return (None,)
  with _explained(found):
    there = found.days(find(path))
  return there if len(there) > 1 else (None,)


def split(
  path: pathlib.Path | str,
  folder: pathlib.Path | str,
  *,
  format: str | None = None,
  instruments: collections.abc.Collection[str] | None = None,
) -> list[pathlib.Path]:
  """Splits a file by instrument, in one pass.

  To read many instruments of a large file, split it first, if its format has
  `Format.split`: `read_checked` goes through all of it for each of them.

  Args:
    path: as `read_checked` takes it.
    folder: where to write the files.
    format: a name of `FORMATS`; detected by default, as in `read_checked`.
    instruments: those to write; by default all.

  Returns:
    The paths of the files, folders of files for sse and szse; of another format
    `[path]`, which stays as it is.
    Errors are those of `read_checked`.
  """
  found, path = FORMATS[find_format(path, format)], find(path)
  if found.split is None:
    return [path]
  with _explained(found):
    return found.split(path, folder, instruments=instruments)


def find(path: pathlib.Path | str) -> pathlib.Path:
  """Returns the path of a file or cached sample.

  A sample is fetched if it is not in the cache. A folder with one file stands
  for that file.
  """
  named = _by_name(path)
  if named is None:
    path = pathlib.Path(path).expanduser()
    there = list(path.iterdir()) if path.is_dir() else []
    return there[0] if len(there) == 1 and there[0].is_file() else path
  fetch = named.samples.get(str(path))
  return fetch() if fetch else pathlib.Path(path)


def files(path: pathlib.Path | str) -> list[pathlib.Path]:
  """Returns all files that reading a path reads.

  A folder stands for the files in it; a simulated day has none.
  """
  named = _by_name(path)
  if named and str(path) not in named.samples:
    return []
  path = find(path)
  if path.is_dir():
    return [path]
  name = compressed.plain_name(path)
  pairs = [pair for found in FORMATS.values() for pair in found.beside]
  names = {name.replace(*pair) for pair in pairs if pair[0] in name}
  paths = [
    path.with_name(other + suffix)
    for other in sorted(names)
    for suffix in ("", *compressed.SUFFIXES)
  ]
  return [path, *(other for other in paths if other.is_file())]


def _by_name(path) -> Format | None:
  """Returns the format of a sample or simulated day."""
  name = str(path)
  for found in FORMATS.values():
    if name in found.samples:
      return found
    if found.prefix and name.startswith(found.prefix):
      return found
  return None


def _guess(path: pathlib.Path) -> str:
  """Returns the format of a file by its looks."""
  files = compressed.members(path)
  is_single = len(files) == 1
  columns = _columns(files[0]) if is_single else set()
  known = FORMATS.values()
  found = [f.name for f in known if f.columns and f.columns <= columns]
  if not found:
    names = [compressed.plain_name(file) for file in files]
    found = [f.name for f in known if f.file_pattern and _has(names, f)]
  if len(found) == 1:
    return found[0]
  what = "no known format"
  if found:
    what = f"it looks like {' and '.join(found)}"
  elif is_single:
    look = looks.describe(files[0])
    what = f"{what}: {look}" if look else "empty file"
  elif files:
    what = f"{what} with the files {looks.listed(names)}"
  reason = f"{what}; name its format if it is one of {', '.join(FORMATS)}"
  raise events.DataError(path, None, reason)


def _has(names: list[str], format: Format) -> bool:
  """Returns whether any name matches a format's files."""
  return any(re.fullmatch(format.file_pattern, name) for name in names)


def _columns(file: compressed.File) -> set[str]:
  """Returns the names in the header of a CSV file.

  Without quotation marks, and with the underscores that R writes as dots.
  """
  with compressed.open_binary(file) as opened:
    line = opened.readline(1000).decode("utf-8-sig", errors="replace")
  names = re.split("[,;]", line.strip()) if line else []
  return {name.strip('"').replace(".", "_") for name in names}


@contextlib.contextmanager
def _explained(format: Format) -> collections.abc.Iterator[None]:
  """Raises ImportError with the extra that a reader lacks."""
  try:
    yield
  except ModuleNotFoundError as error:
    if format.extra is None or str(error.name).startswith("mars_jax"):
      raise
    package = error.name.replace("_", "-")
    raise ImportError(
      f"{format.name} files need {package}:"
      f" pip install 'mars-jax[{format.extra}]'"
    ) from error
