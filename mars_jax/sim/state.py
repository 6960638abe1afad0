"""The state of a simulated market, and what the simulator asks of a model."""

import collections.abc
import dataclasses
from typing import Any

import jax
from flax import struct

from mars_jax import lob
from mars_jax import types
from mars_jax.tokens import features

Params = Any  # Whatever the model's function takes.
Cache = Any  # The model's memory of the orders so far, a tree of arrays.

# (params, key, token, cache) -> (order index, cache): takes in the order that
# was just matched, with the book that it left, and draws the next one.
NextOrderFn = collections.abc.Callable[
  [Params, jax.Array, features.TokenFeatures, Cache], tuple[jax.Array, Cache]
]


@dataclasses.dataclass(frozen=True)
class OrderFlow:
  """A model of the order flow; static.

  Attributes:
    next_order: draws the next order.
    cache_axes: the axes of the cache that `jax.vmap` maps over when many
      trajectories run in step: 0, or a tree with None where they share a leaf.
  """

  next_order: NextOrderFn
  cache_axes: Any = 0


@struct.dataclass
class Start:
  """A market right after an order, before the model has seen that order."""

  clock: types.Timestamp  # the time of the order
  book: lob.Book  # leaves [2, N], after it
  mid: jax.Array  # [] int32, ticks, of the book
  open_mid: jax.Array  # [] int32, ticks, at the start of the day
  next_id: jax.Array  # [] int32, of the next limit order
  token: features.TokenFeatures  # the order, leaves []
  cache: Cache  # of the model, after the orders before


@struct.dataclass
class SimState:
  """One simulated market between two events.

  `plan` is the order that the model sends next; what it means in ticks and
  lots is settled when it is sent, against the book of that moment.
  """

  key: jax.Array  # [] typed PRNG key
  clock: types.Timestamp  # the time of the last event
  book: lob.Book  # leaves [2, N]
  mid: jax.Array  # [] int32, ticks, of the book
  open_mid: jax.Array  # [] int32, ticks, at the start of the day
  next_id: jax.Array  # [] int32, of the next limit order
  plan: jax.Array  # [] int32, order index
  cache: Cache  # of the model


@struct.dataclass
class Event:
  """What happened in one step."""

  time: types.Timestamp  # when
  order: types.Order  # what was sent to the clearing house
  traded: jax.Array  # [] int32, lots that it took
  mid: jax.Array  # [] int32, ticks, after it


def init(
  params: Params, key: jax.Array, start: Start, *, flow: OrderFlow
) -> SimState:
  """Returns the state to simulate from; the key decides all that is drawn.

  Args:
    params: of the model.
    key: typed PRNG key, consumed.
    start: the market.
    flow: the model; static.
  """
  key, plan_key = jax.random.split(key)
  plan, cache = flow.next_order(params, plan_key, start.token, start.cache)
  return SimState(
    key=key,
    clock=start.clock,
    book=start.book,
    mid=start.mid,
    open_mid=start.open_mid,
    next_id=start.next_id,
    plan=plan,
    cache=cache,
  )


def state_axes(flow: OrderFlow) -> SimState:
  """Returns the axes of a state of many trajectories, for `jax.vmap`."""
  return SimState(
    key=0,
    clock=0,
    book=0,
    mid=0,
    open_mid=0,
    next_id=0,
    plan=0,
    cache=flow.cache_axes,
  )
