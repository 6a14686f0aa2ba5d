"""`launch.py --help`: the commands, the flags and every field of a configuration."""

import textwrap
from collections.abc import Callable

from senet_jax.commands.command_line import Request
from senet_jax.commands.config_files import shown
from senet_jax.commands.options import COMMANDS
from senet_jax.config import Experiment
from senet_jax.schema import describe, documentation, field_types, flatten, written
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
    kinds, meanings = field_types(Experiment), documentation(Experiment)
    fields = {
        f"{name}={written(value)}": f"{meanings[name]} ({describe(kinds[name])})"
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
