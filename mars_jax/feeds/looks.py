"""Descriptions of files that no format recognises."""

import re

from mars_jax.feeds import compressed

_HEAD = 4096  # Bytes that are looked at.
_MAGIC = {
  b"PAR1": "a Parquet file",
  b"ARROW1": "an Arrow file",
  b"FEA1": "a Feather file",
  b"\x89HDF": "an HDF5 file",
  b"\x93NUMPY": "a NumPy array",
  b"SQLite format 3": "an SQLite database",
  b"%PDF": "a PDF document",
  b"\x80\x04": "a Python pickle",
  b"\x80\x05": "a Python pickle",
}
_TO_CSV = "no reader takes it: write it as CSV with the columns of a format"
_SCHEMAS = (
  *("mbo", "mbp-1", "mbp-10", "tbbo", "trades", "ohlcv-1s", "ohlcv-1m"),
  *("ohlcv-1h", "ohlcv-1d", "definition", "statistics", "status", "imbalance"),
)
_SCHEMA_AT = 24  # Where the header of a DBN file has its schema, two bytes.
_MESSAGE = re.compile(rb"\d+(\.\d+)?,[1-7],-?\d+,\d+,-?\d+,-?1(,.*)?")
_LEVELS = re.compile(rb"(-?\d+,\d+,-?\d+,\d+)(,-?\d+,\d+,-?\d+,\d+)*")
_ITCH = re.compile(rb"\x00[\x0c\x27]S?[SR]", re.DOTALL)
_MAX_SHOWN = 60


def describe(file: compressed.File) -> str:
  """Returns what a file looks like and what to do; "" if empty."""
  with compressed.open_binary(file) as opened:
    head = opened.read(_HEAD)
  if not head.strip():
    return ""
  for magic, name in _MAGIC.items():
    if head.startswith(magic):
      return f"it looks like {name}; {_TO_CSV}"
  if head.startswith(b"DBN") and len(head) > _SCHEMA_AT + 1:
    return _dbn(int.from_bytes(head[_SCHEMA_AT : _SCHEMA_AT + 2], "little"))
  if _ITCH.match(head):
    return "it looks like NASDAQ ITCH; name the format itch"
  if b"\x00" in head:
    return f"it is binary and starts with the bytes {head[:8].hex(' ')}"
  return _text(head)


def listed(names: list[str]) -> str:
  """Returns names as a text, cut if it is long."""
  return _short(", ".join(names))


def _dbn(schema: int) -> str:
  """Describes a DBN file."""
  if not schema:
    return "it looks like Databento's DBN of the schema mbo; name the format"
  known = schema < len(_SCHEMAS)
  name = _SCHEMAS[schema] if known else f"number {schema}"
  return (
    f"it looks like Databento's DBN of the schema {name}, which has no single"
    " orders; order the schema mbo"
  )


def _text(head: bytes) -> str:
  """Describes a text by its first line."""
  line = head.split(b"\n")[0].rstrip(b"\r")
  shown = line.decode("utf-8-sig", "replace").strip()
  if _MESSAGE.fullmatch(line):
    return (
      "it looks like a LOBSTER message file; call it *message*.csv, and put its"
      " *orderbook*.csv beside it"
    )
  if _LEVELS.fullmatch(line):
    return (
      "it looks like a LOBSTER order-book file; give its message file, which"
      " lies beside it"
    )
  if shown.startswith(("{", "[")):
    return f"it looks like JSON; {_TO_CSV}"
  names = re.split("[,;\t|]", shown)
  if len(names) > 1 and not any(name.strip().isdecimal() for name in names):
    listed = ", ".join(name.strip().strip('"') for name in names)
    return f"it looks like a table with the columns {_short(listed)}"
  return f"it looks like text, not a table of orders: {_short(shown)!r}"


def _short(text: str) -> str:
  """Returns a text, cut if it is long."""
  return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."
