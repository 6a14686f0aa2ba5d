import dataclasses
import math
import re
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from networks import tiny_network

from senet_jax.analysis.curves import plot_curves
from senet_jax.config import DataConfig, Experiment, InitConfig, ModelConfig, OptimizerConfig
from senet_jax.data import open_dataset
from senet_jax.data.bad_images import BadImages
from senet_jax.schema import validate
from senet_jax.training import evaluation, logs, loop, metrics
from senet_jax.training import plan as training_plan
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.loop import train
from senet_jax.training.parallel import data_mesh
from senet_jax.training.plan import check_devices, initial, make_plan, open_plan
from senet_jax.training.state import TrainState
from senet_jax.training.stopping import Stop
from senet_jax.weights.load import read

TINY = tiny_network()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_dataset(DataConfig(data_dir=str(tmp_path_factory.mktemp("digits"))))


def tiny_plan(dataset, **fields):
    config = Experiment(duration="2 epochs", batch_size=96, eval_batch_size=99, log_every="10 steps", **fields)
    return dataclasses.replace(make_plan(config, dataset), model=TINY)


def test_durations_become_steps(dataset):
    plan = make_plan(Experiment(duration="1.5 epochs", batch_size=64, eval_every="3 steps"), dataset)
    assert plan.steps_per_epoch == 1438 / 64
    assert plan.total_steps == round(1.5 * 1438 / 64)
    assert plan.eval_every == 3
    assert plan.checkpoint_every == 1438 / 64


def test_a_duration_of_less_than_a_step_is_an_error(dataset):
    with pytest.raises(ValueError, match=r"'0.01 epochs', less than one step of 64 images"):
        make_plan(Experiment(batch_size=64, eval_every="0.01 epochs"), dataset)


def test_durations_of_different_units_are_compared_before_the_dataset_is_prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(training_plan, "open_dataset", lambda _: pytest.fail("it was opened"))
    optimizer = OptimizerConfig(schedule="step", decay_at=("30 epochs",))
    config = Experiment(data=DataConfig(data_dir=str(tmp_path)), optimizer=optimizer, duration="200 steps")
    with pytest.raises(
        ValueError, match=r"decay_at has '30 epochs', 337 steps at 11\.23 an epoch, .*, after 200 steps"
    ):
        open_plan(config)


def test_a_training_batch_that_the_devices_do_not_divide_is_an_error():
    message = "config.batch_size is 130, which 4 devices do not divide; the nearest possible is 128"
    with pytest.raises(ValueError, match=message):
        check_devices(Experiment(batch_size=130))
    grouped = Experiment(ModelConfig(statistics_group=32), batch_size=1024)
    with pytest.raises(ValueError, match="the nearest possible is 1056"):
        check_devices(grouped, 6)


@pytest.mark.slow
def test_statistics_of_single_values_are_refused_before_anything_is_compiled(dataset):
    config = Experiment(ModelConfig("resnet18", statistics_group=1), DataConfig(image_size=16), batch_size=16)
    message = (
        "config.batch_size is 16, config.accumulate {} and config.model.statistics_group {}: stage4_block1/norm1 has "
    )
    with pytest.raises(ValueError, match=message.format(1, 1)):
        make_plan(config, dataset)
    config.model.statistics_group, config.accumulate = None, 16
    with pytest.raises(ValueError, match=message.format(16, None)):
        make_plan(config, dataset)
    config.data.image_size = 64
    make_plan(config, dataset)


def test_a_run_is_not_resumed_with_fewer_bad_steps_than_it_has_had(dataset, unchecked_types):
    state, checkpoints = SimpleNamespace(bad={"count": 3, "step": 0}), SimpleNamespace(latest=20)
    config = OptimizerConfig(bad_steps=1)
    message = (
        r"left out 3 bad steps until its checkpoint of step 20, more than config\.optimizer\.bad_steps, 1; .* 3 to"
    )
    with pytest.raises(FloatingPointError, match=message):
        loop._check_numbers(tiny_plan(dataset, optimizer=config), state, checkpoints)


def test_parameters_that_are_not_finite_are_not_saved(unchecked_types):
    variables = {"params": {"a": {"kernel": np.array([1.0, np.nan])}, "b": np.zeros(2)}}
    message = r"after step 3 parameters are not finite, .*: .*a/kernel; the newest checkpoint, of step 2, is good; try"
    with pytest.raises(FloatingPointError, match=message):
        loop._check_parameters(SimpleNamespace(step=3, variables=variables), SimpleNamespace(latest=2))


@pytest.mark.slow
def test_a_run_over_four_devices_learns_and_logs(dataset, tmp_path, caplog, monkeypatch):
    plan = tiny_plan(dataset, eval_every="0.35 epochs")
    counts, means = [], metrics.means
    monkeypatch.setattr(
        metrics, "means", lambda parts: counts.append(sum(int(p["count"]) for p in parts)) or means(parts)
    )
    with jax.log_compiles():
        results = train(plan, tmp_path)
    assert [count for count in counts if count != 359] == [960] * 3  # Ten steps each time.
    assert sum("Finished XLA compilation of jit(train_step)" in text for text in caplog.messages) == 1
    records = logs.read(tmp_path)
    steps = {split: [r["step"] for r in records if r["split"] == split] for split in ("train", "test")}
    assert steps == {"train": [10, 20, 30], "test": [5, 10, 16, 21, 26, 30]}  # Multiples of 5.24 steps.
    losses = [r["loss"] for r in records if r["split"] == "train"]
    assert losses == sorted(losses, reverse=True)
    rates = [r["learning_rate"] for r in records if r["split"] == "train"]
    assert rates == [plan.learning_rate(step - 1) for step in (10, 20, 30)]
    assert records[-1]["accuracy"] == results["accuracy"]
    assert (results["accuracy"] * 359) % 1 == pytest.approx(0, abs=1e-6)
    assert Checkpoints(tmp_path).latest == 30
    best = max((r for r in records if r["split"] == "test"), key=lambda r: r["accuracy"])
    saved = read(tmp_path / "best.safetensors").header
    assert saved["source"] == f"{tmp_path.name}, step {best['step']} of 30, best test accuracy {best['accuracy']:.2%}"
    plot_curves(records, tmp_path / "curves.png", "tiny")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "curves.svg").read_text().count("<text") > 5

    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:-1]))  # As a signal during the last evaluation leaves it.
    assert train(plan, tmp_path)["accuracy"] == results["accuracy"]
    assert logs.read(tmp_path) == records


@pytest.mark.slow
def test_frozen_parameters_and_factors_of_the_rate_reach_the_step(dataset, short_networks):
    config = Experiment(init=InitConfig(freeze=("stem",)), optimizer=OptimizerConfig(multipliers=("head=0",)))
    plan = make_plan(config, dataset)
    state = jax.jit(partial(initial, plan))(0)
    batch = {"image": np.arange(512, dtype=np.uint8).reshape(8, 8, 8, 1), "label": np.arange(8, dtype=np.int32)}
    new = jax.jit(plan.train_step())(state.replace(step=jnp.int32(5)), batch, 0, 0.1)
    before, after = (flatten_dict(each.variables["params"]) for each in (state, new))
    changed = {path[0] for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {path[0] for path in before} - {"stem", "head"}


@pytest.mark.slow
def test_statistics_stay_from_a_stated_time_on(dataset, tmp_path, monkeypatch):
    saved = {}
    keep = lambda _, step, state, __: saved.update({step: jax.device_get(state.variables)})  # noqa: E731
    monkeypatch.setattr(Checkpoints, "save", keep)
    train(tiny_plan(dataset, checkpoint_every="10 steps", freeze_statistics_at="20 steps"), tmp_path)

    def same(name):
        return [
            all(jax.tree.leaves(jax.tree.map(np.array_equal, saved[step][name], saved[step + 10][name])))
            for step in (10, 20)
        ]

    assert same("batch_stats") == [False, True]
    assert same("params") == [False, False]


def test_a_time_after_the_end_is_refused_for_statistics(dataset):
    with pytest.raises(ValueError, match="freeze_statistics_at is '30 epochs', step 337; it must be before the end"):
        make_plan(Experiment(duration="200 steps", freeze_statistics_at="30 epochs"), dataset)
    with pytest.raises(ValueError, match="freeze_statistics_at"):
        validate(Experiment(duration="2 epochs", freeze_statistics_at="2 epochs"))


@pytest.mark.parametrize(
    ("figure", "kept"),
    [
        ("accuracy", ["step 10 of 30, best test accuracy 50.00%", "step 20 of 30, best test accuracy 60.00%"]),
        ("top5_accuracy", ["step 10 of 30, best test top-5 accuracy 90.00%"]),
        ("loss", ["step 10 of 30, best test loss 1.5000", "step 30 of 30, best test loss 1.2500"]),
    ],
)
def test_the_best_evaluation_is_kept_by_its_figure_across_a_restart(figure, kept, dataset, tmp_path, monkeypatch):
    results = iter([(math.nan,) * 3, (1.5, 0.5, 0.9), (1.75, 0.6, 0.9), (1.25, 0.6, 0.8)])
    sources = []

    def evaluate(variables, _):
        assert variables == {"average": True}
        return dict(zip(("loss", "accuracy", "top5_accuracy"), next(results), strict=True))

    def save_weights(path, variables, *, model, preprocessing, source, class_names):
        assert variables == {"average": True}
        assert (path.name, model, preprocessing.image_size) == ("best.safetensors", plan.config.model, 8)
        assert class_names == dataset.class_names
        sources.append(source)

    monkeypatch.setattr(evaluation, "make_evaluate", lambda *_: evaluate)
    monkeypatch.setattr(evaluation, "save_weights", save_weights)
    plan = tiny_plan(dataset, best_by=figure)
    average = {"average": True}
    state, mesh = TrainState(step=0, variables={}, optimizer_state=(), average=average, sums={}, bad={}), data_mesh()
    for step in (5, 10, 20, 30):
        with closing(logs.Logs(tmp_path, start=step, total=30, steps_per_epoch=15)) as log:
            evaluation.Evaluations(plan, tmp_path, log, mesh, BadImages(0)).run(step, state, Stop())
    assert sources == [f"{tmp_path.name}, {each}" for each in kept]


@pytest.mark.slow
def test_steps_with_a_nan_are_left_out_and_told_and_one_too_many_ends_the_run(dataset, tmp_path, capsys):
    optimizer = OptimizerConfig(learning_rate=1e30, schedule="constant", bad_steps=2)
    plan = dataclasses.replace(tiny_plan(dataset, optimizer=optimizer), log_every=1)
    bad = r"step {} is bad: its loss is .*, its largest gradient norms are stem/.*; {}"
    message = bad.format(4, "there is no checkpoint; 3 bad steps are more than config.optimizer.bad_steps, 2: allow")
    with pytest.raises(FloatingPointError, match=message):
        train(plan, tmp_path)
    told = [line for line in capsys.readouterr().out.splitlines() if "is bad" in line]
    assert len(told) == 2
    for number, line in enumerate(told, 1):
        assert re.fullmatch(bad.format(number + 1, f"it was left out, {number} in all"), line)
    assert Checkpoints(tmp_path).latest is None
