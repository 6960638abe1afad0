"""Builder of one data set from many prepared days.

It splits the orders, fits the bins, and draws the order images.

Prices are in ticks and volumes in lots, which differ from market to market, so
that each market has bins of its own. They are quantiles of a stream: the days
are read one by one, and histograms of them merged (`tokens.histogram`).

All but the seconds in the reports is a function of the input and the config.
"""

import collections.abc
import concurrent.futures
import dataclasses
import datetime
import functools
import itertools
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import serialization
from flax import traverse_util

from mars_jax.data import day_report
from mars_jax.data import manifest
from mars_jax.data import prepare
from mars_jax.data import store
from mars_jax.tokens import alphabet as alphabet_lib
from mars_jax.tokens import bins
from mars_jax.tokens import encoding
from mars_jax.tokens import features
from mars_jax.tokens import histogram
from mars_jax.tokens import image
from mars_jax.tokens import vocab
from mars_jax.utils import files

_BATCH = 16  # Days of which one worker merges the histograms.


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitConfig:
  """Split of the orders: training, validation and test.

  The instruments of `test_instruments` are for test only. The others are split
  by date where `valid_from` is given, and else by time within each day, which
  is what a data set of a few days needs.

  Attributes:
    valid_from: the first day that is for validation, as 2023-01-31, or None.
    test_from: the first day that is for test; with `valid_from`, at or after
      it; None for no such days.
    test_instruments: as the feed names them.
    train_fraction: of the time from a day's first order to its last one.
    valid_fraction: the same of what follows; the rest is for test.
  """

  valid_from: str | None = None
  test_from: str | None = None
  test_instruments: tuple[str, ...] = ()
  train_fraction: float = 0.7
  valid_fraction: float = 0.15

  def __post_init__(self):
    fractions = self.train_fraction, self.valid_fraction
    if min(fractions) < 0 or sum(fractions) > 1:
      raise ValueError(
        "train_fraction and valid_fraction must not be negative, and together"
        f" at most 1, not {fractions[0]} and {fractions[1]}"
      )
    for name in ("valid_from", "test_from"):
      _check_date(name, getattr(self, name))
    if self.test_from and not self.valid_from:
      raise ValueError("test_from needs valid_from")
    if self.test_from and self.test_from < self.valid_from:
      raise ValueError(
        f"test_from, {self.test_from}, is before valid_from, {self.valid_from}"
      )


def _check_date(name: str, value: str | None) -> None:
  """Raises ValueError unless a date is like 2023-01-31."""
  try:
    is_date = value is None or str(datetime.date.fromisoformat(value)) == value
  except ValueError:
    is_date = False
  if not is_date:
    raise ValueError(f"{name} = {value!r} is no date like 2023-01-31")


def build_dataset(
  out: pathlib.Path | str,
  reports: collections.abc.Sequence[day_report.DayReport],
  *,
  prepare_config: prepare.PrepareConfig,
  split: SplitConfig,
  executor: concurrent.futures.Executor,
) -> manifest.Manifest:
  """Builds a data set of days that have been prepared.

  Args:
    out: its folder, where the days are.
    reports: of all jobs.
    prepare_config: of the days.
    split: how to split them.
    executor: runs what is done day by day.

  Raises:
    ValueError: if two jobs are of the same day, a day that is to be split by
      date has none, there is no day of a test instrument, or a market has no
      order to train on.
  """
  out = pathlib.Path(out)
  good = sorted(
    (report for report in reports if not report.reason),
    key=lambda r: (r.market, r.instrument, r.day, r.job),
  )
  _check_distinct(good)
  if unknown := set(split.test_instruments) - {r.instrument for r in good}:
    raise ValueError(
      f"no day is of test instrument {', '.join(sorted(unknown))}"
    )
  days = tuple(manifest.DayEntry(r, _splits(out, r, split)) for r in good)
  market_bins = _fit(out, days, executor)
  _save_bins(out / manifest.BINS, market_bins)
  task = functools.partial(_write_images, str(out))
  by_market = [market_bins[day.report.market] for day in days]
  images = list(executor.map(task, [d.report for d in days], by_market))
  bad = sorted((r for r in reports if r.reason), key=lambda r: r.job)
  configs = {
    "prepare": dataclasses.asdict(prepare_config),
    "split": dataclasses.asdict(split),
  }
  _save_manifest(out, days, bad, images, configs)
  return manifest.Manifest(out, days, tuple(bad), market_bins)


def _check_distinct(reports) -> None:
  """Raises if two reports are of the same day."""
  for one, other in itertools.pairwise(reports):
    names = [(r.market, r.instrument, r.day) for r in (one, other)]
    if names[0] == names[1]:
      raise ValueError(
        f"{one.source} and {other.source} are both"
        f" {' '.join(names[0])}; leave one of them out"
      )


def _splits(
  out: pathlib.Path, report: day_report.DayReport, split: SplitConfig
) -> dict[str, tuple[int, int]]:
  """Returns {split: (first, last)} of a day."""
  count = report.num_orders
  if report.instrument in split.test_instruments:
    return {"test": (0, count)}
  if split.valid_from is None:
    time = store.DayFile(out / report.folder / day_report.ORDERS).time
    shares = np.cumsum([split.train_fraction, split.valid_fraction])
    ends = np.searchsorted(time, time[0] + (time[-1] - time[0]) * shares)
    ends[shares > 1 - 1e-9] = count  # Then the last order is no test.
    edges = [0, *ends.tolist(), count]
    rows = dict(zip(manifest.SPLITS, itertools.pairwise(edges), strict=True))
    return {name: pair for name, pair in rows.items() if pair[0] < pair[1]}
  if not report.day:
    raise ValueError(
      f"{report.source}: its date is not known, so that it cannot be split by"
      " date; put the date into its name, or give no valid_from"
    )
  if report.day < split.valid_from:
    return {"train": (0, count)}
  is_test = split.test_from is not None and report.day >= split.test_from
  return {"test" if is_test else "valid": (0, count)}


def _fit(out, days, executor) -> dict[str, manifest.MarketBins]:
  """Fits the bins of every market on its training split."""
  fitted = {}
  for market, group in itertools.groupby(days, lambda d: d.report.market):
    train = [d for d in group if "train" in d.splits]
    if not train:
      raise ValueError(
        f"no order of {market} is for training, but its bins are fitted on"
        " those; change the splits"
      )
    batches = [train[i : i + _BATCH] for i in range(0, len(train), _BATCH)]
    task = functools.partial(_histograms, str(out))
    total = functools.reduce(_merge, executor.map(task, batches))
    tokenizers = {
      alphabet: features.Tokenizer(
        **_fit_counts(total, config.num_bins), alphabet=alphabet
      )
      for alphabet, config in alphabet_lib.ALPHABETS.items()
    }
    images = _fit_counts(
      total, {"image": vocab.NUM_PRICES, "volume": vocab.NUM_VOLUMES}
    )
    images = image.ImageBins(price=images["image"], volume=images["volume"])
    fitted[market] = manifest.MarketBins(tokenizers, images)
  return fitted


def _fit_counts(
  counted: dict[str, histogram.Histogram], sizes: dict[str, int]
) -> dict[str, bins.Bins]:
  """Returns the bins of some fields, of given numbers."""
  return {
    name: bins.fit_counts(counted[name].values, counted[name].counts, size)
    for name, size in sizes.items()
  }


def _histograms(
  out: str, days: list[manifest.DayEntry]
) -> dict[str, histogram.Histogram]:
  """Returns the histograms of training orders, by binned field."""
  parts = []
  for day in days:
    first, last = day.splits["train"]
    path = pathlib.Path(out) / day.report.folder / day_report.ORDERS
    records = store.DayFile(path).read(0, last)
    values = encoding.values(records, first)
    values["image"] = image.price_offsets(
      records.time, records.order.price, records.mid_before
    )[first:]
    parts.append(
      {
        name: histogram.add(histogram.init(), numbers)
        for name, numbers in values.items()
      }
    )
  return functools.reduce(_merge, parts)


def _merge(one, other):
  return {name: histogram.merge(one[name], other[name]) for name in one}


def _write_images(
  out: str, report: day_report.DayReport, market_bins: manifest.MarketBins
) -> dict[str, Any]:
  """Writes a day's images; returns their entry of the manifest."""
  root = pathlib.Path(out)
  day = store.DayFile(root / report.folder / day_report.ORDERS)
  records = day.read(0, len(day))
  minute, images, num_cut = image.minute_images(
    records.time,
    encoding.kinds(records.order),
    records.order.price,
    records.order.volume,
    records.mid_before,
    bins=market_bins.image,
  )
  (root / manifest.IMAGES).mkdir(exist_ok=True)
  path = root / manifest.IMAGES / f"{report.job}.npz"
  _save_npz(path, {"minute": minute, "image": images})
  return {
    "minutes": len(minute),
    "orders_cut": num_cut,
    "sha256": files.digest(path),
  }


def _save_bins(
  path: pathlib.Path, market_bins: dict[str, manifest.MarketBins]
) -> None:
  tree = {
    market: {
      **{
        alphabet: features.bins_of(tokenizer)
        for alphabet, tokenizer in found.tokenizers.items()
      },
      "image": serialization.to_state_dict(found.image),
    }
    for market, found in market_bins.items()
  }
  _save_npz(path, traverse_util.flatten_dict(jax.device_get(tree), sep="/"))


def _save_npz(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays, whole or not at all."""
  with files.replacing(path) as partial, open(partial, "wb") as file:
    np.savez_compressed(file, **arrays)


def _save_manifest(out, days, bad, images, configs) -> None:
  """Writes the manifest, with the digest of every file."""
  digests = {manifest.BINS: files.digest(out / manifest.BINS)}
  for day, made in zip(days, images, strict=True):
    orders = f"{day.report.folder}/{day_report.ORDERS}"
    digests[orders] = day.report.orders_sha256
    digests[f"{manifest.IMAGES}/{day.report.job}.npz"] = made.pop("sha256")
  about = {
    "version": manifest.VERSION,
    "days_version": day_report.VERSION,
    "configs": configs,
    "days": [
      {
        "folder": day.report.folder,
        "market": day.report.market,
        "instrument": day.report.instrument,
        "day": day.report.day,
        "source": day.report.source,
        "source_sha256": day.report.source_sha256,
        "orders": day.report.num_orders,
        "splits": day.splits,
        "images": made,
      }
      for day, made in zip(days, images, strict=True)
    ],
    "quarantined": [{"folder": r.folder, "reason": r.reason} for r in bad],
    "sha256": dict(sorted(digests.items())),
  }
  with files.replacing(out / manifest.MANIFEST) as partial:
    partial.write_text(json.dumps(about, indent=1) + "\n")
