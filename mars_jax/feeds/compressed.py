"""Opens a file as it is, plain or compressed: gz, bz2, xz, zst, or in a zip.

What a file is is told by its first bytes, not by its name. It is decompressed
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
import sys
import tempfile
import typing
import zipfile
import zlib

from mars_jax.feeds import events

try:
  if sys.version_info >= (3, 14):
    from compression import zstd
  else:
    from backports import zstd
except ImportError:
  zstd = None

File = pathlib.Path | zipfile.Path
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")  # That may follow a file's.
_ZST = b"\x28\xb5\x2f\xfd"
_OPENERS = {
  b"\x1f\x8b": gzip.open,
  b"BZh": bz2.open,
  b"\xfd7zXZ\x00": lzma.open,
  _ZST: zstd and zstd.open,
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # Of files, of none.
_BROKEN = (
  *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
  RuntimeError,  # Of zipfile: encrypted, or compressed in an unknown way.
  *([zstd.ZstdError] if zstd else []),
)
_BUFFER_SIZE = 2**18


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
    ImportError: if it is a zst, and the extra `data` is not installed.
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
  """Gives a file on disk, uncompressed, for a parser that wants to scan one.

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
  """Tells whether a file is a zip, be it cut off; raises if there is none."""
  start = _first_bytes(path)[:4]
  return bool(start) and any(magic.startswith(start) for magic in _ZIP)


def members(path: pathlib.Path) -> list[File]:
  """Returns the files of a folder or of a zip, or else the file itself.

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
  """Returns the only file of a zip, or else the file itself.

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
  """Returns a file of a folder or zip by its plain name, None if absent.

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
  """Returns the name of a file without its endings: `a.csv.gz` is `a`."""
  return pathlib.PurePath(plain_name(path)).stem


class _Source(io.RawIOBase):
  """An open file, of which what is broken is a DataError."""

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
  """Turns what is wrong with a file into a DataError, in a line."""
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
  """Returns what decompresses a file that starts so; None if it is plain."""
  for magic, opener in _OPENERS.items():
    if start.startswith(magic):
      if opener is None:
        raise ImportError(
          "zst files need backports.zstd: pip install 'mars-jax[data]'"
        )
      return opener
  return None
