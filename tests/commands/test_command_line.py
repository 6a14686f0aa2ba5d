"""The command line of launch.py: what it reads, and one clear message for whatever is wrong."""

import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from senet_jax import workdir as workdirs
from senet_jax.commands.command_line import main, parse
from senet_jax.commands.options import COMMANDS
from senet_jax.config import Experiment, ModelConfig
from senet_jax.schema import flatten, to_dict

REPOSITORY = Path(__file__).resolve().parents[2]

FILES = {
    "large.py": "def get_config(size='32'):\n    return Experiment(batch_size=int(size), model=ModelConfig(ratio=4.0))",
    "empty.py": "x = 1",
    "misnamed.py": "def getconfig(): ...",
    "syntax.py": "def get_config(:\n    pass",
    "keyword.py": "def get_config():\n    return Experiment(model=ModelConfig(ratoi=8))",
    "attribute.py": "def get_config():\n    config = Experiment()\n    config.data.flpi = True\n    return config",
    "dictionary.py": "def get_config(): return {'batch_size': 8}",
    "nothing.py": "def get_config(): pass",
    "key.py": "def get_config():\n    return {}['batch_size']",
    "value.py": "def get_config():\n    return Experiment(batch_size=int('many'))",
    "missing.py": "def get_config():\n    return open('absent.txt')",
    "importing.py": "import absent_module",
    "impossible.py": "def get_config(): return Experiment(duration='0 epochs')",
    "wrong_type.py": "def get_config():\n    config = Experiment()\n    config.batch_size = 'many'\n    return config",
}


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """A working directory with configuration files and the workdirs of some runs."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(f"from senet_jax.config import Experiment, ModelConfig\n{text}\n")
    contents = {
        "good": json.dumps(to_dict(Experiment(seed=7, model=ModelConfig(ratio=8.0)))),
        "torn": '{"seed":',
        "older": '{"optimiser": {}}',
    }
    for name, text in contents.items():
        workdir = Path("runs", name)
        workdir.mkdir(parents=True)
        (workdir / workdirs.CONFIG).write_text(text)
    Path("runs/empty").mkdir()
    return tmp_path


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


def test_eval_reads_the_configuration_of_its_workdir():
    request = parse(["eval", "--workdir=runs/good", "--config.eval_batch_size=100"])
    assert (request.name, request.workdir, request.config_path) == (
        "good",
        Path("runs/good"),
        Path("runs/good", workdirs.CONFIG),
    )
    assert request.config == Experiment(seed=7, eval_batch_size=100, model=ModelConfig(ratio=8.0))


def test_eval_of_weights():
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


@pytest.mark.parametrize(("short", "field"), [("optimizer.lr", "optimizer.learning_rate"), ("epochs", "duration")])
def test_names_of_other_projects_suggest_ours(short, field):
    with pytest.raises(ValueError, match=rf"did you mean --config\.{field}\?"):
        parse([f"--config.{short}=1"])


def test_a_closed_pipe_is_not_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, str(REPOSITORY / "launch.py"), "--help"]
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--wokdir=x", "the flags are --config, --config.FIELD, --workdir, --help, --"),
        ("trian", f"unknown command 'trian'; the commands are {', '.join(COMMANDS)}; did you mean 'train'?"),
        ("large.py", f"are {', '.join(COMMANDS)}; a configuration is given as --config=large.py"),
        ("train again", "surplus argument 'again' after 'train'; only one command is allowed, then --flags"),
        ("--config.data.flip maybe", "unknown command 'maybe'; the commands are train, eval, "),
        ("--config", "--config has no value; give one, as in --config=VALUE"),
        ("--config.seed", "--config.seed has no value; give one, as in --config.seed=VALUE"),
        ("--config=", "--config=: it must be a local path"),
        (
            "--workdir=gs://bucket/run",
            "--workdir=gs://bucket/run: it must be a local path, such as that of a mounted bucket",
        ),
        ("list --workdir=x", "list takes no flags; --config, --config.FIELD and --workdir are for train and eval"),
        ("list --config.seed=1", "list takes no flags"),
        ("cost", "cost needs --model=NAME: Name of a network; `list` prints them."),
        ("cost --model=resnet50 --config=x.py", "cost takes --model, --image_size, --num_classes, --ratio, --depth; -"),
        ("cost --model=resnet50 --depth=deep", "--depth=deep: it must be a whole number of 1 or more"),
        ("cost --model=resnet50 --image_size=0", "--image_size is 0; it must be a whole number of 1 or more"),
        ("cost --model=resnet51", "there is no network 'resnet51'; the nearest are "),
        ("cost --model=resnet50 --ratio=8", "resnet50 has no squeeze-and-excitation"),
        ("--model=resnet50", "take --config.model.name"),
        ("list --depth=2", "--depth is for cost"),
        # Fields
        ("--config.model.ratoi=8", "dtype, statistics_group; did you mean --config.model.ratio?"),
        ("--config.modle.ratio=8", "unknown field config.modle.ratio; config has model, data, optimizer, duration,"),
        ("--config.ratio=8", "; did you mean --config.model.ratio?"),
        ("--config.name=x", "; did you mean --config.model.name or --config.data.name?"),
        ("--config.model.seed=8", "dtype, statistics_group; did you mean --config.seed?"),
        ("--config.bach_size=8", "; did you mean --config.batch_size?"),
        ("--noconfig.data.flpi", "; did you mean --config.data.flip?"),
        (
            "--config.model=8",
            "config.model is a section, with name, ratio, attention, squeeze, activation, gate",
        ),
        ("--noconfig.seed", "--noconfig.seed is for fields that are true or false; config.seed takes a whole number"),
        # Values
        ("--config.batch_size=abc", "--config.batch_size=abc: it must be a whole number"),
        ("--config.batch_size=1.5", "--config.batch_size=1.5: it must be a whole number"),
        ("--config.batch_size=none", "--config.batch_size=none: it must be a whole number"),
        ("--config.data.flip=maybe", "--config.data.flip=maybe: it must be true or false"),
        ("--config.model.ratio=big", "--config.model.ratio=big: it must be a positive number, or none"),
        ("--config.data.mean=a,b", "--config.data.mean=a,b: it must be one or more finite numbers"),
        ("--config.duration=0", "config.duration is '0'; it must be a number and its unit, such as '30 epochs'"),
        ("--config.optimizer.learning_rate=-1", "config.optimizer.learning_rate is -1.0; it must be a positive number"),
        ("--config.optimizer.learning_rate=nan", "config.optimizer.learning_rate is nan; it must be a positive number"),
        # Files
        ("--config=lrage.py", "there is no configuration file 'lrage.py'; did you mean 'large.py'?"),
        ("--config=digits", "there is no configuration file 'digits'; did you mean "),
        ("--config=qqqq", "there is no configuration file 'qqqq'; the experiments are "),
        ("--config=empty.py", "empty.py has no get_config(), which returns an Experiment"),
        ("--config=misnamed.py", "has no get_config(), which returns an Experiment; did you mean 'getconfig'?"),
        ("--config=syntax.py", "syntax.py, line 2: SyntaxError: invalid syntax"),
        ("--config=keyword.py", "keyword.py, line 3: TypeError: "),
        (
            "--config=attribute.py",
            "attribute.py, line 4: AttributeError: 'DataConfig' object has no attribute 'flpi'; did",
        ),
        ("--config=dictionary.py", "returned {'batch_size': 8}; it must be a senet_jax.config.Experiment"),
        ("--config=dictionary.py --config.batch_size=4", "dictionary.py: get_config() returned {'batch_size': 8}"),
        ("--config=nothing.py", "nothing.py: get_config() returned None; it must be a senet_jax.config.Experiment"),
        ("--config=key.py", "key.py, line 3: KeyError: 'batch_size'"),
        ("--config=value.py", "value.py, line 3: ValueError: invalid literal for int() with base 10: 'many'"),
        ("--config=missing.py", "missing.py, line 3: FileNotFoundError: [Errno 2] No such file or directory: 'abs"),
        ("--config=importing.py", "importing.py, line 2: ModuleNotFoundError: No module named 'absent_module'"),
        ("--config=key.py:x", "key.py: TypeError: get_config() takes 0 positional arguments but 1 was given"),
        ("--config=large.py:x", "large.py, line 3: ValueError: invalid literal for int() with base 10: 'x'"),
        ("--config=impossible.py", "config.duration is '0 epochs'; it must be a number and its unit"),
        ("--config=wrong_type.py", "config.batch_size is 'many'; it must be a whole number"),
        # Workdirs
        ("eval", "eval needs --workdir=DIRECTORY, the directory of a training run"),
        ("eval --weights=a.safetensors", "--weights=a.safetensors does not say which images to evaluate: add --config"),
        ("eval --weights=a.safetensors --config.data.path=b", "config.data.path is 'b'; it must be the directory that"),
        ("eval --workdir=runs/good --weights=a", "--workdir=runs/good and --weights=a are both networks to evaluate"),
        ("eval --workdir=runs/god", "without a config.json; it must be that of a training run; did you mean 'good'?"),
        ("eval --workdir=runs/empty", "--workdir is 'runs/empty', without a config.json; it must be that of a"),
        ("eval --workdir=runs/torn", f"runs/torn/{workdirs.CONFIG}: Expecting value"),
        (
            "eval --workdir=runs/older",
            f"{workdirs.CONFIG}: Experiment has no field 'optimiser'; did you mean 'optimizer'?",
        ),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as raised:
        main(words.split())
    assert raised.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("launch.py: error: ")
    assert output.err.endswith("\n")
    assert output.err.count("\n") == 1
    assert message in output.err


@pytest.fixture
def command(monkeypatch):
    """Stands for the module of `eval`; a test may replace its `prepare`."""
    module = types.SimpleNamespace(prepared=[], runs=0)

    def run():
        module.runs += 1

    def prepare(request):
        module.prepared.append(request)
        return run

    module.prepare = prepare
    monkeypatch.setitem(sys.modules, "senet_jax.commands.eval", module)
    return module


def test_main_prepares_a_command_and_runs_it(command):
    main(["eval", "--workdir=runs/good"])
    assert command.prepared == [parse(["eval", "--workdir=runs/good"])]
    assert command.runs == 1


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError])
def test_errors_of_prepare_are_one_line(command, capsys, kind):
    def prepare(request):
        raise kind("no such network\nat all")

    command.prepare = prepare
    with pytest.raises(SystemExit) as raised:
        main(["eval", "--workdir=runs/good"])
    assert raised.value.code == 2
    assert capsys.readouterr().err == "launch.py: error: no such network at all\n"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/bin/senet-jax", "senet-jax"),
        ("/site-packages/senet_jax/__main__.py", "python -m senet_jax"),
        ("code/launch.py", "launch.py"),
    ],
)
def test_messages_name_the_program_that_was_called(called, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit):
        main(["trian"])
    assert capsys.readouterr().err.startswith(f"{name}: error: unknown command 'trian'")
    main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} [train|")


@pytest.mark.parametrize(
    ("missing", "raised"), [("grain", SystemExit), ("senet_jax.absent", ModuleNotFoundError), (None, ImportError)]
)
def test_a_library_that_is_not_installed_is_named(missing, raised, monkeypatch, capsys):
    def fail(name):
        raise ModuleNotFoundError("absent", name=missing)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(raised):
        main(["list"])
    message = "list needs grain, which is not installed; pip install 'senet-jax[train]' installs what"
    assert (message in capsys.readouterr().err) == (missing == "grain")


def test_a_library_that_is_imported_late_is_named_too(command, capsys):
    def run():
        raise ModuleNotFoundError("absent", name="matplotlib")

    command.prepare = lambda request: run
    with pytest.raises(SystemExit):
        main(["eval", "--workdir=runs/good"])
    assert "eval needs matplotlib, which is not installed" in capsys.readouterr().err


def test_errors_after_prepare_are_not_hidden(command):
    def run():
        raise ValueError("a fault")

    command.prepare = lambda request: run
    with pytest.raises(ValueError, match="a fault"):
        main(["eval", "--workdir=runs/good"])


REFUSED = """
import atexit, os, runpy, sys
atexit.register(lambda: print({"jax", "numpy", "flax", "grain"} & sys.modules.keys()))
del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program, and prints at its end which slow packages it has imported."""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--wokdir=x", "did you mean '--workdir'?"),
        ("--config.modle.ratio=8", "did you mean --config.model.ratio?"),
        (
            "--config=keyword.py",
            "keyword.py, line 3: TypeError: ModelConfig.__init__() got an unexpected keyword argument 'ratoi'; "
            "did you mean 'ratio'?",
        ),
    ],
)
def test_the_program_refuses_at_once(words, message):
    program = [sys.executable, "-P", "-c", REFUSED, str(REPOSITORY / "launch.py"), *words.split()]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "set()\n")
    assert done.stderr.startswith("launch.py: error: ")
    assert done.stderr.endswith(f"{message}\n")
    assert done.stderr.count("\n") == 1


def test_nothing_slow_is_imported():
    code = "import sys, senet_jax.commands.command_line; print({'jax', 'numpy', 'flax', 'grain'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
