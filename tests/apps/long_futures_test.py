"""Long futures of a synthetic day, and their scores."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import types
from mars_jax.apps import evaluation
from mars_jax.apps import long_futures
from mars_jax.apps import long_starts
from mars_jax.apps import long_tables
from mars_jax.apps import windows as windows_lib
from mars_jax.apps.report import evaluation_page
from mars_jax.baselines import zero_intelligence
from mars_jax.evals import stability
from mars_jax.tokens import encoding
from mars_jax.utils import time_of_day
from tests.support.train import random_params

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


@pytest.fixture(scope="module")
def stream():
  return zero_intelligence.stream(
    seed=1, rates=zero_intelligence.PRESET, num_orders=2400, capacity=128
  )


@pytest.fixture(scope="module")
def config(stream):
  return long_futures.LongConfig(
    starts=long_starts.StartsConfig(
      test_from=time_of_day.clock_text(int(stream.time[1200])),
      seconds=12,
      num_starts=2,
      bar_s=0.5,
      book_capacity=128,
      replay_capacity=128,
      warmup_s=1,
    ),
    num_futures=3,
    num_stretches=4,
    bootstrap=3,
  )


@pytest.fixture(scope="module")
def starts(stream, config, quick_compilation, small_chunks):
  del quick_compilation, small_chunks
  return long_starts.load(stream, config=config.starts, visible=False)


@pytest.fixture(scope="module")
def found(stream, config, quick_compilation, small_chunks):
  del quick_compilation, small_chunks
  return long_futures.run(stream, None, config=config, visible=False)


def test_starts_are_spread_over_the_rest_of_the_day(starts, stream, config):
  first = time_of_day.parse_clock(config.starts.test_from, named="")
  second = stream.time[-1] - 12 * types.NANOSECONDS
  for begin, wanted in zip(starts.begin, (first, second), strict=True):
    assert begin == stream.time[stream.time <= wanted][-1]
  assert starts.real.is_known.all() and starts.real.last.shape == (2, 24)
  np.testing.assert_array_equal(
    starts.books.price[:, :, 0],
    starts.records.snapshot.price[starts.starts - 1, :, 0],
  )
  # Ten levels of the book do not change what a model reads.
  records = starts.records[:50]
  small = dataclasses.replace(
    records, snapshot=jax.tree.map(lambda x: x[..., :6], records.snapshot)
  )
  tokenizer = encoding.fit(records)
  for ten, six in zip(
    *map(
      jax.tree.leaves, (encoding.encode(tokenizer, x) for x in (records, small))
    ),
    strict=True,
  ):
    np.testing.assert_array_equal(ten, six)


def test_bars_of_the_day_are_its_orders(starts):
  begin = starts.begin[1]
  rows = starts.records[int(starts.starts[1]) :]
  for k in (0, 7):
    low, high = begin + np.array([k, k + 1]) * types.NANOSECONDS // 2
    part = rows[(rows.time >= low) & (rows.time < high)]
    is_new = part.order.kind != types.OrderKind.CANCEL
    bars = starts.real[1:, k : k + 1]
    assert bars.events == len(part)
    assert bars.traded == part.traded.sum()
    assert bars.sent_volume == part.order.volume[is_new].sum()
    spread = part.snapshot.price[:, 0, 0] - part.snapshot.price[:, 1, 0]
    assert bars.spread == pytest.approx(spread.mean())


def test_brackets_have_all_scores(found):
  names = [paths.name for paths in found.paths]
  assert names == [
    *("real", "real day", "random orders", "zero intelligence"),
    "queue-reactive",
  ]
  for paths in found.paths[2:]:
    assert len(paths.bars) == 6 and paths.bars.is_known.all()
    assert paths.num_cut == paths.num_dropped == 0
    assert len(paths.similarity) == 10
    assert paths.stability.keys() == stability.QUANTITIES.keys()
    assert all(len(one.mean) == 4 for one in paths.stability.values())
    rate = paths.stability["rate"]
    # Orders as often as they came: the time between them is drawn with them.
    assert np.mean(rate.mean) == pytest.approx(np.mean(rate.real), rel=0.2)
    assert paths.facts.num_returns == 6 * 22
  assert found.num_real_bars == [24, 24]
  assert json.loads(json.dumps(found.summary()))["bars"] == 24


def test_a_model_has_its_own_futures_of_each_start(stream, config, starts):
  model_config = lmm.LmmConfig(
    dim=8,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    mlp_dim=8,
    window=6,
    dtype="float32",
  )
  tokenizer = encoding.fit(starts.records[: starts.num_past])
  model = lmm.Model(
    random_params.params(model_config),
    model_config,
    {stream.market: tokenizer},
    {},
  )
  only = dataclasses.replace(
    config, num_futures=2, bootstrap=0, generators=("model",)
  )
  paths = long_futures.run(stream, model, config=only, visible=False).paths[-1]
  assert paths.name == "model" and len(paths.bars) == 4
  # Each goes on from the price of its own start.
  first, second = starts.last_price
  assert first != second
  assert len({path.tobytes() for path in paths.bars.events}) == 4


def test_futures_do_not_depend_on_how_many_there_are(found, stream, config):
  fewer = dataclasses.replace(
    config, num_futures=1, bootstrap=0, generators=("queue-reactive",)
  )
  alone = long_futures.run(stream, None, config=fewer, visible=False)
  for name, values in vars(alone.paths[-1].bars).items():
    expected = getattr(found.paths[-1].bars, name)[::3]
    np.testing.assert_array_equal(values, expected, err_msg=name)
  assert alone.paths[-1].errors is None


def test_a_day_that_ends_before_the_horizon_has_fewer_bars(stream, config):
  longer = dataclasses.replace(config.starts, seconds=1000, num_starts=1)
  starts = long_starts.load(stream, config=longer, visible=False)
  known = starts.real.is_known[0]
  left = (starts.end - starts.begin[0]) / types.NANOSECONDS
  assert known.sum() == int(left / 0.5) < len(known)
  # Of several, none begins at the end.
  longer = dataclasses.replace(longer, num_starts=3)
  starts = long_starts.load(stream, config=longer, visible=False)
  assert len(starts) == 3 and (starts.real.is_known.sum(axis=1) > 10).all()


@pytest.fixture(scope="module")
def evaluated(stream, config, quick_compilation, small_chunks):
  """An evaluation of the real day alone, with its long part."""
  del quick_compilation, small_chunks
  settings = evaluation.EvaluationConfig(
    windows=windows_lib.WindowsConfig(
      test_from=config.starts.test_from,
      num_cond=40,
      num_real=60,
      stride=100,
      max_windows=2,
      book_capacity=128,
      replay_capacity=128,
      warmup_s=1,
    ),
    block=20,
    generators=(),
    discriminator_seeds=0,
    long=dataclasses.replace(config, generators=(), bootstrap=0),
  )
  return evaluation.evaluate(stream, None, config=settings, visible=False)


def test_an_evaluation_has_long_futures_if_asked(evaluated, found):
  assert [paths.name for paths in evaluated.long.paths] == ["real", "real day"]
  np.testing.assert_array_equal(
    evaluated.long.paths[0].bars.last, found.paths[0].bars.last
  )
  summary = json.loads(json.dumps(evaluated.summary(), allow_nan=True))
  assert summary["long"]["paths"][1]["paths"] == 1


def test_tables_mark_what_leaves_the_range_of_the_day(found):
  names = [table.title for table in long_tables.tables(found)]
  assert len(names) == 6 and names[0] == "Stylized facts"
  for table in long_tables.tables(found):
    assert {len(row) for row in table.rows} == {len(table.header)}
  bracket = found.paths[-1]
  course = dataclasses.replace(
    bracket.stability["spread"], low=1e6, high=2e6, is_outside=[True] * 4
  )
  changed = dataclasses.replace(
    bracket, stability={**bracket.stability, "spread": course}
  )
  other = dataclasses.replace(found, paths=[*found.paths[:2], changed])
  stable = long_tables.tables(other)[4]
  assert stable.header == ("minutes", "real", "queue-reactive")
  assert stable.rows[0][:2] == ("spread, ticks", "1e+06 to 2e+06")
  assert stable.rows[1][0].strip() == "0 to 0.05"
  assert all(row[2].endswith("*") for row in stable.rows[1:5])
  assert "24 bars of 0.5 s" in long_tables.about(found)
  assert "ends before" not in long_tables.about(found)


def test_the_page_has_a_section_of_long_futures(evaluated, found, tmp_path):
  pytest.importorskip("matplotlib")
  one = dataclasses.replace(evaluated, long=found)
  evaluation_page.write(tmp_path / "page.html", one, command="evaluate")
  text = (tmp_path / "page.html").read_text()
  assert text.count("<h3>") == 6
  assert text.count("data:image/png") == 2


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"bar_s": 13}, "no longer than the horizon"),
    ({"num_starts": 0}, "num_starts"),
    ({"test_from": "23:59:59"}, "test_from must lie within"),
  ],
)
def test_settings_that_cannot_be_are_errors(stream, config, changes, message):
  with pytest.raises(ValueError, match=message):
    long_starts.load(
      stream,
      config=dataclasses.replace(config.starts, **changes),
      visible=False,
    )


def test_a_book_is_compared_as_far_as_the_simulated_ones_reach(
  stream, config, starts
):
  assert starts.num_truncated == 0
  assert starts.num_classes == types.DEPTH_CLASSES
  small = dataclasses.replace(config.starts, book_capacity=32)
  cut = long_starts.load(stream, config=small, visible=False)
  # Three quarters of the room are taken.
  assert (cut.books.volume > 0).sum(axis=2).max() == 24
  assert cut.num_truncated > 0
  price = cut.books.price[:, :, :24]
  reach = np.abs(price[:, :, -1] - price[:, :, 0]).min()
  assert 4 ** (cut.num_classes - 1) <= reach < 4**cut.num_classes
  row = starts.starts[0]
  near = starts.records.depth.orders[row:, :, : cut.num_classes].sum((1, 2))
  in_bar = starts.records.time[row:] < starts.begin[0] + types.NANOSECONDS // 2
  assert cut.real.book_orders[0, 0] == pytest.approx(near[in_bar].mean())
  assert "up to" in long_tables.about(
    long_futures.LongFutures(cut, config, paths=[])
  )
