"""Training: a run is its configs and data, whatever interrupts it."""

import csv
import dataclasses

import chex
import day_records
import jax
import jax.numpy as jnp
import markets
import numpy as np
import pytest

from mars_jax import lmm
from mars_jax import types
from mars_jax.data import dataset as dataset_lib
from mars_jax.data import pipeline
from mars_jax.data import replay
from mars_jax.data import store
from mars_jax.tokens import vocab
from mars_jax.train import checkpoint
from mars_jax.train import loss
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import trainer
from mars_jax.train import validation

MODEL = lmm.LmmConfig(
  dim=8,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=16,
  window=8,
  dropout=0.1,
)
DATA = dataset_lib.DataConfig(
  path="",
  train_fraction=0.75,
  book_capacity=256,
  window_length=17,
  window_stride=8,
  batch_size=4,
)
OPTIMIZER = optimizer_lib.OptimizerConfig(
  learning_rate=1e-2,
  num_steps=6,
  warmup_steps=2,
  weight_decay=0.1,
  beta2=0.98,
  max_grad_norm=1.0,
)
TRAIN = trainer.TrainConfig(
  seed=0, eval_every=2, checkpoint_every=3, max_to_keep=2
)
CONFIGS = {
  "model": MODEL,
  "data": DATA,
  "optimizer": OPTIMIZER,
  "train": TRAIN,
}


class Killed(Exception):
  """What stands for the end of the process."""


def _run(dataset, workdir, *, kill_at=None, **configs):
  """Trains; returns the parameters and the reports of all steps."""
  reports = []

  def on_progress(progress):
    reports.append(progress)
    if progress.step == kill_at:
      raise Killed

  params = trainer.train(
    dataset, workdir, **{**CONFIGS, **configs}, on_progress=on_progress
  )
  return params, reports


def _metrics(workdir):
  """The rows of metrics.csv, without the wall-clock time."""
  with open(workdir / "metrics.csv", newline="") as file:
    rows = list(csv.reader(file))
  assert rows[0][0] == "unix_time"
  return [row[1:] for row in rows]


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def dataset():
  return dataset_lib.prepare(markets.stream(1200), config=DATA)


@pytest.fixture(scope="module")
def params(state):
  return state.params


@pytest.fixture(scope="module")
def state():
  optimizer = optimizer_lib.make_optimizer(OPTIMIZER)
  return trainer._jit_init(0, MODEL, optimizer)


@pytest.fixture(scope="module")
def batch(dataset):
  windows = dataset.train_windows(DATA)
  items = [windows[index] for index in range(4)]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("uninterrupted")
  return workdir, *_run(dataset, workdir)


@pytest.fixture(scope="module")
def killed(dataset, tmp_path_factory):
  """The workdir of a run killed at step 5: after a checkpoint and metrics."""
  workdir = tmp_path_factory.mktemp("killed")
  with pytest.raises(Killed):
    _run(dataset, workdir, kill_at=5)
  return workdir


class TestInterruption:
  def test_a_run_killed_between_checkpoints_ends_as_one_that_was_not(
    self, dataset, uninterrupted, killed
  ):
    workdir, params, reports = uninterrupted
    resumed, resumed_reports = _run(dataset, killed)
    assert [report.step for report in resumed_reports] == [4, 5, 6]
    chex.assert_trees_all_equal(resumed, params)
    assert [report.train_nats for report in resumed_reports] == [
      report.train_nats for report in reports[3:]
    ]
    assert _metrics(killed) == _metrics(workdir)

  def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    self, dataset, uninterrupted, tmp_path
  ):
    workdir, params, _ = uninterrupted
    with pytest.raises(Killed):
      _run(dataset, tmp_path, kill_at=2)
    assert [row[0] for row in _metrics(tmp_path)] == ["step", "2"]
    with open(tmp_path / "metrics.csv", "a") as file:
      file.write("17000")  # A row that the kill cut short.
    resumed, _ = _run(dataset, tmp_path)
    chex.assert_trees_all_equal(resumed, params)
    assert _metrics(tmp_path) == _metrics(workdir)

  def test_a_run_that_is_done_takes_no_further_step(
    self, dataset, uninterrupted
  ):
    workdir, params, _ = uninterrupted
    before = _metrics(workdir)
    again, reports = _run(dataset, workdir)
    assert not reports
    chex.assert_trees_all_equal(again, params)
    assert _metrics(workdir) == before

  @pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
      ("optimizer", {"learning_rate": 0.5}, "learning_rate was 0.01, is 0.5"),
      ("data", {"window_stride": 4}, "data.window_stride was 8, is 4"),
      ("train", {"seed": 7}, "train.seed was 0, is 7"),
      ("model", {"dropout": 0.5}, "model.dropout was 0.1, is 0.5"),
      # Here the parameters have other shapes.
      ("model", {"mlp_dim": 24}, "model.mlp_dim was 16, is 24"),
    ],
  )
  def test_a_workdir_of_a_run_with_other_configs_is_refused(
    self, dataset, uninterrupted, section, changes, message
  ):
    workdir = uninterrupted[0]
    before = _metrics(workdir)
    config = dataclasses.replace(CONFIGS[section], **changes)
    with pytest.raises(ValueError, match=message) as raised:
      _run(dataset, workdir, **{section: config})
    assert "workdir" in str(raised.value)
    assert _metrics(workdir) == before

  def test_a_checkpoint_gives_back_all_that_was_saved(self, tmp_path):
    state = {"step": jnp.int32(3), "w": jnp.arange(6.0).reshape(2, 3)}
    configs = {"a": {"b": 1, "c": (1, 2)}}
    with checkpoint.Checkpointer(tmp_path, max_to_keep=1) as checkpointer:
      assert checkpointer.restore(state, configs) is None
      for step in (3, 6):
        checkpointer.save(step, state, {"position": step}, configs)
    with checkpoint.Checkpointer(tmp_path, max_to_keep=1) as checkpointer:
      restored, data = checkpointer.restore(state, configs)
      chex.assert_trees_all_equal(restored, state)
      assert data == {"position": 6}
      with pytest.raises(ValueError, match="a.b was 1, is 2"):
        checkpointer.restore(state, {"a": {"b": 2, "c": (1, 2)}})


class TestLoop:
  def test_metrics_have_a_row_for_each_validation(self, uninterrupted):
    workdir, _, reports = uninterrupted
    header, *rows = _metrics(workdir)
    fields = [f"valid_{field}" for field in vocab.FIELDS]
    assert header == ["step", "train", "valid", *fields]
    assert [row[0] for row in rows] == ["2", "4", "6"]
    for row in rows:
      report = reports[int(row[0]) - 1]
      expected = [report.train_nats, report.valid_nats.sum()]
      expected += report.valid_nats.tolist()
      np.testing.assert_allclose(
        np.array(row[1:], float), expected, rtol=0, atol=1e-6
      )

  def test_progress_tells_steps_orders_and_validations(self, uninterrupted):
    _, _, reports = uninterrupted
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {report.orders for report in reports} == {4 * 17}
    has_validation = [report.valid_nats is not None for report in reports]
    assert has_validation == [False, True] * 3

  def test_the_last_validation_is_of_the_last_parameters(
    self, dataset, uninterrupted
  ):
    _, params, reports = uninterrupted
    nats = validation.model_nats(params, dataset, config=MODEL)
    np.testing.assert_array_equal(
      nats.mean(axis=0, dtype=np.float64), reports[-1].valid_nats
    )

  def test_a_loss_that_is_not_finite_ends_the_run(
    self, dataset, tmp_path, monkeypatch
  ):
    def init_state(*args, init=trainer._jit_init):
      state = init(*args)
      nan = jax.tree.map(lambda leaf: leaf * jnp.nan, state.params)
      return state.replace(params=nan)

    monkeypatch.setattr(trainer, "_jit_init", init_state)
    with pytest.raises(FloatingPointError, match="step 1 is nan.*rate"):
      _run(dataset, tmp_path)

  def test_too_little_training_data_is_an_error_that_says_so(
    self, dataset, tmp_path
  ):
    (part,) = dataset.parts["train"]
    parts = [dataclasses.replace(part, stop=16), part]
    short = {**dataset.parts, "train": parts[:1]}
    with pytest.raises(ValueError, match="smaller data.window_length"):
      _run(dataclasses.replace(dataset, parts=short), tmp_path)
    long = {**dataset.parts, "train": parts}
    windows = dataclasses.replace(dataset, parts=long).train_windows(DATA)
    assert len(windows) == len(dataset.train_windows(DATA))

  def test_a_pattern_that_takes_two_orders_to_tell_is_learnt(
    self, dataset, tmp_path
  ):
    repeating = _two_and_two(dataset)
    optimizer = dataclasses.replace(OPTIMIZER, learning_rate=3e-2, num_steps=80)
    train = dataclasses.replace(TRAIN, eval_every=100, checkpoint_every=100)
    model = dataclasses.replace(MODEL, dropout=0.0)
    _, reports = _run(
      repeating, tmp_path, model=model, optimizer=optimizer, train=train
    )
    # Each of the two comes after each of the two, as often as not.
    for name, nats in validation.count_nats(repeating).items():
      np.testing.assert_allclose(nats, np.log(2), atol=0.02, err_msg=name)
    assert reports[-1].valid_nats.sum() < 0.1

  def test_trains_on_the_parts_of_several_days(self, dataset, tmp_path):
    days = [store.MemoryDay(day_records.make(90, seed=i)) for i in range(3)]
    parts = {
      "train": [pipeline.Part(day, "A", 0, 70) for day in days],
      "valid": [pipeline.Part(day, "A", 70, 90) for day in days],
    }
    several = dataclasses.replace(dataset, parts=parts)
    _, reports = _run(several, tmp_path)
    assert len(several.train_windows(DATA)) == 3 * 7
    nats = [report.train_nats for report in reports]
    assert np.isfinite(nats).all() and len(set(nats)) == len(nats)

  def test_does_not_go_on_with_other_data(self, dataset, tmp_path):
    with pytest.raises(Killed):
      _run(dataset, tmp_path, kill_at=TRAIN.checkpoint_every + 1)
    other = dataclasses.replace(dataset, source={"file": "other.csv"})
    with pytest.raises(ValueError, match="source.file was .* is other.csv"):
      _run(other, tmp_path)


def _two_and_two(dataset):
  """The same with an empty book and orders of two kinds, each of them twice."""
  num_orders = dataset.parts["valid"][0].stop
  zeros = jax.tree.map(np.zeros_like, vars(day_records.make(num_orders)))
  is_other = np.resize(np.array([0, 0, 1, 1], np.int32), num_orders)
  order = zeros.pop("order").replace(
    kind=np.where(is_other, types.OrderKind.CANCEL, types.OrderKind.LIMIT),
    price=10 * is_other,
    volume=1 + 10_000 * is_other,
  )
  day = store.MemoryDay(replay.Records(**zeros, order=order))
  parts = {
    split: [dataclasses.replace(part, day=day) for part in parts]
    for split, parts in dataset.parts.items()
  }
  return dataclasses.replace(dataset, parts=parts)


class TestStep:
  @pytest.fixture(autouse=True)
  def _set_dataset(self, dataset):
    self._tokenizers = [dataset.tokenizer]

  def _step(self, state, batch):
    # The program of the runs above, which donates its state.
    return trainer._jit_step(
      jax.tree.map(jnp.copy, state),
      self._tokenizers,
      batch,
      seed=TRAIN.seed,
      config=MODEL,
      optimizer=optimizer_lib.make_optimizer(OPTIMIZER),
    )

  def test_same_inputs_give_same_outputs(self, state, batch):
    chex.assert_trees_all_equal(
      self._step(state, batch), self._step(state, batch)
    )

  def test_counts_itself_and_changes_the_parameters(self, state, batch):
    after, _ = self._step(state, batch)
    after, _ = self._step(after, batch)  # The rate of the first step is 0.
    assert after.step == 2
    for old, new in zip(
      jax.tree.leaves(state.params), jax.tree.leaves(after.params), strict=True
    ):
      assert (old != new).any()

  def test_dropout_is_another_at_another_step(self, state, batch):
    _, first = self._step(state, batch)
    _, later = self._step(state.replace(step=state.step + 1), batch)
    assert first != later

  def test_loss_is_the_mean_of_the_scores_of_all_but_the_first(
    self, params, batch
  ):
    config = dataclasses.replace(MODEL, dropout=0.0)

    @jax.jit
    def both(params, batch):
      tokens = pipeline.tokens(self._tokenizers, batch)
      scores = loss.nats(params, tokens, config=config)
      key = jax.random.key(0)
      return scores, loss.mean_nats(params, tokens, key, config=config)

    scores, mean = both(params, batch)
    assert scores.shape == (4, 16, len(vocab.FIELDS))
    np.testing.assert_allclose(mean, scores.sum(axis=-1).mean(), rtol=1e-5)


class TestOptimizer:
  CONFIG = dataclasses.replace(OPTIMIZER, num_steps=100, warmup_steps=10)

  def test_rate_warms_up_peaks_and_decays_to_a_tenth(self):
    schedule = optimizer_lib.make_schedule(self.CONFIG)
    rates = np.array([schedule(step) for step in range(101)])
    np.testing.assert_allclose(rates[:11], np.linspace(0, 1e-2, 11), rtol=1e-5)
    assert rates.argmax() == 10
    assert (np.diff(rates[10:]) < 0).all()
    # Halfway through the cosine it is halfway between the peak and a tenth.
    np.testing.assert_allclose(rates[55], 5.5e-3, rtol=1e-5)
    np.testing.assert_allclose(rates[100], 1e-3, rtol=1e-5)

  def test_only_matrices_and_tables_are_decayed(self, params):
    config = dataclasses.replace(self.CONFIG, warmup_steps=0)
    optimizer = optimizer_lib.make_optimizer(config)
    ones = jax.tree.map(np.ones_like, params)
    zeros = jax.tree.map(np.zeros_like, params)
    state = jax.jit(optimizer.init)(ones)
    updates, _ = jax.jit(optimizer.update)(zeros, state, ones)
    leaves = jax.tree_util.tree_leaves_with_path(updates)
    decay = config.learning_rate * config.weight_decay
    num_scales = 0
    for path, update in leaves:
      is_scale = "scale" in jax.tree_util.keystr(path)
      num_scales += is_scale
      expected = 0.0 if is_scale else -decay
      np.testing.assert_allclose(
        update, np.full_like(update, expected), rtol=1e-5, err_msg=str(path)
      )
    assert num_scales == 3  # Two of the block, one after it.

  def test_large_gradients_are_scaled_down(self):
    config = dataclasses.replace(self.CONFIG, warmup_steps=0, weight_decay=0.0)
    optimizer = optimizer_lib.make_optimizer(config)
    params = {"w": np.zeros((2, 2), np.float32)}
    small = {"w": np.full((2, 2), 0.5, np.float32)}  # Of norm 1.
    large = {"w": np.full((2, 2), 5e5, np.float32)}
    state = optimizer.init(params)
    chex.assert_trees_all_close(
      optimizer.update(small, state, params),
      optimizer.update(large, state, params),
      rtol=1e-5,
    )


class TestConfigs:
  @pytest.mark.parametrize(
    ("section", "changes"),
    [
      ("optimizer", {"warmup_steps": 6}),
      ("optimizer", {"warmup_steps": -1}),
      ("optimizer", {"num_steps": 0}),
      ("optimizer", {"learning_rate": 0.0}),
      ("optimizer", {"learning_rate": float("nan")}),
      ("optimizer", {"weight_decay": -0.1}),
      ("optimizer", {"beta2": 1.0}),
      ("optimizer", {"max_grad_norm": 0.0}),
      ("train", {"eval_every": 0}),
      ("train", {"checkpoint_every": -5}),
      ("train", {"max_to_keep": 0}),
      ("data", {"train_fraction": 1.0}),
      ("data", {"window_stride": 0}),
      ("data", {"window_length": 1}),
      ("data", {"batch_size": 0}),
      ("data", {"book_capacity": 0}),
    ],
  )
  def test_nonsense_is_refused_by_name(self, section, changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
      dataclasses.replace(CONFIGS[section], **changes)

  @pytest.mark.parametrize("section", CONFIGS)
  def test_an_unknown_key_is_refused_by_name(self, section):
    values = dataclasses.asdict(CONFIGS[section])
    with pytest.raises(TypeError, match="speed"):
      type(CONFIGS[section])(**values, speed=1)
