"""Released bin converters: the same bins as theirs, and no code is run."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from mars_jax.lmm.released import bins as released_bins
from mars_jax.tokens import bins as bins_lib
from tests.support.train import released_files


@pytest.fixture
def folder(tmp_path):
  """All converters of a tokenizer."""
  released_files.write_converters(tmp_path)
  return tmp_path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_come_back_as_they_were(protocol, tmp_path):
  theirs = released_files.random_converter(32, 1, 1, 5000)
  path = released_files.write_converter(tmp_path / "x.zstd", theirs, protocol)
  ours = released_bins.load_converter(path)
  np.testing.assert_array_equal(ours.bounds, theirs.bins)
  for found, wanted in (
    (ours.values, theirs.bin_values),
    (ours.probabilities, theirs.bin_probs),
  ):
    for x, y in zip(found, wanted, strict=True):
      np.testing.assert_array_equal(x, y)


def test_a_file_of_numpy_1_is_read(tmp_path):
  pickled = pickle.dumps(
    released_files.random_converter(8, 1, 1, 500), protocol=3
  )
  assert b"cnumpy._core." in pickled
  pickled = pickled.replace(b"cnumpy._core.", b"cnumpy.core.")
  path = released_files.write_converter(tmp_path / "x.zstd", pickled)
  assert len(released_bins.load_converter(path).values) == 8


def test_a_value_at_a_bound_is_of_the_bin_below():
  converter = released_bins.Converter(
    bounds=np.array([-201.0, -200.0, 0.0, 150.0, 400.0]),
    values=tuple(np.array([x]) for x in (-200.0, 0.0, 100.0, 400.0)),
    probabilities=(np.ones(1),) * 4,
  )
  bins, num_rounded = released_bins.to_bins(converter, unit=100)
  # 150 lies between ticks: 1 tick is below it, 2 are above.
  np.testing.assert_array_equal(bins.edges, [-2, 0, 1])
  ticks = np.array([-9, -3, -2, -1, 0, 1, 2, 4, 5, 99])
  np.testing.assert_array_equal(
    bins_lib.encode(bins, ticks), [0, 0, 0, 1, 1, 2, 3, 3, 3, 3]
  )
  np.testing.assert_array_equal(bins.samples[:, 0], [-2, 0, 1, 4])
  assert num_rounded == 0


@pytest.mark.parametrize(
  "unit, low, high",
  [(1, 1, 3000), (100, -300, 300), (1e-6, 0, 9000), (0.01, 0, 900)],
)
def test_every_integer_is_of_the_bin_that_theirs_is(unit, low, high, tmp_path):
  theirs = released_files.random_converter(16, unit, low, high)
  path = released_files.write_converter(tmp_path / "x.zstd", theirs)
  bins, num_rounded = released_bins.to_bins(
    released_bins.load_converter(path), unit=unit
  )
  integers = np.arange(low - 50, high + 50)
  wanted = theirs.get_bin_index(integers * unit)
  np.testing.assert_array_equal(bins_lib.encode(bins, integers), wanted)
  assert num_rounded == 0


def test_seconds_as_a_clock_gives_them_are_of_the_right_bin():
  microseconds = np.unique(np.random.default_rng(0).integers(0, 2e9, 3001))
  theirs = released_files.BinConverter(
    microseconds / 1e6, [[]] * 3000, [[]] * 3000
  )
  converter = released_bins.Converter(
    theirs.bins, tuple(theirs.bin_values), tuple(theirs.bin_probs)
  )
  bins, _ = released_bins.to_bins(converter, unit=1e-6)
  for shift in (-1, 0, 1):
    wanted = theirs.get_bin_index((microseconds + shift) / 1e6)
    found = np.searchsorted(bins.edges, microseconds + shift)
    np.testing.assert_array_equal(found, wanted)


def test_a_bin_decodes_to_its_values_by_their_frequency():
  converter = released_bins.Converter(
    bounds=np.array([0.0, 300.0, 500.0]),
    values=(np.array([300.0, 100.0, 200.0]), np.array([])),
    probabilities=(np.array([0.75, 0.125, 0.125]), np.array([])),
  )
  bins, _ = released_bins.to_bins(converter, unit=100)
  values, counts = np.unique(bins.samples[0], return_counts=True)
  np.testing.assert_array_equal(values, [1, 2, 3])
  np.testing.assert_array_equal(counts, [16, 16, 96])
  np.testing.assert_array_equal(bins.samples[1], 5)  # Without values.


def test_values_between_units_are_rounded_and_counted():
  converter = released_bins.Converter(
    bounds=np.array([0.0, 300.0, 500_000.0]),
    values=(np.array([100.0, 140.0, 260.0]), np.array([400_000.0])),
    probabilities=(np.full(3, 1 / 3), np.ones(1)),
  )
  bins, num_rounded = released_bins.to_bins(converter, unit=100, most=2000)
  assert set(bins.samples[0].tolist()) == {1, 3}
  np.testing.assert_array_equal(bins.samples[1], 2000)
  assert num_rounded == 3


def test_a_tokenizer_is_made_of_five_converters(folder):
  tokenizer, num_rounded = released_bins.load_tokenizer(folder)
  assert tokenizer.scheme == "ticks"
  assert num_rounded == {"price": 0, "volume": 0, "interval": 0}
  for bins, name, unit, num_bins in (
    (tokenizer.price, "price-level", 100, 32),
    (tokenizer.interval, "order-interval", 1e-6, 16),
    (tokenizer.level_volume, "lob-volume", 1, 32),
  ):
    converter = released_bins.load_converter(folder / f"{name}.zstd")
    wanted = np.rint(converter.bounds[1:-1] / unit)
    np.testing.assert_array_equal(bins.edges, wanted)
    assert bins.samples.shape == (num_bins, bins_lib.NUM_SAMPLES)
    assert bins.samples.dtype == bins.edges.dtype == np.int32


def test_volumes_are_encoded_by_one_converter_and_decoded_by_another(folder):
  released_files.write_converter(
    folder / "order-volume.zstd",
    released_files.random_converter(32, 1, 1, 900, seed=1),
  )
  volume = released_bins.load_tokenizer(folder)[0].volume
  encoder = released_bins.load_converter(folder / "order-volume.zstd")
  np.testing.assert_array_equal(volume.edges, encoder.bounds[1:-1])
  decoder = released_bins.load_converter(folder / "pred-order-volume.zstd")
  for samples, values in zip(volume.samples, decoder.values, strict=True):
    assert set(samples.tolist()) <= set(values.tolist())


def test_a_lot_that_volumes_do_not_fill_is_refused(folder):
  with pytest.raises(ValueError, match="100000 shares"):
    released_bins.load_tokenizer(folder, lot_size=100_000)


def test_another_number_of_bins_is_refused(folder):
  released_files.write_converter(
    folder / "order-interval.zstd",
    released_files.random_converter(32, 0.01, 0, 500),
  )
  with pytest.raises(ValueError, match="32 bins, where the model has 16"):
    released_bins.load_tokenizer(folder)


def test_a_missing_file_is_named(folder):
  (folder / "lob-volume.zstd").unlink()
  with pytest.raises(FileNotFoundError, match="lob-volume"):
    released_bins.load_tokenizer(folder)


class _Call:
  """Pickles as a call."""

  def __init__(self, function, *args):
    self.call = function, args

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize(
  "function, name",
  [
    (os.system, r"posix\.system"),
    (eval, r"builtins\.eval"),
    (getattr, r"builtins\.getattr"),
    (np.load, r"numpy.*load"),
  ],
)
def test_a_pickle_that_calls_a_function_is_refused(function, name, tmp_path):
  trap = tmp_path / "trap"
  command = f"touch {trap}" if function is os.system else f"open('{trap}', 'w')"
  converter = released_files.random_converter(8, 1, 1, 500)
  converter.extra = _Call(function, command)
  path = released_files.write_converter(tmp_path / "x.zstd", converter)
  with pytest.raises(ValueError, match=f"{name}, which is refused"):
    released_bins.load_converter(path)
  assert not trap.exists()


def test_nothing_of_the_converters_class_is_run(tmp_path, monkeypatch):
  path = released_files.write_converter(
    tmp_path / "x.zstd", released_files.random_converter(8, 1, 1, 500)
  )

  def run(*_):
    raise AssertionError("unpickled")

  # Not `__new__`: once patched and restored, a class takes no arguments.
  monkeypatch.setattr(
    released_files.BinConverter, "__setstate__", run, raising=False
  )
  monkeypatch.setattr(released_files.BinConverter, "__init__", run)
  assert len(released_bins.load_converter(path).values) == 8


def _changed(**attributes):
  converter = released_files.random_converter(3, 1, 1, 500)
  vars(converter).update(attributes)
  return converter


@pytest.mark.parametrize(
  "content",
  [
    {"bins": np.arange(3.0)},
    np.arange(3.0),
    b"no pickle",
    b"",
    pickle.dumps("a name")[:-3],
    _changed(bins=np.array([0.0, 2.0, 1.0, 3.0])),
    _changed(bins=np.array([0.0, np.nan, 1.0, 3.0])),
    _changed(bins=np.array([0.0, 1.0, 2.0])),
    _changed(bins=np.array([None] * 4)),
    _changed(bins=np.zeros((4, 1))),
    _changed(bins=[0.0, 1.0, 2.0, 3.0]),
    _changed(bins=np.array(["a", "b", "c", "d"])),
    _changed(bin_values=[np.ones(2)] * 3, bin_probs=[np.ones(3)] * 3),
    _changed(bin_values=[np.ones(2)] * 3, bin_probs=[-np.ones(2)] * 3),
    _changed(bin_probs=None),
  ],
)
def test_what_is_no_converter_is_refused(content, tmp_path):
  path = released_files.write_converter(tmp_path / "x.zstd", content)
  with pytest.raises(ValueError, match=r"x\.zstd: not a bin converter"):
    released_bins.load_converter(path)


def test_a_file_of_torch_is_refused(tmp_path):
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr("archive/data.pkl", pickle.dumps({}))
  path = tmp_path / "model.pt"
  path.write_bytes(archive.getvalue())
  with pytest.raises(ValueError, match="not a bin converter"):
    released_bins.load_converter(path)


def test_a_file_that_swells_is_refused(tmp_path):
  path = released_files.write_converter(tmp_path / "x.zstd", bytes(2**26 + 1))
  with pytest.raises(ValueError, match="more than 67108864 bytes"):
    released_bins.load_converter(path)
