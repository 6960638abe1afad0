"""Small days of Databento: their records, files and streams."""

from mars_jax.feeds.databento import reader
from tests.support.feeds import databento_writer as writer
from tests.support.feeds.databento_writer import LAST
from tests.support.feeds.databento_writer import record
from tests.support.oracles import plain_book

# Two asks and a bid.
BOOK = [
  record("A", 1, "A", 101, 10),
  record("A", 2, "A", 102, 10),
  record("A", 3, "B", 99, 10),
]


def write(folder, records, **header):
  """Writes a file; returns its path."""
  path = folder / "mbo.dbn"
  path.write_bytes(writer.encode(records, **header))
  return path


def read_rows(folder, records):
  """Returns the rows, `is_market_event` and `remaining` after `BOOK`."""
  stream, checks = reader.read_checked(write(folder, BOOK + records))
  rows = plain_book.rows(stream)[3:]
  return (
    rows,
    stream.is_market_event.tolist()[3:],
    checks.remaining.tolist()[3:],
  )


def pieces(*records, last=True):
  """Records of one event: only the last of them ends it."""
  for piece in records:
    piece.flags = 0
  records[-1].flags = LAST if last else 0
  return list(records)


def same(stream, other):
  """Whether two streams have the same events."""
  return plain_book.rows(stream) == plain_book.rows(other) and (
    stream.time.tolist() == other.time.tolist()
  )
