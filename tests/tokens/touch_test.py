"""The alphabet of the touch: orders keep their place in any book."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import replay
from mars_jax import types
from mars_jax.baselines import zero_intelligence
from mars_jax.sim import pending
from mars_jax.tokens import bins
from mars_jax.tokens import encoding
from mars_jax.tokens import touch
from mars_jax.tokens import within

ASK, BID = types.Side.ASK, types.Side.BID
LIMIT, CANCEL = types.OrderKind.LIMIT, types.OrderKind.CANCEL
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def records():
  """A simulated day, with orders of all kinds."""
  stream = zero_intelligence.stream(seed=3, num_orders=3000, capacity=128)
  return replay.replay(stream, lob.init(128), num_levels=6)[0]


@pytest.fixture(scope="module")
def tokenizer(records):
  return encoding.fit(records, "touch")


def _symbols(tokenizer, side, price, volume=3, *, best, tradable=0):
  """The symbols of a new order."""
  ints = [np.int32(x) for x in (LIMIT, side, price, volume, 7, types.NO_OWNER)]
  place = types.Place(
    np.array(best, np.int32), *map(np.int32, (0, 0, tradable))
  )
  with jax.numpy_dtype_promotion("strict"):
    return np.asarray(
      touch.encode(
        tokenizer,
        types.Order(*ints),
        place=place,
        mid=np.int32(0),
        interval=np.int32(5),
      )
    )


@pytest.mark.parametrize(
  ("side", "price", "does", "distance"),
  [
    (BID, 103, touch.CROSSES, 0),
    (BID, 105, touch.CROSSES, 2),
    (BID, 100, touch.IMPROVES, 1),
    (BID, 98, touch.JOINS, 0),
    (BID, 95, touch.BEHIND, 2),
    (ASK, 98, touch.CROSSES, 0),
    (ASK, 102, touch.IMPROVES, 0),
    (ASK, 103, touch.JOINS, 0),
    (ASK, 110, touch.BEHIND, 6),
  ],
)
def test_what_an_order_does_worked_out_by_hand(
  tokenizer, side, price, does, distance
):
  symbols = _symbols(tokenizer, side, price, best=(103, 98), tradable=9)
  assert symbols[touch.KIND] == side
  assert symbols[touch.TOUCH] == does
  assert symbols[touch.BUCKET] == distance
  back = touch.price(symbols, jnp.int32([103, 98]), jnp.float32(0.5))
  assert back == price


def test_in_another_book_it_does_the_same_there(tokenizer):
  for price, wanted in ((98, 48), (103, 60), (105, 62), (95, 45), (99, 49)):
    symbols = _symbols(tokenizer, BID, price, best=(103, 98), tradable=9)
    assert touch.price(symbols, jnp.int32([60, 48]), jnp.float32(0)) == wanted


def test_between_best_prices_that_touch_there_is_nothing_to_improve(tokenizer):
  symbols = _symbols(tokenizer, BID, 99, best=(103, 98))
  assert touch.price(symbols, jnp.int32([11, 10]), jnp.float32(0)) == 10


@pytest.mark.parametrize(
  ("volume", "tradable", "then", "wanted"),
  [
    (9, 9, 20, 20),  # All there is, then all there is.
    (4, 9, 20, 4),
    (4, 9, 2, 2),  # No more than there is, and nothing rests.
    (12, 9, 20, 23),  # All there is, and a rest of 3.
  ],
)
def test_an_order_that_crosses_takes_as_much(volume, tradable, then, wanted):
  exact = encoding.fit_values(
    {name: np.arange(1, 65) for name in ("volume", "interval", "level_volume")},
    "touch",
  )
  symbols = _symbols(exact, BID, 103, volume, best=(103, 98), tradable=tradable)
  drawn = jnp.minimum(symbols[touch.VOLUME], touch.ALL - 1) + 1
  assert touch.volume(symbols, drawn, jnp.int32(then)) == wanted


def test_real_orders_come_back_in_the_book_that_they_met(records, tokenizer):
  """Each order, read by its symbols alone in its own book, is itself."""
  stream = zero_intelligence.stream(seed=3, num_orders=3000, capacity=128)
  stops = np.arange(1500, 1560)
  books = []
  replay.replay(
    stream,
    lob.init(128),
    num_levels=6,
    stops=stops,
    on_stop=lambda count, exchange: books.append((count, exchange)),
  )
  symbols = encoding.symbols(tokenizer, records)
  read = jax.jit(
    lambda symbols, book, best: pending._read_touch(
      tokenizer,
      symbols,
      jnp.float32([0.5, 0.5]),
      book,
      pending.Reference(jnp.int32(0), best),
    )
  )
  kinds = set()
  for count, exchange in books:
    if count >= len(records):
      continue
    order = jax.tree.map(lambda leaf, i=count: leaf[i], records.order)
    best = records.place.best[count]
    is_cancel, side, price, _, cancel = read(
      symbols[count], exchange.book, best
    )
    kinds.add((bool(is_cancel), int(side)))
    assert is_cancel == (order.kind == CANCEL)
    assert side == order.side
    if is_cancel:
      assert (cancel.id, cancel.price) == (order.id, order.price)
      assert cancel.volume == order.volume
    elif order.kind == LIMIT:
      assert price == order.price
  assert kinds == {(False, 0), (False, 1), (True, 0), (True, 1)}


def test_wider_bins_leave_more_over_as_their_width_says():
  day = replay.replay(
    zero_intelligence.stream(seed=0, num_orders=2000, capacity=128),
    lob.init(128),
    num_levels=6,
  )[0]
  volume = 1 + np.arange(len(day), dtype=np.int32) % 1024
  day = type(day)(**{**vars(day), "order": day.order.replace(volume=volume)})
  fine, coarse = (
    within.Within(
      encoding.fit(day, "mid").replace(volume=_uniform(bins)), day
    )._fields["volume"]
    for bins in (64, 16)
  )
  # Bins of 16 and of 64 values, each as likely.
  assert fine.nats(volume).mean() == pytest.approx(np.log(16), abs=0.25)
  assert coarse.nats(volume).mean() == pytest.approx(np.log(64), abs=0.25)


def _uniform(num_bins):
  """Bins of as many of the values 1 to 1,024 each."""
  return bins.fit(np.arange(1, 1025), num_bins)
