"""Windows of a day, their continuations, and the scores of these."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import lob
from mars_jax import replay
from mars_jax import sim
from mars_jax import types
from mars_jax.apps import evaluation
from mars_jax.apps import reaction
from mars_jax.apps import rollouts
from mars_jax.apps import windows as windows_lib
from mars_jax.apps.report import evaluation_page
from mars_jax.baselines import zero_intelligence
from mars_jax.evals import lob_bench
from mars_jax.evals import messages as messages_lib
from mars_jax.tokens import encoding
from mars_jax.tokens import touch
from mars_jax.utils import time_of_day

pytestmark = pytest.mark.usefixtures("quick_compilation")

_COND, _REAL = 40, 60


@pytest.fixture(scope="module")
def stream():
  # Market orders of one lot: none takes more than a level.
  rates = zero_intelligence.PRESET
  rates = rates.replace(volume=np.ones_like(rates.volume))
  return zero_intelligence.stream(
    seed=1, rates=rates, num_orders=2400, capacity=128
  )


@pytest.fixture(scope="module")
def config(stream):
  return windows_lib.WindowsConfig(
    test_from=time_of_day.clock_text(int(stream.time[1200])),
    num_cond=_COND,
    num_real=_REAL,
    stride=100,
    max_windows=8,
    book_capacity=128,
    replay_capacity=128,
    warmup_s=1,
  )


@pytest.fixture(scope="module")
def windows(stream, config, quick_compilation):
  del quick_compilation
  return windows_lib.load(stream, config=config, visible=False)


def test_windows_are_cut_as_asked(windows, config):
  assert len(windows) == config.max_windows
  assert {len(m) for m in windows.cond} == {_COND}
  assert {len(m) for m in windows.real} == {_REAL}
  for i in range(len(windows) - 1):
    # Each follows 100 messages after the one before.
    assert windows.cond[i + 1].time[0] >= windows.real[i].time[-1]
  for cond, real in zip(windows.cond, windows.real, strict=True):
    assert cond.time[-1] <= real.time[0]


def test_books_at_the_starts_are_those_of_the_replay(windows, stream):
  for i, start in enumerate(windows.starts[:3].tolist()):
    rows = windows.records
    best = windows.books.price[i, :, 0]
    np.testing.assert_array_equal(best, rows.snapshot.price[start - 1, :, 0])
    shown = windows.cond[i].book.price[-1, :, 0]
    np.testing.assert_array_equal(best, shown)
    events = int((stream.time <= rows.time[start - 1]).sum())
    _, book = replay.replay(stream[:events], lob.init(128), num_levels=6)
    np.testing.assert_array_equal(windows.books.volume[i], book.volume)


def test_markets_go_on_from_there(windows):
  markets = windows.markets()
  last = windows.starts - 1
  np.testing.assert_array_equal(markets.mid, windows.records.mid_after[last])
  clock = time_of_day.nanoseconds(markets.clock)
  np.testing.assert_array_equal(clock, windows.records.time[last])
  assert len(np.unique(markets.next_id)) == 1


def _simulate(name, windows, tokenizer):
  """Futures by a generator that is simulated."""
  encoded = encoding.encode(tokenizer, windows.records)
  source = rollouts.source(name, windows, encoded, tokenizer)
  return rollouts.simulate(windows, source, jax.random.key(0), visible=False)


def test_real_orders_through_the_default_alphabet_are_themselves(windows):
  """Where every volume has a symbol, only times are drawn."""
  tokenizer = encoding.fit(windows.records, "touch")
  found = _simulate("tokens only", windows, tokenizer)
  for real, ours in zip(windows.real, found.messages, strict=True):
    for name in ("kind", "size", "price", "side"):
      np.testing.assert_array_equal(getattr(ours, name), getattr(real, name))
    np.testing.assert_array_equal(ours.book.volume, real.book.volume)
  assert found.num_dropped == 0
  assert all(m.is_two_sided for m in found.messages)


def test_through_bins_against_the_mid_they_are_not(windows):
  """The paper's alphabet loses what orders do to the book."""
  tokenizer = encoding.fit(windows.records, "mid")
  found = _simulate("tokens only", windows, tokenizer)
  apart = lob_bench.score(windows.real, found.messages)
  assert lob_bench.summary(apart, "l1")["mean"] > 0.05


@pytest.mark.parametrize(
  "name", ["random orders", "zero intelligence", "queue-reactive"]
)
def test_orders_of_before_make_futures(windows, name):
  tokenizer = encoding.fit(windows.records[: windows.num_past])
  found = _simulate(name, windows, tokenizer)
  assert {len(m) for m in found.messages} == {_REAL}
  for real, m, cond in zip(
    windows.real, found.messages, windows.cond, strict=True
  ):
    assert m.time[0] >= cond.time[-1]
    assert (m.kind != real.kind).any()


def test_a_replay_is_what_came_before_at_later_times(windows):
  for again, cond in zip(
    rollouts.of_replay(windows), windows.cond, strict=True
  ):
    np.testing.assert_array_equal(again.price, cond.price)
    np.testing.assert_array_equal(np.diff(again.time), np.diff(cond.time))
    assert again.time[0] == cond.time[-1]


@pytest.fixture(scope="module")
def found(stream, config):
  settings = evaluation.EvaluationConfig(
    windows=config,
    block=20,
    discriminator_seeds=0,
    bootstrap=20,
  )
  return evaluation.evaluate(stream, None, config=settings, visible=False)


def test_every_bracket_has_its_scores(found):
  names = [scores.name for scores in found.scores]
  assert names == [
    *("real", "tokens only", "replay", "random windows", "random orders"),
    *("zero intelligence", "queue-reactive"),
  ]
  scores = {one.name: one for one in found.scores}
  assert scores["real"].l1["mean"] == 0
  assert scores["tokens only"].l1["mean"] < scores["random orders"].l1["mean"]
  low, high = scores["replay"].l1_interval
  assert low < scores["replay"].l1["mean"] < high
  # As many blocks as the messages before a window have.
  assert len(scores["replay"].blocks) == len(scores["replay"].divergence) == 2
  assert len(scores["tokens only"].blocks) == 3
  # Windows whose conditioning messages are in no real window: all of these.
  assert scores["replay"].num_windows == len(found.windows)


def test_an_order_from_outside_moves_the_mid_to_its_side(found):
  reactions = {s.name: s.reaction for s in found.scores if s.reaction}
  assert list(reactions) == [
    *("random orders", "zero intelligence", "queue-reactive")
  ]
  for one in reactions.values():
    assert one.lags == [0, 1, 2, 5, 10, 20, 50, _REAL]
    assert one.buy[0] > 0 > one.sell[0]
    # Nothing has come yet that could differ.
    assert one.mid[0] == reactions["random orders"].mid[0] > 3 * one.error[0]
    assert one.remains == pytest.approx(one.mid[-1] / one.mid[0])


def test_a_flow_that_ignores_the_book_cannot_react(found):
  """Random orders are the same whatever happened: only prices differ."""
  (one,) = (s.reaction for s in found.scores if s.name == "random orders")
  assert set(one.shifts["new"]) == set(one.shifts["cancels"]) == {0.0}
  assert set(one.p_values["new"]) == set(one.p_values["cancels"]) == {1.0}
  assert one.shifts["trades"][-1] == 0 and one.p_values["trades"][-1] == 1


def _follow(params, key, inputs, cache):
  """Joins the best price of the side that traded last, `cache`."""
  del key
  symbols = inputs.token.symbols
  trades = symbols[touch.TOUCH] == touch.CROSSES
  side = jnp.where(trades, touch.side(symbols), cache)
  kind_only = jnp.arange(len(symbols)) == touch.KIND
  return jnp.where(kind_only, side, params), side


_FOLLOWING = sim.OrderModelFns(_follow)


def test_a_flow_that_follows_the_order_reacts_with_its_sign(windows):
  tokenizer = encoding.fit(windows.records[: windows.num_past])
  encoded = encoding.encode(tokenizer, windows.records)
  source = rollouts.source("random orders", windows, encoded, tokenizer)
  joins = jnp.zeros(len(touch.FIELDS), jnp.int32)
  source = dataclasses.replace(
    source,
    flow=sim.Flow(
      joins.at[touch.TOUCH].set(touch.JOINS), tokenizer, _FOLLOWING
    ),
    starts=source.starts.replace(cache=jnp.zeros(len(windows), jnp.int32)),
  )
  key = jax.random.key(0)
  without, _ = rollouts.run(windows, source, key, visible=False)
  found = reaction.measure(
    windows, source, key, without, levels=2, visible=False
  )
  # Buys alone follow a buy, and none of them a sell.
  assert set(found.shifts["new"]) == {0.5}
  assert max(found.p_values["new"]) < 0.05
  assert np.isnan(found.shifts["trades"]).all()
  assert found.mid[-1] == found.mid[0] > 0


def test_the_volume_of_an_order_is_that_of_the_levels_it_takes(windows):
  book = jax.tree.map(lambda leaf: leaf[:1], windows.books)
  price, volume = (
    np.zeros_like(leaf[:, :, :6]) for leaf in (book.price, book.volume)
  )
  price[0, types.Side.BID, :4] = [9, 9, 8, 5]
  volume[0, types.Side.BID, :4] = [1, 2, 4, 8]
  volume[0, types.Side.ASK, 0] = 5  # One level, which stays.
  book = book.replace(price=price, volume=volume)

  def found(side, levels):
    return reaction.level_volume(book, side, levels).tolist()

  bid = types.Side.BID
  assert [found(bid, levels) for levels in (1, 2, 9)] == [[3], [7], [7]]
  assert found(types.Side.ASK, 3) == [1]


def test_the_numbers_are_fit_for_json_and_the_sequences_are_written(
  found, tmp_path
):
  assert json.loads(json.dumps(found.summary()))["windows"] == 8
  found.export(tmp_path / "out")
  folders = sorted(path.name for path in (tmp_path / "out").iterdir())
  assert folders == [
    *("data_cond", "data_real", "gen_queue_reactive", "gen_random_orders"),
    *("gen_random_windows", "gen_tokens_only", "gen_zero_intelligence"),
  ]
  assert len(list((tmp_path / "out" / "gen_tokens_only").iterdir())) == 16


def test_the_report_is_one_file_with_all_tables(found, tmp_path):
  pytest.importorskip("matplotlib")
  evaluation_page.write(tmp_path / "page.html", found, command="evaluate <x>")
  text = (tmp_path / "page.html").read_text()
  assert "data:image/png;base64," in text
  assert "queue-reactive" in text and "spread | time" in text
  assert text.count("data:image/png;base64,") == 2
  assert "Reaction to an injected order" in text
  assert "evaluate &lt;x&gt;" in text
  assert "http" not in text


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"test_from": "23:59:59"}, "test_from must lie within"),
    ({"num_real": 10**6}, "are no window of"),
    ({"test_from": "noon"}, "test_from is no time"),
  ],
)
def test_a_day_without_such_windows_is_an_error(
  stream, config, changes, message
):
  with pytest.raises(ValueError, match=message):
    windows_lib.load(
      stream, config=dataclasses.replace(config, **changes), visible=False
    )


def test_a_setting_that_is_none_is_an_error(config):
  with pytest.raises(ValueError, match="generators = 'oracle' is none of"):
    evaluation.EvaluationConfig(windows=config, generators=("oracle",))
  with pytest.raises(ValueError, match="num_cond"):
    dataclasses.replace(config, num_cond=0)


def test_side_effects_without_a_message_change_the_book():
  found = messages_lib.Collector(
    lob.init(4), lob.PRESETS["continuous"], num_levels=2
  )
  limit = (types.OrderKind.LIMIT, types.Side.ASK, 10, 5)
  found.add(1, (*limit, 1), is_silent=True)
  found.add(2, (types.OrderKind.LIMIT, types.Side.ASK, 12, 5, 2))
  m = found.messages()
  assert len(m) == 1 and m.book.price[0, 0].tolist() == [10, 12]
