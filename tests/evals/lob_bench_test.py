"""LOB-Bench's scores, as its own code gives them on the same messages."""

import numpy as np
import pytest
from scipy import stats

from mars_jax.evals import lob_bench
from mars_jax.evals import lob_bench_scores
from tests.support.evals import made_up_messages

# (L1, Wasserstein) by peernagy/lob_bench at 276baf3, of what `_sequences`
# makes, written by `evals.export`: score.py OUT/data_real OUT/gen_x
# OUT/data_real --lob_bench=DIR --cond
_THEIRS = {
  "spread": (0.1800000, 0.5627672),
  "orderbook_imbalance": (0.2383333, 0.1502365),
  "log_inter_arrival_time": (0.0735786, 0.1555615),
  "log_time_to_cancel": (0.0792944, 0.0379192),
  "ask_volume_touch": (0.4366667, 0.9012896),
  "bid_volume_touch": (0.5416667, 1.1735872),
  "ask_volume": (0.2655556, 0.4750346),
  "bid_volume": (0.4061111, 0.6590739),
  "limit_ask_order_depth": (0.1233857, 0.1121880),
  "limit_bid_order_depth": (0.1531634, 0.0550873),
  "ask_cancellation_depth": (0.1670326, 0.0803785),
  "bid_cancellation_depth": (0.1302014, 0.1680056),
  "limit_ask_order_levels": (0.0699478, 0.0442853),
  "limit_bid_order_levels": (0.1171711, 0.0881459),
  "ask_cancellation_levels": (0.1577899, 0.0570093),
  "bid_cancellation_levels": (0.1004042, 0.0900228),
  "vol_per_min": (0.4346770, 0.3667822),
  "ofi": (0.1900000, 0.2841143),
  "ofi_up": (0.5000000, 0.8223802),
  "ofi_stay": (0.1873878, 0.2820623),
  "ofi_down": (0.5000000, 0.9843906),
  "ask_volume | spread": (0.4971714, 0.9259542),
  "spread | time": (0.1800000, 0.5627672),
  "spread | volatility": (0.5504992, 0.2806210),
}


@pytest.fixture(scope="module")
def sequences():
  real = [made_up_messages.make(seed) for seed in range(6)]
  generated = [made_up_messages.make(100 + s, cross=0.15) for s in range(6)]
  return real, generated


@pytest.mark.parametrize("name", _THEIRS)
def test_a_score_is_that_of_the_benchmark(sequences, name):
  found = {
    **lob_bench.score(*sequences),
    **lob_bench.score_conditional(*sequences),
  }[name]
  assert (found.l1, found.wasserstein) == pytest.approx(_THEIRS[name], abs=1e-6)


def test_there_are_24_scores():
  assert len(lob_bench_scores.SCORES) == 21
  assert len(lob_bench_scores.CONDITIONAL_SCORES) == 3


def test_sequences_are_no_way_from_themselves_in_any_order(sequences):
  real, _ = sequences
  for apart in lob_bench.score(real, real[::-1]).values():
    assert (apart.l1, apart.wasserstein) == (0.0, 0.0)


def test_l1_is_half_the_sum_of_differences_and_wasserstein_that_of_scipy():
  real, generated = np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 1, 5])
  apart = lob_bench.distance(real, generated, is_discrete=True)
  assert apart.l1 == pytest.approx(0.25)
  scale = np.concatenate([real, generated]).std(ddof=1)
  wanted = stats.wasserstein_distance(real, generated) / scale
  assert apart.wasserstein == pytest.approx(wanted)


def test_one_side_without_values_is_as_far_as_can_be():
  apart = lob_bench.distance(np.array([np.nan]), np.ones(3), is_discrete=False)
  assert apart.l1 == 1 and np.isnan(apart.wasserstein)


def test_an_outlier_needs_no_memory_for_its_bins():
  values = np.concatenate([np.random.default_rng(0).normal(size=500), [1e12]])
  apart = lob_bench.distance(values, values, is_discrete=False)
  assert apart.l1 == 0


def test_blocks_are_compared_with_all_real_messages(sequences):
  real, generated = sequences
  found = lob_bench.divergence(real, generated, 100)
  assert found.shape == (3,)
  first = lob_bench.score(real, [m[:100] for m in generated])
  known = [x.l1 for x in first.values() if np.isfinite(x.wasserstein)]
  assert found[0] == pytest.approx(np.mean(known))


def test_the_interval_holds_the_score(sequences):
  real, generated = sequences
  mean = lob_bench.summary(lob_bench.score(real, generated), "l1")["mean"]
  low, high = lob_bench.interval(real, generated, num_samples=50)
  assert low < mean < high
  assert high - low < 0.2


def test_the_summary_is_of_the_finite_scores():
  found = {
    str(i): lob_bench.Distance(x, x)
    for i, x in enumerate([0.1, 0.2, 0.3, 0.4, np.nan])
  }
  summary = lob_bench.summary(found, "l1")
  assert summary["mean"] == pytest.approx(0.25)
  assert summary["median"] == pytest.approx(0.25)
  assert summary["iqm"] == pytest.approx(0.25)
