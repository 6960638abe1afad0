"""Batches of token windows, in an order that a checkpoint can return to.

Grain shuffles and repeats; its elastic iterator keeps one integer as its state,
so that a run that was killed goes on with the batch that it would have had,
also on another number of processes.
"""

import dataclasses

import grain
import jax
import numpy as np

from mars_jax.tokens import features


class Windows:
  """All windows of `length` successive tokens of one day, every `stride`.

  A random-access source for Grain; an item is a dict with the leaves of
  `features.TokenFeatures`, `[length]` each.
  """

  def __init__(self, tokens: features.TokenFeatures, length: int, stride: int):
    num_tokens = len(tokens.index)
    if num_tokens < length:
      raise ValueError(
        f"windows of {length} tokens need at least as many orders, but there"
        f" are {num_tokens}; give more data or a smaller data.window_length"
      )
    self._leaves = {
      field.name: np.asarray(getattr(tokens, field.name))
      for field in dataclasses.fields(tokens)
    }
    self._starts = np.arange(0, num_tokens - length + 1, stride)
    self._length = length

  def __len__(self) -> int:
    return len(self._starts)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    start = self._starts[index]
    return {
      name: leaf[start : start + self._length]
      for name, leaf in self._leaves.items()
    }


def batches(
  windows: Windows, *, batch_size: int, seed: int
) -> grain.experimental.ElasticIterator:
  """Returns endless shuffled batches of this process's share.

  Its `get_state()` is a small dict for a checkpoint; `set_state` returns there.

  Args:
    windows: the training windows.
    batch_size: windows in a batch, over all processes.
    seed: of the shuffle, a new one each epoch.
  """
  dataset = grain.MapDataset.source(windows).seed(seed).shuffle().repeat()
  shards = grain.sharding.ShardOptions(jax.process_index(), jax.process_count())
  return iter(grain.experimental.ElasticIterator(dataset, batch_size, shards))
