"""Wrong command lines: one clear line for each, before anything slow is imported."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from senet_jax import workdir as workdirs
from senet_jax.commands.command_line import main, parse
from senet_jax.commands.options import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("directory")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--wokdir=x", "the flags of train are --config, --config.FIELD, --workdir, --coor"),
        ("trian", f"unknown command 'trian'; the commands are {', '.join(COMMANDS)}; did you mean 'train'?"),
        ("large.py", f"are {', '.join(COMMANDS)}; a configuration is given as --config=large.py"),
        ("train again", "surplus argument 'again' after 'train'; only one command is allowed, then --flags"),
        ("--config.data.flip maybe", "unknown command 'maybe'; the commands are train, eval, "),
        ("--config.log_every=1 epoch", "'epoch' stands alone; put quotes around values"),
        ("--config.duration=3 epochs", "'epochs' stands alone; put quotes around values, as in --config.duration='3"),
        ("train --config.duration=3 steps", "'steps' stands alone; put quotes around values"),
        ("--config", "--config has no value; give one, as in --config=VALUE"),
        ("--config.seed", "--config.seed has no value; give one, as in --config.seed=VALUE"),
        ("--config=", "--config=: it must be a local path"),
        ("--workdir=~nobody-has-this-name/run", "--workdir=~nobody-has-this-name/run: it must be a local path"),
        (
            "--workdir=gs://bucket/run",
            "--workdir=gs://bucket/run: it must be a local path, such as that of a mounted bucket",
        ),
        ("list --workdir=x", "list takes no flags; --config, --config.FIELD and --workdir are for train, eval"),
        ("list --config.seed=1", "list takes no flags"),
        ("convert", "convert needs --weights=SOURCE: Trained network: a workdir, a weight file, a folder in timm"),
        (
            "report --workdir=runs/good --config=x.py",
            "report takes --workdir, --output; --config and --config.FIELD are",
        ),
        ("cost --model=resnet50 --depth=deep", "--depth=deep: it must be a whole number of 1 or more"),
        ("cost --model=resnet50 --image_size=0", "--image_size is 0; it must be a whole number of 1 or more"),
        (
            "cost --model=resnet51",
            "the name of a network, which `list` prints, or none; did you mean 'resnet50' or",
        ),
        ("cost --model=resnet50 --ratio=8", "resnet50 has no squeeze-and-excitation"),
        ("--model=resnet50", "take --config.model.name"),
        ("list --depth=2", "--depth is for cost"),
        # Fields
        ("--config.model.ratoi=8", "dtype, statistics_group; did you mean --config.model.ratio?"),
        ("--config.modle.ratio=8", "unknown field config.modle.ratio; config has model, data, optimizer, duration,"),
        ("--config.ratio=8", "; did you mean --config.model.ratio?"),
        ("--config.name=x", "; did you mean --config.model.name or --config.data.name"),
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
        ("--config=runs/good", "--config=runs/good is a directory; its configuration is 'runs/good/config.json'"),
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
        ("eval --workdir=runs/good --step=last", "--step is 'last'; it must be newest, best or the number of a step"),
        ("sweep --config=runs/good/config.json", "runs/good/config.json has no sweep() that returns a senet_jax.sweep"),
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


@pytest.mark.parametrize(("short", "field"), [("optimizer.lr", "optimizer.learning_rate"), ("epochs", "duration")])
def test_names_of_other_projects_suggest_ours(short, field):
    with pytest.raises(ValueError, match=rf"did you mean --config\.{field}\?"):
        parse([f"--config.{short}=1"])


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
        ("--config.model.name=se_resnet51", "did you mean 'se_resnet50' or 'se_resnet18'?"),
        ("cost --model=se_resnet51", "did you mean 'se_resnet50' or 'se_resnet18'?"),
        ("train --workdir=runs/good --config.seed=1", "this one if --config.init.weights is its directory"),
        (
            "--config=experiments/cifar10/se_resnet20.py --config.duration='32000 steps'",
            "or --config.optimizer.schedule=cosine --config.optimizer.decay_at=",
        ),
        (
            "--config=keyword.py",
            "keyword.py, line 3: TypeError: ModelConfig.__init__() got an unexpected keyword argument 'ratoi'; "
            "did you mean 'ratio'?",
        ),
    ],
)
def test_the_program_refuses_at_once(words, message):
    program = [sys.executable, "-P", "-c", REFUSED, str(REPOSITORY / "launch.py"), *shlex.split(words)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "set()\n")
    assert done.stderr.startswith("launch.py: error: ")
    assert done.stderr.endswith(f"{message}\n")
    assert done.stderr.count("\n") == 1
