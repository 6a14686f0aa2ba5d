"""Commands, experiments with their overrides, and workdirs, as the command line reads them."""

import sys
from pathlib import Path

import pytest

from senet_jax import workdir as workdirs
from senet_jax.commands.command_line import parse
from senet_jax.config import Experiment, ModelConfig
from senet_jax.schema import flatten

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("directory")


def test_the_default_is_to_train_on_digits():
    request = parse([])
    assert (request.command, request.name, request.workdir) == ("train", "digits", None)
    assert request.config_path == REPOSITORY / "experiments" / "digits.py"
    assert request.config is not None
    assert request.config.model.name == "se_resnet20_cifar"


@pytest.mark.parametrize("name", ["digits.py", "ablations/squeeze.py"])
def test_an_experiment_of_the_package_is_found_from_any_directory(name):
    assert parse([f"--config=experiments/{name}"]).config_path == REPOSITORY / "experiments" / name
    Path("experiments", name).parent.mkdir(parents=True)
    Path("experiments", name).write_text(Path("large.py").read_text())
    assert parse([f"--config=experiments/{name}"]).config_path == Path("experiments", name)


def test_a_file_with_an_argument():
    request = parse(["train", "--workdir", "w", "--config=large.py:64", "--config.seed=5"])
    assert (request.command, request.name, request.workdir) == ("train", "large-64", Path("w"))
    assert request.config == Experiment(batch_size=64, seed=5, model=ModelConfig(ratio=4.0))


def test_a_file_imports_another_beside_it(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    Path("mine").mkdir()
    Path("mine/beside_it.py").write_text("from senet_jax.config import Experiment\nSIZE = 48")
    Path("mine/first.py").write_text(
        "from beside_it import SIZE, Experiment\nget_config = lambda: Experiment(batch_size=SIZE)"
    )
    before = sys.path[:]
    assert parse(["--config=mine/first.py"]).config.batch_size == 48
    assert sys.path == before
    del sys.modules["beside_it"]


@pytest.mark.parametrize("file", ["12:30/config.json", "copy.json"])
def test_the_configuration_of_a_run_under_any_name(file):
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(Path("runs/good/config.json").read_text())
    assert parse([f"--config={file}"]).config.seed == 7


def test_eval_reads_the_configuration_of_its_workdir():
    request = parse(["eval", "--workdir=runs/good", "--config.eval_batch_size=100"])
    assert (request.name, request.workdir, request.config_path) == (
        "good",
        Path("runs/good"),
        Path("runs/good", workdirs.CONFIG),
    )
    assert request.config == Experiment(seed=7, eval_batch_size=100, model=ModelConfig(ratio=8.0))


def test_eval_of_weights():
    Path("runs/good", workdirs.NETWORK).touch()
    request = parse(["eval", "--weights=runs/good"])
    assert (request.workdir, request.config.seed, request.overrides) == (Path("runs/good"), 7, frozenset())
    request = parse(["eval", "--weights=a/b", "--config.data.name=cifar10"])
    assert (request.workdir, request.config.data.name, request.overrides) == (None, "cifar10", {"data.name"})
    assert request.options.weights == "a/b"


def test_a_workdir_gives_its_configuration_to_another_run():
    assert parse(["--config=runs/good/config.json", "--workdir=runs/new"]).config.seed == 7


def test_train_goes_on_with_the_configuration_of_its_workdir():
    request = parse(["--workdir=runs/good"])
    assert (request.command, request.name, request.config.seed) == ("train", "good", 7)
    assert parse(["--workdir=runs/new"]).name == "digits"


def test_eval_prefers_a_configuration_that_is_given():
    request = parse(["eval", "--workdir=runs/empty", "--config=large.py"])
    assert (request.name, request.workdir) == ("large", Path("runs/empty"))
    assert request.config is not None
    assert request.config.batch_size == 32


def test_list_reads_no_configuration():
    assert parse(["list"]).config_path is None


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(["--workdir=~/w", "--config=~/large.py"]).workdir == tmp_path / "w"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--config.batch_size=64"], "batch_size", 64),
        (["--config.batch_size", "64"], "batch_size", 64),
        (["--config.batch_size=64", "--config.batch_size=32"], "batch_size", 32),
        (["--config.optimizer.learning_rate=1e-3"], "optimizer.learning_rate", 1e-3),
        (["--config.optimizer.learning_rate=1"], "optimizer.learning_rate", 1.0),
        (["--config.data.flip"], "data.flip", True),
        (["--config.data.flip=true"], "data.flip", True),
        (["--config.optimizer.nesterov=false"], "optimizer.nesterov", False),
        (["--noconfig.optimizer.nesterov"], "optimizer.nesterov", False),
        (["--config.model.name=resnet20_cifar"], "model.name", "resnet20_cifar"),
        (["--config.duration=500 steps"], "duration", "500 steps"),
        (["--config.model.ratio=8"], "model.ratio", 8.0),
        (["--config.model.ratio=none"], "model.ratio", None),
        (["--config.model.ratio=8", "--config.model.ratio=None"], "model.ratio", None),
        (["--config.model.statistics_group=32"], "model.statistics_group", 32),
        (["--config.data.data_dir=/data"], "data.data_dir", "/data"),
        (["--config.data.data_dir=none"], "data.data_dir", None),
        (["--config.data.mean=0.5,0.4,0.3"], "data.mean", (0.5, 0.4, 0.3)),
        (["--config.data.mean=(0.5,)"], "data.mean", (0.5,)),
        (["--config.data.mean=1"], "data.mean", (1.0,)),
        (["--config.data.mean=0.5", "--config.data.mean=0.4"], "data.mean", (0.4,)),
        (["--config.optimizer.decay_at=30 epochs,60 epochs"], "optimizer.decay_at", ("30 epochs", "60 epochs")),
        (["--config.optimizer.decay_at=('30 epochs', \"9 steps\")"], "optimizer.decay_at", ("30 epochs", "9 steps")),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_overrides(words, name, value, first):
    if name == "optimizer.decay_at":
        words = [*words, "--config.optimizer.schedule=step", "--config.duration=90 epochs"]
    words = [*words, "--config=large.py"] if first else ["--config=large.py", *words]
    config = parse(words).config
    assert config is not None
    found = flatten(config)[name]
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, tuple):
        assert list(map(type, found)) == list(map(type, value))
    before = flatten(parse(["--config=large.py"]).config)
    changed = {other for other, after in flatten(config).items() if after != before[other]}
    assert changed <= {name, "optimizer.schedule", "duration"}


def test_a_file_does_not_inherit_from_the_last():
    parse(["--config=large.py"])
    with pytest.raises(ValueError, match=r"empty.py has no get_config\(\)"):
        parse(["--config=empty.py"])
