"""The command line of launch.py: parses it, and runs the command or prints one error.

Nothing slow is imported here, so that errors of the command line come at once.
"""

import contextlib
import difflib
import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from senet_jax import allocator
from senet_jax import workdir as workdirs
from senet_jax.commands.config_files import EXPERIMENTS, find, load, load_sweep
from senet_jax.commands.options import COMMANDS, CONFIGURED
from senet_jax.commands.request import CommandOptions, Request
from senet_jax.config import Experiment
from senet_jax.files import expanded
from senet_jax.schema import (
    assign,
    check,
    describe,
    did_you_mean,
    documentation,
    field_types,
    hints,
    required,
    validate,
)
from senet_jax.terminal import program
from senet_jax.texts import is_boolean, placeholder, read

_DISK = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EROFS,
)
"""Errors of a disk while a command runs: one line says them."""
_FIELDS = field_types(Experiment)
_OPTIONS = {name: kind for options in COMMANDS.values() for name, kind in field_types(options).items()}
"""The flags of all commands. Those of the same name are all booleans, or none."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command of the words after the program's name.

    Raises SystemExit with status 2, after one message on stderr, if that is impossible.
    """
    with _refusing():
        request = parse(sys.argv[1:] if argv is None else argv)
    if argv is None and getattr(request.options, "computes", False):
        allocator.restart()
    flags.FLAGS.mark_as_parsed()  # Grain reads its flags, at their defaults.
    try:
        from senet_jax.terminal.progress import working

        command = importlib.import_module(f"senet_jax.commands.{request.command}")
        with _refusing(), working(f"preparing {request.command}"):
            run = command.prepare(request)
        run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # A second one ends the process while it waits for its threads.
        print(f"\n{program.name()}: stopped", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # The reader of the output, such as `head`, has closed it.
        # Else the interpreter fails to flush at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except workdirs.RunError as error:
        sys.exit(f"{program.name()}: error: {error}")
    except OSError as error:
        if error.errno not in _DISK:
            raise
        sys.exit(f"{program.name()}: error: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("senet_jax"):
            raise
        hint = "; pip install '.[train]' in the checkout installs the packages of the commands"
        own = error.name in sys.stdlib_module_names  # Of Python itself, but not on Windows.
        _refuse(f"{request.command} needs {error.name}, which is not installed{'' if own else hint}")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        _refuse(str(error))


def _refuse(message: str) -> NoReturn:
    print(f"{program.name()}: error:", *message.split("\n"), file=sys.stderr)
    raise SystemExit(2) from None


def parse(argv: Sequence[str]) -> Request:
    """Parses the command line. Raises ValueError if it is invalid."""
    flags_given = _define_flags()
    try:
        words = flags_given([program.name(), *argv])[1:]
    except flags.Error as error:
        command = next(filter(COMMANDS.__contains__, argv), "train")
        raise ValueError(_wrong_flag(error, command)) from error
    command, rest = _command(words)
    given: dict[str, Any] = {name: flags_given[name].value for name in flags_given if flags_given[name].present}
    if given.pop("help", None):
        command, rest = "help", words[:1]
    file, workdir = given.pop("config", None), given.pop("workdir", None)
    texts = {name.removeprefix("config."): given.pop(name) for name in list(given) if name.startswith("config.")}
    overrides = {name: _read(f"config.{name}", text, _FIELDS[name]) for name, text in texts.items()}
    workdir = None if workdir is None else _read("workdir", workdir, Path)
    if command == "help":
        config, config_path, name = _experiment(file)
        assign(config, overrides)
        validate(config)
        return Request(command, config, config_path=config_path, name=name, words=rest)
    kind = COMMANDS[command]
    options = _options(command, given)
    weights: str | None = getattr(options, "weights", None) if kind.of_run else None
    if weights is not None:
        workdir = _run_of(weights, workdir, file is not None or not {"data.name", "data.path"}.isdisjoint(overrides))
    if (file is not None or overrides or (workdir is not None and not kind.of_workdir)) and not kind.configured:
        taken = ", ".join(_flags_of(kind)) or "no flags"
        others = "--config and --config.FIELD" if kind.of_workdir else "--config, --config.FIELD and --workdir"
        raise ValueError(f"{command} takes {taken}; {others} are for {', '.join(CONFIGURED)}")
    if (kind.of_run or kind.of_workdir) and workdir is None and weights is None:
        whose = "a training run" if kind.of_run else "a sweep or of a training run"
        other = ", or --weights=SOURCE" if hasattr(options, "weights") else ""
        raise ValueError(f"{command} needs --workdir=DIRECTORY, the directory of {whose}{other}")
    if not kind.configured:
        return Request(command, workdir=workdir, options=options, words=rest)
    resumes = command == "train" and workdir is not None and (workdir / workdirs.CONFIG).exists()
    if weights is not None and workdir is None and file is None:
        config, config_path, name = Experiment(), None, ""
    elif (kind.of_run or kind.reads_run or resumes) and workdir is not None and file is None:
        config, config_path, name = workdirs.read_config(workdir), workdir / workdirs.CONFIG, workdir.resolve().name
    else:
        config, config_path, name = _experiment(file)
    sweep = load_sweep(config_path, overrides) if command == "sweep" and config_path else None
    assign(config, overrides)
    validate(config)
    is_configured = file is not None or bool(overrides)
    return Request(command, config, frozenset(overrides), config_path, name, workdir, options, sweep, is_configured)


def _run_of(weights: str, workdir: Path | None, has_images: bool) -> Path | None:
    """Returns the workdir that --weights names; None if it is another source.

    Raises ValueError if --workdir is given too, or if nothing says which images to evaluate.
    """
    if workdir is not None:
        raise ValueError(f"--workdir={workdir} and --weights={weights} are both networks to evaluate; give one")
    source = expanded(weights)
    if (source / workdirs.NETWORK).is_file():
        return source
    if not has_images:
        raise ValueError(
            f"--weights={weights} does not say which images to evaluate: add --config=FILE, or --config.data.name=NAME "
            "(for class folders --config.data.name=folder --config.data.path=DIRECTORY)"
        )
    return None


def _experiment(given: str | None) -> tuple[Experiment, Path, str]:
    """Returns the experiment of --config, by default the digits', its file and its name."""
    given = str(EXPERIMENTS / "digits.py") if given is None else given
    file, _, argument = (given, "", "") if expanded(given).exists() else given.partition(":")
    path = find(_read("config", given if "://" in given else file, Path))
    return load(path, argument), path, "-".join(filter(None, [path.stem, argument]))


def _define_flags() -> flags.FlagValues:
    """Defines a new set of flags for each command line, one for every field of an experiment and of all options."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    flags.DEFINE_boolean("help", False, "", short_name="h", flag_values=values)
    kinds = {"config": str, "workdir": Path} | _OPTIONS | {f"config.{name}": kind for name, kind in _FIELDS.items()}
    for name, kind in kinds.items():
        flag = flags.Flag(flags.ArgumentParser(), None, name, None, "", boolean=is_boolean(kind))
        flags.DEFINE_flag(flag, flag_values=values)
    return values


def _read(flag: str, text: str, kind: Any) -> Any:
    try:
        return read(text, kind)
    except ValueError:
        hint = ", such as that of a mounted bucket" if "://" in text else ""
        raise ValueError(f"--{flag}={text}: it must be {describe(kind)}{hint}") from None


def _command(words: list[str]) -> tuple[str, list[str]]:
    """Returns the command, and the words after it. Raises ValueError if the command takes none."""
    command, *surplus = words or ["train"]
    allowed = f"the commands are {', '.join(COMMANDS)}"
    if command.endswith(".py"):
        raise ValueError(f"unknown command {command!r}; {allowed}; a configuration is given as --config={command}")
    stray = [word for word in words if word in ("step", "steps", "epoch", "epochs")]
    if stray and (command not in COMMANDS or not COMMANDS[command].words):
        raise ValueError(f"{stray[0]!r} stands alone; put quotes around values, as in --config.duration='3 epochs'")
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}; {allowed}{did_you_mean(command, COMMANDS)}")
    if surplus and not COMMANDS[command].words:
        raise ValueError(
            f"surplus argument {surplus[0]!r} after {command!r}; only one command is allowed, then --flags"
        )
    return command, surplus


def _options(command: str, given: dict[str, str]) -> CommandOptions:
    """Returns the flags of a command. Raises ValueError for one that it does not take, lacks, or cannot have so."""
    kind = COMMANDS[command]
    kinds, meanings = field_types(kind), documentation(kind)
    for name in (name for name in given if name not in kinds):
        takers = [taker for taker, options in COMMANDS.items() if name in field_types(options)]
        near = [field for field in _FIELDS if field.endswith(f".{name}") or field == f"{name}.name"]
        instead = f"; {', '.join(CONFIGURED)} take --config.{near[0]}" if near else ""
        raise ValueError(f"--{name} is for {', '.join(takers)}{instead}")
    for name in required(kind):
        if name not in given:
            raise ValueError(f"{command} needs --{name}={placeholder(kinds[name])}: {meanings[name]}")
    values = {name: _read(name, text, kinds[name]) for name, text in given.items()}
    for name, value in values.items():
        check(f"--{name}", value, kinds[name])
    return kind(**values)


def _flags_of(kind: type[CommandOptions]) -> list[str]:
    """Returns the flags that a command takes."""
    shared = ["config", "config.FIELD", "workdir"] if kind.configured else ["workdir"] if kind.of_workdir else []
    return [f"--{name}" for name in [*shared, *field_types(kind)]]


def _wrong_flag(error: flags.Error, command: str) -> str:
    if isinstance(error, flags.UnrecognizedFlagError):
        return _unknown_flag(error.flagname, command)
    if missing := re.fullmatch("Missing value for flag (.*)", str(error)):
        return f"{missing[1]} has no value; give one, as in {missing[1]}=VALUE"
    return str(error).removeprefix("flag ")


def _unknown_flag(name: str, command: str) -> str:
    """Returns the message for an unknown flag of a command."""
    field = name.removeprefix("no").removeprefix("config.")
    if field in _FIELDS:
        return f"--{name} is for fields that are true or false; config.{field} takes {describe(_FIELDS[field])}"
    if name.endswith(f"config.{field}"):
        return _unknown_field(field)
    known = ["--config", "--workdir", "--help", *(f"--{option}" for option in _OPTIONS)]
    own = ", ".join([*_flags_of(COMMANDS[command]), "--help"])
    return f"unknown flag --{name}; the flags of {command} are {own}{did_you_mean('--' + name, known)}"


_SHORT = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "epochs": "duration",
    "steps": "duration",
    "ema": "ema_decay",
}
"""Names of fields in other projects."""


def _unknown_field(name: str) -> str:
    """Returns the message for an unknown field, or for a section of fields."""
    if within := _within(name):
        return (
            f"config.{name} is a section, with {', '.join(within)}; give one, as in --config.{name}.{within[0]}=VALUE"
        )
    fields = list(_FIELDS)
    section, _, leaf = name.rpartition(".")
    siblings = _within(section)
    near = (
        [field for field in fields if field.rpartition(".")[2] == _SHORT.get(leaf)]
        or [f"{section}.{field}" for field in difflib.get_close_matches(leaf, siblings, n=1)]
        or [field for field in fields if field.rpartition(".")[2] == leaf]
        or difflib.get_close_matches(name, fields, n=1)
    )
    owner, known = (f"config.{section}", siblings) if siblings else ("config", hints(Experiment))
    hint = f"; did you mean {' or '.join(f'--config.{field}' for field in near)}?" if near else ""
    return f"unknown field config.{name}; {owner} has {', '.join(known)}{hint}"


def _within(section: str) -> list[str]:
    return [field.removeprefix(f"{section}.") for field in _FIELDS if field.startswith(f"{section}.")]
