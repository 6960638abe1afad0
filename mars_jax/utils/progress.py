"""Progress bars, on a terminal or in a notebook."""

import collections.abc
import contextlib
import time

import rich.console
from rich import progress

CONSOLE = rich.console.Console()

ShowFn = collections.abc.Callable[[float, str], None]


@contextlib.contextmanager
def bar(
  title: str, total: float, *, visible: bool = True
) -> collections.abc.Iterator[ShowFn]:
  """Shows a bar with the time left.

  Args:
    title: of the work.
    total: amount of work.
    visible: False to show nothing.

  Yields:
    A function that takes the work done so far, and a text to show beside it.
  """
  columns = (
    progress.TextColumn("{task.description}"),
    progress.BarColumn(),
    progress.TaskProgressColumn(),
    progress.TextColumn("{task.fields[text]}"),
    progress.TimeElapsedColumn(),
    progress.TimeRemainingColumn(),
  )
  with progress.Progress(
    *columns, console=CONSOLE, disable=not visible
  ) as shown:
    task = shown.add_task(title, total=total, text="")
    yield lambda done, text: shown.update(task, completed=done, text=text)


@contextlib.contextmanager
def replay_bar(
  num_events: int, *, visible: bool = True
) -> collections.abc.Iterator[collections.abc.Callable[[int], None]]:
  """Shows a bar for a replay; yields its `on_progress`.

  Args:
    num_events: of the stream.
    visible: False to show nothing.
  """
  began, done = time.time(), 0
  with bar("replay", num_events, visible=visible) as show:

    def on_progress(num_events: int) -> None:
      nonlocal done
      done += num_events
      show(done, f"{done / (time.time() - began):,.0f} events/s")

    yield on_progress


@contextlib.contextmanager
def simulation_bar(
  title: str = "simulate", *, visible: bool = True
) -> collections.abc.Iterator[collections.abc.Callable[[float, int], None]]:
  """Shows a bar for a simulation; yields its `on_progress`.

  Args:
    title: of the work.
    visible: False to show nothing.
  """
  began = time.time()
  with bar(title, 1.0, visible=visible) as show:
    yield lambda share, num_events: show(
      share, f"{num_events / (time.time() - began):,.0f} events/s"
    )
