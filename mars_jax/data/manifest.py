"""Manifest of a data set of prepared days.

A data set is a folder that `build` makes:
  manifest.json  what is in it, and how it was made; written last.
  bins.npz       the bins of each market, fitted on its training split alone.
  days/          the orders of each day, and a report (`day_report`).
  images/        the order images of each day, by minute (`tokens.image`).
  quarantine/    the reports of days that were quarantined.
"""

import dataclasses
import json
import pathlib

import numpy as np
from flax import traverse_util

from mars_jax.data import day_report
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.feeds import events
from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import image
from mars_jax.utils import files

VERSION = 3
SPLITS = ("train", "valid", "test")
MANIFEST, BINS, IMAGES = "manifest.json", "bins.npz", "images"


@dataclasses.dataclass(frozen=True)
class MarketBins:
  """The bins of one market.

  Attributes:
    tokenizers: {alphabet: bins} of the order model.
    image: of the order images.
  """

  tokenizers: dict[str, features.Tokenizer]
  image: image.ImageBins


@dataclasses.dataclass(frozen=True)
class DayEntry:
  """One instrument and day of a data set.

  Attributes:
    report: of its preparation.
    splits: {split: (first, last)}, its orders in `[first, last)`.
  """

  report: day_report.DayReport
  splits: dict[str, tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Manifest:
  """Contents of a data set, ready to train on.

  Attributes:
    folder: where it is.
    days: those that are good, by market, instrument and day.
    quarantined: the reports of the others, as far as they are still there.
    bins: {market: its bins}.
  """

  folder: pathlib.Path
  days: tuple[DayEntry, ...]
  quarantined: tuple[day_report.DayReport, ...]
  bins: dict[str, MarketBins]

  @property
  def markets(self) -> tuple[str, ...]:
    """The markets, sorted: the order of the tokenizers of batches."""
    return tuple(sorted({day.report.market for day in self.days}))

  def open(self, day: DayEntry) -> store.DayFile:
    """Opens the orders of a day."""
    return store.DayFile(self.folder / day.report.folder / day_report.ORDERS)

  def parts(self, split: str) -> list[windows_lib.Part]:
    """Returns the stretches of orders of a split."""
    return [
      windows_lib.Part(self.open(day), day.report.market, *day.splits[split])
      for day in self.days
      if split in day.splits
    ]

  def images(self, day: DayEntry) -> tuple[np.ndarray, np.ndarray]:
    """Returns the minutes of a day, `[M]`, and their images.

    Minutes count from midnight; the images are uint8 `[M, 3, 32, 32]`.
    """
    path = self.folder / IMAGES / f"{day.report.job}.npz"
    with np.load(path, allow_pickle=False) as arrays:
      return arrays["minute"], arrays["image"]


def load(folder: pathlib.Path | str) -> Manifest:
  """Opens a data set that `launch/prepare_data.py` has written.

  Raises:
    events.DataError: if there is none, or it is of another version.
  """
  folder = pathlib.Path(folder)
  path = folder / MANIFEST
  try:
    manifest = json.loads(path.read_text())
  except FileNotFoundError:
    reason = "no data set; make one with launch/prepare_data.py"
    raise events.DataError(path, None, reason) from None
  except ValueError as error:
    raise events.DataError(path, None, f"broken: {error}") from error
  if manifest.get("version") != VERSION:
    reason = f"version {manifest.get('version')}, but {VERSION} is read here"
    raise events.DataError(path, None, f"{reason}; prepare the data again")
  days = []
  for entry in manifest["days"]:
    report = day_report.load(folder / entry["folder"])
    if report is None:
      raise events.DataError(folder / entry["folder"], None, "no such day")
    splits = {name: tuple(rows) for name, rows in entry["splits"].items()}
    days.append(DayEntry(report, splits))
  bad = filter(
    None,
    (
      day_report.load(folder / entry["folder"])
      for entry in manifest["quarantined"]
    ),
  )
  return Manifest(folder, tuple(days), tuple(bad), _load_bins(folder / BINS))


def check(folder: pathlib.Path | str) -> None:
  """Raises events.DataError unless all files are those of the manifest."""
  folder = pathlib.Path(folder)
  manifest = json.loads((folder / MANIFEST).read_text())
  for name, wanted in manifest["sha256"].items():
    path = folder / name
    if not path.is_file() or files.digest(path) != wanted:
      raise events.DataError(path, None, "not the file of the manifest")


def _load_bins(path: pathlib.Path) -> dict[str, MarketBins]:
  try:
    with np.load(path, allow_pickle=False) as arrays:
      tree = traverse_util.unflatten_dict(dict(arrays), sep="/")
  except (OSError, ValueError) as error:
    raise events.DataError(path, None, str(error)) from error
  found = {}
  for market, parts in tree.items():
    fields = {
      part: {name: bins.Bins(**leaves) for name, leaves in named.items()}
      for part, named in parts.items()
    }
    images = image.ImageBins(**fields.pop("image"))
    found[market] = MarketBins(
      {
        alphabet: features.Tokenizer(**named, alphabet=alphabet)
        for alphabet, named in fields.items()
      },
      images,
    )
  return found
