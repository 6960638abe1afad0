"""The engines of the benchmark, and their fair timing."""

import collections.abc
import dataclasses
import time
import typing

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import stream as stream_lib


class Totals(typing.NamedTuple):
  """The trades in the first `b` books of a stream."""

  volume: np.ndarray  # [b], lots
  fills: np.ndarray  # [b], resting orders taken from, once a message


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled engine with a stream in its memory."""

  fresh: collections.abc.Callable[[], typing.Any]  # Copies the books at first.
  run: collections.abc.Callable[[typing.Any], object]  # Uses the copy up.
  compile_s: float


class Engine(typing.Protocol):
  """Something that matches orders."""

  name: str

  def totals(self, stream: stream_lib.Stream, capacity: int) -> Totals:
    """Returns the trades, to compare engines by; not timed."""

  def prepare(self, stream: stream_lib.Stream, capacity: int) -> Program:
    """Compiles the engine for books of `capacity` orders a side."""


def compile_jax(
  function: collections.abc.Callable,
  books: typing.Any,
  messages: typing.Any,
) -> Program:
  """Returns `function(books, messages)` as a program."""
  books, messages = jax.device_put((books, messages))
  began = time.perf_counter()
  lowered = jax.jit(function, donate_argnums=0).lower(books, messages)
  compiled = lowered.compile()
  return Program(
    fresh=lambda: jax.block_until_ready(jax.tree.map(jnp.copy, books)),
    run=lambda state: jax.block_until_ready(compiled(state, messages)),
    compile_s=time.perf_counter() - began,
  )


def measure(
  programs: collections.abc.Sequence[Program],
  *,
  repeats: int,
  min_seconds: float,
  on_repeat: collections.abc.Callable[[], None],
) -> list[np.ndarray]:
  """Times programs in turn.

  So noise of the machine affects all alike. Each is called once to warm up,
  once to see how many calls make a repetition of `min_seconds`, and then for
  the record. Every call begins with the books as they were at first; copying
  them is not part of the time.

  Args:
    programs: what to time.
    repeats: how many repetitions.
    min_seconds: of a repetition, about.
    on_repeat: called after every repetition of them all.

  Returns:
    For each program the seconds of a call in each repetition, `[repeats]`.
  """
  for program in programs:
    _call(program)
  calls = [max(1, round(min_seconds / _call(program))) for program in programs]
  seconds = [[] for _ in programs]
  for _ in range(repeats):
    for program, num_calls, record in zip(
      programs, calls, seconds, strict=True
    ):
      total = sum(_call(program) for _ in range(num_calls))
      record.append(total / num_calls)
    on_repeat()
  return [np.array(record) for record in seconds]


def _call(program: Program) -> float:
  """Returns the seconds of one call."""
  state = program.fresh()
  began = time.perf_counter()
  program.run(state)
  return time.perf_counter() - began
