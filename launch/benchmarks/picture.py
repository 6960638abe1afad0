"""Pictures of what a benchmark found; matplotlib is in the extra `plot`."""

import pathlib

import matplotlib.axes
import matplotlib.figure

from benchmarks import lob


def draw_lob(results: dict, path: pathlib.Path | str) -> None:
  """Draws the results of `lob.run`, and of `report.hardware`.

  Args:
    results: as printed by --json.
    path: of the picture; its ending says of what kind, say .png.
  """
  figure = matplotlib.figure.Figure(figsize=(11, 4.5), dpi=150)
  left, right = figure.subplots(1, 2)
  capacity = results["config"]["capacity"]
  _draw_engines(left, results["by_batch"])
  left.set(
    xlabel="books",
    ylabel="messages a second, all books",
    title=f"Capacity {capacity}",
  )
  _draw_capacities(right, results["by_capacity"])
  right.set(
    xlabel="capacity of a side",
    ylabel="nanoseconds a message",
    title=f"{lob.OURS} in half full books",
  )
  for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
      axes.legend(frameon=False)
  machine = results["hardware"]
  figure.suptitle(
    f"{machine['cpu']}, {machine['cores_used']} of {machine['cores']} cores,"
    f" JAX {machine['jax']}, {machine['date']}",
    fontsize=9,
  )
  figure.tight_layout()
  figure.savefig(path)


def _draw_engines(axes: matplotlib.axes.Axes, by_batch: list[dict]) -> None:
  """Draws each engine's speed over the number of books."""
  names = by_batch[0]["engines"] if by_batch else ()
  for name in names:
    speeds = [
      (row["books"], row["engines"][name]["messages_per_s"]) for row in by_batch
    ]
    _draw_line(axes, speeds, name)


def _draw_capacities(
  axes: matplotlib.axes.Axes, by_capacity: list[dict]
) -> None:
  """Draws the cost of a message against the capacity."""
  for num_books in dict.fromkeys(row["books"] for row in by_capacity):
    costs = [
      (row["capacity"], row["ns_per_message"])
      for row in by_capacity
      if row["books"] == num_books
    ]
    _draw_line(axes, costs, f"books in step: {num_books}")


def _draw_line(
  axes: matplotlib.axes.Axes, points: list[tuple[float, float]], label: str
) -> None:
  """Draws a log-log line with ticks at its points."""
  x, y = zip(*points, strict=True)
  axes.loglog(x, y, marker="o", label=label)
  axes.set_xticks(x, [f"{value}" for value in x])
  axes.minorticks_off()
