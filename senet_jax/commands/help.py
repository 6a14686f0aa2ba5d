"""`launch.py --help`: the commands, the flags and every field of a configuration."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable
from typing import Any

from senet_jax import config as configuration
from senet_jax.commands.command_line import Request
from senet_jax.commands.config_files import shown
from senet_jax.commands.options import COMMANDS
from senet_jax.config import describe, field_types, flatten
from senet_jax.terminal import program

_USAGE = f"[{'|'.join(COMMANDS)}] [--config=FILE] [--config.FIELD=VALUE ...] [--workdir=DIRECTORY]"
_FLAGS = {
    "--config=FILE": "a Python file whose get_config() returns an Experiment, experiments/digits.py where it is not "
    "given; FILE:ARGUMENT calls get_config(ARGUMENT)",
    "--config.FIELD=VALUE": "overrides a field, as in --config.model.ratio=8 (or =none), "
    "--config.data.mean=0.5,0.4,0.3, --config.data.flip and --noconfig.data.flip",
    "--workdir=DIRECTORY": "directory of a run: configuration, checkpoints, logs, results",
    "--help": "prints this help, with the fields of --config if it is given",
}


def prepare(request: Request) -> Callable[[], None]:
    """What prints the help."""
    return lambda: print(_text(request))


def _text(request: Request) -> str:
    kinds, documentation = field_types(), _documentation()
    fields = {
        f"{name}={_written(value)}": f"{documentation.get(name, '')} ({describe(kinds[name])})"
        for name, value in flatten(request.config).items()
    }
    origin = f" of {shown(request.config_path)}" if request.config_path else ""
    sections = {"commands": {name: command.meaning for name, command in COMMANDS.items()}, "flags": _FLAGS}
    for name, command in COMMANDS.items():
        options = {f"--{flag}={option.value}": option.meaning for flag, option in command.options.items()}
        sections |= {f"flags of {name}": options} if options else {}
    sections[f"fields, with the values{origin}"] = fields
    return "\n\n".join(
        [
            f"usage: {program.name()} {_USAGE}",
            *(f"{title}:\n{_entries(entries)}" for title, entries in sections.items()),
        ]
    )


def _entries(entries: dict[str, str]) -> str:
    return "\n".join(
        textwrap.fill(text, 110, initial_indent=f"  {name:<32}  ", subsequent_indent=" " * 36)
        for name, text in entries.items()
    )


def _written(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _documentation() -> dict[str, str]:
    """The string under each field in the source of the configuration, by its dotted name."""
    classes = {
        item.name: item.body
        for item in ast.parse(inspect.getsource(configuration)).body
        if isinstance(item, ast.ClassDef)
    }
    prefixes = {"Experiment": ""} | {kind.__name__: f"{name}." for name, kind in configuration.sections().items()}
    found: dict[str, str] = {}
    for name, prefix in prefixes.items():
        for statement, following in itertools.pairwise(classes.get(name, [])):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=leaf)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[prefix + leaf] = text
    return found
