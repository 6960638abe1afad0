"""Matching of one order, in one pass over the slots.

Under price-time priority an order takes a prefix of the other side. With
`ahead` the volume that rests before a slot, among the slots that the order's
price crosses,

  fill = clip(order volume - ahead, 0, slot volume)

A filled prefix and an order that is removed leave a gap, and an order that
comes to rest needs one. So a side changes by one shift of a run of slots: to
the left by the number of removed orders, or to the right by one. There is
no loop and no branch, and every order costs the same: the program is the same
for one book and for many (pro-rata allocation has a loop of fixed length).

Kinds of order differ by a few scalars: what may trade, and what rests. Rules
that fill or cancel orders amid others, pro-rata allocation and self-trade
prevention that cancels the oldest, close their gaps by a stable sort.
"""

import collections.abc

import chex
import jax
import jax.numpy as jnp
from flax import struct

from mars_jax import types
from mars_jax.lob import allocation
from mars_jax.lob import book as book_lib
from mars_jax.lob import rules as rules_lib
from mars_jax.lob import venues


def step(
  book: book_lib.Book,
  order: types.Order,
  *,
  rules: rules_lib.Rules = venues.CONTINUOUS,
  max_fills: int | None = None,
  in_auction: jax.Array | bool = False,
) -> tuple[book_lib.Book, types.ExecutionReport]:
  """Applies one order to the book.

  An order trades against the opposite side, best price first and within a
  price as `rules.allocation` says, at the price of the resting order; the rest
  of it stays in the book or expires, by its kind (`types.OrderKind`). A cancel
  takes at most `order.volume` off the resting order with the same id, on
  whichever side; the remainder keeps its priority. A modify gives the resting
  order of its side with the same id a new price and open volume; see
  `rules.reduce_keeps_priority`.

  `N` is the capacity of one side. If a remainder must rest on a full side, the
  order of lowest priority, maybe the new one, is dropped and the reason is
  `CAPACITY`. Each order is counted by its reason in `book.counts`. The total
  volume of a side must stay below 2**31.

  `(book, order)` is the signature of a scan body:
  `jax.lax.scan(lob.step, book, orders)`. Batch with `jax.vmap`.

  Args:
    book: the book before the order, leaves `[2, N]`.
    order: one order, leaves int32 `[]`.
    rules: allocation, self-trade prevention and priority; static. The checks of
      prices, volumes and phases are those of `session.step`.
    max_fills: how many fills to list, F; N if None; static.
    in_auction: bool `[]`, whether orders rest without trading, as they do
      before a call auction.

  Returns:
    The book after the order, and its report; fills `[F]`, best price
    first, rows that are not in use last, of volume 0, price 0 and id
    `types.NO_ORDER`.
  """
  chex.assert_shape(book.price, (2, None))
  chex.assert_equal_shape([book.price, book.volume, book.id, book.owner])
  chex.assert_rank(jax.tree.leaves(order), 0)
  chex.assert_type(jax.tree.leaves((book, order)), int)

  side = jax.lax.broadcasted_iota(jnp.int32, (2, 1), 0)
  is_own = side == order.side  # [2, 1]
  # [2, N]; own side: the orders ahead of the new one; other side: the crossed.
  is_ahead = book_lib.key(book.price) <= book_lib.key(order.price)
  is_crossed = (is_ahead | (order.kind == types.OrderKind.MARKET)) & ~is_own
  is_crossed &= (book.volume > 0) & ~jnp.asarray(in_auction)

  removed, entering, is_unknown = _cancel_or_modify(book, order, is_own, rules)
  trade = _trade(book, order, is_crossed, entering, rules)
  cancelled = removed + jnp.where(is_own, 0, trade.cancelled)
  remaining = book.volume - cancelled - jnp.where(is_own, 0, trade.filled)
  new_book, is_dropped, pushed_out = _place(
    book, order, remaining, is_ahead, trade.rests, rules
  )

  report = types.ExecutionReport(
    reason=_reason(order, trade, is_unknown, is_dropped | (pushed_out > 0)),
    traded=trade.traded,
    rested=jnp.where(is_dropped, 0, trade.rests),
    cancelled=cancelled.sum(dtype=remaining.dtype) + pushed_out,
    last_price=_last_price(book, order, trade.filled),
    num_fills=(trade.filled > 0).sum(dtype=jnp.int32),
    fills=_list_fills(book, order, trade.filled, max_fills, rules),
  )
  number = (order.kind != types.OrderKind.NONE).astype(jnp.int32)
  return book_lib.count(new_book, report.reason, number), report


def _cancel_or_modify(
  book: book_lib.Book,
  order: types.Order,
  is_own: jax.Array,
  rules: rules_lib.Rules,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Applies a cancel or a modify to the order named.

  Returns:
    `[2, N]` lots taken off resting orders, `[]` lots of the order that enter
    the book anew, and `[]` whether what it names does not rest.
  """
  kinds = types.OrderKind
  volume = jnp.maximum(order.volume, 0)
  is_cancel, is_modify = order.kind == kinds.CANCEL, order.kind == kinds.MODIFY
  is_named = (book.volume > 0) & (book.id == order.id) & (volume > 0)
  is_named &= is_cancel | (is_modify & is_own)
  named = jnp.where(is_named, book.volume, 0)  # [2, N]
  removed = jnp.where(is_cancel, jnp.minimum(named, volume), named)
  if rules.reduce_keeps_priority:
    keeps_place = (book.price == order.price) & (book.volume >= volume)
    removed = jnp.where(
      is_named & is_modify & keeps_place, named - volume, removed
    )
  lots_named, lots_removed = _reduce(
    (jnp.add, named), (jnp.add, removed), axes=(0, 1)
  )
  is_reentered = is_modify & (lots_named > 0) & (lots_removed == lots_named)
  is_new = ~is_cancel & ~is_modify & (order.kind != kinds.NONE)
  entering = jnp.where(is_new | is_reentered, volume, 0)
  return removed, entering, (is_cancel | is_modify) & (lots_named == 0)


@struct.dataclass
class _Trade:
  """The trades of an order, by the other side's slots."""

  filled: jax.Array  # [N] lots
  cancelled: jax.Array  # [N] lots of its owner's orders, cancelled
  traded: jax.Array  # [] lots, the sum of `filled`
  rests: jax.Array  # [] lots that neither traded nor expired
  reason: jax.Array  # [] int32, `types.Reason`


def _trade(
  book: book_lib.Book,
  order: types.Order,
  is_crossed: jax.Array,
  entering: jax.Array,
  rules: rules_lib.Rules,
) -> _Trade:
  """Trades `entering` lots against the crossed orders, `[2, N]`."""
  kinds, reasons = types.OrderKind, types.Reason
  crossed = jnp.where(is_crossed, book.volume, 0)  # [2, N]
  resting = crossed.sum(axis=0, dtype=crossed.dtype)  # [N]
  level = _opposite(order, book.price)  # [N]
  fillable = allocation.total(resting)
  would_cross = (order.kind == kinds.POST_ONLY) & (fillable > 0)

  mine = jnp.zeros_like(resting)
  if rules.self_trade is not rules_lib.SelfTrade.OFF:
    is_mine = (book.owner == order.owner) & (order.owner >= 0)
    mine = jnp.where(is_mine, crossed, 0).sum(axis=0, dtype=crossed.dtype)
  if rules.self_trade is rules_lib.SelfTrade.CANCEL_OLDEST:
    resting -= mine
    fillable = allocation.total(resting)
  if rules.self_trade is rules_lib.SelfTrade.CANCEL_NEWEST:
    ahead = allocation.ahead(resting, level, rules)
    fillable = jnp.where(mine > 0, ahead, fillable).min()

  not_fillable = (order.kind == kinds.FOK) & (fillable < entering)
  entering = jnp.where(would_cross | not_fillable, 0, entering)
  traded = jnp.minimum(entering, fillable)
  remaining = entering - traded
  reason = jnp.where(not_fillable, reasons.NOT_FILLABLE, reasons.ACCEPTED)
  reason = jnp.where(would_cross, reasons.WOULD_CROSS, reason)
  cancelled = jnp.zeros_like(resting)
  if rules.self_trade is rules_lib.SelfTrade.CANCEL_NEWEST:
    meets_own = (remaining > 0) & (mine > 0).any()
    remaining = jnp.where(meets_own, 0, remaining)
    reason = jnp.where(meets_own, reasons.SELF_TRADE, reason)
  if rules.self_trade is rules_lib.SelfTrade.CANCEL_OLDEST:
    ahead = allocation.ahead(resting, level, rules)
    cancelled = jnp.where(ahead < entering, mine, 0)
  may_rest = (order.kind == kinds.LIMIT) | (order.kind == kinds.POST_ONLY)
  may_rest |= order.kind == kinds.MODIFY
  return _Trade(
    filled=allocation.fill(traded, resting, level, rules),
    cancelled=cancelled,
    traded=traded,
    rests=jnp.where(may_rest, remaining, 0),
    reason=reason,
  )


def _reason(
  order: types.Order,
  trade: _Trade,
  is_unknown: jax.Array,
  is_dropped: jax.Array,
) -> jax.Array:
  """Returns the `types.Reason`; of several the last one here."""
  reasons = types.Reason
  reason = jnp.where(is_dropped, reasons.CAPACITY, trade.reason)
  reason = jnp.where(is_unknown, reasons.UNKNOWN_ID, reason)
  reason = jnp.where(order.volume <= 0, reasons.NO_VOLUME, reason)
  return jnp.where(order.kind == types.OrderKind.NONE, reasons.ACCEPTED, reason)


def _place(
  book: book_lib.Book,
  order: types.Order,
  remaining: jax.Array,
  is_ahead: jax.Array,
  rested: jax.Array,
  rules: rules_lib.Rules,
) -> tuple[book_lib.Book, jax.Array, jax.Array]:
  """Removes the orders without volume and inserts the new one.

  x are removed orders, n is the new one, dots are empty slots of a side:

    gap         A x x B C .  ->  A B C . . .  all behind the gap move left
    insertion   A B C . . .  ->  A n B C . .  all from the slot of n move right
    both        A x B C . .  ->  A B n C . .  only those in between move, by one

  The third is a modify that loses its place, whichever slot comes first.

  Args:
    book: the book before the order.
    order: the order.
    remaining: `[2, N]` lots that each slot still holds.
    is_ahead: `[2, N]`, slots of the own side that go before the order.
    rested: `[]` lots that come to rest.
    rules: whether the removed orders may be no single run; static.

  Returns:
    The book after it, whether it had no room for the order, bool `[]`, and the
    `[]` lots of the order that the new one pushed out.
  """
  capacity = remaining.shape[1]  # N
  slot = jax.lax.broadcasted_iota(jnp.int32, remaining.shape, 1)  # [2, N]
  side = jax.lax.broadcasted_iota(jnp.int32, (2, 1), 0)  # [2, 1]
  rests_here = (side == order.side) & (rested > 0)  # [2, 1]
  stays_ahead = is_ahead & (remaining > 0)  # [2, N]
  is_removed = (book.volume > 0) & (remaining == 0)  # [2, N]
  book = book.replace(volume=remaining)
  if rules.leaves_gaps:
    book = book_lib.compact(book)
    is_removed = jnp.zeros_like(is_removed)
  num_ahead, num_removed, gap = (  # [2, 1] each
    x[:, None]
    for x in _reduce(
      (jnp.add, stays_ahead.astype(jnp.int32)),
      (jnp.add, is_removed.astype(jnp.int32)),
      (jnp.minimum, jnp.where(is_removed, slot, capacity)),
      axes=(1,),
    )
  )

  # The slots between the gap and the new order's slot move by one; without a
  # new order, all slots behind the gap move up to close it.
  insert_at = jnp.where(rests_here, num_ahead, capacity)  # [2, 1]
  needs_slot = rests_here & (insert_at <= gap)
  start = jnp.where(needs_slot, 0, 1 + num_removed)
  moves = (slot >= jnp.where(needs_slot, insert_at, gap)) & (
    slot <= jnp.where(needs_slot, gap, insert_at)
  )

  def shift(x: jax.Array, new: jax.Array) -> jax.Array:
    x = jnp.where(moves, _slice_rows(x, start), x)
    return jnp.where(slot == insert_at, new, x)

  is_dropped = rests_here & (insert_at == capacity)
  pushes_out = needs_slot & (gap == capacity) & ~is_dropped
  pushed_out = jnp.where(pushes_out, book.volume[:, -1:], 0)
  book = book.replace(
    price=shift(book.price, order.price),
    volume=shift(book.volume, rested),
    id=shift(book.id, order.id),
    owner=shift(book.owner, order.owner),
  )
  return (
    book_lib.wipe(book),
    is_dropped.any(),
    pushed_out.sum(dtype=remaining.dtype),
  )


def _reduce(
  *terms: tuple[collections.abc.Callable, jax.Array],
  axes: tuple[int, ...],
) -> tuple[jax.Array, ...]:
  """Reduces int arrays of one shape in one pass.

  XLA would make a pass for each.

  Args:
    *terms: `jnp.add` or `jnp.minimum`, and the array, for each.
    axes: to reduce over.
  """
  functions, arrays = zip(*terms, strict=True)
  starts = tuple(
    jnp.asarray(0 if f is jnp.add else jnp.iinfo(x.dtype).max, x.dtype)
    for f, x in terms
  )

  def reduce(x, y):
    rows = zip(functions, x, y, strict=True)
    return tuple(function(a, b) for function, a, b in rows)

  return jax.lax.reduce(arrays, starts, reduce, axes)


def _slice_rows(x: jax.Array, start: jax.Array) -> jax.Array:
  """Returns the rows of `x` shifted, `[2, N]`.

  Slot `i` of a side is `x[side, start[side] - 1 + i]`, 0 outside of `x`.
  """
  capacity = x.shape[1]
  padded = jnp.pad(x, ((0, 0), (1, capacity)))
  return jax.vmap(
    lambda row, i: jax.lax.dynamic_slice_in_dim(row, i, capacity)
  )(padded, start[:, 0])


def _last_price(
  book: book_lib.Book, order: types.Order, filled: jax.Array
) -> jax.Array:
  """Returns the worst price of an order's fills, else 0."""
  sign = jnp.where(order.side == types.Side.ASK, -1, 1).astype(filled.dtype)
  price = _opposite(order, book.price)
  worst = jnp.iinfo(price.dtype).min
  last = sign * jnp.where(filled > 0, sign * price, worst).max()
  return jnp.where((filled > 0).any(), last, 0)


def _opposite(order: types.Order, x: jax.Array) -> jax.Array:
  """Returns the other side's row of `[2, N]`."""
  return jnp.where(
    order.side == types.Side.ASK, x[types.Side.BID], x[types.Side.ASK]
  )


def _list_fills(
  book: book_lib.Book,
  order: types.Order,
  filled: jax.Array,
  max_fills: int | None,
  rules: rules_lib.Rules,
) -> types.Fills:
  """Returns the first `[F]` of the fills `[N]` by slot."""
  price, id_ = _opposite(order, book.price), _opposite(order, book.id)
  if rules.leaves_gaps:
    first = jnp.argsort(filled == 0, stable=True)
    filled, price, id_ = filled[first], price[first], id_[first]
  filled, price, id_ = filled[:max_fills], price[:max_fills], id_[:max_fills]
  return types.Fills(
    price=jnp.where(filled > 0, price, 0),
    volume=filled,
    id=jnp.where(filled > 0, id_, types.NO_ORDER),
  )
