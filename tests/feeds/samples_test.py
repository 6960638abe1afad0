"""Tests of fetching the samples, with downloads that are made up."""

import dataclasses
import hashlib
import io
import pathlib
import subprocess
import tarfile
import types
import zipfile

import pytest

from mars_jax.feeds import events
from mars_jax.feeds import samples

FETCH = {"_BITSTAMP": samples.bitstamp, "_COINBASE": samples.coinbase}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """An empty cache."""
  monkeypatch.setenv("MARS_JAX_CACHE", str(tmp_path))
  return tmp_path


def pack(package, contents):
  """The bytes of an archive of the package's kind."""
  buffer = io.BytesIO()
  if package.archive.endswith(".whl"):
    with zipfile.ZipFile(buffer, "w") as archive:
      for name, text in contents.items():
        archive.writestr(name, text)
  else:
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
      for name, text in contents.items():
        member = tarfile.TarInfo(name)
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
  return buffer.getvalue()


@pytest.fixture(params=list(FETCH))
def sample(request, monkeypatch):
  """A sample whose download is made here.

  Has `fetch`, `package`, `content` of the files by name, and `folders`, where
  the downloads went.
  """
  package = getattr(samples, request.param)
  content = {name: f"content of {name}" for name in package.files}
  inside = {f"{package.inside}/{name}": text for name, text in content.items()}
  data = pack(package, inside | {"setup.py": "raise SystemExit"})
  package = dataclasses.replace(
    package, sha256=hashlib.sha256(data).hexdigest()
  )
  folders = []

  def download(package, folder):
    folders.append(folder.parent)
    (folder / package.archive).write_bytes(data)

  monkeypatch.setattr(samples, "_download", download)
  monkeypatch.setattr(samples, request.param, package)
  return types.SimpleNamespace(
    name=request.param,
    fetch=FETCH[request.param],
    package=package,
    content=content,
    folders=folders,
  )


def test_sample_is_downloaded_once_and_only_its_files_are_kept(cache, sample):
  path = sample.fetch()
  assert sample.fetch() == path
  folder = path if path.is_dir() else path.parent
  assert sample.folders == [folder]
  assert folder.parent == cache
  kept = {file.name: file.read_text() for file in folder.iterdir()}
  assert kept == sample.content


def test_paths_are_those_that_the_readers_take(monkeypatch):
  monkeypatch.setattr(samples, "_fetch", lambda package: pathlib.Path("folder"))
  assert samples.bitstamp() == pathlib.Path("folder/orders.csv.gz")
  assert samples.coinbase() == pathlib.Path("folder")


def test_file_that_is_lost_is_fetched_again(sample):
  path = sample.fetch()
  last = sample.folders[0] / sample.package.files[-1]
  last.unlink()
  assert sample.fetch() == path
  assert last.read_text() == sample.content[last.name]
  assert len(sample.folders) == 2


def test_archive_that_is_not_the_pinned_one_is_an_error_and_removed(
  sample, monkeypatch
):
  broken = dataclasses.replace(sample.package, sha256="0" * 64)
  monkeypatch.setattr(samples, sample.name, broken)
  with pytest.raises(events.DataError, match="not the file that was pinned"):
    sample.fetch()
  assert not list(sample.folders[0].iterdir())
  monkeypatch.setattr(samples, sample.name, sample.package)
  assert sample.fetch().exists()


@pytest.mark.parametrize(
  "name, requirement, form",
  [
    ("_BITSTAMP", "ob-analytics==0.1.0", "--only-binary ob-analytics"),
    ("_COINBASE", "orderbookmdp==0.1.2", "--no-binary orderbookmdp"),
  ],
)
def test_failed_download_says_what_pip_said_and_what_to_do(
  monkeypatch, cache, name, requirement, form
):
  commands, pinned = [], []

  def run(command, **kwargs):
    commands.append(" ".join(map(str, command)))
    path = command[command.index("--requirement") + 1]
    pinned.append(path.read_text())
    return types.SimpleNamespace(returncode=1, stderr="no route to host\n")

  monkeypatch.setattr(subprocess, "run", run)
  with pytest.raises(ConnectionError, match="--data.*no route to host"):
    FETCH[name]()
  assert f" {form} --require-hashes" in commands[0]
  assert "--no-deps" in commands[0]
  sha256 = getattr(samples, name).sha256
  assert pinned == [f"{requirement} --hash=sha256:{sha256}\n"]
  assert not [path for path in cache.rglob("*") if path.is_file()]


def test_cache_is_where_the_environment_says(cache, monkeypatch):
  assert samples.cache_dir() == cache
  monkeypatch.delenv("MARS_JAX_CACHE")
  monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
  assert samples.cache_dir() == pathlib.Path("/somewhere/mars_jax")
  monkeypatch.delenv("XDG_CACHE_HOME")
  monkeypatch.setenv("HOME", "/home/someone")
  assert samples.cache_dir() == pathlib.Path("/home/someone/.cache/mars_jax")
