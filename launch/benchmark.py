r"""Times mars_jax on this machine.

  python launch/benchmark.py lob
  python launch/benchmark.py data --data=bitstamp-sample
  python launch/benchmark.py synthetic --messages=500000
  python launch/benchmark.py lmm --config=configs/demo.py
  python launch/benchmark.py sim --devices=2

lob: how many messages a second the matching engine takes, with 1 to 4096 books
in one program, beside two other order books that get the same messages: that of
JaxMARL-HFT, also in JAX, and a plain one in C, which is what a core can do.
Then what a message costs as the book gets longer. The messages are random and
valid: limit orders, a fifth of them marketable, partial cancels and deletes.
Before anything is timed, all engines must trade the same.

  python launch/benchmark.py --help
  python launch/benchmark.py lob --plot=speed.png --json
  git clone https://github.com/Sat-A/JaxMARL-HFT
  taskset -c 1 python launch/benchmark.py lob --peer_path=JaxMARL-HFT

taskset keeps it on one core (here the second), which a figure to quote needs:
JAX otherwise hands work from thread to thread, and the noise doubles. It takes
some minutes, most of them for the JaxMARL-HFT book; --batch=1,256 --capacities=
is a quick look.

Engines take turns, repetition by repetition, so that noise hits all alike; each
repetition begins with the same books and ends when the results are there, and
the median counts. Compiling is timed apart. All books have the same capacity
unless --peer_capacity says otherwise. ratio: the speed of mars_jax over it.

data: how many events of a day are read, replayed and compared with the feed a
second, as launch/prepare_data.py does; what its orders take on disk, in
mars_jax's files and in others, how many windows of them are read a second, and
how many orders come in batches; beside it what a model takes. --data is what
launch/replay.py takes as a path. Speeds are of one core: they count the time
that processors were busy, not that of the clock, and the file is in memory.

synthetic: how many orders of zero-intelligence markets are simulated a second,
with --batch books in one program, about --messages orders in all.

lmm: how many tokens a second the model of --config is trained on, on all
devices, with steps of the trainer, and what share that is of the FLOPs that
they have at their peak (model FLOP utilisation; a CPU's peak is timed, as the
speed of products of large matrices); where the time of a micro-batch goes; and
how many orders a second it draws, with --batch trajectories in step against
full caches, without book and tokens. Orders are random, no data is needed.
--config.batch.batch_size and --config.parallel.accumulation change a step.

  python launch/benchmark.py lmm --config=configs/order_model.py:2m \
      --config.batch.batch_size=4 --config.parallel.accumulation=1

sim: how many orders a second are simulated, the model, the matching engine and
the features in one program: --batch futures of one history of 1,024 orders,
which they share, with either head; what share of the time the book and the
features, the layers of the model and its head take; and the floor, the time to
read the parameters, the history and what each future has added, once. The model
has --sim_dim and --sim_layers. --devices cuts the futures over so many devices:
on a CPU, one a core. With a clone of MarS the forward pass of its order model
of the same size, which it takes for every order, is timed in the same run:

  git clone https://github.com/microsoft/MarS
  python launch/benchmark.py sim --devices=2 --peer_path=MarS
"""

import json
import pathlib

import common
import jax
from absl import flags
from benchmarks import data
from benchmarks import lmm as lmm_benchmark
from benchmarks import lob
from benchmarks import picture
from benchmarks import report
from benchmarks import sim
from benchmarks import synthetic
from ml_collections import config_flags

from mars_jax import lmm
from mars_jax.utils import progress as progress_lib

_BOOKS = (1, 256, 1024, 4096)
_TRAJECTORIES = (1, 16, 128)

_JSON = flags.DEFINE_bool(
  "json", False, "Print the results as one JSON object, on the last line."
)
_PLOT = flags.DEFINE_string(
  "plot", None, "lob only: a picture to draw, say speed.png."
)
_PEER_PATH = flags.DEFINE_string(
  "peer_path",
  None,
  "Path of a peer's clone, to time beside: for lob of https://github.com/Sat-A/JaxMARL-HFT,"
  " for sim of https://github.com/microsoft/MarS.",
)
_PEER_CAPACITY = flags.DEFINE_integer(
  "peer_capacity",
  None,
  "Orders that a side of its book can hold; as --capacity if not given.",
  2,
)
_VMAP_ONE = flags.DEFINE_bool(
  "vmap_one",
  False,
  "Run a single book under vmap too, as environments run theirs. JaxMARL-HFT"
  " then takes three times as long: all its branches run for every message.",
)
_BATCH = flags.DEFINE_list(
  "batch",
  None,
  "How many books, or trajectories of lmm and sim, for each run; by default"
  " 1,256,1024,4096, of lmm and sim 1,16,128.",
)
_CAPACITY = flags.DEFINE_integer(
  "capacity", 128, "Orders that a side of a book can hold.", 2
)
_MESSAGES = flags.DEFINE_integer(
  "messages",
  32768,
  "Messages of all books together; a book gets at least 8.",
  1,
)
_CAPACITIES = flags.DEFINE_list(
  "capacities",
  ["64", "128", "256", "1024", "4096", "16384", "65536"],
  "The capacities for the cost of a message; empty for none.",
)
_CAPACITIES_BATCH = flags.DEFINE_list(
  "capacities_batch", ["1", "16"], "How many books, for each of them."
)
_REPEATS = flags.DEFINE_integer("repeats", 7, "How many repetitions.", 1)
_MIN_SECONDS = flags.DEFINE_float(
  "min_seconds", 0.3, "How long a repetition is to be at least, about.", 0.0
)
_SEED = flags.DEFINE_integer(
  "seed", 0, "The same seed gives the same stream, and the same windows."
)
_DATA = flags.DEFINE_string(
  "data", None, "data only: a file of a day, or the name of a sample."
)
_WINDOW = flags.DEFINE_integer(
  "window", 1024, "Orders of a window, or of the history of sim.", 2
)
_WINDOWS = flags.DEFINE_integer(
  "windows", 1000, "Windows that a repetition reads.", 1
)
_WINDOWS_BATCH = flags.DEFINE_integer(
  "windows_batch", 32, "Windows of a batch.", 1
)
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  str(pathlib.Path(__file__).parent.parent / "configs" / "demo.py"),
  "lmm only: a run of launch/train.py.",
)
_DEVICES = flags.DEFINE_integer(
  "devices",
  None,
  "sim only: devices to use; on a CPU any number, on others those there are.",
  1,
)
_SIM_DIM = flags.DEFINE_integer(
  "sim_dim", 128, "sim only: the width of the model, a multiple of 32.", 32
)
_SIM_LAYERS = flags.DEFINE_integer("sim_layers", 4, "sim only: its layers.", 1)
_SIM_HEADS = flags.DEFINE_multi_enum(
  "sim_head",
  ["factored", "joint"],
  ["factored", "joint"],
  "sim only: the head of the model; may be given several times.",
)
_EVENTS = flags.DEFINE_integer(
  "events", 128, "sim only: orders of each future.", 1
)
_DECODE_STEPS = flags.DEFINE_integer(
  "decode_steps", 128, "lmm only: orders that a trajectory draws.", 1
)


def main(*arguments: str) -> None:
  """Measures and shows; the top of this file says what."""
  command = " ".join(arguments)
  if command not in _COMMANDS:
    raise ValueError(
      f"{command!r} is none of the commands: {', '.join(_COMMANDS)}"
      " (--help explains)"
    )
  if _PLOT.value and command != "lob":
    raise ValueError(f"--plot={_PLOT.value} is for lob only")
  if _DEVICES.value and jax.config.jax_platforms in (None, "cpu"):
    jax.config.update("jax_num_cpu_devices", _DEVICES.value)
  if command not in ("lmm", "sim") and report.num_cores() > 1:
    common.CONSOLE.print(
      f"note: {report.num_cores()} cores are in use; --help says how to keep to"
      " one"
    )
  if _PLOT.value:
    common.outputs(_PLOT.value, ("",))
  measure, show = _COMMANDS[command]
  results = {"hardware": report.hardware(), **measure()}
  show(results)
  if _PLOT.value:
    picture.draw_lob(results, _PLOT.value)
    print(f"{_PLOT.value} written")
  if _JSON.value:
    print(json.dumps(results))


def _measure_lob() -> dict:
  """Returns the results of `lob.run`."""
  config = lob.LobConfig(
    batch=_batch(_BOOKS),
    capacity=_CAPACITY.value,
    messages=_MESSAGES.value,
    capacities=_integers(_CAPACITIES),
    capacities_batch=_integers(_CAPACITIES_BATCH),
    repeats=_REPEATS.value,
    min_seconds=_MIN_SECONDS.value,
    seed=_SEED.value,
    peer_path=_PEER_PATH.value,
    peer_capacity=_PEER_CAPACITY.value,
    vmap_one=_VMAP_ONE.value,
  )
  return _run(lob.run, config)


def _measure_data() -> dict:
  """Returns the results of `data.run`."""
  if _DATA.value is None:
    raise ValueError("--data is missing: a file, or bitstamp-sample")
  config = data.DataBenchmark(
    path=_DATA.value,
    window=_WINDOW.value,
    windows=_WINDOWS.value,
    batch_size=_WINDOWS_BATCH.value,
    repeats=_REPEATS.value,
    seed=_SEED.value,
  )
  return _run(data.run, config)


def _measure_synthetic() -> dict:
  """Returns the results of `synthetic.run`."""
  config = synthetic.SyntheticConfig(
    batch=_batch(_BOOKS),
    capacity=_CAPACITY.value,
    messages=_MESSAGES.value,
    repeats=_REPEATS.value,
    seed=_SEED.value,
  )
  return _run(synthetic.run, config)


def _measure_lmm() -> dict:
  """Returns the results of `lmm.run`."""
  config = lmm_benchmark.LmmBenchmark.of(
    _CONFIG.value,
    batch=_batch(_TRAJECTORIES),
    decode_steps=_DECODE_STEPS.value,
    repeats=_REPEATS.value,
  )
  return _run(lmm_benchmark.run, config)


def _measure_sim() -> dict:
  """Returns the results of `sim.run`."""
  dim = _SIM_DIM.value
  if dim % 32:
    raise ValueError(f"--sim_dim={dim} is no multiple of 32")
  config = sim.SimBenchmark(
    model=lmm.LmmConfig(
      dim=dim,
      num_layers=_SIM_LAYERS.value,
      num_heads=dim // 32,
      head_dim=32,
      mlp_dim=dim * 11 // 4,
      window=_WINDOW.value,
    ),
    heads=tuple(_SIM_HEADS.value),
    batch=_batch(_TRAJECTORIES),
    capacity=_CAPACITY.value,
    num_events=_EVENTS.value,
    repeats=_REPEATS.value,
    peer_path=_PEER_PATH.value,
  )
  return _run(sim.run, config)


def _run(run, config) -> dict:
  """Runs a benchmark with a progress bar."""
  done = 0
  with progress_lib.bar("benchmark", config.num_repeats) as show:

    def on_repeat(text):
      nonlocal done
      done += 1
      show(done, text)

    return run(config, on_repeat)


def _batch(default: tuple[int, ...]) -> tuple[int, ...]:
  """Returns what --batch lists."""
  return default if _BATCH.value is None else _integers(_BATCH)


def _integers(flag: flags.FlagHolder[list[str]]) -> tuple[int, ...]:
  """Returns the whole numbers that a flag lists."""
  try:
    numbers = tuple(map(int, flag.value))
  except ValueError:
    numbers = (0,)
  if min(numbers, default=1) < 1:
    text = ",".join(flag.value)
    raise ValueError(f"--{flag.name}={text} is no list like 1,16")
  return numbers


_COMMANDS = {
  "lob": (_measure_lob, report.print_lob),
  "data": (_measure_data, report.print_data),
  "synthetic": (_measure_synthetic, report.print_synthetic),
  "lmm": (_measure_lmm, report.print_lmm),
  "sim": (_measure_sim, report.print_sim),
}


if __name__ == "__main__":
  common.run(main, takes_arguments=True)
