"""Training of models, on one device or many.

`trainer` has the step and the loop, and knows a model by its `task` alone;
`order_task` is the order model's (`loss`, `validation`). `run` goes from a data
set to a scored model file, `evaluation` scores one on other data; `sweep` goes
through many runs, and `scaling` fits laws to those of `scaling_sweep`.
`optimizer`, `sharding`, `checkpoint` and `progress` are the parts of the loop;
`cost` plans a run before it starts, `cluster` submits it. Import these as
modules.
"""

from mars_jax.train.optimizer import OptimizerConfig
from mars_jax.train.sharding import ParallelConfig
from mars_jax.train.task import Task
from mars_jax.train.trainer import Preempted
from mars_jax.train.trainer import TrainConfig
from mars_jax.train.trainer import Trained
from mars_jax.train.trainer import make_configs
from mars_jax.train.trainer import train

__all__ = (
  "OptimizerConfig",
  "ParallelConfig",
  "Preempted",
  "Task",
  "TrainConfig",
  "Trained",
  "make_configs",
  "train",
)
