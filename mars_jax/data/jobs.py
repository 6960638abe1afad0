"""What there is to prepare in files of a feed: a job an instrument and file."""

import collections.abc
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import tempfile

from mars_jax.data import readers

SPLIT = "split"  # Where the files of split files go.
PARTIAL = ".partial-"  # What a file or folder is called while it is written.


@dataclasses.dataclass(frozen=True)
class Job:
  """One instrument of one file.

  Attributes:
    path: as `readers.read_checked` takes it.
    format: one of `readers.FORMATS`, or None to tell it from the file.
    instrument: which one of a file of several; None for a file of one.
  """

  path: str
  format: str | None = None
  instrument: str | None = None

  @property
  def name(self) -> str:
    """The name of its folder: legible, and of this job alone."""
    digest = hashlib.sha256(repr(self).encode()).hexdigest()
    parts = [pathlib.PurePath(self.path).name, self.instrument or ""]
    words = [re.sub(r"[^\w.-]+", "-", part)[:80] for part in parts if part]
    return "_".join([*words, digest[:8]])


def find_jobs(
  paths: collections.abc.Iterable[str],
  out: pathlib.Path | str,
  *,
  format: str | None = None,
  instruments: collections.abc.Collection[str] = (),
) -> list[Job]:
  """Finds what there is to prepare.

  A file of a whole market (`readers.split`) is split first, in one pass, into a
  file an instrument below `out`, where a later run finds them.

  Args:
    paths: as `readers.read_checked` takes them.
    out: folder of the data set.
    format: of all of them; told from each if not given.
    instruments: which ones of files of several; all if empty.

  Raises:
    events.DataError: if the format of a file cannot be told, or it is broken.
    ValueError: if none of the instruments is in a file of several.
  """
  jobs = []
  for path in paths:
    name = readers.find_format(path, format)
    there = readers.instruments(path, format=name)
    wanted = [x for x in there if not instruments or x in (None, *instruments)]
    if not wanted:
      raise ValueError(
        f"{path} has the instruments {', '.join(there)}, none of"
        f" {', '.join(instruments)}"
      )
    if len(there) == 1:
      jobs.append(Job(str(path), name))
    elif name in readers.SPLIT_FORMATS:
      folder = _split(str(path), pathlib.Path(out), name, wanted)
      jobs += [Job(str(file), name) for file in sorted(folder.iterdir())]
    else:
      jobs += [Job(str(path), name, instrument) for instrument in wanted]
  return list(dict.fromkeys(jobs))  # A path may be named twice.


def _split(
  path: str, out: pathlib.Path, format: str, instruments: list[str]
) -> pathlib.Path:
  """Returns a folder with a file an instrument, which a kill leaves whole."""
  folder = out / SPLIT / Job(path, format, ",".join(instruments)).name
  if not folder.exists():
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PARTIAL) as own:
      partial = pathlib.Path(own) / folder.name
      partial.mkdir()
      readers.split(path, partial, format=format, instruments=instruments)
      os.rename(partial, folder)
  return folder


def clean(out: pathlib.Path | str) -> None:
  """Removes what runs that were killed have left unfinished."""
  for partial in pathlib.Path(out).glob(f"**/{PARTIAL}*"):
    if partial.is_dir():
      shutil.rmtree(partial, ignore_errors=True)
    else:
      partial.unlink(missing_ok=True)
