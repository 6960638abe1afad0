"""Tests of data sets, in memory or prepared."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.data import prepared_data
from tests.support.feeds import bitstamp_capture

pytest.importorskip("polars")

from mars_jax import lob
from mars_jax import replay
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import manifest
from mars_jax.data import pipeline
from mars_jax.feeds import events
from mars_jax.tokens import encoding
from mars_jax.utils import files

NUM_ORDERS = 300
CONFIG = dataset_lib.DataConfig(
  path="/captures/day.csv",
  train_fraction=0.75,
  book_capacity=256,
)
BATCH = pipeline.BatchConfig(window_length=17, window_stride=8, batch_size=4)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def stream():
  return bitstamp_capture.stream(1200)


@pytest.fixture(scope="module")
def in_memory(stream):
  return dataset_lib.from_day(stream, config=CONFIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return prepared_data.make(
    tmp_path_factory.mktemp("dataset"),
    num_days=2,
    num_orders=NUM_ORDERS,
    bme=True,
  )


def _bounds(parts):
  return [(part.start, part.stop) for part in parts]


def test_a_day_in_memory_is_split_by_time(in_memory, stream):
  assert in_memory.parts.keys() == {"train", "valid"}
  (train,), (valid,) = in_memory.parts.values()
  assert train.day is valid.day
  assert (train.start, valid.stop) == (0, 1200)
  assert train.stop == valid.start
  time = stream.time[stream.is_market_event]
  end = time[0] + 0.75 * (time[-1] - time[0])
  assert time[train.stop - 1] < end <= time[valid.start]
  assert (in_memory.num_orders("train"), in_memory.num_orders("valid")) == (
    train.stop,
    1200 - train.stop,
  )


def test_a_day_in_memory_is_that_of_the_replay_with_bins_of_its_start(
  in_memory, stream
):
  (train,) = in_memory.parts["train"]
  records, _ = replay.replay(stream, lob.init(256), num_levels=6)
  jax.tree.map(
    np.testing.assert_array_equal,
    vars(train.day.read(0, 1200)),
    vars(records),
  )
  for alphabet, tokenizers in in_memory.tokenizers.items():
    jax.tree.map(
      np.testing.assert_array_equal,
      tokenizers["Bitstamp"],
      encoding.fit(records[: train.stop], alphabet),
    )
  assert in_memory.name == stream.name
  assert in_memory.source == {"file": "day.csv"}
  assert in_memory.num_dropped == 0


def test_a_day_of_another_market_than_named_is_an_error(stream):
  config = dataclasses.replace(CONFIG, market="Nasdaq")
  with pytest.raises(ValueError, match="'Nasdaq', but Bitstamp BTC/USD"):
    dataset_lib.from_day(stream, config=config)


def test_a_data_set_has_the_parts_and_bins_of_the_market_that_is_named(folder):
  data = manifest.load(folder)
  dataset = dataset_lib.from_folder(folder, "Bitstamp")
  days = [day for day in data.days if day.report.market == "Bitstamp"]
  assert len(days) == 2
  assert dataset.parts.keys() == set(manifest.SPLITS)
  for split, parts in dataset.parts.items():
    assert _bounds(parts) == [day.splits[split] for day in days]
    assert [part.day.path for part in parts] == [
      data.open(day).path for day in days
    ]
  orders = [dataset.num_orders(split) for split in manifest.SPLITS]
  assert sum(orders) == 2 * NUM_ORDERS
  jax.tree.map(
    np.testing.assert_array_equal,
    {name: found["Bitstamp"] for name, found in dataset.tokenizers.items()},
    data.bins["Bitstamp"].tokenizers,
  )


def test_names_tell_of_the_day_or_of_how_many_there_are(folder):
  bitstamp = dataset_lib.from_folder(folder, "Bitstamp")
  bme = dataset_lib.from_folder(folder, "BME")
  assert bitstamp.name == "Bitstamp, 2 days"
  assert bme.name == "BME acme 2019-05-21"
  assert bitstamp.source == bme.source
  assert bme.source == {
    "folder": "prepared",
    "markets": ["BME", "Bitstamp"],
    "days": 3,
    "manifest_sha256": files.digest(folder / manifest.MANIFEST),
  }


def test_a_market_that_is_none_of_them_is_an_error_that_lists_them(folder):
  with pytest.raises(ValueError, match="has BME, Bitstamp; it is 'Nasdaq'"):
    dataset_lib.from_folder(folder, "Nasdaq")


def test_without_a_name_all_markets_are_opened(folder):
  dataset = dataset_lib.from_folder(folder)
  data = manifest.load(folder)
  assert dataset.name == "BME, Bitstamp: 3 days"
  assert dataset.markets == data.markets == ("BME", "Bitstamp")
  for split in manifest.SPLITS:
    assert _bounds(dataset.parts[split]) == _bounds(data.parts(split))
  windows = dataset.train_windows(BATCH)
  for number, market in enumerate(dataset.markets):
    alone = dataset_lib.from_folder(folder, market).train_windows(BATCH)
    assert len(windows[market]) == len(alone[market]) > 0
    assert windows[market][0]["market"] == number


def test_the_only_market_need_not_be_named(folder, monkeypatch):
  data = manifest.load(folder)
  days = tuple(day for day in data.days if day.report.market == "BME")
  only = dataclasses.replace(data, days=days)
  monkeypatch.setattr(manifest, "load", lambda folder: only)
  assert dataset_lib.from_folder(folder).name == "BME acme 2019-05-21"


def test_a_folder_that_is_no_data_set_is_an_error(tmp_path):
  with pytest.raises(events.DataError, match="no data set"):
    dataset_lib.from_folder(tmp_path)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("bounds", [None, (5, 5), (0, 1)])
def test_a_split_with_nothing_to_predict_is_an_error(in_memory, split, bounds):
  (part,) = in_memory.parts[split]
  parts = []
  if bounds:
    start, stop = bounds
    parts = [dataclasses.replace(part, start=start, stop=stop)]
  with pytest.raises(ValueError, match=f"too few orders .* '{split}'"):
    dataclasses.replace(in_memory, parts={**in_memory.parts, split: parts})


def test_training_windows_are_of_the_training_part(in_memory):
  (train,) = in_memory.parts["train"]
  (windows,) = in_memory.train_windows(BATCH).values()
  assert len(windows) == (train.stop - 17) // 8 + 1
  assert in_memory.orders_in_no_window(BATCH) == (train.stop - 17) % 8
  order = train.day.read(0, train.stop).order
  for index in (0, len(windows) - 1):
    rows = slice(8 * index, 8 * index + 17)
    np.testing.assert_array_equal(windows[index]["price"], order.price[rows])
