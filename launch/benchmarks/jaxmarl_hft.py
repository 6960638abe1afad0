"""JaxMARL-HFT's order book as an engine of the benchmark.

It is imported from a clone of https://github.com/Sat-A/JaxMARL-HFT, of which
nothing is copied here, and used as its authors do: one scan, batched by vmap,
that adds what trades to a log of 100 rows; a full log overwrites its last row.
A single book goes without vmap, which makes it some three times quicker: under
vmap every message runs all branches and loops.
"""

import importlib
import pathlib
import sys
import types as python_types
import typing

import jax
import numpy as np

from benchmarks import engines
from benchmarks import stream as stream_lib
from mars_jax import types

_PACKAGE = "gymnax_exchange"
_NUM_CHECKED = 8  # Books to compare: with a log that holds all it is slow.
_KINDS = {  # Of message, as in LOBSTER's files.
  stream_lib.PASSIVE: 1,
  stream_lib.MARKETABLE: 1,
  stream_lib.REDUCE: 2,
  stream_lib.DELETE: 3,
}
_SECONDS = 34200  # The time of all messages; their nanoseconds tell them apart.
_TRADER = 1
_EMPTY = -1  # In every field of an empty row.
_ORDER_FIELDS, _TRADE_FIELDS = 6, 8
_TRADE_VOLUME, _TRADE_SECONDS = 1, 4  # Of the fields of a trade.


class JaxMarlHft:
  """The book of a clone, single or batched."""

  name = "JaxMARL-HFT"

  def __init__(
    self, path: str, capacity: int | None = None, vmap_one: bool = False
  ):
    """Imports the book.

    Args:
      path: of the clone.
      capacity: of one side; that of the other engines if not given.
      vmap_one: whether a single book also goes under vmap.
    """
    self._book, self._config = _load(pathlib.Path(path))
    self._capacity = capacity
    self._vmap_one = vmap_one

  def totals(self, stream: stream_lib.Stream, capacity: int) -> engines.Totals:
    """See `engines.Engine`."""
    stream = stream.first(_NUM_CHECKED)
    most = int(stream.fills.sum(axis=1).max()) + 1
    program = self._compile(stream, capacity, num_trades=most)
    *_, trades = jax.device_get(program.run(program.fresh()))
    trades = trades.reshape(stream.shape[0], most, _TRADE_FIELDS)
    is_used = trades[..., _TRADE_SECONDS] != _EMPTY
    volume = np.abs(trades[..., _TRADE_VOLUME])  # The sign is a side.
    return engines.Totals(
      volume=np.where(is_used, volume, 0).sum(axis=1),
      fills=is_used.sum(axis=1),
    )

  def prepare(
    self, stream: stream_lib.Stream, capacity: int
  ) -> engines.Program:
    """See `engines.Engine`."""
    return self._compile(stream, capacity)

  def _compile(
    self,
    stream: stream_lib.Stream,
    capacity: int,
    num_trades: int | None = None,
  ) -> engines.Program:
    """Compiles the scan; `num_trades` is the length of the log."""
    sizes = {"nOrders": self._capacity or capacity}
    if num_trades:
      sizes["nTrades"] = num_trades
    config = self._config(**sizes)

    def replay(books, messages):
      return self._book.scan_through_entire_array(
        config, jax.random.key(0), messages, books
      )

    books = _books(stream, config)
    messages = _messages(stream)
    if stream.shape[0] == 1 and not self._vmap_one:
      return engines.compile_jax(
        replay, jax.tree.map(lambda x: x[0], books), messages[0]
      )
    return engines.compile_jax(jax.vmap(replay), books, messages)


def _load(path: pathlib.Path) -> tuple[python_types.ModuleType, type]:
  """Imports the book and its configuration alone."""
  folder = path / _PACKAGE / "jaxob"
  if not (folder / "JaxOrderBookArrays.py").is_file():
    raise FileNotFoundError(
      f"--peer_path={path} is no clone of JaxMARL-HFT: it has no"
      f" {_PACKAGE}/jaxob/JaxOrderBookArrays.py"
    )
  for name, place in ((_PACKAGE, folder.parent), (f"{_PACKAGE}.jaxob", folder)):
    package = python_types.ModuleType(name)
    package.__path__ = [str(place)]
    sys.modules[name] = package
  book, config = (
    importlib.import_module(f"{_PACKAGE}.jaxob.{name}")
    for name in ("JaxOrderBookArrays", "jaxob_config")
  )
  return book, config.JAXLOB_Configuration


def _books(
  stream: stream_lib.Stream, config: typing.Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns empty books and an empty log.

  Asks and bids are `[B, N, 6]`, the log is `[B, n, 8]`.
  """
  num_books, depth = stream.shape[0], stream.resting.id.shape[2]
  sides = np.full(
    (2, num_books, config.nOrders, _ORDER_FIELDS), _EMPTY, np.int32
  )
  resting = stream.resting
  rows = (
    resting.price,
    resting.volume,
    resting.id,
    np.full_like(resting.id, _TRADER),
    np.full_like(resting.id, _SECONDS),
    resting.id,
  )
  sides[:, :, :depth] = np.stack(rows, axis=-1).swapaxes(0, 1)
  log = np.full((num_books, config.nTrades, _TRADE_FIELDS), _EMPTY, np.int32)
  return sides[types.Side.ASK], sides[types.Side.BID], log


def _messages(stream: stream_lib.Stream) -> np.ndarray:
  """Returns the messages in the peer's layout, `[B, T, 8]`."""
  messages = stream.messages
  first = 1 + 2 * stream.resting.id.shape[2]
  nanoseconds = np.broadcast_to(
    first + np.arange(stream.shape[1]), stream.shape
  )
  columns = (
    np.vectorize(_KINDS.get)(stream.intent),
    np.where(messages.side == types.Side.BID, 1, -1),
    messages.volume,
    messages.price,
    messages.id,
    np.full(stream.shape, _TRADER),
    np.full(stream.shape, _SECONDS),
    nanoseconds,
  )
  return np.stack(columns, axis=-1).astype(np.int32)
