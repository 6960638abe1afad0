"""Many events of many markets: scans inside, chunks on the host.

`rollout` is one market and one scan. `init_many` turns one market, or several,
into many trajectories, and `chunks` runs these from the host, so that a long
horizon shows its progress and its memory is that of what is kept. Both compile
what they run, and keep it.
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
from mars_jax.tokens import features

_PROGRAMS = 16  # That are kept compiled.

T = TypeVar("T")
ObserveFn = collections.abc.Callable[[state_lib.SimState, state_lib.Event], T]


def rollout(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  flow: state_lib.OrderModelFns,
  config: state_lib.SimConfig = state_lib.DEFAULT,
  num_events: int,
  observe_fn: ObserveFn,
) -> tuple[state_lib.SimState, T]:
  """Simulates events of one market. Batch with `jax.vmap`.

  Args:
    params: of the model.
    tokenizer: the bins.
    state: the market to start from; its key decides all that is drawn.
    until: the end; see `step`. A state that had come to an earlier one goes on
      after `resume`.
    flow: the model; static.
    config: static.
    num_events: steps, of which those after the end are none; static.
    observe_fn: `(state, event) -> tree`, what to keep of each step.

  Returns:
    The last state, and what was kept, leaves `[num_events, ...]`.
  """

  def body(state, _):
    state, event = step_lib.step(
      params, tokenizer, state, until, flow=flow, config=config
    )
    return state, observe_fn(state, event)

  return jax.lax.scan(body, state, length=num_events)


def trajectory_keys(key: jax.Array, count: int) -> jax.Array:
  """Returns keys `[B]` of which each depends on its place, not on `count`."""
  return jax.vmap(lambda b: jax.random.fold_in(key, b))(np.arange(count))


def init_many(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  keys: jax.Array,
  start: state_lib.Start,
  *,
  flow: state_lib.OrderModelFns,
  config: state_lib.SimConfig = state_lib.DEFAULT,
) -> state_lib.SimState:
  """Returns trajectories of one market, or of several, which differ by key.

  Args:
    params: of the model.
    tokenizer: the bins.
    keys: typed PRNG keys `[B]`, or `[S, B]` for S starts.
    start: the market; leaves `[S, ...]` for several, as `stack` makes them.
    flow: the model; static.
    config: static.

  Returns:
    The state of B markets, or S times B, with the axes of
    `state_lib.state_axes`.
  """

  init = _init_program(flow, config, has_starts=keys.ndim == 2)
  return init(params, tokenizer, keys, start)


@functools.lru_cache(maxsize=_PROGRAMS)
def _init_program(flow, config, *, has_starts):
  """Returns the compiled `init_many`, which later calls use again."""

  def init(params, tokenizer, key, start):
    return state_lib.init(
      params, tokenizer, key, start, flow=flow, config=config
    )

  axes = state_lib.state_axes(flow)
  init = jax.vmap(init, (None, None, 0, None), axes)
  if has_starts:
    axes = state_lib.state_axes(flow, of_starts=True)
    init = jax.vmap(init, (None, None, 0, _start_axes(flow)), axes)
  return jax.jit(init)


def stack(
  starts: collections.abc.Sequence[state_lib.Start],
  *,
  flow: state_lib.OrderModelFns,
) -> state_lib.Start:
  """Returns several starts, of books of one capacity, as one for `init_many`.

  Args:
    starts: S of them.
    flow: the model; what it has caches of several starts share must be equal.
  """

  def join(axis, *parts):
    if axis is None:
      return parts[0]
    return jax.tree.map(lambda *x: jnp.stack(x), *parts)

  return jax.tree.map(join, _start_axes(flow), *starts, is_leaf=_is_none)


def _start_axes(flow):
  """Returns the axes of several starts."""
  return state_lib.Start(
    clock=0,
    exchange=0,
    mid=0,
    open_mid=0,
    next_id=0,
    token=0,
    cache=flow.start_axes,
  )


def resume(
  state: state_lib.SimState, *, flow: state_lib.OrderModelFns
) -> state_lib.SimState:
  """Lets trajectories go on that had come to the end of an earlier rollout.

  Args:
    state: of one market or of many.
    flow: the model; static.
  """
  return state.replace(cache=flow.align_cache(state.cache))


def chunks(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  until: types.Timestamp | None = None,
  *,
  flow: state_lib.OrderModelFns,
  config: state_lib.SimConfig = state_lib.DEFAULT,
  num_events: int,
  observe_fn: ObserveFn,
  mesh: jax.sharding.Mesh | None = None,
) -> collections.abc.Iterator[tuple[state_lib.SimState, T]]:
  """Simulates many markets in step, some events at a time, until all end.

  Args:
    params: of the model.
    tokenizer: the bins.
    state: of B markets, or of S times B, as `init_many` returns it.
    until: the end; see `step`. Trajectories that come to it wait for the
      others.
    flow: the model; static.
    config: static.
    num_events: events of a chunk.
    observe_fn: as for `rollout`; one function for all calls, since another one
      is another program to compile.
    mesh: devices to cut the B trajectories over, along its first axis, as
      `jax.sharding.Mesh` makes it (axes are Auto); B must be a multiple of
      their number. None for the default device.

  Yields:
    The state after each chunk, and what was kept, numpy leaves
    `[B, num_events, ...]`, or `[S, B, num_events, ...]`. Chunks in a row are
    the same as one long rollout. A state is valid until the next chunk, which
    takes over its memory.
  """
  if until is None:
    until = clock.add(clock.never(), -1)
  run = _program(
    flow, config, num_events, observe_fn, mesh, has_starts=state.mid.ndim == 2
  )
  # A copy, since the chunks take over the memory of what they are given.
  state = jax.tree.map(jnp.copy, _resume_program(flow)(state))
  while True:
    before = np.asarray(state.num_events)
    state, kept = run(params, tokenizer, state, until)
    moved = np.asarray(state.num_events) - before
    yield state, jax.tree.map(np.asarray, kept)
    if moved.max() < num_events:
      return


@functools.lru_cache(maxsize=_PROGRAMS)
def _program(flow, config, num_events, observe_fn, mesh, *, has_starts):
  """Returns the compiled chunk, which later calls of `chunks` use again."""
  one = functools.partial(
    rollout,
    flow=flow,
    config=config,
    num_events=num_events,
    observe_fn=observe_fn,
  )
  many = _over_devices(one, flow, mesh, has_starts=has_starts)
  return jax.jit(many, donate_argnums=2)


@functools.lru_cache(maxsize=_PROGRAMS)
def _resume_program(flow):
  """Returns `resume`, compiled once."""
  return jax.jit(functools.partial(resume, flow=flow))


def _over_devices(one, flow, mesh, *, has_starts):
  """Returns `one` for many trajectories, cut over the devices of a mesh."""
  axes = state_lib.state_axes(flow)
  many = jax.vmap(one, (None, None, axes, None), (axes, 0))
  if has_starts:
    of_starts = state_lib.state_axes(flow, of_starts=True)
    many = jax.vmap(many, (None, None, of_starts, None), (of_starts, 0))
  if mesh is None:
    return many
  whole = jax.sharding.PartitionSpec()
  lead = (None,) if has_starts else ()
  cut = jax.sharding.PartitionSpec(*lead, mesh.axis_names[0])
  specs = jax.tree.map(
    lambda axis: whole if axis is None else cut, axes, is_leaf=_is_none
  )
  return jax.shard_map(
    many,
    mesh=mesh,
    in_specs=(whole, whole, specs, whole),
    out_specs=(specs, cut),
    check_vma=False,
  )


def _is_none(x):
  return x is None
