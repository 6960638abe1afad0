"""Jobs of preparation: one an instrument and day."""

import collections.abc
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
import re
import shutil
import tempfile

from mars_jax.feeds import registry
from mars_jax.utils import files

SPLIT = "split"  # Where the files of split files go.


@dataclasses.dataclass(frozen=True)
class Job:
  """One instrument and day of one file.

  Attributes:
    path: as `registry.read_checked` takes it.
    format: one of `registry.FORMATS`, or None to tell it from the file.
    instrument: which one of a file of several; None for a file of one.
    day: the same.
  """

  path: str
  format: str | None = None
  instrument: str | None = None
  day: str | None = dataclasses.field(default=None, repr=False)

  @property
  def name(self) -> str:
    """Name of its folder: legible, and unique to the job."""
    own = f"{self!r}{self.day or ''}"
    digest = hashlib.sha256(own.encode()).hexdigest()
    parts = [pathlib.PurePath(self.path).name, self.instrument, self.day]
    words = [re.sub(r"[^\w.-]+", "-", part)[:80] for part in parts if part]
    return "_".join([*words, digest[:8]])


def find_jobs(
  paths: collections.abc.Iterable[str],
  out: pathlib.Path | str,
  *,
  executor: concurrent.futures.Executor,
  format: str | None = None,
  instruments: collections.abc.Collection[str] = (),
) -> list[Job]:
  """Finds the jobs in files.

  A file of many instruments is split first where it can be (`registry.split`),
  in one pass, to below `out`, where a later run finds the parts.

  Args:
    paths: as `registry.read_checked` takes them.
    out: folder of the data set.
    executor: looks at the paths, each a task.
    format: of all of them; told from each if not given.
    instruments: which ones of files of several; all if empty.

  Raises:
    events.DataError: if the format of a file cannot be told, or it is broken.
    ValueError: if none of the instruments is in a file of several.
  """
  task = functools.partial(
    _find, out=str(out), format=format, instruments=tuple(instruments)
  )
  found = executor.map(task, [str(path) for path in paths])
  # A path may be named twice.
  return list(dict.fromkeys(itertools.chain.from_iterable(found)))


def _find(path, *, out, format, instruments):
  """Returns the jobs of a path."""
  name = registry.find_format(path, format)
  there = registry.instruments(path, format=name)
  wanted = [x for x in there if not instruments or x in (None, *instruments)]
  if not wanted:
    raise ValueError(
      f"{path} has the instruments {', '.join(there)}, none of"
      f" {', '.join(instruments)}"
    )
  if len(there) == 1:
    days = registry.days(path, format=name)
    return [Job(path, name, day=day) for day in days]
  folder = _split(path, pathlib.Path(out), name, wanted)
  return [Job(str(part), name) for part in sorted(folder.iterdir())]


def _split(
  path: str, out: pathlib.Path, format: str, instruments: list[str]
) -> pathlib.Path:
  """Returns a folder with one part an instrument, made atomically."""
  # A name of its own for each content of the file.
  parts = [*instruments, files.digest(*registry.files(path))]
  folder = out / SPLIT / Job(path, format, " ".join(parts)).name
  if not folder.exists():
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      dir=folder.parent, prefix=files.PARTIAL
    ) as own:
      partial = pathlib.Path(own) / folder.name
      partial.mkdir()
      registry.split(path, partial, format=format, instruments=instruments)
      os.rename(partial, folder)
  return folder


def clean(out: pathlib.Path | str) -> None:
  """Removes unfinished files of runs that were killed."""
  for partial in pathlib.Path(out).glob(f"**/{files.PARTIAL}*"):
    if partial.is_dir():
      shutil.rmtree(partial, ignore_errors=True)
    else:
      partial.unlink(missing_ok=True)
