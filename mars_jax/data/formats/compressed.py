"""Opens a file as it is, plain or compressed: gz, bz2, xz, zst, or in a zip.

What a file is is told by its first bytes, not by its name. It is decompressed
as it is read, so that a file larger than memory streams.
"""

import bz2
import collections.abc
import contextlib
import gzip
import io
import lzma
import pathlib
import shutil
import sys
import tempfile
import typing
import zipfile
import zlib

from mars_jax.data import events

if sys.version_info >= (3, 14):
  from compression import zstd
else:
  from backports import zstd

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")  # That may follow a file's own.
_OPENERS = {
  b"\x1f\x8b": gzip.open,
  b"BZh": bz2.open,
  b"\xfd7zXZ\x00": lzma.open,
  b"\x28\xb5\x2f\xfd": zstd.open,
}
_BROKEN = (
  *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
  zstd.ZstdError,
)
File = pathlib.Path | zipfile.Path


@contextlib.contextmanager
def open_binary(
  path: File | str,
) -> collections.abc.Iterator[typing.BinaryIO]:
  """Opens a file to be read from its start to its end, decompressed.

  Args:
    path: a file, or one in a zip; a zip of one file stands for that file.

  Raises:
    events.DataError: if there is no such file, or, also later as it is read,
      if it is broken or cut off.
  """
  path = pathlib.Path(path) if isinstance(path, str) else path
  try:
    with contextlib.ExitStack() as stack:
      if isinstance(path, pathlib.Path) and zipfile.is_zipfile(path):
        path = _only_member(path)
      raw = stack.enter_context(path.open("rb"))
      start = raw.read(8)
      raw.seek(0)
      for magic, opener in _OPENERS.items():
        if start.startswith(magic):
          raw = stack.enter_context(opener(raw, "rb"))
      yield raw
  except _BROKEN as error:
    raise events.DataError(path, None, _reason(error)) from error


def read(path: File | str) -> bytes:
  """Returns all of a file, decompressed; raises as `open_binary` does."""
  with open_binary(path) as file:
    return file.read()


@contextlib.contextmanager
def extracted(path: File | str) -> collections.abc.Iterator[pathlib.Path]:
  """Gives a file on disk, uncompressed, for a parser that wants to scan one.

  A plain file is given as it is; another is decompressed to a temporary file,
  without being in memory as a whole. Raises as `open_binary` does.
  """
  with open_binary(path) as source:
    if isinstance(source, io.BufferedReader) and isinstance(
      source.raw, io.FileIO
    ):
      yield pathlib.Path(source.name)
      return
    with tempfile.NamedTemporaryFile(suffix=".csv") as target:
      shutil.copyfileobj(source, target, 2**20)
      target.flush()
      yield pathlib.Path(target.name)


def stem(path: pathlib.Path) -> str:
  """Returns the name of a file without its endings: `a.csv.gz` is `a`."""
  name = path.name
  for suffix in SUFFIXES:
    name = name.removesuffix(suffix)
  return pathlib.PurePath(name).stem


def _only_member(path: pathlib.Path) -> zipfile.Path:
  archive = zipfile.ZipFile(path)
  names = [name for name in archive.namelist() if not name.endswith("/")]
  if len(names) != 1:
    reason = f"the zip has {len(names)} files; extract it and name one"
    raise events.DataError(path, None, reason)
  return zipfile.Path(archive, names[0])


def _reason(error: Exception) -> str:
  """Says what is wrong with a file, in a line."""
  if isinstance(error, FileNotFoundError):
    return "no such file"
  text = str(error).split("\n")[0]
  return f"cannot be read, broken or cut off: {text}"
