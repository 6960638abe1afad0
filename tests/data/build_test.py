"""Tests of data sets: days split, binned, counted and read again."""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip("polars")

from mars_jax.data import build as build_lib
from mars_jax.data import day_report
from mars_jax.data import manifest
from mars_jax.feeds import events
from mars_jax.tokens import encoding
from tests.support.data import captured_days

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_chunks")


def test_days_are_split_by_date_and_by_instrument(captures, tmp_path):
  todo = captured_days.jobs(captures, "day0.csv", "day1.csv")
  by_date = build_lib.SplitConfig(valid_from="2015-05-02")
  data = captured_days.build(tmp_path / "a", todo, split=by_date)
  all_of_it = (0, captured_days.NUM_ORDERS)
  assert [day.splits for day in data.days] == [
    {"train": all_of_it},
    {"valid": all_of_it},
  ]
  assert [len(data.parts(split)) for split in manifest.SPLITS] == [1, 1, 0]
  both = dataclasses.replace(by_date, test_from="2015-05-02")
  data = captured_days.build(tmp_path / "a", todo, split=both)
  assert data.days[1].splits == {"test": all_of_it}
  held_out = build_lib.SplitConfig(test_instruments=("BTC/USD",))
  with pytest.raises(ValueError, match="no order of Bitstamp is for training"):
    captured_days.build(tmp_path / "a", todo, split=held_out)


def test_a_day_is_split_by_time(data_set):
  data, _ = data_set
  for day in data.days:
    time_ = data.open(day).read(0, captured_days.NUM_ORDERS).time
    ends = [day.splits[name][1] for name in manifest.SPLITS]
    assert ends[-1] == captured_days.NUM_ORDERS
    span = time_[-1] - time_[0]
    for end, share in zip(ends[:2], (0.7, 0.85), strict=True):
      assert time_[end - 1] < time_[0] + span * share <= time_[end]


def test_without_a_share_for_test_no_order_is_for_test(captures, tmp_path):
  split = build_lib.SplitConfig(train_fraction=0.9, valid_fraction=0.1)
  (day,) = captured_days.build(
    tmp_path, captured_days.jobs(captures, "day0.csv"), split=split
  ).days
  assert list(day.splits) == ["train", "valid"]
  assert day.splits["valid"][1] == captured_days.NUM_ORDERS


@pytest.mark.parametrize(
  "wrong, reason",
  [
    ({"train_fraction": 0.9, "valid_fraction": 0.2}, "together at most 1"),
    ({"test_from": "2020-01-01"}, "needs valid_from"),
    ({"valid_from": "2020-1-31"}, "'2020-1-31' is no date like 2023-01-31"),
    ({"valid_from": "20200131"}, "'20200131' is no date like 2023-01-31"),
    (
      {"valid_from": "2020-01-02", "test_from": "2020-01-01"},
      "is before valid_from",
    ),
  ],
)
def test_splits_that_make_no_sense_are_an_error(wrong, reason):
  with pytest.raises(ValueError, match=reason):
    build_lib.SplitConfig(**wrong)


def test_an_unknown_test_instrument_is_an_error(captures, tmp_path):
  split = build_lib.SplitConfig(test_instruments=("BTC/EUR",))
  with pytest.raises(ValueError, match="no day is of test instrument BTC/EUR"):
    captured_days.build(
      tmp_path, captured_days.jobs(captures, "day0.csv"), split=split
    )


def test_two_files_of_one_day_are_an_error(captures, tmp_path):
  copy = captures / "copy.csv"
  copy.write_bytes((captures / "day0.csv").read_bytes())
  with pytest.raises(ValueError, match="are both Bitstamp BTC/USD 2015-05-01"):
    captured_days.build(
      tmp_path, captured_days.jobs(captures, "day0.csv", "copy.csv")
    )


def test_bins_are_those_of_the_training_orders_in_memory(data_set):
  data, _ = data_set
  parts = []
  for day in data.days:
    opened = data.open(day)
    records = opened.read(0, len(opened))
    first, last = day.splits["train"]
    assert first == 0 < last < len(records)
    parts.append(encoding.values(records[:last]))
  joined = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
  for alphabet, have in data.bins["Bitstamp"].tokenizers.items():
    want = encoding.fit_values(joined, alphabet)
    jax.tree.map(np.testing.assert_array_equal, have, want)


def test_images_hold_every_order_once(data_set):
  data, _ = data_set
  for day in data.days:
    minutes, images = data.images(day)
    assert (np.diff(minutes) > 0).all()
    assert images.sum() == day.report.num_orders
    by_kind = images.sum(axis=(0, 2, 3))
    assert dict(zip(("asks", "bids", "cancels"), by_kind, strict=True)) == (
      day.report.orders
    )


def test_a_data_set_that_is_loaded_is_the_one_that_was_built(data_set):
  data, out = data_set
  loaded = manifest.load(out)
  assert loaded.days == data.days
  assert loaded.quarantined == data.quarantined
  jax.tree.map(
    np.testing.assert_array_equal,
    loaded.bins["Bitstamp"].tokenizers,
    data.bins["Bitstamp"].tokenizers,
  )


def test_a_file_that_was_changed_afterwards_is_found(captures, tmp_path):
  data = captured_days.build(tmp_path, captured_days.jobs(captures, "day0.csv"))
  manifest.check(tmp_path)
  path = tmp_path / data.days[0].report.folder / day_report.ORDERS
  changed = bytearray(path.read_bytes())
  changed[len(changed) // 2] ^= 1
  path.write_bytes(changed)
  with pytest.raises(events.DataError, match="not the file of the manifest"):
    manifest.check(tmp_path)


def test_a_folder_without_a_data_set_is_an_error_that_says_what_to_do(tmp_path):
  with pytest.raises(events.DataError, match="prepare_data.py"):
    manifest.load(tmp_path)
