"""Many events of many markets: scans inside, chunks on the host.

`rollout` is one market and one scan; `futures` is many trajectories from one
state, in chunks, so that a long horizon shows its progress and its memory is
that of what it keeps.
"""

import collections.abc
import functools
from typing import TypeVar

import jax
import numpy as np

from mars_jax.sim import state as state_lib
from mars_jax.sim import step as step_lib
from mars_jax.tokens import features

T = TypeVar("T")
ObserveFn = collections.abc.Callable[[state_lib.SimState, state_lib.Event], T]


def rollout(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  *,
  flow: state_lib.OrderFlow,
  num_events: int,
  observe_fn: ObserveFn,
) -> tuple[state_lib.SimState, T]:
  """Simulates events of one market. Batch with `jax.vmap`.

  Args:
    params: of the model.
    tokenizer: the bins.
    state: the market to start from; its key decides all that is drawn.
    flow: the model; static.
    num_events: how many; static.
    observe_fn: `(state, event) -> tree`, what to keep of each event.

  Returns:
    The last state, and what was kept, leaves `[num_events, ...]`.
  """

  def body(state, _):
    state, event = step_lib.step(params, tokenizer, state, flow=flow)
    return state, observe_fn(state, event)

  return jax.lax.scan(body, state, length=num_events)


def spread(
  state: state_lib.SimState, keys: jax.Array, *, flow: state_lib.OrderFlow
) -> state_lib.SimState:
  """Returns one market as many, which differ by their keys only.

  Args:
    state: of one market.
    keys: typed PRNG keys `[B]`.
    flow: the model, for the axes of its cache.

  Returns:
    The state of B markets, with the axes of `state_lib.state_axes`.
  """
  axes = state_lib.state_axes(flow)
  return jax.vmap(lambda key: state.replace(key=key), out_axes=axes)(keys)


def chunks(
  params: state_lib.Params,
  tokenizer: features.Tokenizer,
  state: state_lib.SimState,
  *,
  flow: state_lib.OrderFlow,
  num_events: int,
  observe_fn: ObserveFn,
) -> collections.abc.Iterator[tuple[state_lib.SimState, T]]:
  """Simulates many markets in step for ever, some events at a time.

  Args:
    params: of the model.
    tokenizer: the bins.
    state: of B markets, as `spread` returns it.
    flow: the model; static.
    num_events: events of a chunk.
    observe_fn: as for `rollout`.

  Yields:
    The state after each chunk, and what was kept, numpy leaves
    `[B, num_events, ...]`. Chunks in a row are the same as one long rollout.
  """
  axes = state_lib.state_axes(flow)
  run = jax.jit(
    jax.vmap(
      functools.partial(
        rollout, flow=flow, num_events=num_events, observe_fn=observe_fn
      ),
      in_axes=(None, None, axes),
      out_axes=(axes, 0),
    )
  )
  while True:
    state, kept = run(params, tokenizer, state)
    yield state, jax.tree.map(np.asarray, kept)
