"""Tests of fetching the sample, with a download that is made up."""

import hashlib
import io
import pathlib
import subprocess
import types
import zipfile

import pytest

from mars_jax.data import events
from mars_jax.data import samples

CONTENT = {name: f"content of {name}" for name in samples.BITSTAMP_FILES}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """An empty cache."""
  monkeypatch.setenv("MARS_JAX_CACHE", str(tmp_path))
  return tmp_path


@pytest.fixture
def downloads(monkeypatch):
  """Replaces pip by a wheel made here; lists the folders that it went to."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    for name, text in CONTENT.items():
      archive.writestr(f"ob_analytics/_sample_data/{name}", text)
    archive.writestr("ob_analytics/code.py", "raise SystemExit")
  wheel = buffer.getvalue()
  folders = []

  def download(folder):
    folders.append(folder)
    (folder / samples._WHEEL).write_bytes(wheel)

  monkeypatch.setattr(samples, "_download", download)
  monkeypatch.setattr(samples, "_SHA256", hashlib.sha256(wheel).hexdigest())
  return folders


def test_sample_is_downloaded_once_and_only_its_files_are_kept(
  cache, downloads
):
  path = samples.bitstamp()
  assert samples.bitstamp() == path
  assert downloads == [path.parent]
  assert path.parent.parent == cache
  assert path.name == "orders.csv.gz"
  kept = {file.name: file.read_text() for file in path.parent.iterdir()}
  assert kept == CONTENT


def test_file_that_is_lost_is_fetched_again(downloads):
  path = samples.bitstamp()
  trades = path.with_name("trades.csv")
  trades.unlink()
  assert samples.bitstamp() == path
  assert trades.read_text() == CONTENT["trades.csv"]
  assert len(downloads) == 2


def test_wheel_that_is_not_the_pinned_one_is_an_error_and_removed(
  downloads, monkeypatch
):
  pinned = samples._SHA256
  monkeypatch.setattr(samples, "_SHA256", "0" * 64)
  with pytest.raises(events.DataError, match="not the file that was pinned"):
    samples.bitstamp()
  assert not list(downloads[0].iterdir())
  monkeypatch.setattr(samples, "_SHA256", pinned)
  assert samples.bitstamp().exists()


def test_failed_download_says_what_pip_said_and_what_to_do(monkeypatch):
  commands = []

  def run(command, **kwargs):
    commands.append(command)
    return types.SimpleNamespace(returncode=1, stderr="no route to host\n")

  monkeypatch.setattr(subprocess, "run", run)
  with pytest.raises(ConnectionError, match="--data.*no route to host"):
    samples.bitstamp()
  assert "ob-analytics==0.1.0" in commands[0]
  assert "--no-deps" in commands[0]


def test_cache_is_where_the_environment_says(cache, monkeypatch):
  assert samples.cache_dir() == cache
  monkeypatch.delenv("MARS_JAX_CACHE")
  monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
  assert samples.cache_dir() == pathlib.Path("/somewhere/mars_jax")
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setenv("HOME", "/home/someone")
  assert samples.cache_dir() == pathlib.Path("/home/someone/.cache/mars_jax")
