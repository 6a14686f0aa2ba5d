"""`launch.py --help`: the commands, the flags and every field of a configuration."""

import textwrap
from collections.abc import Callable

from senet_jax.commands.config_files import shown
from senet_jax.commands.options import COMMANDS, flags, meaning
from senet_jax.commands.request import Request
from senet_jax.config import Experiment
from senet_jax.schema import describe, documentation, field_types, flatten
from senet_jax.terminal import program
from senet_jax.texts import written

_USAGE = f"[{'|'.join(COMMANDS)}] [--config=FILE] [--config.FIELD=VALUE ...] [--workdir=DIRECTORY]"
_FLAGS = {
    "--config=FILE": "Python file whose get_config() returns an Experiment; FILE:ARGUMENT calls get_config(ARGUMENT) "
    "(default experiments/digits.py).",
    "--config.FIELD=VALUE": "Overrides a field, as in --config.model.ratio=8 (or =none), "
    "--config.data.mean=0.5,0.4,0.3, --config.data.flip and --noconfig.data.flip.",
    "--workdir=DIRECTORY": "Directory of a run: configuration, checkpoints, logs, results.",
    "--help": "Prints this help, or after a command that of the command, with the fields of --config if it is given.",
}


def prepare(request: Request) -> Callable[[], None]:
    """Returns the function that prints the help."""
    return lambda: print(_text(request))


def _text(request: Request) -> str:
    """Returns the help of the command in `request.words`, or of all commands."""
    names = request.words or list(COMMANDS)
    commands = [COMMANDS[name] for name in names]
    configured = any(each.configured for each in commands)
    of_workdir = any(each.of_workdir for each in commands)
    kinds, meanings = field_types(Experiment), documentation(Experiment)
    fields = {
        f"{name}={written(value)}": f"{meanings[name]} ({describe(kinds[name])})"
        for name, value in flatten(request.config).items()
    }
    origin = f" of {shown(request.config_path)}" if request.config_path else ""
    shown_flags = {
        flag: text
        for flag, text in _FLAGS.items()
        if configured or flag == "--help" or (of_workdir and flag.startswith("--workdir"))
    }
    called = {name: f"{name} {kind.words}".strip() for name, kind in zip(names, commands, strict=True)}
    sections = {"commands" if len(names) > 1 else "command": {called[name]: meaning(name) for name in names}}
    sections |= {"flags": shown_flags}
    sections |= {f"flags of {name}": flags(name) for name in names if flags(name)}
    if configured:
        sections[f"fields, with the values{origin}"] = fields
    usage = _USAGE if len(names) > 1 else f"{called[names[0]]} [--FLAG=VALUE ...]"
    return "\n\n".join(
        [
            f"usage: {program.name()} {usage}",
            *(f"{title}:\n{_entries(entries)}" for title, entries in sections.items()),
        ]
    )


def _entries(entries: dict[str, str]) -> str:
    return "\n".join(
        textwrap.fill(text, 110, initial_indent=f"  {name:<32}  ", subsequent_indent=" " * 36)
        for name, text in entries.items()
    )
