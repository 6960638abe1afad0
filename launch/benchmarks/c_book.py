"""A plain C order book, as an engine: what a core can do without JAX.

`c_book.c` is compiled with the machine's C compiler and called once for all
messages. It does the work of the other engines and no more: the books go in
step, and the first fills of every message come out.
"""

import collections.abc
import ctypes
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np

from benchmarks import engines
from benchmarks import stream as stream_lib

_SOURCE = pathlib.Path(__file__).with_suffix(".c")
_COMPILER = "cc"
_MAX_FILLS = 8
_ORDER_FIELDS, _FILL_FIELDS, _TOTALS_FIELDS = 3, 3, 2


def has_compiler() -> bool:
  """Returns whether the C book can be had."""
  return shutil.which(_COMPILER) is not None


class CBook:
  """The C book, one or many at a time."""

  name = "C book"

  def __init__(self):
    """Compiles the book."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
      library = pathlib.Path(folder) / "c_book.so"
      _compile(library)
      self._replay = ctypes.CDLL(str(library)).replay
    self._compile_s = time.perf_counter() - began

  def totals(self, stream: stream_lib.Stream, capacity: int) -> engines.Totals:
    """See `engines.Engine`."""
    program = self.prepare(stream, capacity)
    return engines.Totals(*program.run(program.fresh()).T)

  def prepare(
    self, stream: stream_lib.Stream, capacity: int
  ) -> engines.Program:
    """See `engines.Engine`; the program returns its totals, `[B, 2]`."""
    num_books = stream.shape[0]
    books = (
      np.zeros((num_books, 2, capacity, _ORDER_FIELDS), np.int32),
      np.zeros((num_books, 2), np.int32),  # How many orders a side holds.
    )
    resting = _rows([x.reshape(num_books, -1) for x in stream.resting])
    self._apply(resting, books, _room_for_fills(resting))
    messages = _rows(stream.messages)
    fills = _room_for_fills(messages)
    return engines.Program(
      fresh=lambda: tuple(array.copy() for array in books),
      run=lambda state: self._apply(messages, state, fills),
      compile_s=self._compile_s,
    )

  def _apply(
    self,
    messages: np.ndarray,
    books: tuple[np.ndarray, np.ndarray],
    fills: np.ndarray,
  ) -> np.ndarray:
    """Applies messages `[T, B, 5]` in place; returns the totals, `[B, 2]`."""
    orders, counts = books
    num_messages, num_books, _ = messages.shape
    totals = np.zeros((num_books, _TOTALS_FIELDS), np.int64)
    self._replay(
      *map(ctypes.c_int64, (num_messages, num_books, orders.shape[2])),
      *(
        ctypes.c_void_p(array.ctypes.data)
        for array in (messages, orders, counts, fills, totals)
      ),
    )
    return totals


def _compile(library: pathlib.Path) -> None:
  """Compiles the book for this very machine."""
  flags = ("-O3", "-march=native", "-shared", "-fPIC")
  result = subprocess.run(
    [_COMPILER, *flags, "-o", str(library), str(_SOURCE)],
    capture_output=True,
    text=True,
  )
  if result.returncode != 0:
    raise OSError(f"{_COMPILER} cannot compile {_SOURCE.name}: {result.stderr}")


def _rows(fields: collections.abc.Sequence[np.ndarray]) -> np.ndarray:
  """Returns messages `[B, T]` as rows `[T, B, 5]`."""
  rows = np.stack(fields, axis=-1).swapaxes(0, 1)
  return np.ascontiguousarray(rows, np.int32)


def _room_for_fills(messages: np.ndarray) -> np.ndarray:
  """Returns `[T, B, _MAX_FILLS, 3]`."""
  return np.zeros((*messages.shape[:2], _MAX_FILLS, _FILL_FIELDS), np.int32)
