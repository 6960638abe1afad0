"""Atomic writes of files, and digests of their bytes."""

import collections.abc
import contextlib
import hashlib
import os
import pathlib
import tempfile
import uuid

PARTIAL = ".partial-"  # Begins the name of a file or folder in the making.


@contextlib.contextmanager
def replacing(
  path: pathlib.Path,
) -> collections.abc.Iterator[pathlib.Path]:
  """Yields a path to write, which then becomes `path`.

  So `path` is there whole or not at all; a write
  that fails leaves nothing.
  """
  partial = path.with_name(f"{PARTIAL}{path.name}.{uuid.uuid4().hex}")
  try:
    yield partial
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


def check_writable(path: pathlib.Path) -> None:
  """Makes and checks the folder of a file to write.

  Raises:
    OSError: if the folder cannot be made, nothing can be written in it, or
      `path` is a folder.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise IsADirectoryError(f"{path} is a folder; name a file")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
      pass
  except OSError as error:
    raise type(error)(
      f"{path} cannot be written: {error.strerror or error}; name another path"
    ) from error


def digest(*paths: pathlib.Path) -> str:
  """Returns the SHA-256 of files.

  Of several it is that of their names and digests. A folder stands for the
  files in it.
  """
  files = [f for path in paths for f in sorted(path.rglob("*")) or [path]]
  files = [file for file in files if file.is_file()]
  if len(files) == 1:
    with files[0].open("rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  text = "".join(f"{file.name} {digest(file)}\n" for file in files)
  return hashlib.sha256(text.encode()).hexdigest()
