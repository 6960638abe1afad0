"""Reaction of order flows to an injected order.

From each start there are futures without an order, with a buy and with a sell.
The injected market order is matched before the simulation begins, so that the
three share the random numbers of every order that follows (`sim.submit`): a
flow that ignores the book draws the same orders. The order of an agent amid a
simulation, as in `apps.impact`, would shift them by one.

Its volume is that of the best levels of the book that it meets, so that it
moves the mid in every window. A flow that cannot react, such as random orders,
shows what the engine alone does with it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lob
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import rollouts
from mars_jax.apps import windows as windows_lib
from mars_jax.evals import response
from mars_jax.utils import time_of_day


def measure(
  windows: windows_lib.Windows,
  source: rollouts.Source,
  key: jax.Array,
  without: sim.Event,
  *,
  levels: int,
  visible: bool = True,
) -> response.Reaction:
  """Simulates the futures with an order and compares.

  The order comes the median interval of the past after each start.

  Args:
    windows: S windows.
    source: the order flow.
    key: typed PRNG key, consumed, that `without` was simulated by.
    without: the futures without an order, leaves `[S, E, ...]`, as
      `rollouts.run` gives them.
    levels: of the other side, which the order takes; the last one of a book
      stays.
    visible: whether to show the progress.
  """
  waits = np.diff(windows.records.time[: windows.num_past])
  wait = int(np.median(waits)) if len(waits) else 0
  clock = time_of_day.nanoseconds(source.starts.market.clock)
  time = jax.tree.map(jnp.asarray, time_of_day.timestamps(clock + wait))
  config = sim.SimConfig(rules=windows.rules)
  keys = sim.trajectory_keys(key, len(windows))
  read = sim.init_each(source.flow, keys, source.starts, config=config)
  mid = np.asarray(source.starts.market.mid)
  futures, volumes = [_future(mid, without)], []
  for side in (types.Side.BID, types.Side.ASK):
    volume = level_volume(windows.books, 1 - side, levels)
    market, token = _submit(
      source.flow.tokenizer,
      source.starts.market,
      jnp.int32(side),
      jnp.asarray(volume),
      time,
      config=config,
    )
    starts = sim.Start(market, token, read.cache, read.context)
    injected = rollouts.Source(source.flow, starts)
    events, _ = rollouts.run(windows, injected, key, visible=visible)
    futures.append(_future(np.asarray(market.mid), events))
    volumes.append(volume.mean())
  return response.reaction(
    *futures,
    volume=float(np.mean(volumes)),
    horizon=windows.config.num_real,
  )


def level_volume(book: lob.Book, side: int, levels: int) -> np.ndarray:
  """Returns the lots at the best levels, int32 `[S]`.

  One lot where there is none but the last level.

  Args:
    book: numpy leaves `[S, 2, N]`.
    side: of the orders.
    levels: how many, but not the last one of a side.
  """
  price, volume = book.price[:, side], book.volume[:, side]
  rests = volume > 0
  is_first = np.diff(price, axis=1, prepend=price[:, :1] - 1) != 0
  number = np.cumsum(is_first & rests, axis=1)  # From 1, `[S, N]`.
  most = np.minimum(number[:, -1:] - 1, levels)
  found = np.where(rests & (number <= most), volume, 0).sum(axis=1)
  return np.maximum(found, 1).astype(np.int32)


@functools.partial(jax.jit, static_argnames="config")
def _submit(tokenizer, market, side, volume, time, *, config):
  """Submits a market order to each market; leaves `[S, ...]`."""

  def submit(market, volume, time):
    order = types.Order(
      kind=jnp.int32(types.OrderKind.MARKET),
      side=side,
      price=market.mid,
      volume=volume,
      id=market.next_id,
      owner=jnp.int32(types.NO_OWNER),
    )
    return sim.submit(tokenizer, market, order, time, config=config)

  return jax.vmap(submit)(market, volume, time)


def _future(mid, events: sim.Event) -> response.Future:
  """Returns the orders and mids of futures."""
  return response.Future(
    mid=np.concatenate([mid[:, None], events.mid], axis=1),
    is_event=events.is_event,
    order=events.order,
    traded=events.report.traded,
  )
