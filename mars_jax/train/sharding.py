"""Sharding of a training run: one mesh, rules by name.

The mesh has two axes. Over "data" each device has windows of its own; over
"model" each has a part of every layer's heads and hidden units. XLA derives the
exchange from where arrays lie: the same step runs on one device and on many.

  strategy      parameters         gradients and moments of the optimizer
  "replicated"  on every device    on every device
  "zero2"       on every device    cut over "data"
  "fsdp"        cut over "data"    cut over "data"

These are stages 2 and 3 of ZeRO (Rajbhandari et al., arXiv:1910.02054): where
gradients are cut, their sum is a reduce-scatter; where parameters are used, an
all-gather. Over "data" the largest dimension is cut that the axis divides,
never that of the layers: a scan over it would gather all of them. What has no
such dimension is whole on every device; `uncut` names it.
"""

import collections.abc
import dataclasses
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mars_jax import lmm
from mars_jax.utils import checks

Tree = Any
DATA, MODEL = AXES = ("data", "model")
STRATEGIES = ("replicated", "zero2", "fsdp")

_STACKED = "blocks"  # What has a leading axis of layers.

# What is cut over "model": Megatron-LM's way (Shoeybi et al.,
# arXiv:1909.08053), by which a layer needs two sums over the axis. Everything
# else is whole there: tables and norms are small, or needed by every device.
_MODEL_RULES = {
  # [L, D, G, R + 2, K]: a key/value head goes with all of its query heads, so
  # that attention stays on a device.
  "blocks/qkv/kernel": P(None, None, MODEL),
  # [L, H, K, D]: the same heads, which are in the order of their groups; what
  # they add to the stream is the first sum.
  "blocks/attention_out/kernel": P(None, MODEL),
  # [L, D, 2, F]: gate and up of the same units, whose product is local.
  "blocks/gate_up/kernel": P(None, None, None, MODEL),
  # [L, F, D]: the same units; what they add is the second sum.
  "blocks/down/kernel": P(None, MODEL),
  # [49152, D]: logits of some orders; the softmax sums over the axis.
  "head/kernel": P(MODEL),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelConfig:
  """Layout of a run on devices; it changes no result.

  Attributes:
    model: devices of one copy of the model; the others are copies, for other
      windows.
    strategy: what each copy holds of the state, see the top of this file.
    accumulation: micro-batches that a step is made of, one after another.
  """

  model: int = 1
  strategy: str = "replicated"
  accumulation: int = 1

  def __post_init__(self):
    checks.at_least(1, model=self.model, accumulation=self.accumulation)
    checks.one_of("strategy", self.strategy, STRATEGIES)


def make_mesh(
  config: ParallelConfig,
  devices: collections.abc.Sequence[jax.Device] | None = None,
) -> Mesh:
  """Lays the devices out as `[data, model]`.

  Args:
    config: how many there are along "model".
    devices: by default all, of all processes.

  Raises:
    ValueError: if they do not divide so, or a copy of the model would span
      processes, each of which reads windows of its own.
  """
  devices = jax.devices() if devices is None else devices
  if len(devices) % config.model:
    raise ValueError(
      f"parallel.model = {config.model} does not divide {len(devices)} devices"
    )
  mesh = jax.make_mesh(
    (len(devices) // config.model, config.model),
    AXES,
    axis_types=(AxisType.Auto,) * len(AXES),
    devices=devices,
  )
  for copy in mesh.devices:
    if len({device.process_index for device in copy}) > 1:
      raise ValueError(
        f"parallel.model = {config.model} spans processes; it must divide the"
        f" {jax.local_device_count()} devices of each"
      )
  return mesh


def check(
  config: ParallelConfig, mesh: Mesh, model: Any, batch_size: int
) -> None:
  """Raises ValueError unless devices divide the model and the batch.

  Args:
    config: the layout.
    mesh: of all devices.
    model: the config of the model; only a transformer's parameters are cut.
    batch_size: rows of a batch over all devices.
  """
  is_cut = isinstance(model, lmm.TransformerConfig)
  for name in ("num_kv_heads", "mlp_dim") if is_cut else ():
    if getattr(model, name) % config.model:
      raise ValueError(
        f"parallel.model = {config.model} does not divide model.{name} ="
        f" {getattr(model, name)}"
      )
  rows = mesh.shape[DATA] * config.accumulation
  if batch_size % rows:
    raise ValueError(
      f"batch.batch_size = {batch_size} must be a multiple of {rows}:"
      f" {mesh.shape[DATA]} devices along {DATA!r} x parallel.accumulation ="
      f" {config.accumulation}"
    )


def specs(
  tree: Tree, sizes: collections.abc.Mapping[str, int], *, over_data: bool
) -> Tree:
  """Returns the partition specs of a tree like the parameters.

  Args:
    tree: of arrays or shapes. Names are those of the nested dicts, so that an
      optimizer's moments, anywhere within its state, are cut as the parameters.
    sizes: of the axes, `Mesh.shape` say.
    over_data: whether over "data" too, besides "model".

  Returns:
    A tree of `PartitionSpec`.
  """

  def spec(path, leaf):
    names = [k.key for k in path if isinstance(k, jax.tree_util.DictKey)]
    rule = _model_rule("/".join(map(str, names)))
    axes = list(rule) if sizes[MODEL] > 1 else []
    axes += [None] * (len(leaf.shape) - len(axes))
    first = 1 if _STACKED in names else 0
    free = [
      d
      for d in range(first, len(axes))
      if axes[d] is None and leaf.shape[d] % sizes[DATA] == 0
    ]
    if over_data and free:
      axes[max(free, key=lambda d: leaf.shape[d])] = DATA
    return P(*axes)

  return jax.tree_util.tree_map_with_path(spec, tree)


def _model_rule(name: str) -> P:
  """Returns the rule whose name ends this one."""
  for rule, spec in _MODEL_RULES.items():
    if f"/{name}".endswith(f"/{rule}"):
      return spec
  return P()


def uncut(tree: Tree, sizes: collections.abc.Mapping[str, int]) -> list[str]:
  """Lists arrays without a dimension that "data" divides."""
  leaves = jax.tree_util.tree_leaves_with_path(
    specs(tree, sizes, over_data=True), is_leaf=lambda x: isinstance(x, P)
  )
  return [
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, spec in leaves
    if DATA not in spec
  ]


def state_shardings(state: Any, mesh: Mesh, config: ParallelConfig) -> Any:
  """Returns where a `trainer.TrainState` lies, array by array.

  Args:
    state: of arrays or shapes.
    mesh: of all devices.
    config: whose strategy.
  """
  rest = specs(state, mesh.shape, over_data=config.strategy != "replicated")
  params = specs(state.params, mesh.shape, over_data=config.strategy == "fsdp")
  return jax.tree.map(
    lambda spec: NamedSharding(mesh, spec),
    rest.replace(params=params),
    is_leaf=lambda x: isinstance(x, P),
  )


def constrain_gradients(
  grads: lmm.Params, config: ParallelConfig
) -> lmm.Params:
  """Cuts gradients as the optimizer's moments; within `jax.set_mesh`, else not.

  Args:
    grads: of the parameters, in a traced function.
    config: whose strategy.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return grads
  over_data = config.strategy != "replicated"
  return jax.lax.with_sharding_constraint(
    grads, specs(grads, mesh.shape, over_data=over_data)
  )


def constrain_batch(tree: Tree, *, axis: int = 0) -> Tree:
  """Cuts an axis of windows over "data"; within `jax.set_mesh`, else not.

  Without this, XLA may cut activations along the dimension that a parameter is
  cut along, and exchange these, which are larger.

  Args:
    tree: of arrays, in a traced function.
    axis: which of their dimensions.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return tree
  return jax.lax.with_sharding_constraint(tree, P(*[None] * axis, DATA))


def round_up(num_windows: int) -> int:
  """Rounds a batch size up to divide over devices."""
  mesh = jax.sharding.get_abstract_mesh()
  rows = 1 if mesh.empty else mesh.shape[DATA]
  return -(-num_windows // rows) * rows


def micro_batches(batch: Tree, count: int) -> Tree:
  """Splits leaves `[B, ...]` into `[count, B / count, ...]`.

  Each has windows of every device, so that none has to move.
  """

  def split(leaf):
    return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)

  return constrain_batch(jax.tree.map(split, batch), axis=1)


def put_batch(batch: Tree, mesh: Mesh) -> Tree:
  """Makes one global batch of the shares of all processes.

  Leaves `[B, ...]`.
  """
  sharding = NamedSharding(mesh, P(DATA))
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch
  )


def replicate(tree: Tree, mesh: Mesh) -> Tree:
  """Puts what all processes have alike on every device."""
  return jax.device_put(tree, NamedSharding(mesh, P()))


def gather(tree: Tree) -> Tree:
  """Returns whole numpy arrays, on every process.

  All processes must call it.
  """
  if jax.process_count() == 1:
    return jax.device_get(tree)
  tree = multihost_utils.process_allgather(tree, tiled=True)
  return jax.tree.map(np.asarray, tree)
