"""The cost of a training run, computed before it starts.

Nothing here computes on a device: shapes come from `jax.eval_shape`, shares of
devices from shardings on an abstract mesh. So a laptop plans 64 GPUs.

FLOPs are those of the matrix products of the model, forward and backward; the
backward pass has two products for each of the forward. What remat computes
again, and masked products of attention, are work of the machine and not of the
model, and not counted: utilisation by this count is what PaLM calls model FLOPs
utilisation (arXiv:2204.02311, appendix B).

Dimensions: T tokens, W window, D embedding, H query heads, G key/value heads,
K head dimension, F mlp.
"""

import dataclasses
import functools
import os
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

from mars_jax import lmm
from mars_jax.data import pipeline
from mars_jax.lmm.nn import attention
from mars_jax.tokens import vocab
from mars_jax.train import loss
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import sharding

_TERA, _GIB = 1e12, 2**30


@dataclasses.dataclass(frozen=True)
class Accelerator:
  """One device as JAX counts them.

  Attributes:
    peak_flops: dense matrix products in bfloat16, a second.
    memory: bytes; where a kind is made with several, the largest. The name of
      the device tells which, if it has one, as in "NVIDIA A100-SXM4-40GB".
    source: the document of its maker with these numbers.
  """

  peak_flops: float
  memory: float
  source: str


# By a part of `jax.Device.device_kind`; the first that fits. NVIDIA's documents
# give twice these rates, with sparsity, from Ampere on.
_ACCELERATORS = {
  "H100 PCIe": Accelerator(756 * _TERA, 80e9, "NVIDIA H100 datasheet"),
  "H100 NVL": Accelerator(835 * _TERA, 94e9, "NVIDIA H100 NVL datasheet"),
  "H100": Accelerator(989 * _TERA, 80e9, "NVIDIA H100 datasheet, SXM"),
  "H200": Accelerator(989 * _TERA, 141e9, "NVIDIA H200 datasheet, SXM"),
  "A100": Accelerator(312 * _TERA, 80e9, "NVIDIA A100 datasheet"),
  "A10G": Accelerator(70 * _TERA, 24e9, "NVIDIA A10G datasheet (AWS)"),
  "L4": Accelerator(121 * _TERA, 24e9, "NVIDIA L4 datasheet"),
  # No bfloat16: this is float16.
  "V100": Accelerator(125 * _TERA, 32e9, "NVIDIA V100 datasheet, SXM2"),
  "TPU v4": Accelerator(275 * _TERA, 32 * _GIB, "Google Cloud: TPU v4"),
  "TPU v5e": Accelerator(197 * _TERA, 16 * _GIB, "Google Cloud: TPU v5e"),
  "TPU v5 lite": Accelerator(197 * _TERA, 16 * _GIB, "Google Cloud: TPU v5e"),
  "TPU v5p": Accelerator(459 * _TERA, 95 * _GIB, "Google Cloud: TPU v5p"),
  "TPU v5": Accelerator(459 * _TERA, 95 * _GIB, "Google Cloud: TPU v5p"),
  "TPU v6e": Accelerator(918 * _TERA, 32 * _GIB, "Google Cloud: TPU v6e"),
  "TPU v6 lite": Accelerator(918 * _TERA, 32 * _GIB, "Google Cloud: TPU v6e"),
  # A chip is two devices: half of 2,307 TFLOPS and 192 GiB.
  "TPU7x": Accelerator(1153.5 * _TERA, 96 * _GIB, "Google Cloud: TPU7x"),
}


def accelerator(kind: str) -> Accelerator:
  """Returns what is known of a device.

  Args:
    kind: as `jax.Device.device_kind` says, "NVIDIA H100 80GB HBM3", or shorter,
      "H100"; "cpu" is a CPU device's share of the cores and memory here, whose
      products are timed, in float32.

  Raises:
    ValueError: if nothing is.
  """
  if kind.lower() == "cpu":
    count = len(jax.local_devices(backend="cpu"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Accelerator(cpu_flops() / count, memory / count, "timed here")
  for name, known in _ACCELERATORS.items():
    if re.search(rf"\b{name}\b", kind, re.IGNORECASE):
      size = re.search(r"\b(\d+)GB\b", kind)
      memory = int(size[1]) * 1e9 if size else known.memory
      return dataclasses.replace(known, memory=memory)
  raise ValueError(
    f"the peak of {kind!r} is not known; known are cpu,"
    f" {', '.join(_ACCELERATORS)}"
  )


def peak_flops(device: jax.Device) -> float:
  """Returns the peak FLOP/s of a device, NaN if unknown."""
  try:
    return accelerator(device.device_kind).peak_flops
  except ValueError:
    return float("nan")


@functools.cache
def cpu_flops() -> float:
  """Measures the FLOP/s of float32 matrix products on CPU.

  Of 1,024 rows, on all cores.
  """
  size = 1024
  with jax.default_device(jax.local_devices(backend="cpu")[0]):
    x = jnp.ones((size, size), jnp.float32)
    multiply = jax.jit(jnp.matmul)
    multiply(x, x).block_until_ready()
    seconds = []
    for _ in range(5):
      began = time.perf_counter()
      multiply(x, x).block_until_ready()
      seconds.append(time.perf_counter() - began)
  return 2 * size**3 / min(seconds)


def flops_per_token(config: lmm.LmmConfig, length: int) -> float:
  """Returns the training FLOPs of one token.

  Forward and backward.

  Every parameter that a token is multiplied by, those of the head among them,
  costs 2 forward. Rows that are looked up cost nothing, though the model does
  it by products with one-hots. Attention costs 4 H K for each token attended
  to: itself and those before it, within the window.

  Args:
    config: the model.
    length: T, tokens of a sequence.
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(_param_shapes(config))
  kernels = sum(leaf.size for path, leaf in leaves if path[-1].key == "kernel")
  before = np.arange(length) + 1
  attended = sum(np.minimum(before, w).mean() for w in config.windows)
  attention = 4 * config.num_heads * config.head_dim
  return float(3 * (2 * kernels + attention * attended))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostEstimate:
  """A run, by arithmetic.

  Attributes:
    mesh: devices along each axis.
    device_kind: of which these numbers are.
    params: parameters in all.
    params_per_device: of these on each device.
    memory: bytes on each device, by what they are for; `activation_bytes` says
      what that estimate leaves out.
    device_memory: bytes that each has.
    steps: of the optimizer.
    tokens_per_step: orders predicted in a step, over all devices.
    flops_per_token: see the function.
    utilisation: share of the peak that is taken for granted.
    peak_flops: of one device, a second.
  """

  mesh: dict[str, int]
  device_kind: str
  params: int
  params_per_device: int
  memory: dict[str, int]
  device_memory: float
  steps: int
  tokens_per_step: int
  flops_per_token: float
  utilisation: float
  peak_flops: float

  @property
  def tokens(self) -> int:
    """Orders predicted in all, counting repeats."""
    return self.steps * self.tokens_per_step

  @property
  def flops(self) -> float:
    """FLOPs of the model in all."""
    return self.tokens * self.flops_per_token

  @property
  def hours(self) -> float:
    """Hours of training, without validation and start-up."""
    devices = int(np.prod(list(self.mesh.values())))
    return self.flops / (self.utilisation * self.peak_flops * devices) / 3600

  def rows(self) -> list[tuple[str, str]]:
    """Returns the plan as a table of text."""
    mesh = " x ".join(f"{size} {name}" for name, size in self.mesh.items())
    memory = sum(self.memory.values()) / _GIB
    of = f" of {self.device_memory / _GIB:.0f}"
    return [
      ("devices", f"{mesh}, {self.device_kind}"),
      ("parameters", f"{self.params:,}"),
      ("parameters on a device", f"{self.params_per_device:,}"),
      *(
        (f"GiB of {name} on a device", f"{size / _GIB:.2f}")
        for name, size in self.memory.items()
      ),
      ("GiB on a device, estimated", f"{memory:.1f}{of}"),
      ("steps", f"{self.steps:,}"),
      ("tokens a step", f"{self.tokens_per_step:,}"),
      ("tokens in all", f"{self.tokens:.3g}"),
      ("FLOPs a token", f"{self.flops_per_token:.3g}"),
      ("FLOPs in all", f"{self.flops:.3g}"),
      (f"hours at {self.utilisation:.0%} of the peak", f"{self.hours:.2f}"),
    ]


# The configs of a run that its cost depends on, by their names in `trainer`.
CONFIGS = ("model", "batch", "optimizer", "parallel")


def make(
  *,
  model: lmm.LmmConfig,
  batch: pipeline.BatchConfig,
  optimizer: optimizer_lib.OptimizerConfig,
  parallel: sharding.ParallelConfig,
  num_devices: int,
  device_kind: str,
  utilisation: float = 0.4,
) -> CostEstimate:
  """Plans a run on devices that need not be here.

  Args:
    model, batch, optimizer, parallel: the configs of the run.
    num_devices: over all machines.
    device_kind: as `accelerator` takes it, or "cpu" for this machine's.
    utilisation: share of the peak that the run is taken to reach.

  Raises:
    ValueError: if the devices do not divide the batch, or nothing is known of
      such a device.
  """
  if num_devices % parallel.model:
    raise ValueError(
      f"parallel.model = {parallel.model} does not divide {num_devices} devices"
    )
  sizes = (num_devices // parallel.model, parallel.model)
  mesh = jax.sharding.AbstractMesh(sizes, sharding.AXES)
  sharding.check(parallel, mesh, model, batch.batch_size)
  length = batch.window_length - 1  # The last order is not an input.
  num_windows = batch.batch_size // (mesh.shape["data"] * parallel.accumulation)
  params = _param_shapes(model)
  device = accelerator(device_kind)
  itemsize = _itemsize(model, device_kind)
  own, state = _state_bytes(params, mesh, optimizer, parallel, itemsize)
  return CostEstimate(
    mesh=dict(mesh.shape),
    device_kind=device_kind,
    params=lmm.num_params(params),
    params_per_device=own,
    memory={
      **state,
      "activations": activation_bytes(
        model,
        num_windows=num_windows,
        length=length,
        num_parts=parallel.model,
        itemsize=itemsize,
      ),
    },
    device_memory=device.memory,
    steps=optimizer.num_steps,
    tokens_per_step=batch.batch_size * length,
    flops_per_token=flops_per_token(model, length),
    utilisation=utilisation,
    peak_flops=device.peak_flops,
  )


def activation_bytes(
  config: lmm.LmmConfig,
  *,
  num_windows: int,
  length: int,
  num_parts: int,
  itemsize: int,
) -> int:
  """Estimates the peak activation memory of a micro-batch.

  In bytes on one device.

  A token leaves in a block, for the gradient: 6 F, 2 (H + G) K and 2 D numbers
  in the type of the arithmetic, and in float32, of the norms, 6 D and, with
  those of queries and keys, 3 (H + G) K; outside of the blocks 30 D, and the
  one-hots of what is looked up. With remat a block keeps D numbers, and one
  block at a time all of that. To it come, of one block at a time, the scores of
  attention in float32 and their gradients; and the joint head's logits and
  theirs, `loss.JOINT_CHUNK` orders of a window at a time.

  Left out are the buffers of XLA and of the exchange between devices, and the
  fragments between arrays. XLA may keep less, where it computes again.

  Args:
    config: the model.
    num_windows: of a micro-batch, on this device.
    length: T, tokens of a window.
    num_parts: devices that share the model; heads and F are cut, D is not.
    itemsize: bytes of a number in the arithmetic.
  """
  c = config
  num_tokens = num_windows * length
  heads = (c.num_heads + c.num_kv_heads) * c.head_dim // num_parts
  block = (6 * c.mlp_dim // num_parts + 2 * heads + 2 * c.dim) * itemsize
  block += (6 * c.dim + (3 * heads if c.qk_norm else 0)) * 4
  kept = c.num_layers * block
  if c.remat:
    kept = c.num_layers * c.dim * itemsize + block
  rest = (30 * c.dim + _one_hot_size(c)) * itemsize
  seen = min(length, c.window + attention.CHUNK)
  scores = (c.num_heads // num_parts) * seen * (4 + 4 + itemsize)
  total = num_tokens * (kept + rest + scores)
  if c.head == "joint":
    logits = loss.JOINT_CHUNK * vocab.NUM_ORDERS // num_parts
    total += num_windows * logits * 3 * 4
  return int(total)


def _one_hot_size(config: lmm.LmmConfig) -> int:
  """Returns the total rows of the embedding tables.

  Each is looked up by a one-hot.
  """
  if config.inputs == "ticks":
    return sum(config.field_sizes)
  embed = _param_shapes(config)["embed"]
  tables = [leaf for leaf in embed.values() if not isinstance(leaf, dict)]
  return sum(leaf.size for leaf in tables) // config.dim


def _itemsize(config: lmm.LmmConfig, device_kind: str) -> int:
  """Returns the bytes of a number in the compute type."""
  if config.dtype == "auto":
    return 4 if device_kind.lower() == "cpu" else 2
  return jnp.dtype(config.dtype).itemsize


@functools.cache
def _param_shapes(config: lmm.LmmConfig) -> lmm.Params:
  """Returns the parameters as shapes."""
  return jax.eval_shape(lambda: lmm.init(jax.random.key(0), config=config))


def _state_bytes(params, mesh, optimizer, parallel, itemsize):
  """Returns a device's parameter count and bytes by purpose.

  Copies are the parameters in the type of the arithmetic, unless that is theirs
  anyway, and the gradients of a micro-batch before they are added up.
  """
  is_cut = parallel.strategy != "replicated"
  moments = jax.eval_shape(optimizer_lib.make_optimizer(optimizer).init, params)
  own_params = _share(params, mesh, over_data=parallel.strategy == "fsdp")
  grads = _share(params, mesh, over_data=is_cut)
  num_own = sum(leaf.size for leaf in own_params)
  return num_own, {
    "parameters": _num_bytes(own_params),
    "gradients": _num_bytes(grads),
    "optimizer": _num_bytes(_share(moments, mesh, over_data=is_cut)),
    "copies": num_own * itemsize * (2 if itemsize < 4 else 1),
  }


def _share(tree, mesh, *, over_data: bool) -> list[jax.ShapeDtypeStruct]:
  """Returns the leaves that one device has, as shapes."""
  specs = sharding.specs(tree, mesh.shape, over_data=over_data)
  shares = jax.tree.map(
    lambda leaf, spec: jax.ShapeDtypeStruct(
      jax.sharding.NamedSharding(mesh, spec).shard_shape(leaf.shape),
      leaf.dtype,
    ),
    tree,
    specs,
  )
  return jax.tree.leaves(shares)


def _num_bytes(leaves) -> int:
  """Returns the bytes of some arrays."""
  return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
