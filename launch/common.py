"""What the launch scripts share: errors in one line, tables, progress bars."""

import collections.abc
import contextlib
import pathlib
import sys

import rich.console
import rich.table
from absl import app
from absl import flags
from rich import progress

from mars_jax.data import events

CONSOLE = rich.console.Console()
_USER_ERRORS = (
  events.DataError,
  ConnectionError,
  FloatingPointError,
  ImportError,
  OSError,
  TypeError,
  ValueError,
)


def run(main: collections.abc.Callable[[list[str]], None]) -> None:
  """Runs an absl main; what the user can mend is one line and exit status 1.

  Set `--debug` for the traceback.
  """

  def guarded(argv: list[str]) -> None:
    try:
      main(argv)
    except _USER_ERRORS as error:
      if flags.FLAGS.debug:
        raise
      reason = " ".join(str(error).split())
      sys.exit(f"error: {reason}")
    except KeyboardInterrupt:
      sys.exit("stopped")

  app.run(guarded, flags_parser=_parse)
