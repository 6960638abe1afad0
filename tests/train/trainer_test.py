"""Training: a run is its configs and data, whatever interrupts it."""

import dataclasses
import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mars_jax import records as records_lib
from mars_jax import types
from mars_jax.data import store
from mars_jax.data import windows as windows_lib
from mars_jax.train import optimizer as optimizer_lib
from mars_jax.train import order_task
from mars_jax.train import sharding
from mars_jax.train import trainer
from mars_jax.train import validation
from tests.support.processes import devices
from tests.support.train import day_records
from tests.support.train import tiny_run

MODEL = tiny_run.WITH_DROPOUT
OPTIMIZER, TRAIN = tiny_run.OPTIMIZER, tiny_run.TRAIN
CONFIGS = {**tiny_run.CONFIGS, "model": MODEL}
_ONE = tiny_run.CONFIGS["parallel"]


def _run(dataset, workdir, **options):
  return tiny_run.run(dataset, workdir, **{"model": MODEL, **options})


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def state():
  init, _, _ = _programs()
  return init()


def _programs():
  """The programs of the runs here."""
  mesh = sharding.make_mesh(_ONE)
  return trainer.programs(
    order_task.TASK, mesh, TRAIN.seed, MODEL, OPTIMIZER, _ONE
  )


@pytest.fixture(scope="module")
def batch(dataset):
  return next(tiny_run.batches(dataset))


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("uninterrupted") / "new" / "folder"
  return workdir, *_run(dataset, workdir)


@pytest.fixture(scope="module")
def killed(dataset, tmp_path_factory):
  """The workdir of a run killed at step 5: after a checkpoint and metrics."""
  workdir = tmp_path_factory.mktemp("killed")
  with pytest.raises(tiny_run.Killed):
    _run(dataset, workdir, on_progress=tiny_run.kill_at(5))
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
    assert tiny_run.metrics(killed) == tiny_run.metrics(workdir)

  def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    self, dataset, uninterrupted, tmp_path
  ):
    workdir, params, _ = uninterrupted
    with pytest.raises(tiny_run.Killed):
      _run(dataset, tmp_path, on_progress=tiny_run.kill_at(2))
    assert [row[0] for row in tiny_run.metrics(tmp_path)] == ["step", "2"]
    with open(tmp_path / "metrics.csv", "a") as file:
      file.write("17000")  # A row that the kill cut short.
    resumed, _ = _run(dataset, tmp_path)
    chex.assert_trees_all_equal(resumed, params)
    assert tiny_run.metrics(tmp_path) == tiny_run.metrics(workdir)

  def test_a_run_that_is_done_takes_no_further_step(
    self, dataset, uninterrupted
  ):
    workdir, params, _ = uninterrupted
    before = tiny_run.metrics(workdir)
    again, reports = _run(dataset, workdir)
    assert not reports
    chex.assert_trees_all_equal(again, params)
    assert tiny_run.metrics(workdir) == before

  @pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
      ("optimizer", {"learning_rate": 0.5}, "learning_rate was 0.01, is 0.5"),
      ("batch", {"window_stride": 4}, "batch.window_stride was 8, is 4"),
      ("train", {"seed": 7}, "train.seed was 0, is 7"),
      ("model", {"dropout": 0.5}, "model.dropout was 0.1, is 0.5"),
      # Here the parameters have other shapes.
      ("model", {"mlp_dim": 32}, "model.mlp_dim was 24, is 32"),
    ],
  )
  def test_a_workdir_of_a_run_with_other_configs_is_refused(
    self, dataset, uninterrupted, section, changes, message
  ):
    workdir = uninterrupted[0]
    before = tiny_run.metrics(workdir)
    config = dataclasses.replace(CONFIGS[section], **changes)
    with pytest.raises(ValueError, match=message) as raised:
      _run(dataset, workdir, **{section: config})
    assert "workdir" in str(raised.value)
    assert tiny_run.metrics(workdir) == before

  def test_a_signal_saves_the_step_under_way_and_stops(
    self, dataset, uninterrupted, tmp_path
  ):
    before = signal.getsignal(signal.SIGTERM)

    def terminate(progress):
      if progress.step == 3:  # Of which step 4 is under way.
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(trainer.Preempted, match="after step 4") as raised:
      _run(dataset, tmp_path, on_progress=terminate)
    assert raised.value.step == 4
    assert signal.getsignal(signal.SIGTERM) is before
    assert order_task.load(tmp_path / "checkpoints").card["step"] == 4
    resumed, reports = _run(dataset, tmp_path)
    assert [report.step for report in reports] == [5, 6]
    workdir, params, _ = uninterrupted
    chex.assert_trees_all_equal(resumed, params)
    assert tiny_run.metrics(tmp_path) == tiny_run.metrics(workdir)

  @pytest.mark.slow
  def test_a_process_killed_at_any_moment_goes_on_to_the_same(
    self, dataset, uninterrupted, tmp_path
  ):
    process = devices.start("killed_run", tmp_path, num_devices=1)
    devices.finish(process, expect=-signal.SIGKILL)
    resumed, _ = _run(dataset, tmp_path)
    workdir, params, _ = uninterrupted
    chex.assert_trees_all_equal(resumed, params)
    assert tiny_run.metrics(tmp_path) == tiny_run.metrics(workdir)


class TestLoading:
  def test_a_model_is_read_without_its_run(self, dataset, uninterrupted):
    workdir, params, reports = uninterrupted
    folder = workdir / "checkpoints"
    model = order_task.load(folder)
    assert model.config == MODEL
    chex.assert_trees_all_equal(model.params, params)
    chex.assert_trees_all_equal(
      model.tokenizers, dataset.tokenizers[MODEL.alphabet]
    )
    assert model.card["config"]["source"] == dataset.source
    assert model.card["config"]["optimizer"] == dataclasses.asdict(OPTIMIZER)
    expected = reports[-1].valid_nats.sum()
    assert model.card["validation_nats_per_order"] == pytest.approx(expected)
    earlier = order_task.load(folder, 3)  # Of a step without a validation.
    assert earlier.card["step"] == 3
    assert earlier.card["validation_nats_per_order"] is None
    assert order_task.load(folder, "best").card["step"] == 6

  def test_one_that_is_not_there_is_an_error_that_lists_them(
    self, uninterrupted, tmp_path
  ):
    with pytest.raises(ValueError, match="no checkpoint 4; it has steps 3, 6"):
      order_task.load(uninterrupted[0] / "checkpoints", 4)
    with pytest.raises(FileNotFoundError, match="no folder of checkpoints"):
      order_task.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="it has steps none"):
      order_task.load(tmp_path, "best")


class TestLoop:
  def test_metrics_have_a_row_for_each_validation(self, uninterrupted):
    workdir, _, reports = uninterrupted
    header, *rows = tiny_run.metrics(workdir)
    fields = [f"valid_{field}" for field in MODEL.fields]
    assert header == [
      *("step", "train", "valid", *fields),
      *("learning_rate", "grad_norm", "skipped", "valid of A", "valid of B"),
    ]
    assert [row[0] for row in rows] == ["2", "4", "6"]
    for row in rows:
      report = reports[int(row[0]) - 1]
      expected = [
        report.train_nats,
        report.valid_nats.sum(),
        *report.valid_nats,
        report.learning_rate,
        report.grad_norm,
        0,
        report.valid["A"].sum(),
        report.valid["B"].sum(),
      ]
      np.testing.assert_allclose(np.array(row[1:], float), expected, rtol=1e-6)

  def test_progress_tells_steps_orders_and_validations(self, uninterrupted):
    _, _, reports = uninterrupted
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {report.orders for report in reports} == {16 * 16}
    has_validation = [report.valid is not None for report in reports]
    assert has_validation == [False, True] * 3
    schedule = optimizer_lib.make_schedule(OPTIMIZER)
    np.testing.assert_allclose(
      [report.learning_rate for report in reports],
      [schedule(step) for step in range(6)],
      rtol=1e-6,
    )

  def test_a_step_is_told_of_when_the_next_one_is_under_way(
    self, dataset, tmp_path, monkeypatch
  ):
    init, shapes, step_fn = _programs()
    events = []

    def step(*args):
      events.append("step")
      return step_fn(*args)

    monkeypatch.setattr(trainer, "programs", lambda *_: (init, shapes, step))
    train = dataclasses.replace(TRAIN, eval_every=9, checkpoint_every=9)
    _run(
      dataset,
      tmp_path,
      train=train,
      on_progress=lambda progress: events.append(progress.step),
    )
    assert events == [
      *("step", "step", 1, "step", 2, "step", 3, "step", 4, "step", 5, 6)
    ]

  def test_the_last_validation_is_of_the_last_parameters(
    self, dataset, uninterrupted
  ):
    _, params, reports = uninterrupted
    nats = validation.model_nats(params, dataset, config=MODEL)
    for market, rows in nats.items():
      np.testing.assert_array_equal(
        rows.mean(axis=0, dtype=np.float64), reports[-1].valid[market]
      )
    np.testing.assert_allclose(
      np.concatenate(list(nats.values())).mean(axis=0, dtype=np.float64),
      reports[-1].valid_nats,
    )

  def test_gradients_that_stay_infinite_end_the_run(
    self, dataset, tmp_path, monkeypatch
  ):
    init, shapes, step = _programs()

    def init_nan():
      state = init()
      return state.replace(
        params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params)
      )

    monkeypatch.setattr(
      trainer, "programs", lambda *_: (init_nan, shapes, step)
    )
    seen = []
    with pytest.raises(FloatingPointError, match="2 steps .* step 2 .*rate"):
      _run(dataset, tmp_path, on_progress=seen.append)
    assert [progress.num_skipped for progress in seen] == [1, 2]
    header, row = tiny_run.metrics(tmp_path)
    assert dict(zip(header, row, strict=True))["skipped"] == "2"

  def test_too_little_training_data_is_an_error_that_says_so(
    self, dataset, tmp_path
  ):
    parts = [
      dataclasses.replace(part, stop=16) for part in dataset.parts["train"]
    ]
    short = dataclasses.replace(
      dataset, parts={**dataset.parts, "train": parts}
    )
    with pytest.raises(ValueError, match="no market to draw windows from"):
      _run(short, tmp_path)

  def test_a_pattern_that_takes_two_orders_to_tell_is_learnt(
    self, dataset, tmp_path
  ):
    repeating = _two_and_two(dataset)
    optimizer = dataclasses.replace(OPTIMIZER, learning_rate=3e-2, num_steps=80)
    train = dataclasses.replace(TRAIN, eval_every=100, checkpoint_every=100)
    model = dataclasses.replace(tiny_run.MODEL, num_layers=1, has_book=False)
    _, reports = _run(
      repeating, tmp_path, model=model, optimizer=optimizer, train=train
    )
    # Each of the two comes after each of the two, as often as not.
    for name, nats in validation.count_nats(repeating, "A").items():
      np.testing.assert_allclose(nats, np.log(2), atol=0.02, err_msg=name)
    assert reports[-1].valid_nats.sum() < 0.1

  def test_trains_on_the_parts_of_several_days(self, dataset, tmp_path):
    days = [store.MemoryDay(day_records.make(90, seed=i)) for i in range(3)]
    parts = {
      "train": [windows_lib.Part(day, "A", 0, 70) for day in days],
      "valid": [windows_lib.Part(day, "A", 70, 90) for day in days],
    }
    several = dataclasses.replace(dataset, parts=parts)
    _, reports = _run(several, tmp_path)
    windows = several.train_windows(tiny_run.BATCH)
    assert {name: len(source) for name, source in windows.items()} == {
      "A": 3 * 7
    }
    nats = [report.train_nats for report in reports]
    assert np.isfinite(nats).all() and len(set(nats)) == len(nats)

  def test_does_not_go_on_with_other_data(self, dataset, tmp_path):
    with pytest.raises(tiny_run.Killed):
      _run(dataset, tmp_path, on_progress=tiny_run.kill_at(4))
    other = dataclasses.replace(dataset, source={"file": "other.csv"})
    with pytest.raises(ValueError, match="source.file was .* is other.csv"):
      _run(other, tmp_path)


def _two_and_two(dataset):
  """The same with an empty book and orders of two kinds, each of them twice."""
  num_orders = max(part.stop for part in dataset.parts["valid"])
  zeros = jax.tree.map(np.zeros_like, vars(day_records.make(num_orders)))
  is_other = np.resize(np.array([0, 0, 1, 1], np.int32), num_orders)
  order = zeros.pop("order").replace(
    kind=np.where(is_other, types.OrderKind.CANCEL, types.OrderKind.LIMIT),
    price=10 * is_other,
    volume=1 + 10_000 * is_other,
  )
  day = store.MemoryDay(records_lib.Records(**zeros, order=order))
  parts = {
    split: [dataclasses.replace(part, day=day) for part in parts]
    for split, parts in dataset.parts.items()
  }
  return dataclasses.replace(dataset, parts=parts)


class TestStep:
  @pytest.fixture(autouse=True)
  def _set_dataset(self, dataset):
    self._tokenizers = dataset.tokenizer_list(MODEL.alphabet, MODEL.scheme)

  def _step(self, state, batch):
    # The program of the runs above, which donates its state.
    _, _, step = _programs()
    mesh = sharding.make_mesh(_ONE)
    with jax.set_mesh(mesh):
      return step(
        jax.tree.map(jnp.copy, state),
        sharding.replicate(self._tokenizers, mesh),
        sharding.put_batch(batch, mesh),
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
    assert first["train_nats"] != later["train_nats"]

  def test_gradients_that_are_not_finite_change_nothing_but_the_counts(
    self, state, batch
  ):
    scale = state.params["norm"]["scale"]
    params = {**state.params, "norm": {"scale": scale.at[0].set(jnp.inf)}}
    bad = state.replace(params=params)
    after, scalars = self._step(bad, batch)
    assert not np.isfinite(scalars["grad_norm"])
    expected = bad.replace(
      step=jnp.int32(1), num_skipped=jnp.int32(1), num_skipped_last=jnp.int32(1)
    )
    chex.assert_trees_all_equal(after, expected)
    after, scalars = self._step(after, batch)
    assert (scalars["num_skipped"], scalars["num_skipped_last"]) == (2, 2)
    # A good step ends the row; it is the first that the schedule counts.
    after, scalars = self._step(after.replace(params=state.params), batch)
    assert (scalars["num_skipped"], scalars["num_skipped_last"]) == (2, 0)
    assert scalars["learning_rate"] == 0
    assert after.step == 3
    assert np.isfinite(scalars["grad_norm"])
