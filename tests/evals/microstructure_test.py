"""Statistics of messages, worked out by hand."""

import numpy as np
import pytest

from mars_jax import lob
from mars_jax import types
from mars_jax.evals import messages as messages_lib
from mars_jax.evals import microstructure
from mars_jax.lob import venues
from tests.support.evals import made_up_messages

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
_SECOND = types.NANOSECONDS


def _messages(orders):
  """Messages of (kind, side, price, volume, id), a second apart."""
  found = messages_lib.Collector(lob.init(4), venues.CONTINUOUS, num_levels=3)
  for second, order in enumerate(orders):
    found.add(second * _SECOND, order)
  return found.messages()


@pytest.fixture(scope="module")
def by_hand():
  return _messages(
    [
      (LIMIT, ASK, 110, 5, 1),  # The first: no book before it.
      (LIMIT, BID, 100, 4, 2),  # Improves: its side was empty.
      (LIMIT, BID, 100, 3, 3),  # Joins.
      (LIMIT, BID, 104, 1, 4),  # Improves.
      (LIMIT, BID, 90, 1, 5),  # Behind.
      (CANCEL, BID, 90, 1, 5),  # Away from the best.
      (LIMIT, ASK, 100, 9, 6),  # Trades three times, and rests with 1.
      (CANCEL, ASK, 100, 1, 6),  # At the best.
    ]
  )


def test_messages_are_what_happens_to_resting_orders(by_hand):
  assert by_hand.kind.tolist() == [1, 1, 1, 1, 1, 3, 4, 4, 4, 1, 3]
  assert by_hand.id.tolist() == [1, 2, 3, 4, 5, 5, 4, 2, 3, 6, 6]
  assert by_hand.size.tolist() == [5, 4, 3, 1, 1, 1, 1, 4, 3, 1, 1]
  assert by_hand.book.price[4].tolist() == [
    [110, messages_lib.NO_PRICE, messages_lib.NO_PRICE],
    [104, 100, 90],
  ]
  assert by_hand.book.volume[4, BID].tolist() == [1, 7, 1]
  assert not by_hand.is_two_sided


def test_kinds_by_what_an_order_does(by_hand):
  (block,) = microstructure.blocks([by_hand], len(by_hand))
  assert block.trades == pytest.approx(1 / 7)  # Its rest is no other order.
  assert block.cancels == pytest.approx(2 / 7)
  assert block.improves == pytest.approx(2 / 4)
  assert block.joins == pytest.approx(1 / 4)
  assert block.cancels_at_best == pytest.approx(1 / 2)


def test_spread_and_moves_are_of_books_with_both_sides(by_hand):
  (block,) = microstructure.blocks([by_hand], len(by_hand))
  assert block.spread == pytest.approx(np.mean([10, 10, 6, 6, 6, 10, 10]))
  assert block.volatility == pytest.approx(np.sqrt((2**2 + 2**2) / 6))


def test_blocks_are_cut_along_the_horizon():
  sequences = [made_up_messages.make(seed) for seed in range(2)]
  blocks = microstructure.blocks(sequences, 100)
  assert len(blocks) == 3
  first = [messages_lib.spread(m)[:100].mean() for m in sequences]
  assert blocks[0].spread == pytest.approx(np.mean(first))


def test_drift_is_the_mean_change_with_its_error():
  sequences = [made_up_messages.make(seed) for seed in range(4)]
  changes = [np.diff(messages_lib.mid(m)[[0, -1]])[0] for m in sequences]
  mean, error = microstructure.drift(sequences)
  assert mean == pytest.approx(np.mean(changes))
  assert error == pytest.approx(np.std(changes, ddof=1) / 2)


def test_signs_of_trades_that_alternate_have_a_negative_memory():
  orders = [(LIMIT, ASK, 101, 100, 1), (LIMIT, BID, 100, 100, 2)]
  for number in range(10):
    side, price = ((BID, 101), (ASK, 100))[number % 2]
    orders.append((LIMIT, side, price, 1, 3 + number))
  memory = microstructure.sign_memory([_messages(orders)])
  assert memory[0] == pytest.approx(-1)
  assert memory[1] == pytest.approx(1)


def test_a_crossed_book_is_counted():
  m = made_up_messages.make(0)
  assert microstructure.num_crossed([m]) == 0
  m.book.price[7, BID, 0] = m.book.price[7, ASK, 0]
  assert microstructure.num_crossed([m]) == 1
