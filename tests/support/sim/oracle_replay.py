"""Small simulated markets with agents of a few lines, and their plain replay.

`check` applies the list of events to an exchange and a ledger in plain Python,
and compares the market and the accounts after every event.
"""

import collections

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import sim
from mars_jax import types
from mars_jax.lob import rules as rules_lib
from mars_jax.sim import clock
from mars_jax.tokens import vocab
from mars_jax.utils import time_of_day
from tests.support.oracles import python_exchange

ASK, BID = types.Side.ASK, types.Side.BID
_Kind = types.OrderKind
# Kinds as often as noise sends them.
_KINDS = np.array(
  [_Kind.LIMIT] * 6
  + [_Kind.CANCEL] * 3
  + [_Kind.MODIFY] * 3
  + [_Kind.MARKET, _Kind.IOC, _Kind.FOK, _Kind.POST_ONLY, _Kind.NONE],
  np.int32,
)
# What may become of an order; "no volume" of a cancel where nothing rests.
_SENT = ("accepted", "would cross", "not fillable", "self trade", "capacity")
_SENT += ("no volume",)
_LOG = 8  # Wake-ups that noise remembers.


def _any_order(params, key, inputs, cache):
  """Any order, as likely as any other; the cache counts what it was told."""
  del params
  order = jax.random.randint(key, (), 0, vocab.NUM_ORDERS)
  return vocab.unpack(order), cache + inputs.is_new


ANY_ORDER = sim.OrderModelFns(_any_order)


def noise(*, count, interval, slots, delays, lot=1) -> sim.agents.Agent:
  """Sends up to two orders at a time, of all kinds, some of them nonsense.

  Its state is (messages sent, the last wake-ups).

  Args:
    count: how many agents.
    interval: nanoseconds, the longest sleep.
    slots: of the config; it names one too many.
    delays: of all of them.
    lot: most volumes are multiples of it.
  """

  def init(key, observation):
    del key
    return (jnp.int32(0), clock.never((_LOG,))), observation.time

  def act(state, observation):
    draws = jax.random.bits(observation.key, (9, 2)) >> 1
    draws = draws.astype(jnp.int32)
    now = observation.time
    kind = jnp.asarray(_KINDS)[draws[0] % len(_KINDS)]
    reach = jnp.where(draws[1] % 16 == 0, 400, 9)
    odd = (draws[3] % 8 == 0) * (draws[4] % 5)
    whole = (kind == _Kind.CANCEL) * (draws[4] % 2) * 1000
    orders = types.Order(
      kind=kind,
      side=draws[2] % 2,
      price=observation.view.mid + draws[5] % reach - reach // 2,
      volume=draws[6] % 8 * lot + odd + whole,
      id=draws[7] % (slots + 1),
      owner=jnp.full((2,), types.NO_OWNER, jnp.int32),
    )
    sent, log = state
    sent = sent + (kind != _Kind.NONE).sum(dtype=jnp.int32)
    log = jax.tree.map(lambda x, y: jnp.roll(x, 1).at[0].set(y), log, now)
    seconds, rest = divmod(interval, types.NANOSECONDS)
    sleep = draws[8] % jnp.array([seconds + 1, max(rest, 1)])
    return (sent, log), sim.agents.Action(orders, clock.add_parts(now, *sleep))

  return sim.agents.Agent("noise", init, act, count, delays)


class Replay:
  """One market from its events, in plain Python.

  Attributes:
    exchange: the market.
    cash: what each owner got, ticks times lots, the rest of the market last.
    bought, sold: lots of each owner.
  """

  def __init__(self, rules, begin: sim.Start, num_agents: int):
    capacity = begin.market.exchange.book.price.shape[1]
    reference = int(begin.market.exchange.reference)
    self.exchange = python_exchange.PythonExchange(rules, capacity, reference)
    for side in (ASK, BID):
      rows = rows_of(jax.device_get(begin.market.exchange.book), side)
      self.exchange.sides[side][:] = [
        python_exchange.Resting(*row) for row in rows
      ]
    self.cash = [0] * (num_agents + 1)
    self.bought = [0] * (num_agents + 1)
    self.sold = [0] * (num_agents + 1)

  def apply(self, order: types.Order, seconds: int):
    """Applies an order of Python integers, and books its fills."""
    message = python_exchange.Message(
      order.kind, order.side, order.price, order.volume, order.id, order.owner
    )
    owners = self._owners()
    result = self.exchange.apply(message, seconds)
    for fill in result.fills:
      self._book(order.owner, order.side, fill)
      self._book(owners[fill.id], 1 - order.side, fill)
    return result

  def uncross(self) -> int:
    """Executes a call auction, books its fills, and returns its volume."""
    owners = self._owners()
    outcome = self.exchange.uncross()
    for side, fills in enumerate(outcome.fills):
      for fill in fills:
        self._book(owners[fill.id], side, fill)
    return outcome.volume

  def _owners(self):
    sides = self.exchange.sides
    return {order.id: order.owner for side in sides for order in side}

  def _book(self, owner, side, fill):
    """Books one side of a fill; an owner of -1 is the last one."""
    value = fill.price * fill.volume
    self.cash[owner] += value if side == ASK else -value
    (self.sold if side == ASK else self.bought)[owner] += fill.volume


def rows_of(book, side) -> list[python_exchange.Row]:
  """Returns what rests on a side of a numpy book, first to trade first."""
  fields = (book.price, book.volume, book.id, book.owner)
  columns = [field[side].tolist() for field in fields]
  rows = [python_exchange.Row(*row) for row in zip(*columns, strict=True)]
  return [row for row in rows if row.volume]


Kept = collections.namedtuple(
  "Kept", "event book agents clock num_auctions last_price resumes"
)


def keep(state: sim.SimState, event: sim.Event) -> Kept:
  """Keeps what `check` looks at, of each step."""
  exchange = state.market.exchange
  return Kept(
    event,
    exchange.book,
    state.agents.replace(key=None, views=None),
    state.market.clock,
    state.num_auctions,
    exchange.last_price,
    exchange.resumes,
  )


def check(
  kept: Kept, begin: sim.Start, config: sim.SimConfig, *, has_noise=True
) -> collections.Counter:
  """Replays one trajectory, and compares it after every event and at the end.

  Args:
    kept: of `keep`, numpy leaves `[num_events, ...]`.
    begin: where it began.
    config: of the simulation.
    has_noise: whether all agents are `noise`: its wake-ups tell when orders
      have to arrive.

  Returns:
    How many there were of what: "events", "auctions", "traded", each reason.
  """
  replay = Replay(config.rules, begin, config.agents.num_agents)
  counts = collections.Counter()
  last = int(time_of_day.nanoseconds(begin.market.clock))
  for i in [*np.flatnonzero(kept.event.is_event), -1]:
    now = jax.tree.map(lambda x, i=i: x[i], kept)
    time = int(time_of_day.nanoseconds(now.clock))
    assert time >= last, "the clock goes back"
    for second in config.auction_times:
      if last < second * types.NANOSECONDS <= time:
        counts.update({"auctions": 1, "traded": replay.uncross()})
    last = time
    if i >= 0:
      assert time_of_day.nanoseconds(now.event.time) == time
      counts += _apply(replay, now.event, time // types.NANOSECONDS)
      if has_noise:
        _check_arrival(now, config)
    _check_market(now, replay, config, time // types.NANOSECONDS)
    _check_owners(now, replay)
  return counts


def _apply(replay, event, seconds):
  """Applies the order of an event, compares the reports, and counts it."""
  order, report = jax.tree.map(int, event.order), event.report
  assert rules_lib.takes_orders(replay.exchange.phase(seconds))
  result = replay.apply(order, seconds)
  reason = types.names(types.Reason)[result.reason]
  # What the venue does not take is not sent, but for the model's cancels: it
  # does not know of a time in which there are none.
  assert reason in _SENT or (reason == "closed" and order.kind == _Kind.CANCEL)
  assert reason not in ("closed", "no volume") or order.owner < 0
  found = report.reason, report.traded, report.rested, report.cancelled
  expected = result.reason, result.traded, result.rested, result.cancelled
  assert tuple(map(int, found)) == expected
  fills = report.fills
  columns = fills.price.tolist(), fills.volume.tolist(), fills.id.tolist()
  rows = [row for row in zip(*columns, strict=True) if row[1]]
  assert rows == [tuple(fill) for fill in result.fills]
  return collections.Counter(
    {
      "events": 1,
      "traded": result.traded,
      "injected": int(order.owner >= 0),
      "one side empty": int(not all(replay.exchange.sides)),
      reason: 1,
    }
  )


def _check_market(now, replay, config, seconds):
  """The book, row by row, and what the venue remembers."""
  exchange = replay.exchange
  rows = [exchange.rows(side) for side in (ASK, BID)]
  assert [rows_of(now.book, side) for side in (ASK, BID)] == rows
  if exchange.phase(seconds) == rules_lib.Phase.CONTINUOUS and all(rows):
    assert rows[BID][0].price < rows[ASK][0].price
  assert int(now.last_price) == exchange.last_price
  assert int(now.resumes) == exchange.resumes
  auctions = [time <= seconds for time in config.auction_times]
  assert int(now.num_auctions) == sum(auctions)


def _check_owners(now, replay):
  """Accounts against the ledger, slots against the book."""
  accounts = now.agents.accounts
  cash = sim.money.to_int(accounts.cash)
  assert cash.tolist() == replay.cash
  assert accounts.bought.tolist() == replay.bought
  assert accounts.sold.tolist() == replay.sold
  inventory = accounts.inventory
  assert (inventory == accounts.bought - accounts.sold).all()
  assert cash.sum() == 0 and inventory.sum() == 0
  orders = now.agents.orders
  columns = orders.side, orders.price, orders.volume, now.agents.ids
  owner = np.arange(len(now.agents.ids))[:, None] + np.zeros_like(
    now.agents.ids
  )
  rests = orders.volume > 0
  found = zip(*(x[rests].tolist() for x in (owner, *columns)), strict=True)
  assert sorted(found) == sorted(
    (row.owner, side, row.price, row.volume, row.id)
    for side in (ASK, BID)
    for row in replay.exchange.rows(side)
    if row.owner >= 0
  )


def _check_arrival(now, config):
  """An agent's order comes its delay after one of its wake-ups."""
  owner, time, first = (
    int(now.event.order.owner),
    time_of_day.nanoseconds(now.clock),
    0,
  )
  for agent, (_, log) in zip(
    config.agents.kinds, now.agents.states, strict=True
  ):
    if first <= owner < first + agent.count:
      delay = agent.delays.computation + agent.delays.communication
      wakes = jax.tree.map(lambda x, i=first: x[owner - i], log)
      assert time - delay in time_of_day.nanoseconds(wakes).tolist()
    first += agent.count
