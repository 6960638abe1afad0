"""Tables of benchmark results, and the machine's description."""

import collections.abc
import datetime
import math
import os
import pathlib
import platform

import common
import jax

from benchmarks import lob

_STATISTICS = (  # Of a stream: what is printed, its key, its format.
  ("limit orders", "limit_share", ".1%"),
  ("marketable, of all messages", "marketable_share", ".1%"),
  ("partial cancels", "partial_cancel_share", ".1%"),
  ("deletes", "delete_share", ".1%"),
  ("fills a marketable order", "fills_per_aggressor", ".2f"),
  ("most fills", "most_fills", "d"),
  ("orders a side", "orders_a_side", ".1f"),
  ("most orders a side", "most_orders_a_side", "d"),
)
_ENDS = ("", "_min", "_max")  # Of the keys of a speed: median, least, greatest.


def hardware() -> dict:
  """Returns what the benchmark ran on, and when."""
  device = jax.devices()[0]
  return {
    "cpu": _cpu(),
    "cores": os.cpu_count(),
    "cores_used": num_cores(),
    "device": f"{device.platform}: {device.device_kind}",
    "jax": jax.__version__,
    "python": platform.python_version(),
    "date": datetime.date.today().isoformat(),
  }


def num_cores() -> int:
  """Returns how many cores this process may use."""
  if hasattr(os, "sched_getaffinity"):  # Not on every system.
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def _cpu() -> str:
  """Returns the model of the CPU."""
  info = pathlib.Path("/proc/cpuinfo")
  if info.exists():
    for line in info.read_text().splitlines():
      name, _, value = line.partition(":")
      if name.strip() == "model name":
        return value.strip()
  return platform.processor() or platform.machine()


def print_lob(results: dict) -> None:
  """Prints the tables of `lob.run`."""
  for name, reason in results["skipped"].items():
    common.CONSOLE.print(f"{name} skipped: {reason}")
  by_batch, by_capacity = results["by_batch"], results["by_capacity"]
  if by_batch:
    common.print_table(
      "The messages",
      ("", *(f"books: {row['books']}" for row in by_batch)),
      _stream_rows(by_batch),
    )
    common.print_table(
      f"Messages a second, all books together; ratio: {lob.OURS} to the engine",
      (
        "engine",
        "books",
        "median",
        "low",
        "high",
        "ns each",
        "ratio",
        "compile",
      ),
      _engine_rows(by_batch),
    )
  if by_capacity:
    common.print_table(
      f"{lob.OURS} in half full books",
      ("capacity", "books", "messages a second", "ns each", "compile"),
      (
        (
          f"{row['capacity']}",
          f"{row['books']}",
          _short(row["messages_per_s"]),
          f"{row['ns_per_message']:,.0f}",
          f"{row['compile_s']:.1f} s",
        )
        for row in by_capacity
      ),
    )


def print_data(results: dict) -> None:
  """Prints the tables of `data.run`."""
  common.CONSOLE.print(f"{results['data']}: {results['orders']:,} orders")
  window, model = results["config"]["window"], results["model"]
  common.print_table(
    "Events a second, one core",
    ("", "median", "low", "high"),
    (
      (row["step"], *(_short(row[f"events_per_s{end}"]) for end in _ENDS))
      for row in results["prepare"]
    ),
  )
  common.print_table(
    f"Windows of {window} orders at random, a second, one core",
    ("container", "bytes an order", "median", "low", "high", "written"),
    (
      (
        row["container"],
        f"{row['bytes_per_order']:.1f}",
        *(_short(row[f"windows_per_s{end}"]) for end in _ENDS),
        _short(row["written_orders_per_s"]),
      )
      for row in results["containers"]
    ),
  )
  common.print_table(
    "Orders a second in shuffled batches, one core",
    ("read by", "median", "low", "high"),
    (
      (
        f"{row['threads'] or 'no'} threads",
        *(_short(row[f"orders_per_s{end}"]) for end in _ENDS),
      )
      for row in results["pipeline"]
    ),
  )
  common.CONSOLE.print(
    f"A model of {model['parameters'] / 1e6:.0f}M parameters takes"
    f" {_short(model['orders_per_s'])} orders a second at"
    f" {model['utilisation']:.0%} of {model['flops_per_s'] / 1e12:.0f} TFLOP/s,"
    " an H100's (arithmetic, not measured)"
  )


def print_synthetic(results: dict) -> None:
  """Prints the table of `synthetic.run`."""
  common.print_table(
    f"Simulated orders a second, sides of {results['config']['capacity']}",
    ("books", "orders a book", "median", "low", "high", "compile"),
    (
      (
        f"{row['books']}",
        f"{row['orders_a_book']}",
        *(_short(row[f"orders_per_s{end}"]) for end in _ENDS),
        f"{row['compile_s']:.1f} s",
      )
      for row in results["by_batch"]
    ),
  )


def print_lmm(results: dict) -> None:
  """Prints the tables of `lmm.run`."""
  config, row = results["config"], results["train"]
  common.print_table(
    f"Training, {results['parameters']:,} parameters",
    ("", ""),
    (
      ("windows a step", f"{config['num_windows']} of {config['length']}"),
      ("devices", f"{row['devices']}"),
      ("tokens a second, median", f"{row['tokens_per_s']:,.0f}"),
      ("low", f"{row['tokens_per_s_min']:,.0f}"),
      ("high", f"{row['tokens_per_s_max']:,.0f}"),
      ("model FLOPs a token", f"{row['flops_per_token']:.3g}"),
      ("peak FLOP/s of all devices", _known(row["peak_flops"], ".3g")),
      ("model FLOP utilisation", _known(row["mfu"], ".1%")),
      ("compile", f"{row['compile_s']:.1f} s"),
    ),
  )
  common.print_table(
    f"A micro-batch on one device, {results['micro_batch']} windows",
    ("", "ms", "of forward and backward"),
    (
      (row["part"], f"{1e3 * row['seconds']:,.2f}", f"{row['share']:.1%}")
      for row in results["parts"]
    ),
  )
  common.print_table(
    f"Decoding on one device, {config['decode_steps']} orders a trajectory",
    ("trajectories", "orders a second", "low", "high", "compile"),
    (
      (
        f"{row['trajectories']}",
        *(f"{row[f'orders_per_s{end}']:,.0f}" for end in _ENDS),
        f"{row['compile_s']:.1f} s",
      )
      for row in results["decode"]
    ),
  )


def print_sim(results: dict) -> None:
  """Prints the tables of `sim.run`."""
  config, peer, rows = results["config"], results["peer"], results["rows"]
  model = config["model"]
  common.CONSOLE.print(
    f"D {model['dim']}, {model['num_layers']} layers, window"
    f" {model['window']}, sides of {config['capacity']}; {config['num_events']}"
    f" orders a future, {results['devices']} devices"
  )
  common.print_table(
    "Simulated orders a second, all futures together",
    ("head", "futures", "median", "low", "high", "ratio", "compile"),
    (
      (
        row["head"],
        f"{row['trajectories']}",
        *(f"{row[f'orders_per_s{end}']:,.0f}" for end in _ENDS),
        f"{row['ratio']:,.0f}" if peer else "",
        f"{row['compile_s']:.1f} s",
      )
      for row in rows
    ),
  )
  common.print_table(
    "One order of each future, and its floor",
    ("head", "futures", "ms", "book", "layers", "head", "floor ms"),
    (
      (
        row["head"],
        f"{row['trajectories']}",
        f"{1e3 * row['step_s']:.2f}",
        *(f"{row[f'share_{part}']:.0%}" for part in ("book", "layers", "head")),
        f"{1e3 * row['floor_s']:.2f}",
      )
      for row in rows
    ),
  )
  if peer:
    common.CONSOLE.print(
      f"MarS, {peer['trajectories']} futures, {peer['threads']} threads,"
      f" PyTorch {peer['torch']}: {peer['orders_per_s']:.2f} orders a second"
      " (ratio: ours to that)"
    )


def _stream_rows(
  by_batch: list[dict],
) -> collections.abc.Iterator[tuple[str, ...]]:
  """Returns the table rows of the streams' composition."""
  yield "messages a book", *(f"{row['messages_a_book']}" for row in by_batch)
  for name, key, form in _STATISTICS:
    yield name, *(format(row["stream"][key], form) for row in by_batch)


def _engine_rows(
  by_batch: list[dict],
) -> collections.abc.Iterator[tuple[str, ...]]:
  """Returns the rows of the table of the engines."""
  for row in by_batch:
    ours = row["engines"][lob.OURS]["messages_per_s"]
    for name, speed in row["engines"].items():
      yield (
        name,
        f"{row['books']}",
        _short(speed["messages_per_s"]),
        _short(speed["messages_per_s_min"]),
        _short(speed["messages_per_s_max"]),
        f"{speed['ns_per_message']:,.0f}",
        f"{ours / speed['messages_per_s']:.3g}",
        f"{speed['compile_s']:.1f} s",
      )


def _short(rate: float) -> str:
  """Returns three digits and a unit: 274k, 1.20M."""
  unit, name = (1e6, "M") if rate >= 1e6 else (1e3, "k")
  scaled = rate / unit
  return f"{scaled:.{max(0, 2 - int(math.log10(max(scaled, 1))))}f}{name}"


def _known(number: float | None, form: str) -> str:
  """Returns a number, if there is one."""
  return "unknown" if number is None else format(number, form)
