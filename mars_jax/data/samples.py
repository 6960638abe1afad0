"""Fetches the free sample of a real market that the demo runs on.

The wheel of `ob-analytics` 0.1.0 (GPL-2.0-or-later) on the Python Package Index
holds 30 minutes of every order of Bitstamp's BTC/USD market, 2026-05-02
02:36-03:06 UTC, and the exchange's trades. It is downloaded by pip, checked,
and kept in the user's cache; nothing of it is installed or run.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

from mars_jax.data import events

_WHEEL = "ob_analytics-0.1.0-py3-none-any.whl"
_SHA256 = "0326a93aaee4ea08356d8dea59868d68592623a2434bbe4d9be379fa855c9c62"
_FOLDER = "ob_analytics/_sample_data"
BITSTAMP_FILES = ("orders.csv.gz", "trades.csv")


def cache_dir() -> pathlib.Path:
  """Returns `$MARS_JAX_CACHE`, or else the user's cache folder."""
  if folder := os.environ.get("MARS_JAX_CACHE"):
    return pathlib.Path(folder)
  base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  return pathlib.Path(base) / "mars_jax"


def bitstamp() -> pathlib.Path:
  """Returns the path of the sample's `orders.csv.gz`, fetched if need be.

  Its neighbour `trades.csv` holds the exchange's trades, to check against.

  Raises:
    events.DataError: if the download is not the file that was pinned.
    ConnectionError: if it cannot be downloaded; says what to do instead.
  """
  folder = cache_dir() / "bitstamp_2026-05-02"
  if not all((folder / name).exists() for name in BITSTAMP_FILES):
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / _WHEEL
    if not wheel.exists():
      _download(folder)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256:
      wheel.unlink()
      raise events.DataError(wheel, None, "not the file that was pinned")
    with zipfile.ZipFile(wheel) as archive:
      for name in BITSTAMP_FILES:
        _extract(archive, f"{_FOLDER}/{name}", folder / name)
    wheel.unlink()
  return folder / BITSTAMP_FILES[0]


def _download(folder: pathlib.Path) -> None:
  """Has pip put the wheel into the folder."""
  command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
  command += ["--only-binary=:all:", "--dest", folder, "ob-analytics==0.1.0"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise ConnectionError(
      "could not download the Bitstamp sample (ob-analytics 0.1.0) with pip;"
      " check the network, or name a file of your own with --data."
      f" pip said: {done.stderr.strip()}"
    )


def _extract(archive: zipfile.ZipFile, member: str, path: pathlib.Path) -> None:
  """Writes one member, whole or not at all."""
  partial = path.with_name(path.name + ".part")
  with archive.open(member) as source, open(partial, "wb") as target:
    shutil.copyfileobj(source, target)
  os.replace(partial, path)
