"""Free samples of real markets, from the Python Package Index.

  bitstamp  the wheel of `ob-analytics` 0.1.0 (GPL-2.0-or-later): 30 minutes of
    every order of Bitstamp's BTC/USD market, 2026-05-02 02:36-03:06 UTC, and
    the exchange's trades. The demo runs on it.
  coinbase  the source distribution of `orderbookmdp` 0.1.2 (MIT): ten minutes
    of the full channel of Coinbase's BTC-USD market, 2018-07-13 20:47-20:56
    UTC, with the whole book before and after.

A package is downloaded by pip, which checks it against the hash pinned here
before it looks inside, and only the samples are kept, in the user's cache.
Nothing is installed. Nothing of a wheel is run; for a source distribution pip
runs its `setup.py egg_info` in an isolated environment, to learn its metadata.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

from mars_jax.feeds import events
from mars_jax.utils import files


@dataclasses.dataclass(frozen=True)
class _Package:
  """A package, and its files of the sample."""

  market: str
  requirement: str
  archive: str  # File name of the wheel or source distribution.
  sha256: str
  inside: str  # Folder of the files in the archive.
  files: tuple[str, ...]
  folder: str  # In the cache.


_BITSTAMP = _Package(
  market="Bitstamp",
  requirement="ob-analytics==0.1.0",
  archive="ob_analytics-0.1.0-py3-none-any.whl",
  sha256="0326a93aaee4ea08356d8dea59868d68592623a2434bbe4d9be379fa855c9c62",
  inside="ob_analytics/_sample_data",
  files=("orders.csv.gz", "trades.csv"),
  folder="bitstamp_2026-05-02",
)
_COINBASE = _Package(
  market="Coinbase",
  requirement="orderbookmdp==0.1.2",
  archive="orderbookmdp-0.1.2.tar.gz",
  sha256="b873b5b648e6fd86def81f919f694d891156e17eae3685a10ab6ba818a2b9ef5",
  inside="orderbookmdp-0.1.2/tests/testdata",
  files=("beginning_level_3.json", "messages.json", "ending_level_3.json"),
  folder="coinbase_2018-07-13",
)


def cache_dir() -> pathlib.Path:
  """Returns `$MARS_JAX_CACHE`, or else the user's cache folder."""
  if folder := os.environ.get("MARS_JAX_CACHE"):
    return pathlib.Path(folder)
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "mars_jax"


def bitstamp() -> pathlib.Path:
  """Returns the path of the sample's `orders.csv.gz`; may fetch it.

  Its neighbour `trades.csv` holds the exchange's trades, to check against.

  Raises:
    events.DataError: if the download is not the file that was pinned.
    ConnectionError: if pip cannot download it, or finds that it is not the file
      that was pinned; says what to do instead.
  """
  return _fetch(_BITSTAMP) / _BITSTAMP.files[0]


def coinbase() -> pathlib.Path:
  """Returns the folder of the sample; may fetch it.

  Raises as `bitstamp` does.
  """
  return _fetch(_COINBASE)


def _fetch(package: _Package) -> pathlib.Path:
  """Returns the folder of a sample, fetched if necessary."""
  folder = cache_dir() / package.folder
  if not all((folder / name).exists() for name in package.files):
    folder.mkdir(parents=True, exist_ok=True)
    # Of its own, since other processes may be fetching the sample as well.
    with tempfile.TemporaryDirectory(dir=folder) as own:
      archive = pathlib.Path(own) / package.archive
      _download(package, archive.parent)
      if hashlib.sha256(archive.read_bytes()).hexdigest() != package.sha256:
        raise events.DataError(archive, None, "not the file that was pinned")
      _extract(package, archive, folder)
  return folder


def _download(package: _Package, folder: pathlib.Path) -> None:
  """Has pip put the archive into the folder."""
  is_wheel = package.archive.endswith(".whl")
  name, _ = package.requirement.split("==")
  pinned = folder / "requirements.txt"
  pinned.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
  command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
  command += ["--only-binary" if is_wheel else "--no-binary", name]
  command += ["--require-hashes", "--requirement", pinned, "--dest", folder]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise ConnectionError(
      f"could not download the {package.market} sample ({package.requirement})"
      " with pip; check the network, or name a file of your own with --data."
      f" pip said: {done.stderr.strip()}"
    )


def _extract(
  package: _Package, archive: pathlib.Path, folder: pathlib.Path
) -> None:
  """Extracts the files, each whole or not at all."""
  is_wheel = archive.suffix == ".whl"
  opened = zipfile.ZipFile(archive) if is_wheel else tarfile.open(archive)
  with opened as members:
    read = members.open if is_wheel else members.extractfile
    for name in package.files:
      member = f"{package.inside}/{name}"
      with (
        read(member) as source,
        files.replacing(folder / name) as partial,
        partial.open("wb") as target,
      ):
        shutil.copyfileobj(source, target)
