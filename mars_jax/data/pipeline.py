"""Batches of windows of orders, in a reproducible order.

A window (`windows`) is read when Grain asks for it; the input of a model is
computed from it on the device (`tokens`), so that the files serve any bins.
Grain shuffles, repeats and mixes markets; its elastic iterator keeps one
integer as its state, so that a run that was killed goes on with the batch that
it would have had, also on another number of processes.
"""

import collections
import collections.abc
import dataclasses
import typing

import grain
import jax
import jax.numpy as jnp

from mars_jax import types
from mars_jax.data import windows
from mars_jax.tokens import features
from mars_jax.utils import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig:
  """Sizes of training windows and of batches.

  Attributes:
    window_length: orders in a training window.
    window_stride: orders from the start of a window to that of the next.
    batch_size: windows in a batch, over all processes.
  """

  window_length: int
  window_stride: int
  batch_size: int

  def __post_init__(self):
    # The first order of a window is not scored.
    checks.at_least(2, window_length=self.window_length)
    checks.at_least(
      1, window_stride=self.window_stride, batch_size=self.batch_size
    )


class Source(typing.Protocol):
  """Source of windows; all items have the same shapes."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> windows.Item: ...


def batches(
  sources: collections.abc.Mapping[str, Source],
  *,
  batch_size: int,
  seed: int,
  weights: collections.abc.Mapping[str, float] | None = None,
  num_threads: int = 2,
  num_workers: int = 0,
) -> grain.experimental.ElasticIterator:
  """Returns endless shuffled batches of this process's share.

  Its `get_state()` is a small dict for a checkpoint; `set_state` returns there.

  Args:
    sources: of each market, `by_market` say.
    batch_size: windows in a batch, over all processes.
    seed: of the shuffle, a new one each epoch.
    weights: what share of the windows is of each market, in any unit, to one
      percent of the least of them; every market then has epochs of its own. By
      default all windows of all markets make an epoch.
    num_threads: that read ahead, up to two batches for each.
    num_workers: processes that do this instead, if any: where one core is too
      slow. Each imports JAX. The script needs the guard `__name__ ==
      "__main__"` and parsed absl flags, as under `absl.app.run`.

  Raises:
    ValueError: if there is no market, one has no window, or not every one a
      weight.
  """
  if not sources:
    raise ValueError("there is no market to draw windows from")
  for market, source in sources.items():
    if not len(source):
      raise ValueError(
        f"{market!r} has no window: all of its parts are shorter than one; give"
        " more data or a smaller batch.window_length"
      )
  options = grain.MultiprocessingOptions(num_workers) if num_workers else None
  return iter(
    grain.experimental.ElasticIterator(
      _shuffled(sources, seed, weights),
      batch_size,
      grain.sharding.ShardOptions(jax.process_index(), jax.process_count()),
      read_options=grain.ReadOptions(num_threads, 2 * num_threads),
      multiprocessing_options=options,
    )
  )


def _shuffled(sources, seed, weights):
  """Returns an endless dataset of the items of all sources."""
  markets = sorted(sources)
  datasets = [grain.MapDataset.source(sources[market]) for market in markets]
  if weights is None:
    joined = grain.MapDataset.concatenate(datasets)
    return joined.seed(seed).shuffle().repeat()
  if weights.keys() != sources.keys() or min(weights.values()) <= 0:
    raise ValueError(
      f"weights {dict(weights)} are not positive numbers of each of {markets}"
    )
  endless = [
    dataset.seed(seed + number).shuffle().repeat()
    for number, dataset in enumerate(datasets)
  ]
  return grain.MapDataset.mix(endless, [weights[name] for name in markets])


def tokens(
  tokenizers: collections.abc.Sequence[features.Tokenizer],
  batch: dict[str, jax.Array],
) -> features.TokenFeatures:
  """Returns the tokens of a batch, leaves `[B, T]`.

  Args:
    tokenizers: of all markets, by their numbers.
    batch: of items of `windows.Windows`, leaves `[B, ...]`.
  """
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tokenizers)
  return jax.vmap(_row_tokens, (None, 0))(stacked, batch)


def _row_tokens(tokenizers, item):
  """Returns an item's tokens; tokenizers have leaves `[M, ...]`."""
  order = types.Order(
    kind=item["kind"],
    side=item["side"],
    price=item["price"],
    volume=item["volume"],
    id=None,  # Of which tokens tell nothing.
    owner=None,
  )
  return features.encode(
    jax.tree.map(lambda leaf: leaf[item["market"]], tokenizers),
    order,
    interval=item["interval"],
    open_mid=item["open_mid"],
    place=types.Place(
      best=item["best"],
      level=item["level"],
      younger=item["younger"],
      resting=item["resting"],
    ),
    mid_before=item["mid_before"],
    mid_after=item["mid_after"],
    snapshot=types.Snapshot(item["level_price"], item["level_volume"]),
    depth=types.Depth(item["depth_volume"], item["depth_orders"]),
    time=item["time"],
  )
