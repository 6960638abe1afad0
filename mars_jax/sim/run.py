"""Rollouts: of one market in a scan, of many trajectories from the host.

`rollout` is one market and one scan. `init_many` turns one start into many
trajectories; `run`, the only loop over chunks, simulates them from the host, so
that a long simulation shows its progress and needs the memory of what is kept.
Both compile what they run once, and keep it.
"""

import collections.abc
import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import types
from mars_jax.sim import clock
from mars_jax.sim import state as state_lib
from mars_jax.sim import step as step_lib
from mars_jax.utils import checks
from mars_jax.utils import time_of_day

_PROGRAMS = 16  # Of each kind that are kept compiled.

T = TypeVar("T")
ObserveFn = collections.abc.Callable[[state_lib.SimState, state_lib.Event], T]
"""`(state, event) -> tree of arrays`, the values to keep of an event."""
ProgressFn = collections.abc.Callable[[float, int], None]
"""`(share of the horizon passed, events so far)`, called after each chunk."""


def rollout(
  flow: state_lib.Flow,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  config: state_lib.SimConfig = state_lib.DEFAULT,
  num_events: int,
  observe_fn: ObserveFn,
) -> tuple[state_lib.SimState, T]:
  """Simulates events of one market. Batch with `jax.vmap`.

  Args:
    flow: the order flow.
    state: the market to start from; its key decides all draws.
    until: the end; see `step`. A state that had come to an earlier one goes on
      after `resume`.
    config: static.
    num_events: steps; those after the end do nothing; static.
    observe_fn: `(state, event) -> tree`, what to keep of each step.

  Returns:
    The last state, and what was kept, leaves `[num_events, ...]`.
  """

  def body(state, _):
    state, event = step_lib.step(flow, state, until, config=config)
    return state, observe_fn(state, event)

  return jax.lax.scan(body, state, length=num_events)


def resume(
  state: state_lib.SimState, *, fns: state_lib.OrderModelFns
) -> state_lib.SimState:
  """Resets trajectories that ended, so that they go on.

  Args:
    state: of one market or of many.
    fns: of the model; static.
  """
  return state.replace(cache=fns.align_cache(state.cache))


def trajectory_keys(key: jax.Array, count: int) -> jax.Array:
  """Returns keys `[B]` that do not depend on `count`."""
  return jax.vmap(lambda b: jax.random.fold_in(key, b))(np.arange(count))


def init_many(
  flow: state_lib.Flow,
  keys: jax.Array,
  start: state_lib.Start,
  *,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> state_lib.SimState:
  """Returns trajectories of one start.

  They differ in their random keys.

  Args:
    flow: the order flow.
    keys: typed PRNG keys `[B]`, consumed; `trajectory_keys` makes them.
    start: the market.
    config: static.

  Returns:
    The state of B markets, with the axes of `state_axes`.
  """
  return _init_program(flow.fns, config, False)(flow, keys, start)


def init_each(
  flow: state_lib.Flow,
  keys: jax.Array,
  starts: state_lib.Start,
  *,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> state_lib.SimState:
  """Returns a trajectory of each of many starts.

  Args:
    flow: the order flow.
    keys: typed PRNG keys `[B]`, consumed.
    starts: the markets, leaves `[B, ...]`; caches have the axes of
      `OrderModelFns.cache_axes`.
    config: static.

  Returns:
    The state of B markets, with the axes of `state_axes`.
  """
  return _init_program(flow.fns, config, True)(flow, keys, starts)


def run(
  flow: state_lib.Flow,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  observe_fn: ObserveFn,
  config: state_lib.SimConfig = state_lib.DEFAULT,
  max_events: int | None = None,
  chunk: int = 256,
  mesh: jax.sharding.Mesh | None = None,
  on_progress: ProgressFn = lambda share, num_events: None,
) -> collections.abc.Iterator[tuple[state_lib.SimState, T]]:
  """Simulates many markets in chunks until all have ended.

  Args:
    flow: the order flow.
    state: of B markets, as `init_many` or an earlier `run` gives it.
    until: the end, in market time: no order comes after it. Leaves `[]`, or
      `[B]` for one of each trajectory. Trajectories that reach it wait for the
      others. None for the end of the exchange's day.
    observe_fn: `(state, event) -> tree`, what to keep of each event; one
      function for all calls, since another one is another program to compile.
    config: static.
    max_events: events of a trajectory, exactly that many unless `until` comes
      first; None for no limit.
    chunk: events of a trajectory in one compiled call. What is less than a
      chunk at the end is a program of its own.
    mesh: devices to cut the B trajectories over, along its first axis, as
      `jax.sharding.Mesh` makes it (axes are Auto); B must be a multiple of
      their number. None for the default device.
    on_progress: called with the share of the horizon that all trajectories have
      passed, and the events simulated so far.

  Yields:
    The state after each chunk, and what was kept, numpy leaves `[B, E, ...]`
    of E events. Chunks in a row are the same as one long rollout. A state is
    valid until the next chunk, which takes over its memory.

  Raises:
    ValueError: if `chunk` or `max_events` is below 1.
  """
  checks.at_least(1, chunk=chunk)
  if max_events is not None:
    checks.at_least(1, max_events=max_events)
  # A copy, since the chunks take over the memory of what they are given.
  state = jax.tree.map(jnp.copy, _resume_program(flow.fns)(state))
  progress = _Progress(state, until, max_events)
  until = clock.add(clock.never(), -1) if until is None else until
  num_trajectories = state.num_events.shape
  until = jax.tree.map(lambda x: jnp.broadcast_to(x, num_trajectories), until)
  done, is_over = 0, False
  while not is_over:
    size = chunk if max_events is None else min(chunk, max_events - done)
    program = _chunk_program(flow.fns, config, size, observe_fn, mesh)
    before = np.asarray(state.num_events)
    state, kept = program(flow, state, until)
    done += size
    # A trajectory that has ended had a step without an event.
    all_ended = (np.asarray(state.num_events) - before).max() < size
    is_over = all_ended or done == max_events
    on_progress(*progress(state, done, is_over))
    yield state, jax.tree.map(np.asarray, kept)


class _Progress:
  """Progress of a run."""

  def __init__(self, state, until, max_events):
    self._begin = self._time(state)
    self._end = None if until is None else time_of_day.nanoseconds(until)
    self._num_before = self._num(state)
    self._max_events = max_events

  def __call__(self, state, done, is_over) -> tuple[float, int]:
    """Returns the share of the horizon and the events done."""
    shares = [float(is_over)]
    if self._max_events is not None:
      shares.append(done / self._max_events)
    if self._end is not None and (self._end > self._begin).any():
      length = self._end - self._begin
      passed = (self._time(state) - self._begin) / np.maximum(length, 1)
      shares.append(float(np.where(length > 0, passed, 1).min()))
    return min(max(shares), 1.0), self._num(state) - self._num_before

  @staticmethod
  def _time(state) -> np.ndarray:
    """Returns the time that each trajectory has reached."""
    return time_of_day.nanoseconds(state.market.clock)

  @staticmethod
  def _num(state) -> int:
    return int(np.asarray(state.num_events).sum(dtype=np.int64))


@functools.lru_cache(maxsize=_PROGRAMS)
def _init_program(fns, config, has_starts):
  """Returns the compiled `init` of many trajectories."""

  def init(flow, key, start):
    return state_lib.init(flow, key, start, config=config)

  axes = state_lib.state_axes(fns)
  start_axes = state_lib.start_axes(fns) if has_starts else None
  return jax.jit(jax.vmap(init, (None, 0, start_axes), axes))


@functools.lru_cache(maxsize=_PROGRAMS)
def _resume_program(fns):
  """Returns the compiled `resume`."""
  return jax.jit(functools.partial(resume, fns=fns))


@functools.lru_cache(maxsize=_PROGRAMS)
def _chunk_program(fns, config, num_events, observe_fn, mesh):
  """Returns the compiled rollout of many trajectories, cut over devices."""
  one = functools.partial(
    rollout,
    config=config,
    num_events=num_events,
    observe_fn=observe_fn,
  )
  axes = state_lib.state_axes(fns)
  many = jax.vmap(one, (None, axes, 0), (axes, 0))
  if mesh is not None:
    whole = jax.sharding.PartitionSpec()
    cut = jax.sharding.PartitionSpec(mesh.axis_names[0])
    specs = jax.tree.map(
      lambda axis: whole if axis is None else cut,
      axes,
      is_leaf=lambda x: x is None,
    )
    many = jax.shard_map(
      many,
      mesh=mesh,
      in_specs=(whole, specs, cut),
      out_specs=(specs, cut),
      check_vma=False,
    )
  return jax.jit(many, donate_argnums=1)
