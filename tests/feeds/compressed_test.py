"""Tests of reading files plain or compressed, whole or broken."""

import tracemalloc
import zipfile

import pytest

from mars_jax.feeds import compressed
from mars_jax.feeds import events
from tests.support.feeds import minimal

TEXT = "".join(f"{i},{i * i % 977}\n" for i in range(5000)).encode()
PACKED = [suffix for suffix in minimal.SUFFIXES if suffix]


def write_zip(path, members):
  with zipfile.ZipFile(path, "w") as out:
    for name, data in members.items():
      out.writestr(name, data)
  return path


@pytest.mark.parametrize("suffix", minimal.SUFFIXES)
def test_a_file_is_told_by_its_content_whatever_its_name(tmp_path, suffix):
  packed = minimal.pack(tmp_path / "a.csv", TEXT, suffix)
  other = packed.rename(tmp_path / "data.bin")
  assert compressed.read(other) == compressed.read(str(other)) == TEXT
  with compressed.open_binary(other) as file:
    assert [file.readline(), file.read(2)] == [b"0,0\n", b"1,"]
    assert b"".join(file) == TEXT[6:]
  with compressed.extracted(other) as plain:
    assert plain.read_bytes() == TEXT
    assert (plain == other) == (suffix == "")
  assert plain.exists() == (suffix == "")
  assert other.exists()


@pytest.mark.parametrize("suffix", PACKED)
def test_a_file_that_is_cut_off_or_garbled_is_an_error(tmp_path, suffix):
  path = minimal.pack(tmp_path / "a.csv", TEXT, suffix)
  data = path.read_bytes()
  broken = [data[:size] for size in (6, len(data) // 2, len(data) - 1)]
  middle = len(data) // 2
  garbled = bytes(byte ^ 255 for byte in data[middle : middle + 9])
  broken.append(data[:middle] + garbled + data[middle + 9 :])
  for content in broken:
    path.write_bytes(content)
    with pytest.raises(events.DataError, match="cut off") as error:
      compressed.read(path)
    assert str(error.value).startswith(str(path))
    with pytest.raises(events.DataError, match="cut off"):
      with compressed.extracted(path):
        pass


def test_content_before_the_break_is_read_first(tmp_path):
  path = minimal.pack(tmp_path / "a.csv", TEXT * 100, ".gz")
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(events.DataError, match="broken or cut off"):
    with compressed.open_binary(path) as file:
      assert file.readline() == b"0,0\n"
      for _ in file:
        pass


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_streams_one_after_the_other_are_one_file(tmp_path, suffix):
  parts = [minimal.COMPRESS[suffix](half) for half in (TEXT[:99], TEXT[99:])]
  (tmp_path / "a").write_bytes(b"".join(parts))
  assert compressed.read(tmp_path / "a") == TEXT


@pytest.mark.parametrize("suffix", minimal.SUFFIXES)
def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path, suffix):
  size = 2**24
  path = minimal.pack(tmp_path / "a", bytes(size), suffix)
  tracemalloc.start()
  with compressed.extracted(path) as plain:
    assert plain.stat().st_size == size
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 0.7 * size  # The window of an xz is 8 MiB.


def test_what_the_caller_gets_wrong_is_not_taken_for_a_broken_file(tmp_path):
  path = minimal.pack(tmp_path / "a.csv", TEXT, ".gz")
  for give in (compressed.open_binary, compressed.extracted):
    with pytest.raises(OSError, match="disk full"):
      with give(path):
        raise OSError("disk full")


def test_a_zip_of_one_file_stands_for_it_and_of_several_for_a_folder(tmp_path):
  one = {"day/": "", "day/a.csv": "1", "__MACOSX/day/._a.csv": "2"}
  path = write_zip(tmp_path / "one.zip", one)
  assert compressed.read(path) == b"1"
  assert compressed.resolve(path).name == "a.csv"
  several = write_zip(tmp_path / "two.zip", {"a.csv": "1", "b.csv.gz": "2"})
  with pytest.raises(events.DataError, match="two.zip: the zip has 2 files"):
    compressed.read(several)
  assert [file.name for file in compressed.members(several)] == [
    "a.csv",
    "b.csv.gz",
  ]
  assert compressed.read(compressed.find(several, "b.csv")) == b"2"
  with pytest.raises(events.DataError, match="none.zip: the zip has 0 files"):
    compressed.read(write_zip(tmp_path / "none.zip", {}))


def test_a_compressed_file_in_a_zip_is_decompressed(tmp_path):
  data = minimal.COMPRESS[".xz"](TEXT)
  path = write_zip(tmp_path / "day.zip", {"a.csv.xz": data})
  assert compressed.read(path) == TEXT


def test_an_encrypted_zip_is_an_error(tmp_path):
  path = write_zip(tmp_path / "day.zip", {"a.csv": "1"})
  data = bytearray(path.read_bytes())
  for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    data[data.index(magic) + place] |= 1
  path.write_bytes(data)
  with pytest.raises(events.DataError, match=r"a\.csv: .* encrypted"):
    compressed.read(path)


def test_files_are_found_by_their_plain_names(tmp_path):
  assert compressed.find(tmp_path, "a.csv") is None
  packed = minimal.pack(tmp_path / "a.csv", TEXT, ".zst")
  minimal.pack(tmp_path / "b.csv", TEXT, "")
  (tmp_path / "folder").mkdir()
  assert compressed.find(tmp_path, "a.csv") == packed
  assert len(compressed.members(tmp_path)) == 2
  minimal.pack(tmp_path / "a.csv", TEXT, "")
  with pytest.raises(events.DataError, match=r"there are several a\.csv"):
    compressed.find(tmp_path, "a.csv")


@pytest.mark.parametrize("suffix", minimal.SUFFIXES)
def test_names_are_told_without_the_endings_of_compression(tmp_path, suffix):
  path = tmp_path / f"01302020.NASDAQ_ITCH50{suffix}"
  assert compressed.plain_name(path) == "01302020.NASDAQ_ITCH50"
  assert compressed.stem(path) == "01302020"
  assert compressed.stem(tmp_path / f"a.csv{suffix}") == "a"


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
  for give in (compressed.read, compressed.resolve, compressed.members):
    with pytest.raises(events.DataError, match="none: no such file"):
      give(tmp_path / "none")
  with pytest.raises(events.DataError, match="a folder, not a file"):
    compressed.read(tmp_path)
