"""`launch.py sweep`: the table, errors before any run, and processes that fail or die."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import compilation
import jax
import jax.numpy as jnp
import pytest
from networks import tiny_network

from senet_jax import workdir as workdirs
from senet_jax.commands.command_line import main, parse
from senet_jax.commands.config_files import EXPERIMENTS
from senet_jax.commands.sweep import prepare
from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig
from senet_jax.data import open_dataset
from senet_jax.runs.workers import _next, train_all
from senet_jax.schema import to_dict
from senet_jax.sweep import resolve
from senet_jax.training.plan import make_plan
from senet_jax.training.state import init_state
from senet_jax.weights import runs
from senet_jax.weights.configured import build_model

REPOSITORY = Path(__file__).parents[2]
TINY = tiny_network()

FILE = """
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.sweep import *

def get_config():
    return Experiment(ModelConfig("se_resnet20_cifar"), DataConfig(data_dir="data"), duration="2 epochs", batch_size=64)

def sweep():
    return SWEEP
"""
RATIOS = "product(chain(variant('no SE', {'model.attention': 'none'}), axis('model.ratio', [4, 16])), seeds(2))"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(RATIOS)


def write(sweep):
    Path("ratios.py").write_text(FILE.replace("SWEEP", sweep))


def table(words, capsys):
    main(["sweep", "--config=ratios.py", "--dry_run", *words])
    *lines, last = capsys.readouterr().out.splitlines()
    return {line.split("  ")[0]: line.split() for line in lines[1:]}, last


def finish(name, accuracy):
    config = parse(["sweep", "--config=ratios.py"]).config
    config.model.ratio, config.seed = 4, int(name[-1])
    workdir = Path("runs/ratios", name)
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(to_dict(config)))
    if accuracy:
        (workdir / "result.json").write_text(json.dumps({"accuracy": accuracy}))


@pytest.mark.slow
def test_a_sweep_does_not_go_on_with_other_data(capsys):
    finish("ratio=4/seed=0", 0.95)
    described = runs.describe(parse(["sweep", "--config=ratios.py"]).config, tuple("0123456789"), 1, 1438, {"sha": "a"})
    Path("runs/ratios/ratio=4/seed=0/network.json").write_text(described)
    with pytest.raises(SystemExit):
        main(["sweep", "--config=ratios.py", "--only=ratio=16/seed=0"])
    said = "variant 'ratio=4/seed=0': runs/ratios/ratio=4/seed=0 is of a run on other data"
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_of_a_dry_run(capsys):
    finish("ratio=4/seed=0", 0.95)
    finish("ratio=4/seed=1", None)
    Path("runs/ratios/ratio=4/seed=1/checkpoints/20").mkdir(parents=True)
    lines, last = table([], capsys)
    assert list(lines) == [f"{name}/seed={seed}" for name in ("no SE", "ratio=4", "ratio=16") for seed in (0, 1)]
    assert last == "6 of 6 variants, in runs/ratios"
    assert "272,186" in lines["no SE/seed=0"]
    assert lines["ratio=4/seed=0"][-3:] == ["done,", "accuracy", "95.00%"]
    assert lines["ratio=4/seed=1"][-3:] == ["partial,", "step", "20"]
    assert lines["ratio=16/seed=1"][-1] == "new"
    assert not Path("data").exists()
    assert not Path("runs/ratios/sweep.json").exists()


@pytest.mark.slow
def test_runs_that_others_train_are_left(monkeypatch):
    monkeypatch.setattr("senet_jax.runs.workers.train_all", lambda *_: [])
    finish("ratio=4/seed=0", 0.95)
    with pytest.raises(SystemExit, match=r"1 of 2 runs are left, as said above; the same command trains them"):
        main(["sweep", "--config=ratios.py", "--only=ratio=4/*"])


@pytest.mark.slow
def test_hours_at_a_rate(capsys):
    lines, last = table(["--only=no SE/*", "--config.data.name=cifar10", "--teraflops=0.5"], capsys)
    *_, giga_multiply_adds, duration, _, hours, state = lines["no SE/seed=0"]
    assert (duration, state) == ("2", "new")
    expected = 6 * float(giga_multiply_adds) * 1e9 * 2 * 50_000 / 0.5e12 / 3600
    assert float(hours) == pytest.approx(expected, rel=0.01)
    total = float(last.removeprefix("2 of 6 variants, in runs/ratios, ").removesuffix(" hours at 0.5 TFLOP/s"))
    assert total == pytest.approx(2 * expected, rel=0.01)


@pytest.mark.slow
def test_a_part_of_the_sweep(capsys):
    lines, last = table(["--only=*/seed=1", "--shard=2/3", "--config.duration=7 steps"], capsys)
    assert (list(lines), last) == (["ratio=4/seed=1"], "1 of 6 variants, in runs/ratios")
    assert "7 steps" in " ".join(lines["ratio=4/seed=1"])


def test_a_part_without_variants_in_a_workdir_whose_list_is_damaged(capsys):
    Path("runs/ratios").mkdir(parents=True)
    Path("runs/ratios/sweep.json").write_text("{")
    assert table(["--shard=1/7", "--teraflops=1"], capsys) == ({}, "0 of 6 variants, in runs/ratios")


@pytest.mark.parametrize(
    ("name", "command", "message"),
    [
        ("squeezes", "sweep --config=ratios.py", "holds the sweep squeezes; give another directory"),
        (
            "ratios",
            "sweep --config=ratios.py",
            "holds the sweep ratios, with runs that this one lacks: ratio=2/seed=0; g",
        ),
        ("ratios", "train", "holds a sweep; give another directory, or that of one of its runs"),
    ],
)
def test_the_workdir_of_another_sweep_is_refused(name, command, message, capsys):
    Path("runs/ratios/ratio=2/seed=0").mkdir(parents=True)
    row = {"group": "ratio=2", "baseline": None, "changes": {}, "parameters": 1, "multiply_adds": 1}
    variants = {"ratio=2/seed=0": row} if name == "ratios" else {}
    Path("runs/ratios/sweep.json").write_text(json.dumps({"name": name, "variants": variants}))
    with pytest.raises(SystemExit):
        main([*command.split(), "--workdir=runs/ratios"])
    assert message in capsys.readouterr().err


def test_the_workdir_of_a_run_is_refused(capsys):
    finish("ratio=4/seed=0", 0.95)
    with pytest.raises(SystemExit):
        main(["sweep", "--config=ratios.py", "--workdir=runs/ratios/ratio=4/seed=0"])
    assert "holds a training run; give another directory for the sweep" in capsys.readouterr().err


def test_only_the_datasets_of_chosen_variants_are_prepared():
    write("chain(variant('digits', {}), variant('manual', {'data.name': 'imagenet2012'}))")
    prepare(parse(["sweep", "--config=ratios.py", "--only=digits"]))
    with pytest.raises(ValueError, match=r"'imagenet2012' is not in data/.* and could not be prepared"):
        prepare(parse(["sweep", "--config=ratios.py"]))


def test_variants_are_counted_at_the_size_of_their_weights(capsys, monkeypatch):
    def settled(config):
        return replace(config, data=replace(config.data, image_size=16))

    monkeypatch.setattr("senet_jax.training.starting.settled", settled)
    first, then = "{'init.weights': 'file'}", "{'init.weights': weights_of('first')}"
    write(f"chain(variant('first', {first}), variant('then', {then}))")
    sizes = [next(word for word in line if word.startswith("0.")) for line in table([], capsys)[0].values()]
    write("variant('first', {'data.image_size': 16})")
    assert sizes == [next(word for word in line if word.startswith("0.")) for line in table([], capsys)[0].values()] * 2


@pytest.mark.parametrize(
    ("sweep", "words", "message"),
    [
        ("axis('model.ratoi', [2])", "", "no field 'model.ratoi'; did you mean 'model.ratio'"),
        (
            "axis('model.ratio', ['2'])",
            "",
            "variant 'ratio=2': config.model.ratio is '2'; it must be a positive number",
        ),
        ("axis('model.attention_stages', [(5,)])", "", "attention_stages has 5; the stages of this network are 2, 3,"),
        ("3", "", "ratios.py: sweep() returned 3; it must be a senet_jax.sweep.Sweep"),
        ("None", "", "ratios.py has no sweep() that returns a senet_jax.sweep.Sweep; "),
        (RATIOS, "--config.model.ratio=8", "--config.model.ratio is given, but the sweep sets it too, in 'ratio=4/s"),
        (RATIOS, "--only=ratio=5", "--only=ratio=5 is none of no SE/seed=0, no SE/seed=1, ratio=4/seed=0"),
        (
            "chain(variant('a', {}), variant('b', {'init.weights': weights_of('a')}))",
            "--only=b",
            "variant 'b' starts from the weights of 'a', which is new and not chosen here; choose it too, or train it",
        ),
        (RATIOS, "--shard=4/3", "the shard is '4/3'; it must be a part and their number"),
        (RATIOS, "--jobs=0", "--jobs is 0; it must be a whole number of 1 or more"),
        (RATIOS, "--workdir=ratios.py", "--workdir=ratios.py is a file"),
        (RATIOS, "--workdir=/proc/none", "--workdir=/proc/none cannot be written: "),
        (RATIOS, "--config.batch_size=32", "ratio=4/seed=0 holds a run of another configuration: batch_size is 32, w"),
    ],
)
def test_errors_come_before_any_run(sweep, words, message, capsys):
    finish("ratio=4/seed=0", 0.95)
    write(sweep)
    with pytest.raises(SystemExit) as raised:
        main(["sweep", "--config=ratios.py", *words.split()])
    assert raised.value.code == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert message in output.err
    assert not Path("data").exists()


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "imagenet"])
@pytest.mark.parametrize("path", sorted((EXPERIMENTS / "ablations").glob("[!b]*.py")), ids=lambda path: path.stem)
def test_every_ablation_is_possible_on_every_dataset(path, dataset):
    """All files but base.py."""
    request = parse(["sweep", f"--config={path}:{dataset}"])
    assert request.sweep is not None
    assert request.sweep.baseline is not None
    for config in resolve(request.config, request.sweep).values():
        build_model(config.model, num_classes=10)


@pytest.mark.parametrize("path", sorted((EXPERIMENTS / "paper").glob("*.py")), ids=lambda path: path.stem)
def test_every_network_of_a_table_has_its_plain_twin(path):
    request = parse(["sweep", f"--config={path}"])
    assert request.sweep is not None
    groups = list(dict.fromkeys(variant.group for variant in request.sweep.variants))
    assert groups[0::2] == [request.sweep.baseline_of(group) for group in groups[1::2]]
    for config in resolve(request.config, request.sweep).values():
        build_model(config.model, num_classes=10)


@pytest.mark.slow
def test_runs_that_differ_in_seed_and_learning_rate_share_their_program(tmp_path):
    data = DataConfig(data_dir=str(tmp_path / "data"), crop_padding=1, flip=True, cutout=2)
    dataset = open_dataset(data)

    def program(seed, learning_rate):
        optimizer = OptimizerConfig(learning_rate, warmup="2 steps")
        config = Experiment(ModelConfig("se_resnet20_cifar", drop_path=0.1), data, optimizer, "9 steps", seed=seed)
        plan = replace(make_plan(config, dataset), model=TINY)
        state = jax.eval_shape(partial(init_state, TINY, plan.optimizer, (8, 8, 1), average=False), seed=seed)
        batch = {"image": jnp.zeros((8, 8, 8, 1), jnp.uint8), "label": jnp.zeros(8, jnp.int32)}
        return jax.jit(plan.train_step()).lower(state, batch, seed, learning_rate).as_text()

    assert program(0, 0.1) == program(1, 0.5)


@pytest.mark.slow
def test_a_sweep_trains_in_processes_and_from_the_weights_of_a_run(tmp_path):
    """Runs are trained two at a time, but for the one that needs the weights of another."""
    write("product(seeds(2), chain(variant('plain', {}), variant('more', {'init.weights': weights_of('plain')})))")
    program = [sys.executable, REPOSITORY / "tests/training/process.py", "sweep", "--config=ratios.py", "--jobs=2"]
    environment = os.environ | compilation.environment() | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*program, "--config.duration=2 steps"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        plain, more = (Path(f"runs/ratios/seed={seed}/{name}") for name in ("plain", "more"))
        assert [workdirs.state(directory) for directory in (plain, more)] == [workdirs.RunState.DONE] * 2
        result = workdirs.read_result(more)
        assert (result["steps"], result["seed"]) == (2, seed)
        assert "sweep --config=ratios.py --jobs=2" in result["command"]
        assert f"seed={seed}/plain, step 2" in str(workdirs.read_init(more))


def test_a_run_waits_for_the_run_of_its_weights_and_is_refused_if_that_has_not_ended(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    waiting, sources = {second: None, third: None}, {second: first}
    assert _next(waiting, [], sources) == second
    assert _next(waiting, [first], sources) == third
    assert _next(waiting, [first], sources | {third: second}) is None
    said = []
    train_all({second: Experiment()}, tmp_path, 1, lambda directory, text: said.append((directory, text)), sources)
    assert said == [(second, f"failed: it starts from {first}, which is new")]
    assert workdirs.describe(second) == said[0][1]
    (second / workdirs.FAILURE).unlink()
    first.mkdir()
    with workdirs.locked(first):
        train_all({second: Experiment()}, tmp_path, 1, lambda directory, text: said.append((directory, text)), sources)
    skipped = f"skipped: another process is training {first}, from whose weights it starts"
    assert said[1:] == [(second, skipped)]
    assert workdirs.state(second) is workdirs.RunState.NEW
    (tmp_path / "file").touch()
    assert train_all({tmp_path / "file": Experiment()}, tmp_path, 1, lambda *_: None, {tmp_path / "file": first}) == [
        tmp_path / "file"
    ]


@pytest.mark.slow
def test_a_run_that_fails_and_a_process_that_dies_are_recorded_and_end_no_other(tmp_path):
    impossible = Experiment(ModelConfig("se_resnet21_cifar"), DataConfig(data_dir=str(tmp_path / "data")))
    runs = {tmp_path / name: impossible for name in ("first", "second")}
    said = []

    def say(directory, text):
        said.append((directory.name, text))
        if said == [("first", "starts")]:
            multiprocessing.active_children()[0].kill()

    (tmp_path / "file").touch()
    runs[tmp_path / "file"] = impossible  # Not even root can write into it.
    assert train_all(runs, tmp_path / "programs", 1, say, {}) == [tmp_path / "file"]
    died = "failed: its process ended with exit code -9"
    failed = workdirs.describe(tmp_path / "second")
    assert failed.startswith("failed: ValueError: there is no network 'se_resnet21_cifar'")
    *expected, lost = said
    assert lost == ("file", f"failed: [Errno 17] File exists: '{tmp_path / 'file'}'")
    ends = {"first": died, "second": failed}
    assert expected == [(name, text) for name, end in ends.items() for text in ("starts", end)] + [("file", "starts")]
    assert "Traceback" in (tmp_path / "second" / workdirs.LOG).read_text()
    assert not multiprocessing.active_children()
