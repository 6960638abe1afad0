"""Reads the bin converters that MarS released with its weights.

They are pickles, which can run any code as they are loaded. Nothing of them is
run here: the pickle is walked by a reader that knows the names of a converter
and of numpy's arrays, puts a record without behaviour in place of each, and
refuses every other name. The arrays are then made from the bytes in these
records.

A converter has n + 1 rising bounds: a value v is of bin b if bounds[b] < v <=
bounds[b + 1], and what is beyond the bounds is of the first or the last bin.
That is our `tokens.bins` with the n - 1 inner bounds as edges. For each bin it
keeps up to 100 values and their probabilities.

Reference: github.com/microsoft/MarS, whose names of files, of the class and of
its attributes are used here.
"""

import dataclasses
import io
import pathlib
import pickle

import numpy as np

from mars_jax.tokens import bins
from mars_jax.tokens import features
from mars_jax.tokens import vocab
from mars_jax.utils.compression import zstd

_MAX_BYTES = 2**26  # Of a file, decompressed: a converter has 3,200 values.
_NOISE = 1e-3  # Of a unit: how far floats may be off a whole number.
_MICROSECOND = 1e-6  # In seconds.
_INT32 = np.iinfo(np.int32)


@dataclasses.dataclass(frozen=True)
class Converter:
  """The bins of one released file, in its authors' units.

  There are n bins.
  """

  bounds: np.ndarray  # [n + 1] float64, rising
  values: tuple[np.ndarray, ...]  # n x [<= 100] float64, what a bin decodes to
  probabilities: tuple[np.ndarray, ...]  # n x [<= 100] float64, of the values


def load_tokenizer(
  folder: pathlib.Path | str, *, tick_size: int = 100, lot_size: int = 1
) -> tuple[features.Tokenizer, dict[str, int]]:
  """Reads the converters that the released weights were trained with.

  As in the released code, an order's volume is encoded by one converter,
  `order-volume`, and decoded by another, `pred-order-volume`. Frequencies of
  values become multiples of 1/128 (`bins.NUM_SAMPLES`), and intervals end at
  `features.MAX_SECONDS`.

  Args:
    folder: has the files `price-level`, `order-volume`, `pred-order-volume`,
      `order-interval` and `lob-volume`, all of ending `.zstd`.
    tick_size: of the market, in the converters' unit of price, 0.0001 yuan.
    lot_size: of the market, in shares.

  Returns:
    The tokenizer, of the scheme "ticks", and how many of the values that a
    field decodes to had to be rounded to a whole tick, lot or microsecond, or
    cut to the longest interval.

  Raises:
    ValueError: if a file is no converter, or has another number of bins than
      the weights, or a volume to decode to is less than half a lot.
    FileNotFoundError: if there is no such file.
  """
  folder = pathlib.Path(folder)

  def read(name, unit, num_bins=None, most=_INT32.max):
    path = folder / f"{name}.zstd"
    converter = load_converter(path)
    found = len(converter.values)
    if num_bins not in (None, found):
      raise ValueError(f"{path}: {found} bins, where the model has {num_bins}")
    return to_bins(converter, unit=unit, most=most)

  longest = features.MAX_SECONDS * 1_000_000
  num_rounded = {}
  price, num_rounded["price"] = read("price-level", tick_size, vocab.NUM_PRICES)
  encoded, _ = read("order-volume", lot_size, vocab.NUM_VOLUMES)
  decoded, num_rounded["volume"] = read(
    "pred-order-volume", lot_size, vocab.NUM_VOLUMES
  )
  interval, num_rounded["interval"] = read(
    "order-interval", _MICROSECOND, vocab.NUM_INTERVALS, longest
  )
  level_volume, _ = read("lob-volume", lot_size)
  if decoded.samples.min() < 1:
    raise ValueError(f"{folder}: volumes below a lot of {lot_size} shares")
  tokenizer = features.Tokenizer(
    price=price,
    volume=decoded.replace(edges=encoded.edges),
    interval=interval,
    level_volume=level_volume,
    alphabet="mid",
    scheme="ticks",
  )
  return tokenizer, num_rounded


def to_bins(
  converter: Converter, *, unit: float, most: int = _INT32.max
) -> tuple[bins.Bins, int]:
  """Turns a converter into bins of integers.

  An integer is of the bin that the converter puts it in. A bin for which the
  converter has no values decodes to its upper bound.

  Args:
    converter: what `load_converter` returned.
    unit: what one of our integers is, in the converter's unit.
    most: the greatest integer, in absolute value, to decode to.

  Returns:
    The bins, and how many values to decode to are no whole number of units, and
    rounded, or more than `most`, and cut.
  """
  edges = converter.bounds[1:-1] / unit
  whole = np.rint(edges)
  edges = np.where(np.abs(edges - whole) < _NOISE, whole, np.floor(edges))
  samples, num_rounded = [], 0
  for values, probabilities, last in zip(
    converter.values,
    converter.probabilities,
    converter.bounds[1:],
    strict=True,
  ):
    if not values.size:
      values, probabilities = last[None], np.ones(1)
    order = np.argsort(values)
    exact = values[order] / unit
    whole = np.clip(np.rint(exact), -most, most)
    num_rounded += int(np.sum(np.abs(whole - exact) > _NOISE))
    samples.append(_spread(whole, probabilities[order]))
  result = bins.Bins(
    edges=np.clip(edges, _INT32.min, _INT32.max).astype(np.int32),
    samples=np.asarray(samples, np.int32),
  )
  return result, num_rounded


def _spread(values: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
  """Returns `bins.NUM_SAMPLES` of rising values, as often as is probable."""
  reached = np.cumsum(probabilities) / probabilities.sum()
  middles = (np.arange(bins.NUM_SAMPLES) + 0.5) / bins.NUM_SAMPLES
  return values[np.searchsorted(reached, middles)]


def load_converter(path: pathlib.Path | str) -> Converter:
  """Reads one zstd-compressed pickle without unpickling it.

  Raises:
    ValueError: if it is anything but a converter: it names what is refused.
    FileNotFoundError: if there is no such file.
  """
  with open(path, "rb") as file:
    compressed = file.read()
  try:
    with zstd.open(io.BytesIO(compressed), "rb") as file:
      pickled = file.read(_MAX_BYTES + 1)
    if len(pickled) > _MAX_BYTES:
      raise ValueError(f"more than {_MAX_BYTES} bytes")
    return _converter(_Reader(io.BytesIO(pickled)).load())
  except Exception as error:  # The bytes decide what the reader stumbles over.
    raise ValueError(
      f"{path}: not a bin converter of MarS ({error})"
    ) from error


class _Record:
  """Stands for what a pickle makes: keeps what it is made of, does nothing."""

  args = ()
  state = None

  def __init__(self, *args):
    self.args = args

  def __setstate__(self, state):
    self.state = state


class _Array(_Record):
  """Stands for an array."""


class _Converter(_Record):
  """Stands for a converter."""


_RECORDS = {
  "market_simulation.utils.bin_converter.BinConverter": _Converter,
  "numpy.dtype": _Record,
  "numpy.ndarray": _Record,
  # Each under the name of numpy 1 and of numpy 2.
  "numpy.core.multiarray._reconstruct": _Array,
  "numpy._core.multiarray._reconstruct": _Array,
  "numpy.core.numeric._frombuffer": _Array,
  "numpy._core.numeric._frombuffer": _Array,
}


class _Reader(pickle.Unpickler):
  """Makes records and plain containers, whatever a pickle asks for."""

  def find_class(self, module, name):
    if record := _RECORDS.get(f"{module}.{name}"):
      return record
    raise ValueError(f"it asks for {module}.{name}, which is refused")


def _converter(record) -> Converter:
  """Makes the arrays of a converter, and checks them."""
  if not isinstance(record, _Converter):
    raise ValueError(f"it is a {type(record).__name__}")
  bounds = _array(record.state["bins"])
  values = tuple(_array(x) for x in record.state["bin_values"])
  probabilities = tuple(_array(x) for x in record.state["bin_probs"])
  if np.any(np.diff(bounds) < 0) or len(bounds) != len(values) + 1:
    raise ValueError(
      "its bounds do not rise, or are not one more than its bins"
    )
  for x, p in zip(values, probabilities, strict=True):
    if x.shape != p.shape or np.any(p < 0) or (p.size and p.sum() <= 0):
      raise ValueError("its values and their probabilities do not fit")
  return Converter(bounds, values, probabilities)


def _array(record) -> np.ndarray:
  """Makes the array `[n]` float64 that a record stands for."""
  if not isinstance(record, _Array):
    raise ValueError(f"a {type(record).__name__} is where an array should be")
  if record.state is None:  # _frombuffer(data, dtype, shape, order)
    data, dtype, shape, _ = record.args
  else:  # (version, shape, dtype, is_fortran, data)
    _, shape, dtype, _, data = record.state
  code, order = dtype.args[0], dtype.state[1]
  if code not in ("f8", "f4", "i8", "i4") or len(shape) != 1:
    raise ValueError(f"an array of {code} {shape} is not one of its own")
  array = np.frombuffer(data, np.dtype(code).newbyteorder(order))
  if array.shape != shape or not np.all(np.isfinite(array)):
    raise ValueError("an array is cut off or not finite")
  return array.astype(np.float64)
