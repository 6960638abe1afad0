"""The speed benchmark: its stream, its engines, and what it prints."""

import dataclasses
import json
import os
import sys

import jax
import numpy as np
import pytest

from tests.support import paths
from tests.support.feeds import bitstamp_capture
from tests.support.oracles import python_book
from tests.support.processes import scripts
from tests.support.train import day_records

sys.path.append(str(paths.ROOT / "launch"))

from benchmarks import book_setup
from benchmarks import c_book
from benchmarks import data as data_benchmark
from benchmarks import engines
from benchmarks import jaxmarl_hft
from benchmarks import lob as lob_benchmark
from benchmarks import ours
from benchmarks import stream as stream_lib

from mars_jax import lob

_CAPACITY, _DEPTH = 128, 40
_PEER = "MARS_JAX_PEER_JAXMARL"

pytestmark = pytest.mark.usefixtures("quick_compilation")
needs_compiler = pytest.mark.skipif(
  not c_book.has_compiler(), reason="needs a C compiler"
)


def _generate(num_books, num_messages, seed=0, capacity=_CAPACITY):
  return stream_lib.generate(
    num_books,
    num_messages,
    capacity=capacity,
    depth=min(_DEPTH, capacity // 2),
    seed=seed,
  )


def _python_messages(messages, book):
  """The messages of one book, for the oracle."""
  fields = [field[book].ravel().tolist() for field in messages]
  return [python_book.Message(*row) for row in zip(*fields, strict=True)]


def _oracle_totals(stream, capacity):
  """What trades in each book according to the oracle: two lists."""
  volumes, counts = [], []
  for index in range(stream.shape[0]):
    book = python_book.PythonBook(capacity)
    fills = []
    for part in (stream.resting, stream.messages):
      for message in _python_messages(part, index):
        fills += book.apply(message)
    volumes.append(sum(fill.volume for fill in fills))
    counts.append(len(fills))
  return volumes, counts


@pytest.fixture(scope="module")
def stream(quick_compilation):
  return _generate(6, 500)


def test_every_message_is_what_it_is_meant_to_be(stream):
  for index in range(stream.shape[0]):
    book = python_book.PythonBook(_CAPACITY)
    for message in _python_messages(stream.resting, index):
      assert not book.apply(message)
    for t, message in enumerate(_python_messages(stream.messages, index)):
      sides = [book.rows(side) for side in (python_book.ASK, python_book.BID)]
      assert [len(rows) for rows in sides] == stream.orders[index, t].tolist()
      intent = stream.intent[index, t]
      if message.kind == python_book.CANCEL:
        (named,) = [row for row in sides[message.side] if row.id == message.id]
        assert message.price == named.price
        if intent == stream_lib.REDUCE:
          assert 0 < message.volume < named.volume
        else:
          assert intent == stream_lib.DELETE
          assert message.volume == named.volume
      fills = book.apply(message)
      assert len(fills) == stream.fills[index, t]
      assert (len(fills) > 0) == (intent == stream_lib.MARKETABLE)
    assert book.dropped == book.unknown == 0


def test_ids_of_limit_orders_grow(stream):
  for index in range(stream.shape[0]):
    ids = [
      message.id
      for part in (stream.resting, stream.messages)
      for message in _python_messages(part, index)
      if message.kind == python_book.LIMIT
    ]
    assert ids[0] == 1
    assert (np.diff(ids) > 0).all()


def test_the_shares_are_those_that_are_stated(stream):
  found = stream.statistics()
  # 3000 messages: three standard errors of a share are at most 0.027.
  for name, share in {
    "limit_share": 0.55,
    "marketable_share": 0.10,
    "partial_cancel_share": 0.08,
    "delete_share": 0.37,
  }.items():
    assert found[name] == pytest.approx(share, abs=0.027), name
  assert found["fills_per_aggressor"] == pytest.approx(1.72, abs=0.2)
  assert 30 < found["orders_a_side"] < 45
  assert found["most_orders_a_side"] < 100


def test_a_book_depends_on_the_seed_and_its_number_only(stream):
  fewer, other = _generate(2, 500), _generate(6, 500, seed=1)
  first = jax.tree.leaves(stream.first(2))
  for x, y in zip(first, jax.tree.leaves(fewer), strict=True):
    np.testing.assert_array_equal(x, y)
  assert (stream.messages.volume != other.messages.volume).any()


def test_a_full_book_drops_nothing():
  # `generate` raises an error if it does.
  stream = _generate(8, 300, capacity=8)
  assert stream.statistics()["most_orders_a_side"] == 8


def test_a_filled_book_is_one_that_took_the_orders(stream):
  resting = jax.tree.map(lambda x: x[0], stream.resting)
  book = lob.init(_CAPACITY)
  messages = jax.tree.map(np.ravel, resting)
  book, _ = jax.lax.scan(
    lambda book, message: book_setup.step(book, message, 1)[:2], book, messages
  )
  filled = book_setup.fill_book(resting, _CAPACITY)
  filled = filled.replace(counts=book.counts)
  jax.tree.map(np.testing.assert_array_equal, book, filled)


@pytest.mark.parametrize("num_books", [1, 3])
def test_our_engine_trades_what_the_oracle_does(stream, num_books):
  stream = stream.first(num_books)
  found = ours.MarsJax().totals(stream, _CAPACITY)
  np.testing.assert_array_equal(found, _oracle_totals(stream, _CAPACITY))


@needs_compiler
@pytest.mark.parametrize("capacity", [_CAPACITY, 44])
def test_the_c_book_trades_what_the_oracle_does(stream, capacity):
  # At the smaller capacity orders are dropped, and cancels name none.
  found = c_book.CBook().totals(stream, capacity)
  np.testing.assert_array_equal(found, _oracle_totals(stream, capacity))


@pytest.mark.skipif(
  _PEER not in os.environ, reason=f"needs {_PEER}, a clone of JaxMARL-HFT"
)
@pytest.mark.parametrize("num_books", [1, 3])
def test_the_peer_trades_what_the_oracle_does(stream, num_books):
  stream = stream.first(num_books)
  found = jaxmarl_hft.JaxMarlHft(os.environ[_PEER]).totals(stream, _CAPACITY)
  np.testing.assert_array_equal(found, _oracle_totals(stream, _CAPACITY))


class _FakeEngine:
  def __init__(self, name, volume, fills):
    self.name = name
    self._totals = engines.Totals(np.array(volume), np.array(fills))

  def totals(self, stream, capacity):
    return self._totals


def test_an_engine_that_trades_otherwise_is_an_error(stream):
  reference = _FakeEngine("ours", [7, 8, 9], [1, 2, 3])
  same = _FakeEngine("same", [7, 8], [1, 2])  # Only of the first books.
  wrong = _FakeEngine("wrong", [7, 8, 9], [1, 5, 3])
  lob_benchmark._check([reference, same], stream, _CAPACITY)
  with pytest.raises(ValueError, match="wrong .*fills of book 1 is 5, not 2"):
    lob_benchmark._check([reference, same, wrong], stream, _CAPACITY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """A very short run of each command, and the path of the picture of lob."""
  folder = tmp_path_factory.mktemp("benchmark")
  picture, capture = folder / "speed.png", folder / "orders.csv"
  bitstamp_capture.write_bitstamp(capture, num_orders=300)
  results = scripts.run_all(
    [
      (
        *("benchmark", "lob", "--json", f"--plot={picture}", "--batch=1"),
        *("--messages=64", "--capacities=32", "--capacities_batch=2"),
        *("--repeats=2", "--min_seconds=0"),
      ),
      (
        *("benchmark", "data", "--json", f"--data={capture}", "--window=32"),
        *("--windows=20", "--windows_batch=4", "--repeats=2"),
      ),
      (
        *("benchmark", "synthetic", "--json", "--batch=1,3"),
        *("--messages=60", "--repeats=2"),
      ),
    ]
  )
  for result in results:
    assert result.returncode == 0, result.stderr
  return *results, picture


@pytest.mark.slow
def test_json_is_the_last_line(runs):
  found = json.loads(runs[0].stdout.splitlines()[-1])
  assert found["benchmark"] == "lob"
  assert {"cpu", "cores", "cores_used", "jax", "date"} <= set(found["hardware"])
  assert found["config"]["batch"] == [1]
  assert found["skipped"]["JaxMARL-HFT"] == "no --peer_path"
  (row,) = found["by_batch"]
  assert (row["books"], row["messages_a_book"]) == (1, 64)
  assert row["stream"]["most_orders_a_side"] > 0
  speed = row["engines"]["mars_jax"]
  assert 0 < speed["messages_per_s_min"] <= speed["messages_per_s"]
  assert speed["messages_per_s"] <= speed["messages_per_s_max"]
  assert speed["ns_per_message"] * speed["messages_per_s"] == pytest.approx(1e9)
  assert speed["compile_s"] > 0
  if c_book.has_compiler():
    assert row["engines"].keys() == {"mars_jax", "C book"}
    assert row["ratios"].keys() == {"C book / mars_jax"}
  (row,) = found["by_capacity"]
  assert (row["capacity"], row["books"]) == (32, 2)
  assert row["ns_per_message"] > 0


@pytest.mark.slow
def test_tables_and_a_picture_are_shown(runs):
  result, *_, picture = runs
  for text in (
    "marketable, of all messages",
    "fills a marketable order",
    "JaxMARL-HFT skipped: no --peer_path",
    "Messages a second",
    "in half full books",
  ):
    assert text in result.stdout
  assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_containers_are_compared(runs):
  result = runs[1]
  found = json.loads(result.stdout.splitlines()[-1])
  assert found["benchmark"] == "data"
  assert found["orders"] == 300
  steps = [row["events_per_s"] for row in found["prepare"]]
  assert 0 < steps[-1] < min(steps[:2])  # Both take longer than either.
  names = [row["container"] for row in found["containers"]]
  assert names[0] == "columns, mapped"
  assert names[-1] == "mars_jax, 1024 a block"
  for row in found["containers"]:
    assert 0 < row["windows_per_s_min"] <= row["windows_per_s"]
    assert row["windows_per_s"] <= row["windows_per_s_max"]
    assert row["bytes_per_order"] > 0
  assert [row["threads"] for row in found["pipeline"]] == [0, 2]
  assert found["model"]["orders_per_s"] == pytest.approx(659e3, rel=1e-3)
  for text in (*names, "Orders a second in shuffled batches", "659k orders"):
    assert text in result.stdout


@pytest.mark.slow
def test_markets_are_simulated(runs):
  result = runs[2]
  found = json.loads(result.stdout.splitlines()[-1])
  sizes = [(row["books"], row["orders_a_book"]) for row in found["by_batch"]]
  assert sizes == [(1, 60), (3, 20)]
  for row in found["by_batch"]:
    assert 0 < row["orders_per_s_min"] <= row["orders_per_s"]
    assert row["orders_per_s"] <= row["orders_per_s_max"]
  assert "Simulated orders a second, sides of 128" in result.stdout


def test_a_container_that_loses_something_is_an_error():
  records = day_records.make(50)
  data_benchmark._check_equal("same", records[:], records)
  other = dataclasses.replace(records, traded=records.traded + 1)
  with pytest.raises(ValueError, match="other does not give back the orders"):
    data_benchmark._check_equal("other", other, records)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("book",), "'book' is none of the commands: lob, data, syn"),
    (("data",), "--data is missing"),
    (("data", "--data=x.csv", "--plot=x.png"), "--plot=x.png is for lob only"),
    (("lob", "--peer_path=/none"), "--peer_path=/none is no clone"),
  ],
)
def test_what_a_user_can_mend_is_one_line(arguments, message):
  result = scripts.run("benchmark", *arguments)
  assert result.returncode == 1
  assert result.stderr.startswith(f"error: {message}")
  assert len(result.stderr.splitlines()) == 1
