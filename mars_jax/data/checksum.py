"""Tells whether files are the same."""

import hashlib
import pathlib


def digest(*paths: pathlib.Path) -> str:
  """Returns the SHA-256 of a file, or of names and digests of several.

  A folder stands for the files in it.
  """
  files = [f for path in paths for f in sorted(path.rglob("*")) or [path]]
  files = [file for file in files if file.is_file()]
  if len(files) == 1:
    with files[0].open("rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest()
  text = "".join(f"{file.name} {digest(file)}\n" for file in files)
  return hashlib.sha256(text.encode()).hexdigest()
