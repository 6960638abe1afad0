"""Opens plain and compressed files: gz, bz2, xz, zst, zip.

The first bytes of a file decide what it is, not its name. It is decompressed
as it is read, so that a file larger than memory streams. A zip of one file
stands for that file; one of several is like a folder of them.
"""

import bz2
import collections.abc
import contextlib
import gzip
import io
import lzma
import pathlib
import shutil
import tempfile
import typing
import zipfile
import zlib

from mars_jax.feeds import events
from mars_jax.utils.compression import zstd

File = pathlib.Path | zipfile.Path
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")  # That may follow a file's.
_OPENERS = {
  b"\x1f\x8b": gzip.open,
  b"BZh": bz2.open,
  b"\xfd7zXZ\x00": lzma.open,
  b"\x28\xb5\x2f\xfd": zstd.open,
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # Of files, of none.
_BROKEN = (
  *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
  RuntimeError,  # Of zipfile: encrypted, or compressed in an unknown way.
  zstd.ZstdError,
)
_BUFFER_SIZE = 2**18


@contextlib.contextmanager
def open_binary(
  path: File | str,
) -> collections.abc.Iterator[typing.BinaryIO]:
  """Opens a file to read it once through, decompressed.

  Args:
    path: a file, or one in a zip; a zip of one file stands for that file.

  Raises:
    events.DataError: if there is no such file, or, also later as it is read,
      if it is broken or cut off.
  """
  path = resolve(path)
  with contextlib.ExitStack() as stack:
    with _located(path):
      raw = stack.enter_context(path.open("rb"))
      if opener := _opener(raw.peek(8)):
        raw = stack.enter_context(opener(raw, "rb"))
    source = io.BufferedReader(_Source(path, raw), _BUFFER_SIZE)
    yield stack.enter_context(source)


def read(path: File | str) -> bytes:
  """Returns all of a file, decompressed; raises as `open_binary` does."""
  with open_binary(path) as file:
    return file.read()


@contextlib.contextmanager
def extracted(path: File | str) -> collections.abc.Iterator[pathlib.Path]:
  """Gives an uncompressed file on disk for a parser.

  A plain file is given as it is; another is decompressed to a file in the
  folder of temporary ones (`TMPDIR`), which is removed afterwards. It is never
  in memory as a whole. Raises as `open_binary` does.
  """
  path = resolve(path)
  if isinstance(path, pathlib.Path) and not _opener(_first_bytes(path)):
    yield path
    return
  with tempfile.NamedTemporaryFile() as target:
    with open_binary(path) as source:
      shutil.copyfileobj(source, target, _BUFFER_SIZE)
    target.flush()
    yield pathlib.Path(target.name)


def is_zip(path: pathlib.Path) -> bool:
  """Returns whether a file is a zip, even cut off.

  Raises:
    events.DataError: if there is no such file.
  """
  start = _first_bytes(path)[:4]
  return bool(start) and any(magic.startswith(start) for magic in _ZIP)


def members(path: pathlib.Path) -> list[File]:
  """Returns the files in a folder or zip, else `path`.

  Raises:
    events.DataError: if there is no such file, or it is a broken zip.
  """
  if path.is_dir():
    return [entry for entry in sorted(path.iterdir()) if entry.is_file()]
  if not is_zip(path):
    return [path]
  try:
    archive = zipfile.ZipFile(path)
  except (zipfile.BadZipFile, OSError) as error:
    reason = f"no zip file, or one that is cut off: {error}"
    raise events.DataError(path, None, reason) from error
  return [
    zipfile.Path(archive, name)
    for name in archive.namelist()
    if not name.endswith("/") and not name.startswith("__MACOSX/")
  ]


def resolve(path: File | str) -> File:
  """Returns the only file of a zip, or else `path`.

  Raises:
    events.DataError: if there is no such file, or it is a zip that is broken or
      has not one file.
  """
  path = pathlib.Path(path) if isinstance(path, str) else path
  if isinstance(path, zipfile.Path) or path.is_dir() or not is_zip(path):
    return path
  files = members(path)
  if len(files) != 1:
    reason = f"the zip has {len(files)} files; extract it and name one"
    raise events.DataError(path, None, reason)
  return files[0]


def find(path: pathlib.Path, name: str) -> File | None:
  """Returns the file of a plain name, None if absent.

  `path` is a folder, a zip or the file itself. A plain name has no suffix of
  compression.

  Raises:
    events.DataError: if there are several, say plain and compressed, or `path`
      is none of them or a broken zip.
  """
  found = [file for file in members(path) if plain_name(file) == name]
  if len(found) > 1:
    raise events.DataError(path, None, f"there are several {name}")
  return found[0] if found else None


def plain_name(path: File) -> str:
  """Returns a name without what compression adds: `a.csv.gz` is `a.csv`."""
  name = path.name
  for suffix in SUFFIXES:
    name = name.removesuffix(suffix)
  return name


def stem(path: File) -> str:
  """Returns a name without its suffixes: `a.csv.gz` is `a`."""
  return pathlib.PurePath(plain_name(path)).stem


class _Source(io.RawIOBase):
  """An open file that raises DataError where it is broken."""

  def __init__(self, path: File, file: typing.BinaryIO):
    self._path = path
    self._file = file

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    with _located(self._path):
      return self._file.readinto(buffer)

  def readall(self) -> bytes:
    with _located(self._path):
      return self._file.read()


@contextlib.contextmanager
def _located(path: File) -> collections.abc.Iterator[None]:
  """Raises DataError, in a line, for errors of a file."""
  try:
    yield
  except FileNotFoundError as error:
    raise events.DataError(path, None, "no such file") from error
  except IsADirectoryError as error:
    raise events.DataError(path, None, "a folder, not a file") from error
  except _BROKEN as error:
    text = str(error).split("\n")[0]
    reason = f"cannot be read, broken or cut off: {text}"
    raise events.DataError(path, None, reason) from error


def _first_bytes(path: pathlib.Path) -> bytes:
  with _located(path), path.open("rb") as file:
    return file.read(8)


def _opener(start: bytes) -> collections.abc.Callable | None:
  """Returns the opener for some first bytes; None if plain."""
  for magic, opener in _OPENERS.items():
    if start.startswith(magic):
      return opener
  return None
