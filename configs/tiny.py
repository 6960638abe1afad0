"""Shared settings of the `tiny` variants."""

import ml_collections


def shrink(config: ml_collections.ConfigDict, **model: int) -> None:
  """Makes a training run one of seconds on one device.

  Args:
    config: of the run, changed in place.
    **model: fields of the model besides its widths.
  """
  config.batch.update(window_length=65, window_stride=64, batch_size=4)
  config.model.update(dim=16, head_dim=8, mlp_dim=32, window=32, **model)
  config.optimizer.update(num_steps=20, warmup_steps=2)
  config.train.update(eval_every=10, checkpoint_every=10)
