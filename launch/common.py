"""Shared parts of the launch scripts: errors, outputs, tables."""

import collections.abc
import json
import math
import pathlib
import sys
from typing import Any

import rich.table
from absl import app
from absl import flags
from absl import logging

from mars_jax.feeds import events
from mars_jax.utils import files
from mars_jax.utils import progress

CONSOLE = progress.CONSOLE
_USER_ERRORS = (
  events.DataError,
  ConnectionError,
  FloatingPointError,
  ImportError,
  OSError,
  TypeError,
  ValueError,
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")


def run(
  main: collections.abc.Callable[..., None], *, takes_arguments: bool = False
) -> None:
  """Runs a script, with one line for a user's error.

  The exit status is then 1.

  Args:
    main: called with the arguments of the command line that are no flags.
    takes_arguments: whether there may be any.
  """

  def guarded(argv: list[str]) -> None:
    arguments = argv[1:]
    if arguments and not takes_arguments:
      sys.exit(f"error: {arguments[0]!r} is no flag; --help lists the flags")
    logging.set_verbosity(logging.WARNING)
    try:
      main(*arguments)
    except _USER_ERRORS as error:
      if _DEBUG.value:
        raise
      sys.exit(f"error: {_one_line(error)}")
    except KeyboardInterrupt:
      sys.exit("stopped")

  app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
  """Parses the flags, the config's keys among them."""
  try:
    return flags.FLAGS(argv)
  except (AttributeError, KeyError) as error:
    sys.exit(f"error: the config has no key {_one_line(error)}")
  except (flags.Error, *_USER_ERRORS) as error:
    sys.exit(f"error: {_one_line(error)} (--help lists the flags)")


def _one_line(error: Exception) -> str:
  """Returns the text of an error, line breaks made spaces."""
  text = str(error)
  if isinstance(error, (AttributeError, KeyError)):
    # The text is quoted, at times twice.
    text = text.replace("\\n", " ").replace("\\", "").replace("'", "")
  # A config file's own error comes with its traceback; its last line says it.
  before, traceback, rest = text.partition("Traceback (most recent call last)")
  if traceback:
    text = before + rest.strip().splitlines()[-1]
  return " ".join(text.split())


def outputs(
  prefix: str, endings: collections.abc.Sequence[str]
) -> tuple[pathlib.Path, ...]:
  """Returns the paths of outputs, after making their folder.

  Call it before anything is computed.

  Args:
    prefix: path of the outputs, less their endings.
    endings: of the files.

  Raises:
    OSError: if nothing can be written there.
  """
  paths = tuple(pathlib.Path(prefix + ending) for ending in endings)
  for path in paths:
    files.check_writable(path)
  return paths


def to_json(tree: Any, indent: int | None = None) -> str:
  """Returns numbers as JSON text, null for NaN."""
  return json.dumps(_without_nan(tree), indent=indent, default=str)


def _without_nan(tree):
  """Puts None for NaN."""
  if isinstance(tree, dict):
    return {name: _without_nan(leaf) for name, leaf in tree.items()}
  if isinstance(tree, list | tuple):
    return [_without_nan(leaf) for leaf in tree]
  return None if isinstance(tree, float) and math.isnan(tree) else tree


def print_table(
  title: str,
  header: collections.abc.Sequence[str],
  rows: collections.abc.Iterable[collections.abc.Sequence[str]],
) -> None:
  """Prints rows of text; the first column is aligned left."""
  table = rich.table.Table(
    title=title, title_justify="left", show_header=any(header)
  )
  for index, name in enumerate(header):
    table.add_column(name, justify="left" if index == 0 else "right")
  for row in rows:
    table.add_row(*row)
  CONSOLE.print(table)
