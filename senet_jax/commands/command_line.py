"""The command line of launch.py: what was asked for, or one message that says why it cannot be done.

Nothing slow is imported here, so that a wrong command line is refused at once.
"""

import contextlib
import difflib
import importlib
import json
import operator
import os
import re
import sys
import traceback
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from senet_jax import config as configuration
from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig, describe, did_you_mean, field_types

COMMANDS = {
    "train": "trains an experiment, or goes on with the one in --workdir; the default",
    "eval": "evaluates the newest checkpoint in --workdir, by its own configuration unless --config is given",
    "list": "prints the networks with their parameters, and the experiments",
}
CONFIG = "config.json"
"""The configuration of a training run, in its workdir."""
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
_CLASSES = {kind.__name__: kind for kind in (Experiment, ModelConfig, DataConfig, OptimizerConfig)}


@dataclass(frozen=True)
class Request:
    """What a command line asks for."""

    command: str
    """One of COMMANDS, or "help"."""
    config: Experiment = field(default_factory=Experiment)
    """Validated, with its overrides; "list" has no use for it."""
    config_path: Path | None = None
    """The file that the configuration was read from: an experiment's, or a workdir's config.json."""
    name: str = ""
    """The experiment's, such as "digits" or, for --config=sizes.py:large, "sizes-large"; or the workdir's."""
    workdir: Path | None = None
    """Never None for "eval"."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the words after `launch.py` ask for.

    Raises SystemExit with status 2, after one message on stderr, where it cannot be done.
    """
    with _refusing():
        request = parse(sys.argv[1:] if argv is None else argv)
    flags.FLAGS.mark_as_parsed()  # Grain reads its flags, all of them at their defaults.
    command = importlib.import_module(f"senet_jax.commands.{request.command}")
    with _refusing():
        run = command.prepare(request)
    run()


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        print("launch.py: error:", *str(error).split("\n"), file=sys.stderr)
        raise SystemExit(2) from None


def parse(argv: Sequence[str]) -> Request:
    """What the words after `launch.py` ask for. Raises ValueError where that cannot be done."""
    given = _define_flags()
    try:
        words = given(["launch.py", *argv])[1:]
    except flags.Error as error:
        raise ValueError(_wrong_flag(error)) from error
    command = _command(words)
    overrides = {name: given[f"config.{name}"].value for name in field_types() if given[f"config.{name}"].present}
    if given.help:
        command = "help"
    if command == "list":
        if given.config is not None or given.workdir is not None or overrides:
            raise ValueError("list takes no flags; --config, --config.FIELD and --workdir are for train and eval")
        return Request(command)
    workdir = None if given.workdir is None else _local_path("workdir", given.workdir)
    if command == "eval" and workdir is None:
        raise ValueError("eval needs --workdir=DIRECTORY, the directory of a training run")
    if command == "eval" and workdir is not None and given.config is None:
        config, config_path, name = _read_workdir(workdir), workdir / CONFIG, workdir.resolve().name
    else:
        file, _, argument = (str(EXPERIMENTS / "digits.py") if given.config is None else given.config).partition(":")
        config_path = _local_path("config", file)
        config, name = _load(config_path, argument), "-".join(filter(None, [config_path.stem, argument]))
    for path, value in overrides.items():
        section, _, leaf = path.rpartition(".")
        setattr(operator.attrgetter(section)(config) if section else config, leaf, value)
    configuration.validate(config)
    return Request(command, config, config_path, name, workdir)


def _define_flags() -> flags.FlagValues:
    """Flags of their own for each command line, one for every field of a configuration.

    config_flags defines those of the fields too, but reads tuples of wrong elements and cannot read none.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt()
    flags.DEFINE_string("config", None, "", flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.DEFINE_boolean("help", False, "", short_name="h", flag_values=values)
    for name, kind in field_types().items():
        flag = flags.Flag(_FieldParser(kind), None, f"config.{name}", None, "", boolean=kind is bool)
        flags.DEFINE_flag(flag, flag_values=values)
    return values


class _FieldParser(flags.ArgumentParser):
    """Reads the text of a field's flag."""

    def __init__(self, kind: Any):
        self.kind = kind

    def parse(self, argument: str) -> Any:
        try:
            return _read(argument, self.kind)
        except ValueError:
            raise ValueError(f"it must be {describe(self.kind)}") from None


def _read(text: str, kind: Any) -> Any:
    """The value that a text stands for. Raises ValueError where it is none of that type."""
    if isinstance(kind, types.UnionType):
        return None if text.lower() == "none" else _read(text, typing.get_args(kind)[0])
    if typing.get_origin(kind) is tuple:
        items = [item.strip(" '\"") for item in text.strip(" ()").split(",")]
        return tuple(_read(item, typing.get_args(kind)[0]) for item in items if item)
    return flags.BooleanParser().parse(text) if kind is bool else kind(text)


def _command(words: list[str]) -> str:
    command, *surplus = words or ["train"]
    allowed = f"the commands are {', '.join(COMMANDS)}"
    if command.endswith(".py"):
        raise ValueError(f"unknown command {command!r}; {allowed}; a configuration is given as --config={command}")
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}; {allowed}{did_you_mean(command, COMMANDS)}")
    if surplus:
        raise ValueError(
            f"surplus argument {surplus[0]!r} after {command!r}; only one command is allowed, then --flags"
        )
    return command


def _wrong_flag(error: flags.Error) -> str:
    if isinstance(error, flags.UnrecognizedFlagError):
        return _unknown_flag(error.flagname)
    if missing := re.fullmatch("Missing value for flag (.*)", str(error)):
        return f"{missing[1]} has no value; give one, as in {missing[1]}=VALUE"
    return str(error).removeprefix("flag ")


def _unknown_flag(name: str) -> str:
    """The message for a flag that there is not."""
    field = name.removeprefix("no").removeprefix("config.")
    if field in field_types():
        return f"--{name} is for fields that are true or false; config.{field} takes {describe(field_types()[field])}"
    if name.endswith(f"config.{field}"):
        return _unknown_field(field)
    known = ["--config", "--config.FIELD", "--workdir", "--help"]
    return f"unknown flag --{name}; the flags are {', '.join(known)}{did_you_mean('--' + name, known)}"


def _unknown_field(name: str) -> str:
    """The message for a field that there is not, or that is a section of fields."""
    if within := _within(name):
        return (
            f"config.{name} is a section, with {', '.join(within)}; give one, as in --config.{name}.{within[0]}=VALUE"
        )
    fields = list(field_types())
    section, _, leaf = name.rpartition(".")
    siblings = _within(section)
    near = (
        [f"{section}.{field}" for field in difflib.get_close_matches(leaf, siblings, n=1)]
        or [field for field in fields if field.rpartition(".")[2] == leaf]
        or difflib.get_close_matches(name, fields, n=1)
    )
    owner, known = (f"config.{section}", siblings) if siblings else ("config", typing.get_type_hints(Experiment))
    hint = f"; did you mean {' or '.join(f'--config.{field}' for field in near)}?" if near else ""
    return f"unknown field config.{name}; {owner} has {', '.join(known)}{hint}"


def _within(section: str) -> list[str]:
    return [field.removeprefix(f"{section}.") for field in field_types() if field.startswith(f"{section}.")]


def _local_path(flag: str, text: str) -> Path:
    if not text:
        raise ValueError(f"--{flag} is empty; it must be a path")
    if "://" in text:
        raise ValueError(f"--{flag} is {text!r}; it must be a local path, such as that of a mounted bucket")
    return Path(text).expanduser()


def _read_workdir(workdir: Path) -> Experiment:
    """The configuration that a training run left in its workdir. Raises ValueError where there is none."""
    path = workdir / CONFIG
    if not path.is_file():
        near = did_you_mean(workdir.name, (other.parent.name for other in workdir.parent.glob(f"*/{CONFIG}")))
        raise ValueError(f"--workdir is {str(workdir)!r}, without a {CONFIG}; it must be that of a training run{near}")
    try:
        return configuration.from_dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load(path: Path, argument: str) -> Experiment:
    """What get_config() of a file returns. Raises ValueError, with the file's line, for whatever it raises."""
    if not path.is_file():
        raise ValueError(f"there is no configuration file {str(path)!r}{_near_file(path)}")
    sys.modules.pop("config_config", None)  # Where config_flags would leave the names of the last file.
    holder, verbosity = flags.FlagValues(), logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # config_flags warns of a get_config() that returns None; it is refused here.
    try:
        config_flags.DEFINE_config_file(
            "config", f"{path}:{argument}" if argument else str(path), flag_values=holder, sys_argv=[]
        )
        config = holder["config"].value
        getattr(config, "model", None)  # An OSError of the file's is kept until its configuration is used.
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    finally:
        logging.set_verbosity(verbosity)
    if not isinstance(config, Experiment):
        raise ValueError(f"{path}: get_config() returned {config!r}; it must be a senet_jax.config.Experiment")
    return config


def _near_file(path: Path) -> str:
    experiments = {file.stem: os.path.relpath(file) for file in sorted(EXPERIMENTS.rglob("*.py"))}
    known = experiments | {file.stem: os.path.relpath(file) for file in path.parent.glob("*.py")}
    near = difflib.get_close_matches(path.stem, known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else f"; the experiments are {', '.join(experiments.values())}"


def _fault(path: Path, error: BaseException | None) -> str:
    """The message for what a configuration file raised, with the line of the file where it did."""
    chain: list[tuple[BaseException, int | None]] = []
    while error is not None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        chain.append((error, frames[-1].lineno if frames else None))
        error = error.__cause__ or error.__context__
    cause, line = next((entry for entry in chain if entry[1]), chain[-1])
    if isinstance(cause, AttributeError) and cause.name == "get_config" and isinstance(cause.obj, types.ModuleType):
        return f"{path} has no get_config(), which returns an Experiment{did_you_mean('get_config', vars(cause.obj))}"
    if isinstance(cause, SyntaxError) and cause.filename == str(path):
        line, text = cause.lineno, cause.msg
    else:
        text = re.split(r"\. Did you mean| and no __dict__", str(cause))[0]  # What newer Pythons add to it.
    place = f"{path}, line {line}" if line else str(path)
    return f"{place}: {type(cause).__name__}: {text}{_near_attribute(text)}"


def _near_attribute(text: str) -> str:
    """The nearest field, where a message of Python's speaks of one that a class of the configuration has not."""
    pattern = r"(\w+)(?:\.__init__\(\) got an unexpected keyword argument|' object has no attribute) '(\w+)'$"
    match = re.search(pattern, text)
    if match is None or match[1] not in _CLASSES:
        return ""
    return did_you_mean(match[2], typing.get_type_hints(_CLASSES[match[1]]))
