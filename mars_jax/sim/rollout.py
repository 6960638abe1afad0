"""Many events of many markets: scans inside, chunks on the host.

`rollout` is one market and one scan. `init_many` turns one market into many
trajectories, and `chunks` runs these from the host, so that a long horizon
shows its progress and its memory is that of what is kept.
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


def init_many(
  params: state_lib.Params,
  keys: jax.Array,
  start: state_lib.Start,
  *,
  flow: state_lib.OrderFlow,
) -> state_lib.SimState:
  """Returns trajectories of one market, which differ by their keys only.

  Args:
    params: of the model.
    keys: typed PRNG keys `[B]`.
    start: the market.
    flow: the model; static.

  Returns:
    The state of B markets, with the axes of `state_lib.state_axes`.
  """
  init = functools.partial(state_lib.init, flow=flow)
  axes = state_lib.state_axes(flow)
  return jax.vmap(init, in_axes=(None, 0, None), out_axes=axes)(
    params, keys, start
  )


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
    state: of B markets, as `init_many` returns it.
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
