"""Finds the reader of a feed by the name of its file."""

import importlib
import pathlib

from mars_jax.data import events
from mars_jax.data import samples

SAMPLE = "bitstamp-sample"


def read(path: pathlib.Path | str) -> events.EventStream:
  """Reads the events of one instrument and day.

  Args:
    path: `SAMPLE` (fetched when it is not in the cache yet), a Bitstamp capture
      (`*.csv`, `*.csv.gz` with its columns), or LOBSTER files: the `.zip` of a
      sample, a folder with one message and one order-book file, or the message
      file, beside its order-book file.

  Raises:
    FileNotFoundError: if there is no such file.
    ImportError: if the extra `data` is not installed.
    events.DataError: if the file is broken.
  """
  if str(path) == SAMPLE:
    return _reader("bitstamp").read(samples.bitstamp())
  path = pathlib.Path(path).expanduser()
  if not path.exists():
    raise FileNotFoundError(
      f"{path}: no such file; give a LOBSTER or Bitstamp file, or {SAMPLE!r}"
    )
  is_lobster = path.is_dir() or path.suffix == ".zip" or "message" in path.name
  return _reader("lobster" if is_lobster else "bitstamp").read(path)


def _reader(name: str):
  """Imports a reader; they need polars, which is an extra."""
  try:
    return importlib.import_module(f"mars_jax.data.{name}")
  except ModuleNotFoundError as error:
    if error.name != "polars":
      raise
    raise ImportError(
      "reading market data needs polars: pip install 'mars-jax[data]'"
    ) from error
