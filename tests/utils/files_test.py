"""Tests of atomic writes, and of digests."""

import hashlib

import pytest

from mars_jax.utils import files


def test_a_file_is_replaced_when_it_is_written(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("old")
  with files.replacing(path) as partial:
    partial.write_text("new")
    assert path.read_text() == "old"
  assert path.read_text() == "new"
  assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("old")
  with pytest.raises(OSError, match="full"), files.replacing(path) as partial:
    partial.write_text("ne")
    raise OSError("full")
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]


def test_the_digest_of_one_file_is_that_of_its_bytes(tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"abc")
  assert files.digest(path) == hashlib.sha256(b"abc").hexdigest()


def test_the_digest_of_a_folder_knows_names_and_contents(tmp_path):
  for name in ("a", "b"):
    (tmp_path / name).write_text(name)
  before = files.digest(tmp_path)
  assert before == files.digest(tmp_path / "a", tmp_path / "b")
  (tmp_path / "a").write_text("x")
  changed = files.digest(tmp_path)
  (tmp_path / "a").write_text("a")
  (tmp_path / "b").rename(tmp_path / "c")
  assert len({before, changed, files.digest(tmp_path)}) == 3
